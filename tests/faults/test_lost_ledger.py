"""Nothing that was accepted is lost, whatever becomes of the ledger and the folders under a run."""

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from support.draws import check, draw, ledger, limits, tasks

from blackbox_conformal.drawing.ledger import ledger_file
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.testing.fault_server import Situation
from blackbox_conformal.testing.faults import Fault

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
        assert isinstance(held.error, LedgerError)
        other.execute("ROLLBACK")
    paid = server.account.paid
    assert paid > 1
    server.script = lambda situation: None
    drawn = draw(either, run, work)
    assert drawn.states == ["stored"] * 8, drawn.text
    assert (server.account.paid, server.account.distinct) == (9, 9)
    assert list((run / "inbox").iterdir()) == []


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
    assert isinstance(drawn.error, LedgerError)
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
    assert draw(jobs, run, work).states == ["stored"] * 8
    assert (server.account.paid, server.account.distinct) == (8, 8)
