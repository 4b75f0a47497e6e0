"""Keys of draws, what is left to do for each, and how an attempt may end."""

import inspect
import uuid
from dataclasses import replace
from typing import Any, get_args

import pytest
from support.draws import tasks

from blackbox_conformal import errors
from blackbox_conformal.drawing.attempt_record import _ROWS, ENDINGS, OUTCOME_ERRORS, ROW_STATES, Ending, State, ending
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.states import STATES, STEPS
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.next_step import IDEMPOTENCY_WINDOW_S, Done, Fetch, NextStep, Replay, Submit, next_step
from blackbox_conformal.drawing.run_control import StoppedError
from blackbox_conformal.drawing.task import Task, idempotency_key, task_key, task_keys
from blackbox_conformal.errors import BlackboxConformalError, LedgerError, MaybeSentError, VendorError

IDENTITY = {"adapter": "x", "adapter_version": 1, "parameters": {"scale": 2}}


def test_every_draw_of_a_picture_has_its_own_key():
    keys = {task_key(IDENTITY, task) for task in tasks(2, 50)}
    assert len(keys) == 100
    assert all(key.startswith("sha256:") for key in keys)


def test_key_depends_on_content_seed_and_procedure_and_not_on_the_name():
    (task,) = tasks()
    key = task_key(IDENTITY, task)
    assert key == task_key(IDENTITY, replace(task, upload=replace(task.upload, name="other")))
    assert key != task_key(IDENTITY, replace(task, upload=replace(task.upload, digest="sha256:1")))
    assert key != task_key(IDENTITY, replace(task, seed=7))
    assert key != task_key({**IDENTITY, "adapter_version": 2}, task)


def test_idempotency_key_is_a_uuid_and_new_for_each_generation():
    (task,) = tasks()
    key = task_key(IDENTITY, task)
    first = idempotency_key(key)
    assert str(uuid.UUID(first)) == first
    assert first == idempotency_key(key, 0) != idempotency_key(key, 1)


def test_keys_of_many_tasks_are_those_of_each():
    work = [*tasks(2, 3), *(replace(task, seed=2**70 - index) for index, task in enumerate(tasks(1, 2)))]
    work.append(Task(replace(work[0].upload, digest='sha256:"\u00e9'), 0, None))
    assert task_keys(IDENTITY, work) == [task_key(IDENTITY, task) for task in work]


def attempt(state: str, number: int = 1, **values: Any) -> Attempt:
    row: dict[str, Any] = dict.fromkeys(Attempt.__dataclass_fields__)
    row |= {"id": number, "task": "t", "generation": 0, "state": state, "sent_at": 1000.0, "draw": 0}
    return Attempt(**{**row, **values})


def choose(*attempts: Attempt, **changes: Any) -> NextStep:
    facts: dict[str, Any] = {"on_disk": frozenset({None}), "replayable": False, "now": 2000.0}
    facts |= {name: changes.pop(name) for name in list(changes) if name in facts}
    return next_step(attempts, Limits(**changes), **facts)


def test_what_never_left_is_bought_what_ended_is_not_and_jobs_are_fetched():
    for state in ("planned", "claimed", "intent", "cancelled"):
        assert choose(attempt(state)) == choose() == Submit(0), state
    for state in ("refused", "expired", "ambiguous", "invalid", "stored", "validated"):
        assert choose(attempt(state)) == Done(attempt(state)), state
    for state in ("accepted", "ready"):
        assert choose(attempt(state, job="j")) == Fetch(attempt(state, job="j")), state


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
    assert (choose(first, max_resample=1), choose(first, second, max_resample=1)) == (Submit(1), Done(second))


def test_a_lost_file_is_fetched_by_its_job_or_bought_again_if_allowed():
    gone = attempt("validated", digest="sha256:a")
    nothing: frozenset[str] = frozenset()
    assert choose(gone, on_disk=frozenset({"sha256:a"})) == Done(gone)
    assert choose(gone, on_disk=nothing) == Done(gone)
    assert choose(gone, on_disk=nothing, max_resample=1) == Submit(1)
    job = attempt("validated", digest="sha256:a", job="j")
    assert choose(job, on_disk=nothing) == Fetch(job)


HAPPENINGS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BlackboxConformalError) and not issubclass(kind, LedgerError)
] + [GoneError, StoppedError]


def test_every_row_of_the_table_is_a_step_that_the_ledger_allows():
    for (state, kind), rule in ENDINGS.items():
        row = ROW_STATES[state]
        if row is None:
            assert rule.row is None, (state, kind)
        elif rule.row not in (None, "as it is"):
            assert rule.row in STEPS[row], (state, kind)


def test_no_row_stands_twice():
    assert len(ENDINGS) == sum(len(kinds) * len(states) for kinds, states, _ in _ROWS)


@pytest.mark.parametrize("state", get_args(State))
def test_every_error_has_an_ending_in_every_state(state):
    for kind in HAPPENINGS:
        rule = ending(state, kind)
        assert rule.result is None or rule.result == "deferred" or rule.result in OUTCOME_ERRORS, (state, kind)
        # What is recorded says why, by the class of the error; and nothing is written where there is no row.
        assert (rule.row is None) == (rule.error_class is None), (state, kind)


def test_the_states_of_an_attempt_are_the_ledgers_but_for_two():
    assert set(ROW_STATES) == set(get_args(State))
    assert set(get_args(State)) - set(STATES) == {"unrecorded", "answered"}
    assert all(row in (None, state) for state, row in ROW_STATES.items() if state != "answered")


def test_only_what_was_submitted_can_become_a_picture():
    assert {state for state, kind in ENDINGS if kind is bytes} == set(ROW_STATES) - {"unrecorded", "intent"}


@pytest.mark.parametrize("kind", [kind for kind in HAPPENINGS if issubclass(kind, VendorError)])
def test_what_was_sent_and_not_answered_is_booked_whatever_happens(kind):
    assert ending("sent", kind).row == "ambiguous"
    assert ending("ambiguous", kind).row in ("as it is", None)


def test_a_new_kind_of_ending_is_one_row_more(monkeypatch):
    class TransientError(MaybeSentError):
        """The vendor failed by itself, and says so."""

    row = Ending("invalid", "P", "invalid")
    monkeypatch.setitem(ENDINGS, ("sent", TransientError), row)
    assert ending("sent", type("OverloadedError", (TransientError,), {})) is row
    assert ending("sent", MaybeSentError) == Ending("ambiguous", "M", "ambiguous")
