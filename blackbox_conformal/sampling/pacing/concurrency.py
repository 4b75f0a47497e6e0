"""When requests may go and how many draws run at once: a pause for all workers, an adaptive number of slots.

No request is made and no thread sleeps here; each part says how long to wait and is told what happened. What other
processes must know is in `pace`. Sources: additive increase, multiplicative decrease after Chiu and Jain 1989; full
jitter is in `retry`.
"""

import threading
from collections.abc import Callable


class CircuitBreaker:
    """One pause for all workers when the vendor says "too many", one probe after it, then a staggered restart.

    Parameters
    ----------
    now
        Monotonic seconds.
    spacing_s
        Time between two workers that are let through after a pause.
    probe_timeout_s
        A probe that reports nothing for so long is given up and another is sent.
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
        self._until: float | None = None
        self._probe_since: float | None = None
        self._prober: int | None = None
        self._turn = 0.0
        self._staggered = 0
        self._waiting: set[int] = set()
        self.throttles_in_a_row = 0

    def is_open(self) -> bool:
        """Whether nobody has to wait at all: no pause, and none just over."""
        return self._until is None and not self._waiting

    def delay(self, worker: int) -> float:
        """Seconds before `worker` should ask again; 0 when it may send now."""
        with self._lock:
            now = self._now()
            if self._until is None:
                if self._staggered and worker in self._waiting and now < self._turn:
                    return self._turn - now
                if worker in self._waiting:
                    self._waiting.discard(worker)
                    self._staggered = max(0, self._staggered - 1)
                    self._turn = now + self._spacing
                return 0.0
            if now < self._until:
                self._waiting.add(worker)
                return self._until - now
            # The probe itself asks again when it had to wait for something else before it was sent.
            lost = self._probe_since is None or now - self._probe_since > self._probe_timeout
            if lost or self._prober == worker:
                self._probe_since, self._prober = now, worker
                self._waiting.discard(worker)
                return 0.0
            self._waiting.add(worker)
            return self._LOOK_AGAIN_S

    def pause(self, seconds: float) -> bool:
        """Hold everyone for `seconds`; True when this began a pause, False when one was on already.

        Answers to requests that were under way when the pause began belong to the same storm: they may lengthen the
        pause, but count as one with it.
        """
        with self._lock:
            fresh = self._hold(seconds)
            if fresh:
                self.throttles_in_a_row += 1
        self._announce(seconds)
        return fresh

    def join(self, seconds: float) -> bool:
        """The same for a pause that was asked of someone else; it says nothing of how often this one is put off."""
        with self._lock:
            return self._hold(seconds)

    def _hold(self, seconds: float) -> bool:
        now = self._now()
        fresh = self._until is None or (self._probe_since is not None and now >= self._until)
        self._until = max(now + seconds, self._until or 0.0)
        if fresh:
            self._probe_since = None
        return fresh

    def passed(self) -> bool:
        """A request got through; True when that ended a pause."""
        if self._until is None and not self.throttles_in_a_row:
            return False
        with self._lock:
            now = self._now()
            if self._until is not None and now < self._until:
                return False
            ended = self._until is not None
            self._until = None
            self._probe_since = None
            self.throttles_in_a_row = 0
            if ended:
                self._turn = now + self._spacing
                self._staggered = len(self._waiting)
            return ended

    def abandon_probe(self) -> None:
        """The probe came to nothing that says whether the vendor is open again: let another worker try."""
        with self._lock:
            self._probe_since = None


class AdaptiveConcurrency:
    """How many draws may run at once: grows by one a round of successes, shrinks by a fifth when throttled."""

    def __init__(
        self, first: int, most: int, now: Callable[[], float], cut: float = 0.8, cooldown_s: float = 15.0
    ) -> None:
        self._limit = float(first)
        self._most = most
        self._now = now
        self._cut = cut
        self._cooldown = cooldown_s
        self._hold_until = -1.0
        self._used = 0
        self._condition = threading.Condition()

    @property
    def limit(self) -> int:
        """Draws that may run at once now."""
        return max(1, int(self._limit))

    def acquire(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a slot; False when `given_up` turned true first, which is looked at five times a second."""
        with self._condition:
            while not given_up():
                if self._used < self.limit:
                    self._used += 1
                    return True
                self._condition.wait(0.2)
            return False

    def release(self) -> None:
        """Give a slot back."""
        with self._condition:
            self._used -= 1
            self._condition.notify()

    def throttled(self) -> None:
        """The vendor said "too many": shrink, once a cooldown."""
        with self._condition:
            now = self._now()
            if now >= self._hold_until:
                self._limit = max(1.0, self._limit * self._cut)
                self._hold_until = now + self._cooldown

    def troubled(self) -> None:
        """The vendor has trouble of its own: do not grow for a while."""
        with self._condition:
            self._hold_until = max(self._hold_until, self._now() + self._cooldown)

    def succeeded(self) -> None:
        """A draw worked: grow by one a round."""
        with self._condition:
            if self._now() >= self._hold_until and self._limit < self._most:
                self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
                self._condition.notify()
