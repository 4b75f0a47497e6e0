"""Repeats requests: decides which, how often, and after how long.

Each request runs in its own `tenacity.Retrying`; `http.classify` says what an error means.
"""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import tenacity

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import LONGEST_ASKED_S, AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.run_control import Clock, RunControl, StoppedError
from blackbox_conformal.errors import (
    AdapterError,
    FunctionFailedError,
    JobError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    TryLaterError,
    VendorError,
    VendorUnavailableError,
)
from blackbox_conformal.vendor.adapter import Answer

BASE_S = 0.5
CAP_S = 30.0


class RetryBudget:
    """A budget of failures for one run: each failure withdraws, each success deposits (Finagle).

    Five draws in a row that may be billed but have no answer end the run; so do wrong answers before the first success.
    """

    _FULL = 1000.0
    COST_AMBIGUOUS = 200.0
    COST_INVALID = 60.0
    COST_REPLAY = 60.0
    DRAW = 60.0

    def __init__(self, workers: int) -> None:
        self._balance = self._FULL
        # Allows about 25 failures a worker in a row, whatever the size of the run.
        self.cost_free = self._FULL / (25.0 * workers)
        self.worked = False
        self._lock = threading.Lock()

    def withdraw(self, cost: float) -> bool:
        """Pay for a failure; return False if the budget is empty."""
        with self._lock:
            self._balance = max(0.0, self._balance - cost)
            return self._balance > 0.0

    def deposit(self, amount: float) -> None:
        with self._lock:
            self._balance = min(self._FULL, self._balance + amount)


def full_jitter(attempt: int) -> float:
    """Return a random pause before the next try: uniform in 0..min(30, 0.5 × 2^(attempt − 1)) s (Brooker 2015)."""
    return random.uniform(0.0, min(CAP_S, BASE_S * 2.0 ** (min(attempt, 30) - 1)))


