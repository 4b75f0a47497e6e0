"""`--cluster`: the same bytes as one process, nothing paid twice whoever is killed, and no worker of other versions."""

import json
import os
import pickle
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import COMMAND, VENDOR, called, called_in_new_process
from support.dask_processes import certificates, kill, scheduler, until, workers, workers_of
from support.forked import Forked
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.errors import AdapterError, IncompleteError, UsageError
from blackbox_conformal.method.scores.custom_score import from_function as score_from_function
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.ready import described, refuse_defined_here
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer

pytest.importorskip("distributed", reason="distributed is not installed here (pip install -e '.[dask]')")

CHOICES = ("--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf")
SLOW = {"submit": "slow-start:seconds=0.3"}


class Place:
    """Photographs, a vendor, and commands that draw from it."""

    def __init__(self, folder: Path, server: FaultServer, photographs: int = 8) -> None:
        self.folder, self.server, self.count = folder, server, photographs
        write_photographs(folder / "photographs", range(photographs))

    def words(self, *arguments: str, run: str = "run") -> list[str]:
        vendor = ["--adapter", VENDOR, "-p", f"url={self.server.url}"]
        return [*arguments, *vendor, "--run", run, "--yes"]

    def run(self, *arguments: str, run: str = "run", **how: Any) -> subprocess.CompletedProcess[str]:
        # The threads and the logging of a cluster's client last as long as its process.
        call = called_in_new_process if "--cluster" in arguments else called
        return call(*self.words(*arguments, run=run), folder=self.folder, **how)

    def calibrate(self, *more: str, run: str = "run", **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run("calibrate", "photographs", *CHOICES, *more, run=run, **how)

    def begin(self, *more: str) -> "subprocess.Popen[bytes]":
        """The command as a process group of its own, as a terminal starts it."""
        words = [*COMMAND, *self.words("calibrate", "photographs", *CHOICES, "--concurrency", "2", *more)]
        with (self.folder / "said.txt").open("wb") as out:
            return Forked(words, stdout=out, stderr=out, cwd=self.folder, start_new_session=True)

    def file(self, run: str = "run") -> bytes:
        return (self.folder / run / "calibration.json").read_bytes()

    def one_process(self) -> bytes:
        """The calibration file that one process makes of the draws that were bought."""
        self.calibrate("--out", "one.json", code=0)
        return (self.folder / "one.json").read_bytes()

    @property
    def paid(self) -> tuple[int, int]:
        account = self.server.account
        return account.paid, account.distinct


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer() as server:
        yield Place(tmp_path, server)


@pytest.fixture
def slow_place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer(SLOW) as server:
        yield Place(tmp_path, server, 12)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_command_gives_the_bytes_of_one_process_and_buys_each_draw_once(place):
    write_photographs(place.folder / "unseen", range(30, 36))
    write_photographs(place.folder / "small", range(40, 43))
    made: dict[str, list[object]] = {"one": [], "many": []}
    ways: tuple[tuple[str, tuple[str, ...]], ...] = (("one", ()), ("many", ("--cluster", "local:2")))
    paid = 0
    for run, more in ways:
        place.calibrate(*more, run=run, code=0)
        made[run].append(place.file(run))
        calibration = ("--calibration", f"{run}/calibration.json")
        levels = ("--alpha", "0.9", "--out", f"{run}-crops", "--no-stop", "--json")
        audit = place.run("audit", "unseen", *calibration, *levels, *more, run=run)
        assert audit.returncode in (0, 5), audit.stderr
        made[run].append(audit.stdout.replace(run, "run"))
        made[run].append(files_of(place.folder / f"{run}-crops"))
        masks = ("--alpha", "0.9", "--out", f"{run}-masked", "--json", "--outside", "0")
        mask = place.run("mask", "small", *calibration, *masks, *more, run=run, code=0)
        assert len(json.loads(mask.stdout)["pictures"]) == 3
        made[run].append(files_of(place.folder / f"{run}-masked"))
        # The report's pages are written by whoever measures.
        made[run].append(sorted(files_of(place.folder / run / "report")))
        made[run].append(place.paid[0] - paid)
        paid = place.paid[0]
    # Afterwards, since calibrations refuse the photographs that a tuning beside them looked at.
    for run, more in ways:
        place.run("tune", "photographs", "--draws", "2", "--alpha", "0.9", *more, run=f"{run}-tuned", code=0)
        made[run].append(place.file(f"{run}-tuned"))
        made[run].append(place.paid[0] - paid)
        paid = place.paid[0]
    assert len(made["one"]) == 8
    for one, many in zip(made["one"], made["many"], strict=True):
        assert one == many


@pytest.mark.slow
def test_workers_that_are_killed_cost_nothing_and_change_nothing(slow_place):
    with slow_place.begin("--cluster", "local:2") as command:
        killed = 0
        for bought in (2, 8, 14):
            until(lambda: slow_place.paid[0] >= bought and len(workers_of(command.pid)) >= 2)  # noqa: B023
            killed += kill(workers_of(command.pid))
        assert command.wait(timeout=120) == 0, (slow_place.folder / "said.txt").read_text()
    assert killed >= 6
    assert slow_place.paid == (24, 24)
    assert slow_place.file() == slow_place.one_process()


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_no_worker_and_resumes_without_paying_twice(slow_place):
    with slow_place.begin("--cluster", "local:2") as command:
        until(lambda: slow_place.paid[0] >= 6)
        started = workers_of(command.pid)
        assert len(started) == 2
        command.kill()
        command.wait(timeout=30)
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in started))
    slow_place.calibrate("--cluster", "local:2", "--retry-ambiguous", code=0)
    paid, distinct = slow_place.paid
    # A call that was under way at the kill may have been paid for; the ledger then says so, and is asked to pay again.
    assert distinct == 24
    assert paid - distinct <= 2
    assert slow_place.file() == slow_place.one_process()


