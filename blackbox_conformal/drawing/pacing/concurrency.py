"""Paces workers with circuit breakers and an adaptive number of draws.

Nothing sleeps here: each class says how long to wait and learns the result from its caller.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from blackbox_conformal.errors import VendorUnavailableError

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0
LONGEST_ASKED_S = 86400.0  # Seconds after which a vendor is asked again, even if it asked for a longer pause: a day.


class Outage:
    """A circuit breaker around whole pictures (Nygard, "Release It!", 2007); safe for threads.

    A `VendorUnavailableError` begins an outage, and pictures that need the vendor are refused. After 30 s one picture
    passes as a probe: an answer ends the outage; the same error doubles the pause, up to an hour. The vendor may ask
    for a longer pause, up to a day.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pauses = 0
        self._over_at = 0.0
        self._probing = False

    @property
    def goes_on(self) -> bool:
        """Tell whether the outage may still go on."""
        return self._pauses > 0

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the next picture may pass; 0 if it may pass now."""
        return max(0.0, self._over_at - self._now()) if self.goes_on else 0.0

    @contextmanager
    def kept_from(self, calls: int) -> Iterator[Callable[[], None]]:
        """Let a picture make this many draws in the ``with`` block; a picture without draws always passes.

        Yields a function to call once the picture has its answer.
        """
        if not calls:
            yield lambda: None
            return
        began_in = self._enter()
        try:
            yield partial(self._answered, began_in)
        except VendorUnavailableError as error:
            self._prolong(began_in, error.retry_after or 0.0)
            raise
        finally:
            if began_in:
                self._probing = False

    def _enter(self) -> int:
        # The number of pauses so far; above 0 this picture is the probe.
        with self._lock:
            left = self.seconds_left
            if self.goes_on and (left > 0 or self._probing):
                left = max(1.0, left)
                raise VendorUnavailableError(
                    f"the vendor gives no usable answers, and nothing was sent; ask again in {left:.0f} s",
                    retry_after=left,
                )
            self._probing = self.goes_on
            return self._pauses

    def _answered(self, began_in: int) -> None:
        with self._lock:
            # A picture that began before the outage says nothing about the vendor now.
            if began_in == self._pauses:
                self._pauses = 0

    def _prolong(self, began_in: int, retry_after: float) -> None:
        with self._lock:
            # Pictures that ran together report one failure, not many.
            if began_in == self._pauses:
                self._pauses += 1
            doubled = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._pauses - 1, 20))
            pause = max(doubled, min(retry_after, LONGEST_ASKED_S))
            self._over_at = max(self._over_at, self._now() + pause)


class CircuitBreaker:
    """A circuit breaker that stops all workers when the vendor says "too many" (Nygard, "Release It!", 2007).

    Closed: everyone sends. Open: everyone waits as long as the vendor asked. Half-open: after that time one request is
    the probe; its success closes the breaker, and the waiting workers follow one by one.

    `now`: Monotonic clock in seconds.
    `spacing_s`: Seconds between two waiting workers after the breaker has closed.
    `probe_timeout_s`: Seconds after which a silent probe is replaced by another.
    `announce`: Called with the seconds of every pause that the vendor asks for.
    """

    _LOOK_AGAIN_S = 0.05

    def __init__(
        self,
        now: Callable[[], float],
        spacing_s: float = 0.05,
        probe_timeout_s: float = 150.0,
        announce: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._now = now
        self._announce = announce
        self._spacing = spacing_s
        self._probe_timeout = probe_timeout_s
        self._lock = threading.Lock()
        self._open_until: float | None = None
        self._probe_since: float | None = None
        self._prober: int | None = None
        self._next_turn = 0.0
        self._waiting: set[int] = set()
        self.throttles_in_a_row = 0

    def is_closed(self) -> bool:
        """Tell whether no request has to wait, for the breaker or for its turn afterwards."""
        # Without the lock: a stale answer costs at most one more question.
        return self._open_until is None and not self._waiting

    def delay(self, worker: int) -> float:
        """Return the seconds before `worker` should ask again; 0 when it may send now."""
        with self._lock:
            now = self._now()
            if self._open_until is None:  # Closed: waiting workers follow one by one.
                if worker in self._waiting:
                    if now < self._next_turn:
                        return self._next_turn - now
                    self._waiting.discard(worker)
                    # All at once would hit the same limit again.
                    self._next_turn = now + self._spacing
                return 0.0
            if now < self._open_until:
                self._waiting.add(worker)
                return self._open_until - now
            # Half-open. A probe that had to wait for something else before it was sent asks again.
            lost = self._probe_since is None or now - self._probe_since > self._probe_timeout
            if lost or self._prober == worker:
                self._probe_since, self._prober = now, worker
                self._waiting.discard(worker)
                return 0.0
            self._waiting.add(worker)
            return self._LOOK_AGAIN_S

    def record_throttle(self, seconds: float) -> bool:
        """Open for `seconds`, as the vendor asked; return True if the breaker was closed.

        Requests that were under way may lengthen the pause, but count as one throttle with it.
        """
        with self._lock:
            opened = self._open(seconds)
            if opened:
                self.throttles_in_a_row += 1
        self._announce(seconds)
        return opened

    def open(self, seconds: float) -> bool:
        """Open for another process's pause, which is no throttle of this process."""
        with self._lock:
            return self._open(seconds)

    def _open(self, seconds: float) -> bool:
        now = self._now()
        opened = self._open_until is None or (self._probe_since is not None and now >= self._open_until)
        # A later, shorter pause does not shorten the current one.
        self._open_until = max(now + seconds, self._open_until or 0.0)
        if opened:
            self._probe_since = None
        return opened

    def record_success(self) -> bool:
        """Close and return True if the breaker was open; an answer during the pause belongs to an earlier request."""
        # Without the lock: the usual case, with nothing to do, must cost nothing.
        if self._open_until is None and not self.throttles_in_a_row:
            return False
        with self._lock:
            now = self._now()
            if self._open_until is not None and now < self._open_until:
                return False
            closed = self._open_until is not None
            self._open_until = None
            self._probe_since = None
            self.throttles_in_a_row = 0
            if closed:
                self._next_turn = now + self._spacing
            return closed

    def abandon_probe(self) -> None:
        """Let another worker probe, after a failure that says nothing about throttling."""
        with self._lock:
            self._probe_since = None


