"""A vendor that gives nothing usable, as a service meets it: which pictures may be sent meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from blackbox_conformal.drawing.pacing.retry import LONGEST_PAUSE_S as LONGEST_ASKED_S
from blackbox_conformal.errors import VendorUnavailableError

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0


class Outage:
    """The circuit breaker around whole pictures (Nygard, "Release It!", 2007), for any number of threads.

    A picture that ends with a `VendorUnavailableError` begins an outage. Others that need it are then refused.
    After 30 s one of them is let through as a probe: one that gets its answer ends the outage, one that ends with that
    error doubles the pause, up to an hour. A pause that the vendor asks for counts where it is longer, up to a day.

    Parameters
    ----------
    now
        Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pauses = 0
        self._over_at = 0.0
        self._probing = False

    @property
    def goes_on(self) -> bool:
        """Whether the vendor is not known to be well again."""
        return self._pauses > 0

    @property
    def seconds_left(self) -> float:
        """Seconds until a picture is let through; 0: the next one is."""
        return max(0.0, self._over_at - self._now()) if self.goes_on else 0.0

    @contextmanager
    def kept_from(self, calls: int) -> Iterator[Callable[[], None]]:
        """Let a picture, in the ``with`` block, ask the vendor for so many draws; one that needs none always passes.

        Gives what is called once the picture has its answer.
        """
        # Stored draws need nothing of the vendor, so an outage does not concern them.
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
        """How many pauses there were when the picture began; above 0 it is the probe."""
        with self._lock:
            left = self.seconds_left
            if self.goes_on and (left > 0 or self._probing):
                # At least a second, so that clients do not ask again at once.
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
            # Held to twenty doublings, so that the power cannot overflow.
            doubled = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._pauses - 1, 20))
            # Before, the probe would only wait for its turn.
            pause = max(doubled, min(retry_after, LONGEST_ASKED_S))
            self._over_at = max(self._over_at, self._now() + pause)
