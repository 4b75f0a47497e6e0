"""How an attempt may end: the table against the ledger's steps, and against every error that can happen."""

import inspect
from typing import get_args

import pytest

from blackbox_conformal import errors
from blackbox_conformal.drawing.attempt_record import _ROWS, ENDINGS, OUTCOME_ERRORS, ROW_STATES, Ending, State, ending
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.ledger.states import STATES, STEPS
from blackbox_conformal.drawing.run_control import StoppedError
from blackbox_conformal.errors import BlackboxConformalError, LedgerError, MaybeSentError, VendorError

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
