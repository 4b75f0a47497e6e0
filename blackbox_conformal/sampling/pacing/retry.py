"""The one place that repeats requests: which, how often, and after how long.

Nothing else in the package repeats a request, and the HTTP library is told not to. What an error means is `classify`'s;
pauses that concern every worker are kept by `limiter`.
"""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import tenacity

from blackbox_conformal.adapter import Answer
from blackbox_conformal.errors import (
    IncompleteError,
    JobError,
    MaybeSentError,
    NotSentError,
    TryLaterError,
    VendorError,
)
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.http.classify import GoneError
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.sampling.run_control import RunControl, StoppedError

BASE_S = 0.5
CAP_S = 30.0


class RetryBudget:
    """Trouble that a run may have before it is taken to be everybody's: spent by failures, refilled by successes.

    Draws that were paid for and gave nothing cost most: five in a row end the run.
    """

    _FULL = 1000.0
    COST_AMBIGUOUS = 200.0
    COST_INVALID = 60.0
    COST_REPLAY = 60.0

    def __init__(self, workers: int) -> None:
        self._left = self._FULL
        self.cost_free = self._FULL / (25.0 * workers)
        self._lock = threading.Lock()

    def spend(self, cost: float | None = None) -> bool:
        """Take `cost` (None: a failed request that costs nothing); False when that empties the quota."""
        with self._lock:
            self._left = max(0.0, self._left - (self.cost_free if cost is None else cost))
            return self._left > 0.0

    def refund(self, amount: float = 60.0) -> None:
        """Something worked."""
        if self._left == self._FULL:
            return
        with self._lock:
            self._left = min(self._FULL, self._left + amount)


