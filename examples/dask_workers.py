"""Workers, a scheduler and a command that are killed: what is paid twice, what is lost; and what workers gain.

    python examples/dask_workers.py [--workers 200] [--schedulers 20] [--commands 40] [--photographs 400] [--parts …]

``kills`` starts a vendor, a Dask scheduler and four workers, and `calibrate --cluster`. Each is killed with SIGKILL at
random moments and started again. It fails unless, by the vendor's own books, no draw was paid twice and none that was
paid is missing in the ledger, and unless the calibration file is that of one process, byte for byte.

``speed`` evaluates stored answers in one process, by one worker and by four. ``overhead`` lets workers sleep for as
long as a batch took and give back as many bytes: what Dask alone costs with more workers than this machine has
processors.
"""

import argparse
import os
import pickle
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
from measured_parts import parser_of, run_parts
from PIL import Image
from support.command_line import VENDOR
from support.dask_processes import kill, scheduler, workers, workers_of
from support.synthetic import photograph, write_photographs

from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.study.calibrate.calibrating import calibrate_job
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import Fault, FaultServer
from blackbox_conformal.testing.fault_vendor import Account
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

DRAWS = 4
CALLS_AT_ONCE = 4


class Site:
    """A scheduler with workers, and the command that draws; all of it killed and started again."""

    def __init__(self, folder: Path, vendor: str) -> None:
        self._folder, self._vendor = folder, vendor
        self.run = folder / "run"
        self._parts = ExitStack()
        self.ends: Counter[str] = Counter()
        self.start_cluster()
        self.command = self.start_command()

    def start_cluster(self) -> None:
        """Start a scheduler and its workers, in the place of those that were."""
        self._parts.close()
        self.address, self.scheduler = self._parts.enter_context(scheduler(self._folder / "scheduler"))
        self.workers = self._parts.enter_context(workers(self._folder / "workers", self.address, 4))

    def words(self, *more: str) -> list[str]:
        """The command; only what differs between one process and many is in `more`."""
        choices = ["--draws", str(DRAWS), "--score", "pixel-variance", "--metric", "rgb-linf", "--yes", "--force"]
        vendor = ["--adapter", VENDOR, "-p", f"url={self._vendor}", "--concurrency", str(CALLS_AT_ONCE)]
        photographs = str(self._folder / "photographs")
        command = [sys.executable, "-m", "blackbox_conformal", "calibrate", photographs, *vendor, *choices]
        return [*command, "--run", str(self.run), *more]

    def start_command(self) -> "subprocess.Popen[bytes]":
        """Begin or resume; what is ambiguous is never asked for again, so that nothing may be paid twice."""
        with (self._folder / "said.txt").open("ab") as out:
            return subprocess.Popen(self.words("--cluster", self.address), stdout=out, stderr=out)

    def go_on(self) -> None:
        """Start again what has ended: `dask worker` does where a worker is killed while it starts."""
        if self.workers.poll() is not None:
            self.ends["dask worker"] += 1
            self.workers = self._parts.enter_context(workers(self._folder / "workers", self.address, 4))
        if self.command.poll() is not None:
            self.ends[f"exit {self.command.returncode}"] += 1
            self.command = self.start_command()

    def wait_for_draws(self, account: Account, wanted: int) -> None:
        """Let the command come to draw before it, or its scheduler, is killed."""
        before, most = account.paid, time.monotonic() + 60
        while account.paid < min(before + 2 * CALLS_AT_ONCE, wanted) and time.monotonic() < most:
            time.sleep(random.uniform(0, 0.2))
            self.go_on()

    def close(self) -> None:
        """End every process."""
        self.command.kill()
        self.command.wait()
        self._parts.close()


