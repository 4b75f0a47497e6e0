"""Time as one object: a stop can interrupt a wait, and a test can replace it.

The monotonic clock measures durations. The wall clock labels records and is compared with other processes.
"""

import threading
import time


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
