"""Which requests are repeated, how often and after how long, under a clock that a test turns."""

import threading
from collections.abc import Callable

import pytest

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.drawing.run_control import Clock, RunControl, StoppedError
from blackbox_conformal.errors import (
    IncompleteError,
    JobError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer

ANSWER = Answer(200, {}, b"")


@pytest.fixture(autouse=True)
def _repeats_soon() -> None:
    """The waits are the real ones here."""


class TurnedClock(Clock):
    """Sleeps at once, and notes for how long."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, wake: threading.Event) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        return wake.is_set()


class Run:
    """A retrier, and everything that it works with."""

    def __init__(self, **limits: float) -> None:
        self.clock, self.control = TurnedClock(), RunControl()
        self.breaker = CircuitBreaker(self.clock.monotonic)
        concurrency = AdaptiveConcurrency(4, 32, self.clock.monotonic)
        self.budget = RetryBudget(32)
        chosen = Limits(**limits)  # type: ignore[arg-type]
        board = EventBoard(self.clock, None, None)
        self.retrier = Retrier(chosen, self.clock, self.control, self.breaker, concurrency, self.budget, board)
        self.tries = 0

    def failing(self, *errors: BaseException) -> Callable[[], Answer]:
        """A request that fails with these errors one after the other, and then works."""
        left = list(errors)

        def once() -> Answer:
            self.tries += 1
            if left:
                raise left.pop(0)
            return ANSWER

        return once


def test_a_request_that_works_is_made_once_and_waits_for_nothing():
    run = Run()
    assert run.retrier.submit(run.failing(), replayable=False) is ANSWER
    assert (run.tries, run.clock.slept) == (1, [])


def test_what_was_not_sent_is_repeated_with_full_jitter_and_then_ends_the_run():
    run = Run(max_attempts=5)
    with pytest.raises(NotSentError, match="no route"):
        run.retrier.submit(run.failing(*[NotSentError("no route")] * 9), replayable=False)
    assert (run.tries, len(run.clock.slept)) == (5, 4)
    assert all(0.0 <= slept <= 0.5 * 2**tries for tries, slept in enumerate(run.clock.slept))
    assert isinstance(run.control.error, IncompleteError)
    assert "no route, 5 times in a row" in str(run.control.error)


def test_what_can_never_be_sent_ends_the_run_at_its_first_try():
    run = Run()
    with pytest.raises(NotSentError):
        run.retrier.submit(run.failing(NotSentError("no such proxy", permanent=True)), replayable=False)
    assert run.tries == 1
    assert run.control.stopping.is_set()


@pytest.mark.parametrize(("replayable", "tries"), [(False, 1), (True, 2)])
def test_what_may_have_been_sent_is_repeated_only_under_an_idempotency_key(replayable, tries):
    run = Run()
    once = run.failing(MaybeSentError("the connection broke"))
    if replayable:
        assert run.retrier.submit(once, replayable) is ANSWER
    else:
        with pytest.raises(MaybeSentError):
            run.retrier.submit(once, replayable)
    assert run.tries == tries
    assert run.control.error is None


def test_five_answers_that_never_came_end_the_run_at_once():
    run = Run()
    for _ in range(5):
        with pytest.raises(MaybeSentError):
            run.retrier.submit(run.failing(MaybeSentError("lost")), replayable=False)
    assert run.control.leaving.is_set()
    assert "everything fails" in str(run.control.error)


def unusable_until_the_end(run: Run, error: VendorError) -> int:
    count = 0
    while run.control.error is None:
        run.retrier.record_unusable(error)
        count += 1
    assert "everything fails" in str(run.control.error)
    return count


def test_five_answers_that_are_not_the_picture_end_a_run_in_which_no_draw_has_worked():
    assert unusable_until_the_end(Run(), PayloadError("no link")) == 5
    assert unusable_until_the_end(Run(), VendorFailedError("out of memory")) == 17
    run = Run()
    run.retrier.record_success()
    assert unusable_until_the_end(run, PayloadError("no link")) == 17


def test_a_vendor_that_says_later_opens_the_breaker_and_is_asked_again_without_a_wait_of_ones_own():
    run = Run()
    assert run.retrier.submit(run.failing(TryLaterError("busy", retry_after=7.0)), replayable=False) is ANSWER
    assert (run.clock.slept, run.breaker.delay(1)) == ([], 7.0)


def test_a_pause_that_is_too_long_ends_the_run_and_says_when_to_resume():
    run = Run(max_retry_after_s=60.0)
    with pytest.raises(TryLaterError):
        run.retrier.submit(run.failing(TryLaterError("busy", retry_after=3600.0)), replayable=False)
    assert "for 3600 s; resume after 20" in str(run.control.error)


def in_40_seconds(run: Run) -> Callable[[], float]:
    deadline = run.clock.now + 40.0
    return lambda: deadline


def test_a_job_is_asked_for_until_its_deadline_and_never_beyond_it():
    run = Run()
    with pytest.raises(JobError, match="busy"):
        run.retrier.fetch(run.failing(*[JobError("busy")] * 999), in_40_seconds(run))
    assert run.clock.now == pytest.approx(140.0)
    assert run.control.error is None


@pytest.mark.parametrize(("code", "tries"), [("404", 2), ("403", 1)])
def test_a_link_that_is_gone_is_asked_for_once_more_unless_it_has_expired(code, tries):
    run = Run()
    with pytest.raises(GoneError):
        run.retrier.fetch(run.failing(*[GoneError("gone", code=code)] * 9), in_40_seconds(run))
    assert run.tries == tries


@pytest.mark.parametrize("error", [StoppedError(), KeyError("a bug"), KeyboardInterrupt()])
def test_what_no_vendor_said_comes_through_as_it_is(error):
    run = Run()
    with pytest.raises(type(error)) as caught:
        run.retrier.submit(run.failing(error), replayable=True)
    assert caught.value is error
    assert run.tries == 1


def test_a_stop_ends_the_wait_between_two_tries():
    run = Run()
    run.control.stop()
    with pytest.raises(StoppedError):
        run.retrier.submit(run.failing(NotSentError("no route")), replayable=False)
    assert run.tries == 1


def test_successes_fill_the_budget_that_failures_empty():
    budget = RetryBudget(1)
    assert not budget.withdraw(1000.0)
    budget.deposit(60.0)
    assert budget.withdraw(59.0)
    budget.deposit(1e9)
    assert budget.withdraw(999.0)
    assert not budget.withdraw(1.0)