class Retrier:
    """A repeater of requests by the class of their errors; all workers of a run share one.

    ========  ==========================================================================================
    N         repeated with backoff up to ``max_attempts``, then the run ends; not if it is permanent
    R         everyone pauses as told (or with backoff); the run ends when no call gets through
    M         a submission only under an idempotency key; anything else like J
    J         polls, downloads, lookups, quotes: repeated until the deadline
    A, P      never repeated here
    ========  ==========================================================================================
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        control: RunControl,
        breaker: CircuitBreaker,
        concurrency: AdaptiveConcurrency,
        budget: RetryBudget,
        board: EventBoard,
    ) -> None:
        self._limits, self._clock, self._control, self._breaker = limits, clock, control, breaker
        self._concurrency, self._budget, self._board = concurrency, budget, board

    def submit(self, once: Callable[[], Answer], replayable: bool) -> Answer:
        """Make a billable request; `replayable`: the vendor takes an idempotency key."""

        def failed(error: BaseException, tries: int) -> bool:
            if isinstance(error, MaybeSentError):
                self._concurrency.record_failure()
                # Under its key a repetition is the same purchase, so even a request that may have arrived is repeated.
                if replayable and tries < self._limits.max_attempts:
                    return self._withdraw(error, RetryBudget.COST_REPLAY)
                self._withdraw(error, RetryBudget.COST_AMBIGUOUS)
                # Without a key a second submission would be a second purchase.
                return False
            if isinstance(error, TryLaterError):
                return self._pause_everyone(error)
            return isinstance(error, NotSentError) and self._not_sent(error, tries)

        return self._retrying(failed, self._control.stopping, lambda: None)(once)

    def fetch(self, once: Callable[[], Answer], deadline: Callable[[], float | None]) -> Answer:
        """Make a free request until `deadline` (monotonic); if that returns None, up to ``max_attempts`` times.

        A job's deadline moves while its request waits for a turn; whether a job has one does not change.
        """
        jobless = deadline() is None

        def failed(error: BaseException, tries: int) -> bool:
            if isinstance(error, NotSentError) and (error.permanent or jobless):
                return self._not_sent(error, tries)
            if isinstance(error, TryLaterError):
                return self._pause_everyone(error)
            if isinstance(error, GoneError):
                # A link may fail for a moment while a file is copied: ask once more, but not after a denied access.
                return not jobless and error.code != "403" and tries < 2
            if not isinstance(error, (NotSentError, MaybeSentError, JobError)):
                return False
            self._concurrency.record_failure()
            if jobless and tries >= self._limits.max_attempts:
                return self._end_run(f"{error}, {tries} times in a row")
            return self._withdraw(error, self._budget.cost_free)

        # A job is paid for, so a first stop does not end its polling.
        wake = self._control.stopping if jobless else self._control.leaving
        return self._retrying(failed, wake, deadline)(once)

    def _retrying(
        self, failed: Callable[[BaseException, int], bool], wake: threading.Event, deadline: Callable[[], float | None]
    ) -> tenacity.Retrying:
        def retry(state: tenacity.RetryCallState) -> bool:
            error = _error(state)
            if error is not None:
                return failed(error, state.attempt_number)
            self._budget.deposit(self._budget.cost_free)
            return False

        def wait(state: tenacity.RetryCallState) -> float:
            # After "later" everyone waits at the circuit breaker; a second wait would add nothing.
            seconds = 0.0 if isinstance(_error(state), TryLaterError) else full_jitter(state.attempt_number)
            until = deadline()
            return seconds if until is None else max(0.0, min(seconds, until - self._clock.monotonic()))

        def stop(state: tenacity.RetryCallState) -> bool:
            until = deadline()
            return until is not None and self._clock.monotonic() >= until

        def before_sleep(state: tenacity.RetryCallState) -> None:
            self._board.tell("retry", f"trying again: {_error(state)}")

        def sleep(seconds: float) -> None:
            if seconds > 0 and self._clock.sleep(seconds, wake):
                raise StoppedError

        return tenacity.Retrying(
            retry=retry, wait=wait, stop=stop, before_sleep=before_sleep, sleep=sleep, reraise=True
        )

    def deferred(self, error: NotSentError | TryLaterError, tries: int) -> bool:
        """Record the `tries`-th answer "not taken"; return False if that ends the run."""
        if tries >= self._limits.max_attempts:
            return self._end_run(f"{error}, {tries} times in a row")
        return self._pause_everyone(error) if isinstance(error, TryLaterError) else self._not_sent(error, tries)

    def record_unusable(self, error: VendorError) -> None:
        """Count an attempt that the vendor took but that gave no usable picture."""
        # Before the first success, an unreadable answer suggests a fault in the adapter: a few end the run.
        misread = isinstance(error, PayloadError) and not self._budget.worked
        self._withdraw(error, RetryBudget.COST_AMBIGUOUS if misread else RetryBudget.COST_INVALID)

    def record_success(self) -> None:
        self._concurrency.record_success()
        self._budget.worked = True
        self._budget.deposit(RetryBudget.DRAW)

    def _not_sent(self, error: NotSentError, tries: int) -> bool:
        if error.permanent or tries >= self._limits.max_attempts:
            why = str(error) if error.permanent else f"{error}, {tries} times in a row"
            if not isinstance(error, FunctionFailedError):
                return self._end_run(why)
            self._control.fail(AdapterError(f"{why}. Answers so far are kept: mend it, and run the same again"))
            return False
        self._concurrency.record_failure()
        return True

    def _pause_everyone(self, error: TryLaterError) -> bool:
        self._board.count(too_many=1)
        self._concurrency.record_throttle()
        seconds = error.retry_after
        if seconds is not None and seconds > self._limits.max_retry_after_s:
            # Other sets of tasks that draw from this vendor now, as in a gateway, wait as well.
            self._breaker.open(min(seconds, LONGEST_ASKED_S))
            why = f"{error}, for {seconds:.0f} s; resume after {self._date_in(seconds)}"
            return self._end_run(why, retry_after=seconds)
        if seconds is None:
            seconds = full_jitter(self._breaker.throttles_in_a_row + 1)
        if self._breaker.record_throttle(seconds):
            self._board.tell("throttled", f"{error}; everyone pauses for {seconds:.1f} s")
        if self._breaker.throttles_in_a_row >= self._limits.max_attempts:
            return self._end_run(f"{error}, {self._breaker.throttles_in_a_row} times in a row")
        return True

    def _withdraw(self, error: VendorError, cost: float) -> bool:
        if self._budget.withdraw(cost):
            return True
        self._end_run(f"everything fails, the last with: {error}")
        self._control.leave()
        return False

    def _end_run(self, why: str, retry_after: float | None = None) -> bool:
        # Always False: nothing is tried again.
        error = (
            f"stopped: {why}. What is paid is kept; the same command goes on, and says how to buy unusable ones anew"
        )
        self._control.fail(VendorUnavailableError(error, why=why, retry_after=retry_after))
        return False

    def _date_in(self, seconds: float) -> str:
        try:
            return datetime.fromtimestamp(self._clock.wall() + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (ValueError, OverflowError, OSError):
            return "a date beyond the calendar"


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
