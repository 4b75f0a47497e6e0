"""Faults of disk, process, concurrency and clock, D1 to D15, against real processes and real files."""

import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.draws import check, draw, ledger, limits, tasks
from support.forked import Forked

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.testing.fault_server import FaultServer, Situation, chances, planned
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

DRIVER = Path(__file__).with_name("kill_driver.py")
KINDS: dict[str, Any] = {"jobs": JobVendor, "synchronous": SynchronousVendor}
WHOLE = ("stored", "validated")


@contextmanager
def driver(url: str, run: Path, dialect: str, pictures: int, draws: int, *settings: Any) -> Iterator[Any]:
    texts = [url, str(run), dialect, str(pictures), str(draws), *(json.dumps(setting) for setting in settings)]
    with Forked(
        [sys.executable, str(DRIVER), *texts], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def rows(run: Path, states: tuple[str, ...]) -> list[sqlite3.Row]:
    """Attempts in these states, read from outside; none while there is no table yet."""
    marks = ",".join("?" * len(states))
    try:
        with ledger(run) as connection:
            return connection.execute(f"SELECT * FROM attempt WHERE state IN ({marks})", states).fetchall()
    except sqlite3.OperationalError:
        return []


def until(condition: Callable[[], Any], process: Any = None, seconds: float = 30.0) -> bool:
    """Wait for a condition, tightly; False when the process ended or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if process is not None and process.poll() is not None:
            return bool(condition())
        time.sleep(0.0005)
    return False


def stored_files(run: Path, *folders: str) -> set[str]:
    files = (path for folder in folders for path in (run / folder).rglob("*") if path.is_file())
    return {"sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finish(server: FaultServer, run: Path, dialect: str, pictures: int, draws: int) -> dict[str, int]:
    """Resume in this process until nothing is left to do, first without, then with paying for ambiguous draws."""
    server.script = lambda situation: None
    adapter = KINDS[dialect](url=server.url)
    work = tasks(pictures, draws)
    first = draw(adapter, run, work)
    assert len(first.outcomes) == len(work), first.text
    ambiguous = first.states.count("ambiguous")
    assert first.states.count("stored") + ambiguous == len(work), first.text
    once = {"paid": server.account.paid, "distinct": server.account.distinct, "ambiguous": ambiguous}
    second = draw(adapter, run, work, retry_ambiguous=True)
    assert second.states == ["stored"] * len(work), second.text
    assert len(second.pictures) == len(work)
    return once


def judge(server: FaultServer, run: Path, once: dict[str, int], kept: set[str], n: int) -> None:
    """Paid once for each draw, once more only for draws that were reported ambiguous; nothing stored was lost."""
    assert (once["paid"], server.account.distinct) == (once["distinct"], n)
    assert server.account.paid <= n + once["ambiguous"]
    assert kept <= stored_files(run, "samples")
    with ledger(run) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert len({row["task"] for row in rows(run, WHOLE)}) == n


def test_d01_full_disk_loses_no_paid_result_that_can_be_fetched_again(tmp_path, server, jobs):
    run, size = tmp_path / "run", {"width": 250, "height": 250}
    changes = {"concurrency": 1, "max_answer_bytes": 8_000_000, "attempt_timeout_s": 20.0}
    extras = {"size": size, "file_limit": 1_000_000}
    with driver(server.url, run, "jobs", 2, 2, changes, {}, extras) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode != 0, out
    assert "Traceback" not in err
    submitted = server.account.paid
    assert submitted <= 2
    drawn = draw(jobs, run, tasks(2, 2, **size), **changes)
    assert (drawn.states, server.account.paid, server.account.distinct) == (["stored"] * 4, 4, 4)


@pytest.mark.parametrize(
    ("dialect", "state", "plan", "extras"),
    [
        ("synchronous", "intent", {}, {}),
        ("jobs", "intent", {}, {}),
        ("synchronous", "sent", {"submit": Fault("slow-start", {"seconds": 0.3})}, {}),
        ("jobs", "sent", {"submit": Fault("slow-start", {"seconds": 0.3})}, {}),
        ("jobs", "accepted", {"poll": Fault("slow-start", {"seconds": 0.3})}, {}),
        ("jobs", "ready", {"download": Fault("slow-start", {"seconds": 0.3})}, {}),
        ("synchronous", "kept", {}, {"check_seconds": 0.2}),
        ("jobs", "kept", {}, {"check_seconds": 0.2}),
        ("synchronous", "validated", {"submit": Fault("slow-start", {"seconds": 0.1})}, {}),
        ("jobs", "ambiguous", {"submit": "close-without-answer"}, {}),
    ],
)
def test_d02_kill_at_each_state_of_the_ledger(tmp_path, dialect, state, plan, extras):
    run = tmp_path / "run"
    with FaultServer(plan) as server:
        # An intent is written by itself only when the submission has to wait for its turn.
        pace = {"rates": ["4/second"]} if state == "intent" else {}
        with driver(server.url, run, dialect, 6, 4, pace, {}, extras) as process:
            # What is kept and looked at is in the inbox, and not yet in the ledger.
            inbox = run / "inbox"
            shown = (lambda: [*inbox.glob("*.png")]) if state == "kept" else (lambda: rows(run, (state,)))
            assert until(shown, process), f"the ledger never showed {state}"
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        kept = {row["digest"] for row in rows(run, WHOLE)}
        once = finish(server, run, dialect, 6, 4)
        judge(server, run, once, kept, 24)


def kill_often(tmp_path: Path, dialect: str, kills: int, seed: int) -> None:
    run, pictures, draws = tmp_path / "run", 3 * kills, 4
    chooser = random.Random(seed)
    shares = {
        "submit": {
            "status:code=429,retry-after=0": 0.03,
            "close-without-answer": 0.02,
            "reset-before-body": 0.01,
            "slow-start:seconds=0.06": 0.9,
        },
        "poll": {"status:code=500": 0.03, "reset-after-body": 0.02, "slow-start:seconds=0.02": 0.5},
        "download": {"cut-length": 0.03, "captive-portal": 0.02, "slow-start:seconds=0.02": 0.5},
    }
    kept: set[str] = set()
    with FaultServer(chances(seed, shares)) as server:
        for _ in range(kills):
            before = server.account.requests("submit")
            with driver(server.url, run, dialect, pictures, draws, {"job_deadline_s": 30.0}) as process:
                assert until(lambda seen=before: server.account.requests("submit") > seen, process)
                time.sleep(chooser.random() * 0.25)
                assert process.poll() is None
                process.kill()
                process.wait(10)
            kept |= {row["digest"] for row in rows(run, WHOLE)}
            assert kept <= stored_files(run, "samples", "inbox")
            assert server.account.paid == server.account.distinct
        once = finish(server, run, dialect, pictures, draws)
        judge(server, run, once, kept, pictures * draws)
    assert kept


@pytest.mark.parametrize(("dialect", "seed"), [("synchronous", 1), ("jobs", 2)])
def test_d02_kill_at_random_moments(tmp_path, dialect, seed):
    kill_often(tmp_path, dialect, 8, seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("dialect", "seed"), [("synchronous", 3), ("jobs", 4)])
def test_d02_kill_at_random_moments_a_hundred_times(tmp_path, dialect, seed):
    kill_often(tmp_path, dialect, 100, seed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["d04", "d05"])
@pytest.mark.parametrize("dialect", ["synchronous", "jobs"])
def test_d04_and_d05_one_signal_finishes_what_is_in_flight(tmp_path, dialect, number, server):
    run = tmp_path / "run"
    server.script = {"submit": Fault("slow-start", {"seconds": 0.2})}
    with driver(server.url, run, dialect, 8, 4) as process:
        assert until(lambda: server.account.paid >= 5, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    report = json.loads(out)
    assert (process.returncode, report["code"]) == (6, 6), err
    assert set(report["states"]) == {"stored"}
    assert server.account.paid == len(report["states"]) < 32
    assert rows(run, ("intent", "sent", "accepted", "ready")) == []
    assert "Traceback" not in err
    server.script = planned({})
    drawn = draw(KINDS[dialect](url=server.url), run, tasks(8, 4))
    assert (drawn.states, server.account.paid, server.account.distinct) == (["stored"] * 32, 32, 32)


def test_d04_two_signals_leave_at_once_with_a_consistent_ledger(tmp_path, server):
    run = tmp_path / "run"
    server.script = {"submit": "never-answers"}
    with driver(server.url, run, "synchronous", 4, 4, {"attempt_timeout_s": 600.0}) as process:
        assert until(lambda: server.account.paid >= 4, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    once = finish(server, run, "synchronous", 4, 4)
    assert once["ambiguous"] == 4
    judge(server, run, once, set(), 16)


def test_d06_second_run_on_one_folder_is_refused_and_names_the_owner(tmp_path, vendor, server):
    run = tmp_path / "run"
    server.script = {"submit": "never-answers"}
    with driver(server.url, run, "synchronous", 1, 1) as process:
        with pytest.raises(LedgerError, match=str(process.pid)):
            Sampler(vendor, run, limits(), check=check).__enter__()
        process.kill()
    with Sampler(vendor, run, limits(), check=check):
        pass


def test_a_ledger_from_an_older_copy_buys_nothing_again(tmp_path, vendor, server):
    run, copy = tmp_path / "run", tmp_path / "copy"
    draw(vendor, run, tasks())
    shutil.copy(run / "ledger.sqlite", copy)
    draw(vendor, run, tasks(3))
    newest = (run / "ledger.sqlite").read_bytes()
    shutil.copy(copy, run / "ledger.sqlite")
    with pytest.raises(LedgerError, match=r"older than its folder: it knows [0-9]+ commits of [0-9]+"):
        draw(vendor, run, tasks(3))
    assert server.account.paid == 3
    (run / "ledger.sqlite").write_bytes(newest)
    assert (draw(vendor, run, tasks(3)).states, server.account.paid) == (["stored"] * 3, 3)
    shutil.copy(copy, run / "ledger.sqlite")
    (run / "ledger.commits").unlink()
    assert (draw(vendor, run, tasks(3)).states, server.account.paid) == (["stored"] * 3, 3)


@pytest.mark.parametrize("jump", [-3.0e8, 3.0e8])
def test_d14_jump_of_the_wall_clock_harms_nothing(tmp_path, monkeypatch, jump, server, jobs):
    real, started = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: real() + (jump if time.monotonic() - started > 0.3 else 0.0))
    server.script = {"submit": Fault("slow-start", {"seconds": 0.1})}
    drawn = draw(jobs, tmp_path / "run", tasks(4, 6))
    assert drawn.states == ["stored"] * 24
    assert all(outcome.cached for outcome in draw(jobs, tmp_path / "run", tasks(4, 6)).outcomes)
    assert server.account.paid == 24


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_d15_nothing_is_left_open(tmp_path, server, jobs):
    server.script = {"poll": ["reset-after-body"] * 5}
    draw(jobs, tmp_path / "warm", tasks(1, 4))
    gc.collect()
    threads = sum(1 for thread in threading.enumerate() if thread.name != "fault-server")
    before = descriptors()
    for number in range(3):
        draw(jobs, tmp_path / f"run-{number}", tasks(2, 8))
    gc.collect()
    until(lambda: descriptors() <= before, seconds=5)
    assert descriptors() <= before
    assert sum(1 for thread in threading.enumerate() if thread.name != "fault-server") == threads


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_d15_ten_thousand_draws_leave_memory_and_descriptors_flat(tmp_path):
    command = [sys.executable, "-m", "blackbox_conformal.testing", "--while-stdin"]
    with Forked(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        work = tasks(50, 200)
        sizes: list[tuple[int, int]] = []
        count = 0
        with Sampler(SynchronousVendor(url=url), tmp_path / "run", limits(concurrency=8), check=check) as sampler:
            for outcome in sampler.draw(work):
                assert outcome.state == "stored"
                count += 1
                if count in (2000, 10_000):
                    gc.collect()
                    sizes.append((resident(), descriptors()))
        process.communicate()
    assert count == 10_000
    (first, opened), (last, still) = sizes
    assert (last - first < 30_000_000, still <= opened + 2) == (True, True), sizes


@pytest.mark.parametrize("gone", [True, False])
def test_a_lost_sample_is_fetched_by_its_job_and_bought_again_only_if_that_is_gone(tmp_path, gone, server, jobs):
    forgotten: list[str] = []

    def forget(situation: Situation) -> str | None:
        return "status:code=404" if situation.head.path in forgotten else None

    run = tmp_path / "run"
    server.script = forget
    assert draw(jobs, run, tasks()).states == ["stored"]
    for sample in (run / "samples").rglob("*.png"):
        sample.unlink()
    forgotten += ["/v1/jobs/job-0"] if gone else []
    drawn = draw(jobs, run, tasks())
    assert (drawn.states, server.account.paid) == (["invalid"] if gone else ["stored"], 1)
    bought = draw(jobs, run, tasks(), max_resample=1)
    assert (bought.states, server.account.paid) == (["stored"], 2 if gone else 1)
    again = draw(jobs, run, tasks())
    assert (again.states, server.account.paid) == (["stored"], 2 if gone else 1)
