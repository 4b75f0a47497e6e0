"""Nothing that was accepted is lost, whatever becomes of the ledger and the folders, as they are begun and later."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import forked
from support.command_line import COMMAND, VENDOR, called
from support.draws import check, draw, ledger, limits, tasks
from support.forked import Forked
from support.synthetic import write_photographs

from blackbox_conformal.drawing.ledger import ledger_file
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.ledger_file import ledger_path
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.testing.fault_server import FaultServer, Situation
from blackbox_conformal.testing.faults import Fault

BEGINNER = Path(__file__).with_name("begin_driver.py")


def calibrate(server: FaultServer, run: str) -> list[str]:
    choices = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf", "--max-cost", "1", "--yes"]
    out = ["--run", run, "--out", f"{Path(run).name}.json"]
    return ["calibrate", "photographs", "--adapter", VENDOR, "-p", f"url={server.url}", *choices, *out]


def leavings() -> dict[str, list[str]]:
    ours = "PRAGMA application_id = 1111638886"
    return {
        "marked": [ours],
        "marked-in-wal": [ours, "PRAGMA journal_mode = WAL"],
        "older-tables": [ours, "CREATE TABLE migration (name TEXT)", "CREATE TABLE attempt (id INTEGER)"],
        "tables-in-wal": [ours, "PRAGMA journal_mode = WAL", "CREATE TABLE attempt (id INTEGER)"],
    }


def leave(folder: Path, statements: list[str]) -> None:
    """Run statements on a new ledger file in a process that then dies, so that what SQLite left stays there."""
    folder.mkdir(parents=True)
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "[c.execute(one) for one in sys.argv[2:]]; os._exit(9)"
    )
    forked.run([sys.executable, "-c", script, str(ledger_path(folder)), *statements])


@pytest.mark.parametrize("kind", [*leavings(), "empty", "hot-journal"])
def test_a_ledger_that_never_held_anything_is_begun_again(tmp_path, kind, vendor, server):
    run = tmp_path / "run"
    if kind in leavings():
        leave(run, leavings()[kind])
    else:
        run.mkdir()
        ledger_path(run).touch()
    if kind == "hot-journal":
        # A first transaction, killed while it was being written: the file is half made, the journal says it was empty.
        script = (
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE');"
            "c.execute('PRAGMA application_id = 1111638886'); c.execute('CREATE TABLE attempt (id INTEGER, a TEXT)');"
            "[c.execute('INSERT INTO attempt VALUES (?, ?)', (n, 'x' * 3000)) for n in range(40)]; os._exit(9)"
        )
        forked.run([sys.executable, "-c", script, str(ledger_path(run))])
        assert ledger_path(run).stat().st_size > 0
        assert ledger_path(run).with_name("ledger.sqlite-journal").stat().st_size > 0
    assert draw(vendor, run, tasks()).states == ["stored"]
    assert (draw(vendor, run, tasks()).states, server.account.paid) == (["stored"], 1)
    with closing(sqlite3.connect(ledger_path(run))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_kill_at_every_step_of_beginning_leaves_a_folder_that_can_be_begun(tmp_path):
    steps = 0
    while True:
        run = tmp_path / str(steps)
        run.mkdir()
        done = forked.run([sys.executable, str(BEGINNER), str(run), str(steps)], text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        Ledger(run).close()
        assert not list(run.glob(".ledger.sqlite.*"))
        if done.returncode == 0:
            break
        steps += 1
    assert steps > 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_a_command_killed_as_it_begins_its_folder_resumes_and_harms_no_other(tmp_path, number, server):
    write_photographs(tmp_path / "photographs", range(3))
    chooser = random.Random(number)
    for kill in range(2):
        run = f"runs/killed-{kill}"
        words = [*COMMAND, *calibrate(server, run)]
        with Forked(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while not (tmp_path / run).exists():
                assert process.poll() is None
                time.sleep(0.0005)
            time.sleep(chooser.random() * 0.06)
            process.send_signal(number)
            _, said = process.communicate()
        assert "bug:" not in said
        assert "Traceback" not in said
    called(*calibrate(server, "runs/other"), folder=tmp_path, code=0)
    for kill in range(2):
        again = called(*calibrate(server, f"runs/killed-{kill}"), folder=tmp_path)
        assert again.returncode in (0, 6), again.stderr  # 6: a draw that was under way is ambiguous
        assert "bug" not in again.stderr
    called("ledger", "sum", folder=tmp_path, code=0)


def test_bad_ledgers_beside_a_run_are_named_and_passed_over(tmp_path, server):
    write_photographs(tmp_path / "photographs", range(3))
    leave(tmp_path / "runs" / "begun", leavings()["marked"])
    leave(tmp_path / "runs" / "foreign", ["CREATE TABLE notes (text)"])
    (tmp_path / "runs" / "garbled").mkdir()
    (tmp_path / "runs" / "garbled" / "ledger.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    done = called(*calibrate(server, "runs/good"), folder=tmp_path, code=0)
    for words in (["ledger", "sum"], ["ledger", "ls"], ["ledger", "verify"], ["cache", "ls"]):
        found = called(*words, folder=tmp_path, code=0)
        said = " ".join(found.stderr.split())
        assert "runs/foreign is left out: runs/foreign/ledger.sqlite is an SQLite file of another program" in said
        assert "runs/garbled is left out: expected an SQLite ledger at" in said
        assert "begun" not in said
    said = " ".join(done.stderr.split())
    assert "runs/foreign is left out" in said
    assert "runs/garbled is left out" in said
    doctor = called("doctor", "--json", folder=tmp_path, code=3)
    for name, state in (("begun", "note"), ("foreign", "broken"), ("garbled", "broken")):
        assert f'"ledger in runs/{name}", "state": "{state}"' in " ".join(doctor.stdout.split()), doctor.stdout
    assert "ledger in runs/good" not in doctor.stdout
    assert os.path.getsize(tmp_path / "runs" / "garbled" / "ledger.sqlite") == 5016


SLOW = {"submit": Fault("slow-start", {"seconds": 0.4})}


def meanwhile(condition: Callable[[], Any], deed: Callable[[], None]) -> threading.Thread:
    """Do something in a thread as soon as a condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + 30.0
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.001)
        deed()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_what_was_accepted_while_another_program_held_the_ledger_is_taken_over(tmp_path, monkeypatch, either, server):
    run, work = tmp_path / "run", tasks(2, 4)
    monkeypatch.setattr(ledger_file, "BUSY_TIMEOUT_S", 0.5)
    server.script = SLOW
    # An owner that has come and gone, so that the ledger is there to be locked.
    assert draw(either, run, tasks(5)[4:]).states == ["stored"]
    with closing(sqlite3.connect(run / "ledger.sqlite", isolation_level=None, check_same_thread=False)) as other:
        thread = meanwhile(lambda: server.account.paid >= 2, lambda: other.execute("BEGIN IMMEDIATE"))
        held = draw(either, run, work)
        thread.join()
        assert held.ended == "LedgerError"
        other.execute("ROLLBACK")
    paid = server.account.paid
    assert paid > 1
    server.script = lambda situation: None
    drawn = draw(either, run, work)
    assert drawn.states == ["stored"] * 8, drawn.text
    assert (server.account.paid, server.account.distinct, list((run / "inbox").iterdir())) == (9, 9, [])


