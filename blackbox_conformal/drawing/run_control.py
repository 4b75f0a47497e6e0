"""Stops a run, by the user or by the first error that concerns all its draws; waits end at a stop."""

import threading
import time

from blackbox_conformal.errors import BlackboxConformalError, RunRefusedError


class Clock:
    """The machine's clocks; `sleep` ends early when `wake` is set."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float, wake: threading.Event) -> bool:
        """Wait; return True if `wake` was set first."""
        return wake.wait(max(0.0, seconds))


class StoppedError(Exception):
    """The run was stopped, and this draw is not made now; `Sampler` raises another error for its caller."""


class TakenError(StoppedError):
    """Another process makes this draw; this process looks again later."""


class PutOffError(StoppedError):
    """The vendor may have refused this draw because of the account; it is asked for again after all others."""


class RunControl:
    """The stop signals for the workers of one set of tasks.

    `stopping`: Nothing new is submitted.
    `leaving`: Nothing is waited for either, so that the next session gets accepted jobs.
    `error`: The first error that concerns the whole run.
    `reserved`: Attempts whose price these workers reserved.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.leaving = threading.Event()
        self.error: BaseException | None = None
        self.reserved: set[int] = set()
        self._lock = threading.Lock()

    def stop(self) -> None:
        self.stopping.set()

    def leave(self) -> None:
        self.stopping.set()
        self.leaving.set()

    def fail(self, error: BaseException) -> None:
        """End the run with `error`; the first one counts, unless a refusal of every picture explains it."""
        with self._lock:
            explains = isinstance(error, RunRefusedError) and isinstance(self.error, BlackboxConformalError)
            if self.error is None or (explains and not isinstance(self.error, RunRefusedError)):
                self.error = error
        self.stopping.set()
