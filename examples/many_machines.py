"""Processes with one ledger on PostgreSQL that are killed, cut off and crash-restarted: what is paid, what is lost.

    python examples/many_machines.py [--kills 200] [--restarts 20] [--cuts 40] [--tasks 6000] [--processes 4] [--save]

Starts a PostgreSQL server and a vendor of its own. Processes, each with a run folder of its own as on machines that
share no disk, draw the same tasks. They are killed with SIGKILL while they have calls under way, and started again; the
server is restarted with ``pg_ctl restart -m immediate``, which is a crash; connections are cut with
``pg_terminate_backend``. The part ``file`` kills one process at a time, whose ledger is a file. Then 16 processes share
a limit of 1,000 calls for 2,400 tasks, the rate is measured, and many stored tasks are resumed.

It exits with 1 unless

- no task was paid twice, by the vendor's own books, and none that was paid is missing in the ledger;
- the vendor's books, and what the ledger booked and holds, are within the limit at every instant;
- no more tasks are ambiguous than calls were under way at the kills.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import figures
import psycopg
from measured_parts import parser_of, run_parts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.draws import an_upload
from support.postgres_server import PostgresServer, postgres_server

from blackbox_conformal.drawing.ledger.addresses import LEDGERS, Address
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.postgres import postgres_ledger
from blackbox_conformal.drawing.ledger.queries import ledger_ls, ledger_sum, ledger_verify
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.owned_folder import OwnedFolder
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task, task_keys
from blackbox_conformal.errors import BlackboxConformalError, LedgerError
from blackbox_conformal.testing.fault_server import Fault, FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

PRICE = Decimal("0.01")
THREADS = 4
LEASE_S = 3.0


def tasks(count: int) -> list[Task]:
    """Tasks of one small picture: other draws of it."""
    upload = an_upload(1)
    return [Task(upload, number, number) for number in range(count)]


def work(given: dict[str, Any]) -> None:
    """One worker: draws until all is done, then prints what it did."""
    postgres_ledger.LEASE_S = given["lease_s"]
    run = Path(given["run"])
    if given["ledger"] is not None:
        LEDGERS.place(run, given["ledger"])
    limits = Limits(
        max_cost_usd=None if given["max_cost"] is None else Decimal(given["max_cost"]),
        max_calls=given["max_calls"],
        concurrency=given["threads"],
        attempt_timeout_s=20.0,
    )
    wanted = tasks(given["tasks"])
    told: dict[str, Any] = {"error": None}
    states: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.monotonic(), 0.0
    while True:
        try:
            with Sampler(SynchronousVendor(url=given["vendor"]), run, limits, check=lambda data, task: None) as sampler:
                told["open_s"] = time.monotonic() - started
                used = time.process_time()
                for outcome in sampler.draw(wanted):
                    states[outcome.state] += 1
            break
        except LedgerError as error:
            # What a person would do: the same command again.
            told["ledger_errors"] = [*told.get("ledger_errors", ()), str(error)[:200]]
            states.clear()
        except BlackboxConformalError as error:
            told["error"] = f"{type(error).__name__}: {error}"
            break
    told |= {"seconds": time.monotonic() - started, "states": dict(states), "cpu_s": time.process_time() - used}
    told["memory_mib"] = [before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    print(json.dumps(told), flush=True)


class Workers:
    """Worker processes, each with a run folder of its own."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self._folder = folder
        self._given = {"lease_s": LEASE_S, "max_cost": None, "max_calls": None, "threads": THREADS, **given}

    def start(self, number: int) -> "subprocess.Popen[str]":
        """Start the worker of a machine."""
        given = {**self._given, "run": str(self._folder / f"machine-{number}")}
        words = [sys.executable, __file__, "--work", json.dumps(given)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def all(self, count: int, seconds: float = 600) -> list[dict[str, Any]]:
        """What each of so many workers told at its end."""
        running = [self.start(number) for number in range(count)]
        return [ended(worker, seconds) for worker in running]


def ended(worker: "subprocess.Popen[str]", seconds: float) -> dict[str, Any]:
    """What a worker told at its end."""
    out, error = worker.communicate(timeout=seconds)
    if worker.returncode != 0:
        raise SystemExit(f"a worker ended with {worker.returncode}: {error[-3000:]}")
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


class Trouble:
    """Restarts the server and cuts connections at random moments."""

    def __init__(self, server: PostgresServer, address: str, restarts: int, cuts: int, every_s: float) -> None:
        self._server, self._address, self._every_s = server, address, every_s
        self._kinds = ["restart"] * restarts + ["cut"] * cuts
        random.shuffle(self._kinds)
        self.made: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until all of it was made."""
        self._thread.join()

    def _run(self) -> None:
        for kind in self._kinds:
            time.sleep(random.uniform(0.2, 1.8) * self._every_s)
            if kind == "restart":
                self._server.restart()
            else:
                with psycopg.connect(self._address, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'blackbox-conformal' AND random() < 0.5"
                    )
            self.made[kind] += 1


class Ledger:
    """The ledger as it is on disk, seen from outside while others draw."""

    def __init__(self, where: Address | Path) -> None:
        self.where = where
        self.most_usd = Decimal(0)
        self._left: set[int] = set()

    def under_way(self, running: dict[int, "subprocess.Popen[str]"]) -> Counter[int]:
        """How many calls each process has sent that are not answered; what is booked and held is looked at, too."""
        if isinstance(self.where, Path):
            try:
                calls, sums = {row.id for row in ledger_ls(self.where, ("sent",))}, ledger_sum(self.where)
            except LedgerError:  # There is none yet.
                return Counter()
            self.most_usd = max(self.most_usd, sums["cost_usd"] + sums["reserved_usd"])
            own = calls - self._left
            if all(worker.poll() is not None for worker in running.values()):
                self._left |= calls  # The next process settles these when it has started.
            return Counter(dict.fromkeys(running, len(own)))
        while True:
            try:
                with psycopg.connect(self.where.shown, options="-c search_path=blackbox_conformal") as connection:
                    # Locked, so that a commit which a killed process had under way is over.
                    query = "SELECT spent_nanousd + reserved_nanousd FROM total FOR UPDATE"
                    ((held,),) = connection.execute(query).fetchall()
                    rows = connection.execute(
                        "SELECT split_part(name, ' ', 2)::int, count(*) FROM attempt JOIN owner ON owner.id = owner"
                        " WHERE state = 'sent' GROUP BY 1"
                    ).fetchall()
                break
            except psycopg.errors.UndefinedTable:
                return Counter()
            except psycopg.OperationalError:  # The server restarts.
                time.sleep(0.05)
        self.most_usd = max(self.most_usd, Decimal(held) / 10**9)
        calls_of = dict(rows)
        return Counter({number: calls_of.get(worker.pid, 0) for number, worker in running.items()})


def crashes(server: PostgresServer | None, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kills, restarts and cuts while the same tasks are drawn by several processes; by one where no server is given."""
    address = None if server is None else server.new_database()
    ledger = Ledger(folder / "machine-0" if address is None else LEDGERS.name(address))
    # Less than all tasks cost, so that the limit is met.
    limit = PRICE * (arguments.tasks * 19 // 20)
    at_kills: list[int] = []
    with FaultServer({"submit": Fault("slow-start", {"seconds": arguments.latency})}) as vendor:
        given = {"vendor": vendor.url, "ledger": address, "tasks": arguments.tasks, "max_cost": str(limit)}
        workers = Workers(folder, **given)
        running = {number: workers.start(number) for number in range(1 if server is None else arguments.processes)}
        trouble = None
        if server is not None and address is not None:
            trouble = Trouble(server, address, arguments.restarts, arguments.cuts, arguments.every)
        started = time.monotonic()
        while sum(map(bool, at_kills)) < arguments.kills and any(worker.poll() is None for worker in running.values()):
            time.sleep(random.uniform(0.0, 2 * arguments.pause))
            calls = ledger.under_way(running)
            at_work = [number for number, worker in running.items() if calls[number] and worker.poll() is None]
            if not at_work:
                continue
            number = random.choice(at_work)
            running[number].kill()
            running[number].communicate()
            # Between the look and the kill all of them may have been answered; such a kill does not count.
            at_kills.append(ledger.under_way(running)[number])
            running[number] = workers.start(number)
        if trouble is not None:
            trouble.wait()
        told = [ended(worker, 1800) for worker in running.values()]
        seconds = time.monotonic() - started
        # What the last ones that were killed had under way is settled by the next process when their lease is over.
        time.sleep(2 * LEASE_S)
        told.append(ended(workers.start(0), 900))
        ledger.under_way({})
        billed = Counter(paid.draw.rpartition(":")[2] for paid in vendor.account.bills)
    sums, check = ledger_sum(ledger.where), ledger_verify(ledger.where)
    known = {str(row.seed) for row in ledger_ls(ledger.where, (*WHOLE, "ambiguous"))}
    report = {
        "kills of processes with calls under way": sum(map(bool, at_kills)),
        **({} if trouble is None else trouble.made),
        "seconds": round(seconds),
        "tasks": arguments.tasks,
        "paid by the vendor's books": sum(billed.values()),
        "paid twice": sum(count > 1 for count in billed.values()),
        "stored": sums["stored"],
        "ambiguous": sums["ambiguous"],
        "under way at kills": sum(at_kills),
        "kills by calls under way": dict(sorted(Counter(at_kills).items())),
        "paid and lost": len(set(billed) - known),
        "spent": str(sums["cost_usd"]),
        "limit": str(limit),
        "most booked and held": str(ledger.most_usd),
        "held": str(sums["reserved_usd"]),
        "errors": [one["error"] for one in told if one["error"]],
        "ledger away": [text for one in told for text in one.get("ledger_errors", ())],
        "problems": list(check.problems),
    }
    over = max(PRICE * sum(billed.values()), sums["cost_usd"], ledger.most_usd) > limit
    wrong = report["paid twice"] or report["paid and lost"] or report["problems"] or over
    report["passed"] = not wrong and sums["ambiguous"] <= sum(at_kills)
    return report


def killed(reports: dict[str, dict[str, Any]], processes: int) -> figures.Table:
    """The table of kills: a line for each ledger."""
    columns = ["ledger", "killed", "server crashed", "connections cut", "paid", "twice", "lost", "`ambiguous`"]
    ledgers = {"crashes": f"PostgreSQL, {processes} processes", "file": "a file, one process"}
    counts = ("paid by the vendor's books", "paid twice", "paid and lost", "ambiguous", "under way at kills")
    rows = []
    for part, ledger in ledgers.items():
        if (report := reports.get(part)) is not None:
            often = [
                report["kills of processes with calls under way"],
                report.get("restart", "—"),
                report.get("cut", "—"),
            ]
            found = [*often, *(report[name] for name in counts)]
            most = f"${Decimal(report['most booked and held']):.2f} of ${report['limit']}"
            rows.append([ledger, *map(str, found), most])
    return {"columns": [*columns, "under way at kills, in all", "most booked and held"], "rows": rows}


def one_limit(server: PostgresServer, folder: Path, processes: int = 16, most: int = 1000) -> dict[str, Any]:
    """Processes that together want more than their limit allows."""
    address = server.new_database()
    with FaultServer() as vendor:
        workers = Workers(folder, vendor=vendor.url, ledger=address, tasks=2400, max_calls=most, lease_s=20.0)
        told = workers.all(processes)
        paid, distinct = vendor.account.paid, vendor.account.distinct
    where = LEDGERS.name(address)
    sums = ledger_sum(where)
    return {
        "processes": processes,
        "paid": paid,
        "distinct": distinct,
        "stored": sums["stored"],
        "spent": str(sums["cost_usd"]),
        "held": str(sums["reserved_usd"]),
        "seconds": round(max(one["seconds"] for one in told), 1),
        "passed": paid == distinct == most and not ledger_verify(where).problems,
    }


def rate(server: PostgresServer, folder: Path, processes: int = 4, count: int = 3000) -> dict[str, Any]:
    """Draws a second of several processes, with a vendor that answers at once and commits that reach the disk."""
    address = server.new_database()
    with FaultServer() as vendor:
        workers = Workers(folder, vendor=vendor.url, ledger=address, tasks=count, lease_s=20.0, threads=8)
        told = workers.all(processes)
        paid = vendor.account.paid
    seconds = max(one["seconds"] - one["open_s"] for one in told)
    draws = round(count / seconds, 1)
    report = {"processes": processes, "draws": paid, "draws a second": draws, "load": round(os.getloadavg()[0], 1)}
    report["processor milliseconds of a process, a draw"] = round(1000 * sum(one["cpu_s"] for one in told) / count, 2)
    return {**report, "passed": paid == count and draws >= 100}


def resumed(server: PostgresServer, folder: Path, count: int) -> dict[str, Any]:
    """A run whose tasks are all stored, on a machine that has the answers and on one that has none."""
    address = server.new_database()
    adapter = SynchronousVendor(url="http://127.0.0.1:9")
    store_all(address, folder / "machine-0", adapter, tasks(count))
    report: dict[str, Any] = {"tasks": count}
    workers = Workers(folder, vendor=adapter.url, ledger=address, tasks=count, lease_s=20.0)
    for number, name in enumerate(("with the answers", "without")):
        told = ended(workers.start(number), 900)
        report[name] = {"seconds": round(told["seconds"], 1), "MiB": [round(size) for size in told["memory_mib"]]}
        report[name]["states"] = told["states"]
    report["passed"] = report["with the answers"]["seconds"] < 60
    return report


def store_all(address: str, run: Path, adapter: SynchronousVendor, wanted: list[Task]) -> None:
    """Put an answer to every task into the ledger and into a run folder, as a run does, but many in a commit."""
    LEDGERS.place(run, address)
    folder = OwnedFolder(run)
    try:
        keys = task_keys(adapter.identity(), wanted)
        content = b"\x89PNG\r\n\x1a\n" + bytes(200)
        arrival = folder.store.receive(0, content)
        folder.store.settle(arrival)
        folder.ledger.plan(
            [
                AttemptSpec(key, 0, "identity", adapter.name, task.upload.digest, "p", task.index, task.seed, key, 120)
                for key, task in zip(keys, wanted, strict=True)
            ]
        )
    finally:
        folder.close()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "UPDATE blackbox_conformal.attempt SET state = 'validated', sent_at = 1, stored_at = 2, digest = %s,"
            " size = %s",
            (arrival.digest, arrival.size),
        )
        connection.execute("UPDATE blackbox_conformal.total SET calls = attempts")


def main() -> None:
    """Run all parts; see the module's docstring."""
    numbers = {"kills": 200, "restarts": 20, "cuts": 40, "tasks": 6000, "processes": 4, "stored": 100_000}
    seconds = {"latency": 1.0, "pause": 0.8, "every": 8.0}
    parser = parser_of(__doc__, ("crashes", "file", "limit", "rate", "resume"), **numbers, **seconds)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    figures.save_option(parser)
    arguments = parser.parse_args()
    if arguments.work:
        work(json.loads(arguments.work))
        return
    with postgres_server() as server:
        parts = {
            "crashes": lambda folder: crashes(server, folder, arguments),
            "file": lambda folder: crashes(None, folder, arguments),
            "limit": lambda folder: one_limit(server, folder),
            "rate": lambda folder: rate(server, folder),
            "resume": lambda folder: resumed(server, folder, arguments.stored),
        }
        reports = run_parts(parts, arguments.parts)
    if arguments.save:
        figures.save("many-machines", "kills", killed(reports, arguments.processes))


if __name__ == "__main__":
    main()
