"""What is left to do, as a table over what the ledger holds."""

from typing import Any

import pytest

from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.next_step import IDEMPOTENCY_WINDOW_S, Done, Fetch, NextStep, Replay, Submit, next_step


def attempt(state: str, number: int = 1, **values: Any) -> Attempt:
    row: dict[str, Any] = dict.fromkeys(Attempt.__dataclass_fields__)
    row |= {"id": number, "task": "t", "generation": 0, "state": state, "sent_at": 1000.0, "draw": 0}
    return Attempt(**{**row, **values})


def choose(*attempts: Attempt, **changes: Any) -> NextStep:
    facts: dict[str, Any] = {"on_disk": frozenset({None}), "replayable": False, "now": 2000.0}
    facts |= {name: changes.pop(name) for name in list(changes) if name in facts}
    return next_step(attempts, Limits(**changes), **facts)


@pytest.mark.parametrize("state", ["planned", "claimed", "intent", "cancelled"])
def test_what_never_left_is_bought_for_the_first_time(state):
    assert choose(attempt(state)) == choose() == Submit(0)


@pytest.mark.parametrize("state", ["refused", "expired", "ambiguous", "invalid", "stored", "validated"])
def test_what_ended_is_not_bought_again(state):
    assert choose(attempt(state)) == Done(attempt(state))


@pytest.mark.parametrize("state", ["accepted", "ready"])
def test_jobs_are_fetched(state):
    assert choose(attempt(state, job="j")) == Fetch(attempt(state, job="j"))


def test_a_stored_draw_goes_before_everything():
    stored = attempt("validated", 2, generation=1, digest="sha256:a")
    assert choose(attempt("accepted", job="j"), stored, on_disk=frozenset({"sha256:a"})) == Done(stored)


def test_ambiguous_is_replayed_within_the_window_or_bought_again_on_request():
    lost = attempt("ambiguous")
    assert choose(lost, replayable=True) == Replay(lost)
    late = 1000.0 + IDEMPOTENCY_WINDOW_S + 1.0
    assert choose(lost, replayable=True, now=late) == Done(lost)
    assert choose(lost, replayable=True, now=0.0) == Done(lost)
    assert choose(lost, retry_ambiguous=True) == Submit(1)


def test_a_job_whose_result_was_never_had_is_bought_again_on_request_only():
    lost = attempt("expired", job="j")
    assert choose(lost, replayable=True, max_resample=5) == Done(lost)
    assert choose(lost, retry_ambiguous=True) == Submit(1)


def test_invalid_is_bought_again_as_often_as_allowed():
    first, second = attempt("invalid"), attempt("invalid", 2, generation=1)
    assert choose(first, max_resample=1) == Submit(1)
    assert choose(first, second, max_resample=1) == Done(second)


def test_a_lost_file_is_fetched_by_its_job_or_bought_again_if_allowed():
    gone = attempt("validated", digest="sha256:a")
    nothing: frozenset[str] = frozenset()
    assert choose(gone, on_disk=frozenset({"sha256:a"})) == Done(gone)
    assert choose(gone, on_disk=nothing) == Done(gone)
    assert choose(gone, on_disk=nothing, max_resample=1) == Submit(1)
    job = attempt("validated", digest="sha256:a", job="j")
    assert choose(job, on_disk=nothing) == Fetch(job)
