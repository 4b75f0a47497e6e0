"""Paces workers: a circuit breaker for requests, one for whole pictures, and an adaptive number of draws.

No thread sleeps here: each part says how long to wait and is told what happened.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from blackbox_conformal.errors import VendorUnavailableError

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0
LONGEST_ASKED_S = 86400.0
"""A vendor that asks for a longer pause is asked again after a day."""


class Outage:
    """The circuit breaker around whole pictures (Nygard, "Release It!", 2007), for any number of threads.

    A picture that ends with a `VendorUnavailableError` begins an outage, and others that need the vendor are refused.
    After 30 s one is let through as a probe: an answer ends the outage, the same error doubles the pause, up to an
    hour. A longer pause that the vendor asks for counts, up to a day.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pauses = 0
        self._over_at = 0.0
        self._probing = False

    @property
    def goes_on(self) -> bool:
        """Tell whether the vendor is not known to be well again."""
        return self._pauses > 0

    @property
    def seconds_left(self) -> float:
        """Return the seconds until a picture is let through; 0: the next one is."""
        return max(0.0, self._over_at - self._now()) if self.goes_on else 0.0

    @contextmanager
    def kept_from(self, calls: int) -> Iterator[Callable[[], None]]:
        """Let a picture ask for so many draws in the ``with`` block; one that needs none always passes.

        Gives a function to call once the picture has its answer.
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
        """Return the number of pauses when the picture began; above 0 it is the probe."""
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
            # An answer to a picture that was under way when the outage began says nothing of the vendor now.
            if began_in == self._pauses:
                self._pauses = 0

    def _prolong(self, began_in: int, retry_after: float) -> None:
        with self._lock:
            # Pictures that were under way together tell of one failure.
            if began_in == self._pauses:
                self._pauses += 1
            doubled = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._pauses - 1, 20))
            pause = max(doubled, min(retry_after, LONGEST_ASKED_S))
            self._over_at = max(self._over_at, self._now() + pause)


class CircuitBreaker:
    """Stops all workers when the vendor says "too many" (Nygard, "Release It!", 2007).

    Closed, everyone sends. Open, everyone waits as long as the vendor asked. Half-open, after that time, one request is
    the probe; its success closes the breaker, and those who waited follow one by one.

    Parameters
    ----------
    now
        Monotonic seconds.
    spacing_s
        Seconds between two workers that are let through after the breaker has closed.
    probe_timeout_s
        Seconds after which a silent probe is given up and another is sent.
    announce
        Told the seconds of every pause that the vendor asked for.
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
        """Tell whether no request has to wait, neither for the breaker nor for a turn after it closed."""
        # Read without the lock: an answer that is out of date for a moment costs one question more at most.
        return self._open_until is None and not self._waiting

    def delay(self, worker: int) -> float:
        """Return the seconds before `worker` should ask again; 0 when it may send now."""
        with self._lock:
            now = self._now()
            if self._open_until is None:  # closed: those who waited follow one by one
                if worker in self._waiting:
                    if now < self._next_turn:
                        return self._next_turn - now
                    self._waiting.discard(worker)
                    # One by one: all at once would meet the same limit again.
                    self._next_turn = now + self._spacing
                return 0.0
            if now < self._open_until:  # open
                self._waiting.add(worker)
                return self._open_until - now
            # Half-open. The probe itself asks again when it had to wait for something else before it was sent.
            lost = self._probe_since is None or now - self._probe_since > self._probe_timeout
            if lost or self._prober == worker:
                self._probe_since, self._prober = now, worker
                self._waiting.discard(worker)
                return 0.0
            self._waiting.add(worker)
            return self._LOOK_AGAIN_S

    def record_throttle(self, seconds: float) -> bool:
        """Open for `seconds`, as the vendor asked; True when that opened the breaker.

        Answers to requests that were under way when it opened may lengthen the pause, but count as one with it.
        """
        with self._lock:
            opened = self._open(seconds)
            if opened:
                self.throttles_in_a_row += 1
        self._announce(seconds)
        return opened

    def open(self, seconds: float) -> bool:
        """Open for another process's pause, which does not count as a throttle of this process."""
        with self._lock:
            return self._open(seconds)

    def _open(self, seconds: float) -> bool:
        now = self._now()
        opened = self._open_until is None or (self._probe_since is not None and now >= self._open_until)
        # A shorter pause that is asked for later does not shorten the one that runs.
        self._open_until = max(now + seconds, self._open_until or 0.0)
        if opened:
            self._probe_since = None
        return opened

    def record_success(self) -> bool:
        """Close, and return True when it was open; an answer during the pause is to an earlier request."""
        # Read without the lock: the usual case, in which nothing is to be done, must cost nothing.
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
        """Let another worker probe: this probe failed in a way that says nothing about throttling."""
        with self._lock:
            self._probe_since = None


class AdaptiveConcurrency:
    """Adapts how many draws run at once: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    Parameters
    ----------
    first, most
        The limit at the start, and the largest one.
    now
        Monotonic seconds.
    decrease
        Factor of the limit when the vendor says "too many".
    cooldown_s
        Seconds without an increase after a decrease or a failure.
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
        # At least one draw, or nothing could ever show that the vendor works again.
        return max(1, int(self._limit))

    def acquire(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a slot; False when `given_up`, asked five times a second, turned true first."""
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
                # 1 / limit for each draw adds one in all once as many draws as the limit have worked.
                self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
                self._condition.notify()
