"""When a request may go: after every pause that the vendor asked for, and at the request rate."""

import threading
from dataclasses import dataclass, field

from blackbox_conformal.drawing.clock import Clock
from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.pacing.rate_limiter import SharedRateLimiter
from blackbox_conformal.drawing.run_control import StoppedError
from blackbox_conformal.errors import TryLaterError, VendorError
from blackbox_conformal.vendor.rates import Purpose

_TELL_S = 60.0


@dataclass(eq=False)
class TurnTaking:
    """The pauses and the request rate, as one worker after another meets them."""

    breaker: CircuitBreaker
    rate_limiter: SharedRateLimiter
    concurrency: AdaptiveConcurrency
    limits: Limits
    clock: Clock
    board: EventBoard
    _tell_at: float = field(default=0.0, init=False)

    def is_free(self) -> bool:
        """Whether a submission may go now without `wait`: there is no pause and no request rate."""
        self._join_pauses_of_others()
        # A half-open breaker has one probe, so nothing is free then.
        return not self.rate_limiter.rates and self.breaker.is_closed()

    def wait(self, wake: threading.Event, purpose: Purpose) -> float:
        """Wait for the end of a pause, and for a turn at the request rates; seconds that the turn took to come."""
        if wake.is_set():
            raise StoppedError
        self._wait_for_pause(wake)
        waited = 0.0
        # Asked again after each wait: another worker may have taken the turn.
        while (seconds := self.rate_limiter.take(purpose)) > 0:
            self._tell_wait(seconds)
            if self.clock.sleep(seconds, wake):
                # The probe has not been sent, so another worker may be it.
                self.breaker.abandon_probe()
                raise StoppedError
            waited += seconds
            # The vendor may have asked for a pause meanwhile.
            self._wait_for_pause(wake)
        return waited

    def _tell_wait(self, seconds: float) -> None:
        """Say at most once a minute that the request rate holds the run up, where that takes longer than a minute."""
        now = self.clock.monotonic()
        if seconds >= _TELL_S and now >= self._tell_at:
            self._tell_at = now + _TELL_S
            rates = ", ".join(map(str, self.rate_limiter.rates))
            self.board.tell("pace", f"waiting {seconds:.0f} s for a turn at the rate of this vendor ({rates})")

    def _wait_for_pause(self, wake: threading.Event) -> None:
        worker = threading.get_ident()
        self._join_pauses_of_others()
        while (seconds := self.breaker.delay(worker)) > 0:
            # A pause longer than the user allows ends the run instead of making it wait.
            if seconds > self.limits.max_retry_after_s:
                raise TryLaterError("the vendor asked for a pause, which is not over", retry_after=seconds)
            if self.clock.sleep(seconds, wake):
                raise StoppedError
            self._join_pauses_of_others()

    def _join_pauses_of_others(self) -> None:
        """Join a pause that the vendor asked of another process with the same key."""
        seconds = self.rate_limiter.new_pause()
        # Longer pauses end this run when it asks itself; joining them here would hide the reason.
        if 0.0 < seconds <= self.limits.max_retry_after_s:
            self.concurrency.record_throttle()
            if self.breaker.open(seconds):
                self.board.tell(
                    "throttled", f"the vendor put off another process of yours; everyone pauses for {seconds:.1f} s"
                )

    def record(self, failure: VendorError | None) -> None:
        """Tell the circuit breaker what came of a request; None: the vendor answered as it should."""
        if failure is None:
            if self.breaker.record_success():
                self.board.tell("recovered", "the vendor answers again")
        elif not isinstance(failure, TryLaterError):
            # The probe met another failure: the next worker tries.
            self.breaker.abandon_probe()