def test_jobs_whose_row_cannot_be_written_are_in_the_inbox(tmp_path, monkeypatch, server, jobs):
    run = tmp_path / "run"
    monkeypatch.setattr(ledger_file, "BUSY_TIMEOUT_S", 0.2)
    server.script = SLOW
    assert draw(jobs, run, tasks(5)[4:]).states == ["stored"]
    with closing(sqlite3.connect(run / "ledger.sqlite", isolation_level=None, check_same_thread=False)) as other:
        thread = meanwhile(lambda: server.account.paid >= 2, lambda: other.execute("BEGIN IMMEDIATE"))
        held = draw(jobs, run, tasks(1))
        thread.join()
        other.execute("ROLLBACK")
    assert "inbox/ holds it for the next run" in held.text
    assert [path.name for path in (run / "inbox").iterdir()] == ["2.job"]
    assert (draw(jobs, run, tasks(1)).states, server.account.paid) == (["stored"], 2)


@pytest.mark.parametrize("deed", ["deleted", "replaced"])
def test_a_ledger_that_is_gone_under_a_run_stops_it(tmp_path, deed, vendor, server):
    run, work = tmp_path / "run", tasks(6, 8)
    server.script = SLOW
    ledger_file, copy = run / "ledger.sqlite", tmp_path / "copy"

    def act() -> None:
        shutil.copy(ledger_file, copy)
        if deed == "replaced":
            os.replace(copy, ledger_file)
        else:
            ledger_file.unlink()

    thread = meanwhile(lambda: server.account.paid >= 4, act)
    drawn = draw(vendor, run, work)
    thread.join()
    assert drawn.ended == "LedgerError"
    assert "ledger.sqlite was deleted, moved or replaced while a run was using it" in drawn.text
    assert server.account.paid <= 12  # those under way, and those that were sent before it was seen
    with contextlib.suppress(LedgerError):  # a copy may have all that the WAL file beside it has
        draw(vendor, run, work)
    assert server.account.paid == server.account.distinct
    if deed == "deleted":
        assert server.account.paid <= 12


@pytest.mark.parametrize("name", ["samples", "inbox"])
def test_a_folder_that_is_removed_under_a_run_stops_it_with_a_clear_error(tmp_path, name, either, server):
    run, work = tmp_path / "run", tasks(6, 8)
    server.script = SLOW
    thread = meanwhile(lambda: server.account.paid >= 4, lambda: shutil.rmtree(run / name, ignore_errors=True))
    with (
        pytest.raises(LedgerError, match=f"{name} was removed while a run was using it"),
        Sampler(either, run, limits(), check=check) as sampler,
    ):
        for _ in sampler.draw(work):
            pass
    thread.join()
    assert server.account.paid < 48


def test_jobs_left_by_a_run_that_ended_otherwise_are_fetched_without_paying(tmp_path, server, jobs):
    run, work = tmp_path / "run", tasks(2, 4)

    first: list[str] = []

    def slow(situation: Situation) -> Fault | None:
        """The job that is asked for first is done long before the others."""
        if situation.purpose != "poll":
            return None
        first.append(situation.head.target)
        return None if situation.head.target == first[0] else Fault("slow-start", {"seconds": 0.5})

    server.script = slow

    def go_wrong() -> None:
        with Sampler(jobs, run, limits(), check=check) as sampler:
            for _ in sampler.draw(work):
                raise ValueError("the draws are all equal")

    with pytest.raises(ValueError, match="all equal"):
        go_wrong()
    with ledger(run) as connection:
        left = connection.execute("SELECT COUNT(*) FROM attempt WHERE state IN ('accepted', 'ready')").fetchone()[0]
    assert left > 0
    server.script = lambda situation: None
    assert (draw(jobs, run, work).states, server.account.paid, server.account.distinct) == (["stored"] * 8, 8, 8)