class AdaptiveConcurrency:
    """An adaptive limit on concurrent draws: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    `now`: Monotonic clock in seconds.
    `decrease`: Factor for the limit when the vendor says "too many".
    `cooldown_s`: Seconds without an increase after a decrease or a failure.
    """

    def __init__(
        self, first: int, most: int, now: Callable[[], float], decrease: float = 0.8, cooldown_s: float = 15.0
    ) -> None:
        self._limit = float(first)
        self._most = most
        self._now = now
        self._decrease = decrease
        self._cooldown = cooldown_s
        self._steady_until = -1.0
        self._used = 0
        self._condition = threading.Condition()

    @property
    def limit(self) -> int:
        # At least one draw, or nobody would notice that the vendor works again.
        return max(1, int(self._limit))

    def acquire(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a slot; return False if `given_up`, checked five times a second, came first."""
        with self._condition:
            while not given_up():
                if self._used < self.limit:
                    self._used += 1
                    return True
                self._condition.wait(0.2)
            return False

    def release(self) -> None:
        with self._condition:
            self._used -= 1
            self._condition.notify()

    def record_throttle(self) -> None:
        with self._condition:
            now = self._now()
            if now >= self._steady_until:
                self._limit = max(1.0, self._limit * self._decrease)
                self._steady_until = now + self._cooldown

    def record_failure(self) -> None:
        with self._condition:
            self._steady_until = max(self._steady_until, self._now() + self._cooldown)

    def record_success(self) -> None:
        with self._condition:
            if self._now() >= self._steady_until and self._limit < self._most:
                # Adding 1 / limit a draw raises the limit by one after `limit` successes.
                self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
                self._condition.notify()