@pytest.mark.slow
def test_an_interrupt_from_the_terminal_waits_for_calls_and_resumes(slow_place):
    with slow_place.begin("--cluster", "local:2") as command:
        until(lambda: slow_place.paid[0] >= 4)
        started = workers_of(command.pid)
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(timeout=60) == 6
    said = (slow_place.folder / "said.txt").read_text()
    assert "the same command resumes" in said
    assert "Traceback" not in said
    assert len(started) == 2
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in started))
    sums = ledger_sum(slow_place.folder / "run")
    bought, _ = slow_place.paid
    assert (sums["stored"], sums["ambiguous"], sums["reserved_usd"]) == (bought, 0, 0)
    assert bought < 24
    assert slow_place.calibrate("--cluster", "local:2").returncode == 0
    assert slow_place.paid == (24, 24)


KILLER = '''
import os
import signal

from blackbox_conformal.method.scores.texture import PLUGIN as Texture


class Killer(Texture):
    """Ends the process at one picture, as a lack of memory does."""

    def start(self, shape):
        if shape == (64, 96):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().start(shape)
'''


@pytest.mark.slow
def test_a_picture_that_kills_workers_ends_the_command_with_its_name(place, tmp_path):
    site = announced(tmp_path / "site", "killer:Killer", {"killer.py": KILLER})
    Image.fromarray(photograph(50, (64, 96))).save(place.folder / "photographs" / "dangerous.png")
    choices = ("--score", "killer", "--metric", "rgb-linf", "--cluster", "local:2")
    done = place.run("calibrate", "photographs", *choices, PYTHONPATH=added(site), code=6)
    assert "4 workers died while they worked on" in done.stderr
    assert "the same command resumes" in " ".join(done.stderr.split())
    assert place.paid[0] == place.paid[1]
    (place.folder / "photographs" / "dangerous.png").unlink()
    assert place.run("calibrate", "photographs", *choices, PYTHONPATH=added(site)).returncode == 0
    assert place.paid == (9, 9)


def announced(site: Path, target: str, files: dict[str, str]) -> Path:
    """A package that announces a score, as an installer would lay it down."""
    information = site / "other-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[blackbox_conformal.scores]\nkiller = {target}\n")
    for name, code in files.items():
        (site / name).write_text(code)
    return site


def added(site: Path) -> str:
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))


def test_workers_of_a_scheduler_do_the_work(place, tmp_path):
    with scheduler(tmp_path / "scheduler") as (address, _), workers(tmp_path / "workers", address):
        place.calibrate("--cluster", address, "--json", code=0)
    assert place.paid == (16, 16)
    assert place.file() == place.one_process()


