"""Jobs that are not finished in time: cancelled where the vendor can, looked for again where it cannot."""

from pathlib import Path
from typing import Any

import pytest
from support.draws import draw, ledger, limits, tasks

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.testing.fault_server import Situation
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.reference_adapters import JobVendor

STUCK = {"submit": Fault("mark", {"stuck": True})}


def rows(run: Path) -> list[tuple[Any, ...]]:
    with ledger(run) as connection:
        return [tuple(row) for row in connection.execute("SELECT state, cost_nanousd FROM attempt ORDER BY id")]


def test_an_overdue_job_is_cancelled_once_and_no_run_waits_for_it_again(tmp_path, server):
    server.script = STUCK
    adapter, account = JobVendor(url=server.url, cancels=True), server.account
    first = draw(adapter, tmp_path, tasks(), job_deadline_s=0.5)
    assert first.states == ["expired"]
    assert "is cancelled; --retry-ambiguous buys the draw again" in first.text
    assert "booked at 0.01 USD" in first.text
    assert (account.requests("submit"), account.requests("cancel")) == (1, 1)
    assert rows(tmp_path) == [("expired", 10_000_000)]
    polls = account.requests("poll")
    second = draw(adapter, tmp_path, tasks(), job_deadline_s=0.5)
    assert second.states == ["expired"]
    assert (account.requests("submit"), account.requests("cancel"), account.requests("poll")) == (1, 1, polls)
    server.script = lambda situation: None
    third = draw(adapter, tmp_path, tasks(), retry_ambiguous=True)
    assert (third.states, account.paid) == (["stored"], 2)
    assert [state for state, _ in rows(tmp_path)] == ["expired", "validated"]


def test_a_job_that_the_vendor_does_not_cancel_is_looked_for_by_the_next_run(tmp_path, server):
    late = {"submit": Fault("mark", {"word": "warming", "times": 12}), "cancel": "status:code=409"}
    server.script = late
    adapter = JobVendor(url=server.url, cancels=True, poll_seconds=0.1)
    assert draw(adapter, tmp_path, tasks(), job_deadline_s=0.4).states == ["expired"]
    assert rows(tmp_path)[0][0] == "accepted"
    assert draw(adapter, tmp_path, tasks()).states == ["stored"]
    assert (server.account.paid, server.account.requests("cancel")) == (1, 1)


def test_a_job_whose_polls_fail_is_not_cancelled(tmp_path, server):
    """It may be finished."""
    server.script = {"poll": "status:code=503"}
    adapter = JobVendor(url=server.url, cancels=True)
    assert "stored" not in draw(adapter, tmp_path, tasks(), job_deadline_s=0.6, max_attempts=50).states
    assert server.account.requests("cancel") == 0
    server.script = lambda situation: None
    assert (draw(adapter, tmp_path, tasks()).states, server.account.paid) == (["stored"], 1)


def test_a_run_that_is_left_cancels_nothing(tmp_path, server):
    """Its jobs are fetched by the next one."""
    leaving: list[Sampler] = []

    def script(situation: Situation) -> Fault | None:
        if situation.purpose == "poll" and situation.number == 3:
            leaving[0].stop()
            leaving[0].stop()
        return STUCK["submit"] if situation.purpose == "submit" else None

    server.script = script
    with Sampler(JobVendor(url=server.url, cancels=True), tmp_path, limits(job_deadline_s=60.0)) as sampler:
        leaving.append(sampler)
        with pytest.raises(IncompleteError):
            list(sampler.draw(tasks()))
    assert (server.account.requests("cancel"), rows(tmp_path)[0][0]) == (0, "accepted")