def kills(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill workers, schedulers and commands at random moments; then finish, and compare the books."""
    write_photographs(folder / "photographs", range(arguments.photographs))
    wanted = DRAWS * arguments.photographs
    left = Counter(worker=arguments.workers, scheduler=arguments.schedulers, command=arguments.commands)
    order = list(left.elements())
    random.shuffle(order)
    started = time.monotonic()
    with FaultServer({"submit": Fault("slow-start", {"seconds": arguments.latency})}) as vendor:
        site = Site(folder, vendor.url)
        try:
            for kind in order:
                time.sleep(random.uniform(0, 2 * arguments.pause))
                site.go_on()
                if kind != "worker":
                    site.wait_for_draws(vendor.account, wanted)
                if kind == "worker":
                    alive = workers_of(site.workers.pid)
                    kill(random.sample(alive, min(1, len(alive))))
                elif kind == "scheduler":
                    site.scheduler.kill()
                    site.start_cluster()
                else:
                    site.command.kill()
                    site.command.wait()
            site.go_on()
            while (
                site.command.wait() not in (0, 6)
                or vendor.account.distinct < wanted - arguments.commands * CALLS_AT_ONCE
            ):
                site.go_on()
            billed = Counter(paid.draw for paid in vendor.account.bills)
            sums, rows = ledger_sum(site.run), ledger_ls(site.run, (*WHOLE, "ambiguous"))
            report: dict[str, Any] = {
                "killed": dict(Counter(order)),
                "seconds": round(time.monotonic() - started),
                "draws": wanted,
                "paid by the vendor's books": vendor.account.paid,
                "paid twice": sum(count > 1 for count in billed.values()),
                "paid and lost": len({draw.rpartition(":")[2] for draw in billed} - {str(row.seed) for row in rows}),
                "stored": sums["stored"],
                "ambiguous": sums["ambiguous"],
                "under way when commands were killed, at most": arguments.commands * CALLS_AT_ONCE,
                "ends of commands": dict(site.ends),
                "problems": list(ledger_verify(site.run).problems),
            }
            # What was ambiguous is paid for now, so that there is a file to compare. The workers may have ended.
            site.start_cluster()
            subprocess.run(site.words("--cluster", site.address, "--retry-ambiguous"), check=True, capture_output=True)
            many = (site.run / "calibration.json").read_bytes()
            subprocess.run(site.words(), check=True, capture_output=True)
            report["bytes of one process"] = many == (site.run / "calibration.json").read_bytes()
        finally:
            site.close()
    wrong = report["paid twice"] or report["paid and lost"] or report["problems"]
    few = report["ambiguous"] <= report["under way when commands were killed, at most"]
    report["passed"] = not wrong and few and report["bytes of one process"]
    return report


def large_photographs(folder: Path, count: int, side: int) -> list[Path]:
    """Photographs that look like no other, of side x side pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in range(count):
        small = Image.fromarray(photograph(seed, (256, 256)))
        paths.append(folder / f"p{seed}.png")
        small.resize((side, side), Image.Resampling.BICUBIC).save(paths[-1], compress_level=1)
    return paths


def evaluated(paths: list[Path], setup: Any, run: Path, cluster: Cluster | None) -> tuple[float, float, bytes, Any]:
    """Seconds of reading photographs and of evaluating their answers, the calibration file, and its last job."""
    started = time.monotonic()
    job = Job.of_photographs(setup, paths, Terms(run, Limits(max_calls=len(paths)), cluster=cluster))
    read = time.monotonic()
    calibration = calibrate_job(job).calibration
    ended = time.monotonic()
    calibration.save(run / "calibration.json", force=True)
    return read - started, ended - read, (run / "calibration.json").read_bytes(), calibration


def speed(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Stored answers evaluated by one process, by one worker and by four, in turns."""
    paths = large_photographs(folder / "photographs", arguments.large, arguments.side)
    seconds: dict[str, list[float]] = {}
    files = set()
    with FaultServer() as vendor:
        setup = set_up(SynchronousVendor(url=vendor.url))
        evaluated(paths, setup, folder / "run", None)  # Buys the draws, and compiles what is missing.
        for _ in range(arguments.rounds):
            for name, place in (("this process", None), ("local:1", "local:1"), ("local:4", "local:4")):
                with nullcontext() if place is None else Cluster(place) as cluster:
                    if cluster is not None:
                        evaluated(paths[:8], setup, folder / "run", cluster)  # Workers load their kernels.
                    read, took, file, _ = evaluated(paths, setup, folder / "run", cluster)
                seconds.setdefault(name, []).append(took)
                seconds.setdefault("reading photographs, which this process does", []).append(read)
                files.add(file)
    medians = {name: round(float(np.median(values)), 2) for name, values in seconds.items()}
    ratio = round(float(np.median(np.divide(seconds["local:1"], seconds["local:4"]))), 2)
    return {
        "photographs": len(paths),
        "megapixels each": round(arguments.side**2 / 1e6, 2),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": medians,
        "local:4 over local:1": ratio,
        "seconds of a worker for a photograph": round(medians["local:1"] / len(paths), 3),
        "passed": len(files) == 1,
    }


def _sleep(shared: tuple[float, bytes], batch: list[int]) -> list[bytes]:
    seconds, answer = shared
    time.sleep(seconds)
    return [answer for _ in batch]


def overhead(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Workers that sleep for as long as a batch takes: how much of their time is sleep."""
    paths = large_photographs(folder / "photographs", 1, arguments.side)
    with FaultServer() as vendor:
        calibration = evaluated(paths, set_up(SynchronousVendor(url=vendor.url)), folder / "run", None)[3]
    answer = pickle.dumps(calibration.curves[0])
    report: dict[str, Any] = {"bytes of a curve": len(answer), "seconds of a batch": arguments.batch_seconds}
    for count in arguments.sleepers:
        with Cluster(f"local:{count}") as cluster:
            while len(cluster.workers) < count:
                time.sleep(0.5)
            batches = [list(range(4))] * (arguments.tasks * count)
            shared = (arguments.batch_seconds, answer)
            list(cluster.map(_sleep, (0.0, b""), [[1]] * count, str, lambda _: None))
            started, used = time.monotonic(), time.process_time()
            found = list(cluster.map(_sleep, shared, iter(batches), str, lambda _: None))
            took, own = time.monotonic() - started, 1000 * (time.process_time() - used) / len(batches)
        slept = len(batches) * arguments.batch_seconds
        busy = round(slept / count / took, 3)
        report[f"{count} workers"] = {"batches": len(batches), "seconds": round(took, 1), "busy": busy}
        # Of this process, which is the command and the scheduler; other work on the machine does not count.
        report[f"{count} workers"]["processor milliseconds a batch"] = round(own, 1)
        assert len(found) == 4 * len(batches)
    report["load"] = round(os.getloadavg()[0], 1)
    report["passed"] = True
    return report


def main() -> None:
    """Run all parts; see the module's docstring."""
    parts = {"kills": kills, "speed": speed, "overhead": overhead}
    numbers = {"workers": 200, "schedulers": 20, "commands": 40, "photographs": 400, "large": 48, "side": 1400}
    seconds = {"latency": 1.5, "pause": 0.8, "batch_seconds": 1.0}
    parser = parser_of(__doc__, parts, **numbers, rounds=3, tasks=20, **seconds)
    parser.add_argument("--sleepers", type=int, nargs="*", default=[4, 16, 32])
    arguments = parser.parse_args()
    run_parts({name: partial(part, arguments=arguments) for name, part in parts.items()}, arguments.parts)


if __name__ == "__main__":
    main()