@pytest.mark.slow
def test_an_encrypted_scheduler_takes_who_has_a_certificate_of_its_authority(place, tmp_path):
    own, other = certificates(tmp_path / "own"), certificates(tmp_path / "other")
    with scheduler(tmp_path / "scheduler", **own) as (address, _), workers(tmp_path / "workers", address, **own):
        assert address.startswith("tls://")
        plain = "tcp" + address.removeprefix("tls")
        for named, given, said in (
            (address, other, "certificates of one authority: DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
            (address, {**own, "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": "nowhere"}, "TLS__CLIENT__KEY to name a PEM"),
            (plain, own, "or name it by tls:// where it is encrypted"),
        ):
            assert said in " ".join(place.calibrate("--cluster", named, **given, code=2).stderr.split())
        assert place.paid == (0, 0)
        place.calibrate("--cluster", address, **own, code=0)
    assert place.paid == (16, 16)
    assert place.file() == place.one_process()


def test_workers_with_other_packages_are_refused_before_anything_is_paid(place, tmp_path):
    site = announced(tmp_path / "site", "killer:Killer", {"killer.py": KILLER})
    with (
        scheduler(tmp_path / "scheduler") as (address, _),
        workers(tmp_path / "workers", address, 1, PYTHONPATH=added(site)),
    ):
        done = place.calibrate("--cluster", address, code=2)
    said = " ".join(done.stderr.split())
    assert "expected workers with the versions of this process" in said
    assert "other 1.0" in said
    assert place.paid == (0, 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--cluster", "local:0"), "expected local:N"),
        (("--cluster", "http://127.0.0.1:8786"), "expected local:N"),
        (("--cluster", "tcp://127.0.0.1:9"), "expected a Dask scheduler at tcp://127.0.0.1:9"),
        (("--cluster", "tls://127.0.0.1:9"), "expected DASK_DISTRIBUTED__COMM__TLS__CA_FILE to name a PEM file"),
        (("--cluster", "local:1", "--memory", "300MiB"), "memory"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_paid(place, more, said):
    assert said in " ".join(place.calibrate(*more, code=2).stderr.split())
    assert place.paid == (0, 0)


@pytest.mark.slow
def test_workers_read_answers_from_the_database_where_the_run_folder_lacks_them(place, tmp_path, postgres):
    ledger = ("--ledger", postgres.new_database())
    assert place.calibrate(*ledger, run="first").returncode == 0
    with scheduler(tmp_path / "scheduler") as (address, _), workers(tmp_path / "workers", address):
        place.calibrate(*ledger, "--cluster", address, run="second", code=0)
    assert place.paid == (16, 16)
    assert place.file("second") == place.file("first")


def test_neither_key_nor_address_nor_way_to_ask_goes_to_a_worker(monkeypatch):
    vendor = bc.load_adapter("recraft")
    monkeypatch.setenv(vendor.key_variable or "", "a-key-that-stays-here")
    assert vendor.credential().reveal() == "a-key-that-stays-here"
    sent = pickle.dumps(described(set_up(vendor)))
    assert b"a-key-that-stays-here" not in sent
    assert vendor.base_url.encode() not in sent
    there = pickle.loads(sent)
    assert there.procedure == set_up(vendor).procedure
    assert there.adapter.capabilities == vendor.capabilities
    with pytest.raises(AdapterError, match="a worker was asked to"):
        there.adapter.draw(None, None)


def test_functions_of_a_program_are_refused():
    own = score_from_function("of-this-program", lambda delivered, low, scale: np.zeros(delivered.shape[:2]))
    refuse_defined_here([catalog.load("scores", "texture"), catalog.load("metrics", "lab-l1"), None])
    with pytest.raises(UsageError, match="leave --cluster out"):
        refuse_defined_here([own])


@pytest.mark.filterwarnings("default")
def test_a_folder_that_workers_do_not_see_is_named(tmp_path):
    with Cluster("local:1") as cluster:
        cluster.refuse_unshared(tmp_path / "seen")
        assert list((tmp_path / "seen").iterdir()) == []
        with pytest.raises(UsageError, match=r"does not see .*nowhere"):
            cluster.refuse_unseen([tmp_path / "nowhere"])


def test_a_worker_that_does_not_answer_is_not_taken_for_one_without_the_package(monkeypatch, tmp_path):
    with Cluster("local:1") as cluster:
        late = {"tls://127.0.0.1:9": TimeoutError("Timed out trying to connect after 30 s")}
        monkeypatch.setattr(cluster._client, "run", lambda *_, **__: late)
        with pytest.raises(IncompleteError, match="did not answer: Timed out trying to connect after 30 s; the same"):
            cluster.refuse_unseen([tmp_path])