def full_jitter(attempt: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds before try `attempt` + 1: uniform in 0..min(30, 0.5 × 2^(attempt − 1)) (Brooker 2015, "full jitter")."""
    return uniform(0.0, min(CAP_S, BASE_S * 2.0 ** (min(attempt, 30) - 1)))


class Retrier:
    """Repeats one request by the class of its error; every worker of a run shares one.

    ========  ==========================================================================================
    N         repeated with backoff up to ``max_attempts``, then the run ends; not if it is permanent
    R         everyone pauses as told (or with backoff); the run ends when nobody gets through
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
        gate: CircuitBreaker,
        slots: AdaptiveConcurrency,
        quota: RetryBudget,
        board: EventBoard,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._control = control
        self._gate = gate
        self._slots = slots
        self._quota = quota
        self._board = board

    def submit(self, once: Callable[[], Answer], replayable: bool) -> Answer:
        """Run a billable request; `replayable` when the vendor takes an idempotency key."""

        def again(state: tenacity.RetryCallState) -> bool:
            error = _failure(state)
            if isinstance(error, NotSentError):
                return self._again_unsent(error, state.attempt_number)
            if isinstance(error, TryLaterError):
                return self._again_later(error)
            if isinstance(error, MaybeSentError):
                self._slots.troubled()
                if replayable and state.attempt_number < self._limits.max_attempts:
                    return self._afford(error, RetryBudget.COST_REPLAY)
                self._afford(error, RetryBudget.COST_AMBIGUOUS)
            return False

        return self._run(once, again, self._control.stopping, None)

    def fetch(self, once: Callable[[], Answer], deadline: float | None) -> Answer:
        """Run a free request, until `deadline` (monotonic) or, without one, up to ``max_attempts`` times."""
        wake = self._control.stopping if deadline is None else self._control.leaving

        def again(state: tenacity.RetryCallState) -> bool:
            error = _failure(state)
            if isinstance(error, NotSentError) and (error.permanent or deadline is None):
                return self._again_unsent(error, state.attempt_number)
            if isinstance(error, TryLaterError):
                return self._again_later(error)
            if isinstance(error, GoneError):
                return deadline is not None and error.code != "403" and state.attempt_number < 2
            if not isinstance(error, (NotSentError, MaybeSentError, JobError)):
                return False
            self._slots.troubled()
            if deadline is None and state.attempt_number >= self._limits.max_attempts:
                self._end(f"{error}, {state.attempt_number} times in a row")
                return False
            return self._afford(error, None)

        return self._run(once, again, wake, deadline)

    def _run(
        self,
        once: Callable[[], Answer],
        again: Callable[[tenacity.RetryCallState], bool],
        wake: threading.Event,
        deadline: float | None,
    ) -> Answer:
        def pause(state: tenacity.RetryCallState) -> float:
            # Everyone waits at the gate for a vendor that said "later"; a second wait on top would add nothing.
            seconds = 0.0 if isinstance(_failure(state), TryLaterError) else full_jitter(state.attempt_number)
            return seconds if deadline is None else max(0.0, min(seconds, deadline - self._clock.monotonic()))

        def over(state: tenacity.RetryCallState) -> bool:
            return deadline is not None and self._clock.monotonic() >= deadline

        def sleep(seconds: float) -> None:
            if seconds > 0 and self._clock.sleep(seconds, wake):
                raise StoppedError

        def tell(state: tenacity.RetryCallState) -> None:
            self._board.tell("retry", f"trying again: {_failure(state)}")

        first: list[VendorError] = []

        def go_on() -> Answer:
            if first:
                raise first.pop()
            return once()

        try:
            answer = once()
        except VendorError as error:
            first.append(error)
        # Most requests work at once; the machinery for repeating them costs as much as a request.
        if first:
            retrying = tenacity.Retrying(
                retry=again, wait=pause, stop=over, sleep=sleep, before_sleep=tell, reraise=True
            )
            answer = retrying(go_on)
        self._quota.refund(self._quota.cost_free)
        return answer

    def _again_unsent(self, error: NotSentError, attempt: int) -> bool:
        if error.permanent:
            self._end(str(error))
        elif attempt >= self._limits.max_attempts:
            self._end(f"{error}, {attempt} times in a row")
        else:
            self._slots.troubled()
            return True
        return False

    def _again_later(self, error: TryLaterError) -> bool:
        self._board.count(too_many=1)
        self._slots.throttled()
        told = error.retry_after
        if told is not None and told > self._limits.max_retry_after_s:
            self._end(f"{error}, for {told:.0f} s; resume after {self._moment(told)}")
            return False
        seconds = full_jitter(self._gate.throttles_in_a_row + 1) if told is None else told
        if self._gate.pause(seconds):
            self._board.tell("throttled", f"{error}; everyone pauses for {seconds:.1f} s")
        if self._gate.throttles_in_a_row >= self._limits.max_attempts:
            self._end(f"{error}, {self._gate.throttles_in_a_row} times in a row")
            return False
        return True

    def _moment(self, seconds: float) -> str:
        try:
            return datetime.fromtimestamp(self._clock.wall() + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (ValueError, OverflowError, OSError):
            return "a date beyond the calendar"

    def _afford(self, error: VendorError, cost: float | None) -> bool:
        if self._quota.spend(cost):
            return True
        self._end(f"everything fails, the last with: {error}")
        self._control.leave()
        return False

    def put_off(self, error: NotSentError | TryLaterError, times: int) -> bool:
        """An adapter read "not taken" in an answer, for the so-manieth time; False when that ends the run."""
        if times >= self._limits.max_attempts:
            self._end(f"{error}, {times} times in a row")
            return False
        return self._again_later(error) if isinstance(error, TryLaterError) else self._again_unsent(error, times)

    def unusable(self, error: VendorError) -> None:
        """Count an answer that was paid for and is not the picture."""
        self._afford(error, RetryBudget.COST_INVALID)

    def worked(self) -> None:
        """Count a draw that worked."""
        self._quota.refund()

    def _end(self, why: str) -> None:
        self._control.fail(IncompleteError(f"stopped: {why}. What is paid is kept; the same command resumes"))


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
