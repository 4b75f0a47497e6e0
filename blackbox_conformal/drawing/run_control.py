"""How a run is stopped: by the user, or by the first error that concerns all its draws. Workers ask whether it is."""

import threading
import time

from blackbox_conformal.errors import BlackboxConformalError, RunRefusedError

# Time as one object: a stop can interrupt a wait, and a test can replace it.


class Clock:
    """The machine's clocks; `sleep` ends early when `wake` is set."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970 in UTC."""
        return time.time()

    def sleep(self, seconds: float, wake: threading.Event) -> bool:
        """Wait; True when `wake` was set before the time was over."""
        return wake.wait(max(0.0, seconds))


class StoppedError(Exception):
    """The run was stopped: this draw is not made now. `Sampler` turns it into an error for its caller."""


class TakenError(StoppedError):
    """Another process makes this draw: it is looked at again once that one has come to an end."""


class PutOffError(StoppedError):
    """The vendor may have refused this draw for the account's sake: it is asked for again after all others."""


class RunControl:
    """Shared by every worker of one set of tasks.

    Attributes
    ----------
    stopping
        Set: nothing new is submitted; what is under way is finished.
    leaving
        Set: nothing is waited for either; accepted jobs are left for the next session.
    error
        The first error that concerns the whole run.
    reserved
        Attempts whose price these workers reserved, so that they pay for them and no other process does.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.leaving = threading.Event()
        self.error: BaseException | None = None
        self.reserved: set[int] = set()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Submit nothing new."""
        self.stopping.set()

    def leave(self) -> None:
        """Submit nothing new and wait for nothing."""
        self.stopping.set()
        self.leaving.set()

    def fail(self, error: BaseException) -> None:
        """End the run with `error`; the first one counts, unless a refusal of every picture explains the others."""
        with self._lock:
            # A refusal of every picture explains the single failures before it.
            explains = isinstance(error, RunRefusedError) and isinstance(self.error, BlackboxConformalError)
            if self.error is None or (explains and not isinstance(self.error, RunRefusedError)):
                self.error = error
        self.stopping.set()
