"""What a run tells while it goes: one event kind a line, each with a snapshot of the counters.

Who shows them is the command line's business; nothing is decided here.
"""

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.money import to_nano, to_usd
from blackbox_conformal.text import clean

EventKind = Literal[
    "started",
    "cached",
    "submitted",
    "accepted",
    "stored",
    "refused",
    "ambiguous",
    "invalid",
    "expired",
    "missing",
    "retry",
    "throttled",
    "recovered",
    "pace",
    "duplicate-job",
    "model-changed",
    "price-differs",
    "damaged",
    "stopping",
    "finished",
]


@dataclass(frozen=True, slots=True)
class Counters:
    """A run at one moment; `budget` is None without a limit, `eta_s` while nothing is known."""

    total: int = 0
    done: int = 0
    cached: int = 0
    in_flight: int = 0
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    budget: Decimal | None = None
    too_many: int = 0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: its kind, when (seconds since 1970), a line for people, which draw, the counters."""

    kind: EventKind
    at: float
    text: str
    upload: str | None
    draw: int | None
    counters: Counters

    def to_json(self) -> dict[str, Any]:
        """The event as a JSON object; money as decimal text."""
        counters = {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in dataclasses.asdict(self.counters).items()
        }
        return {
            "event": self.kind,
            "at": self.at,
            "text": self.text,
            "upload": self.upload,
            "draw": self.draw,
            "counters": counters,
        }


class EventBoard:
    """Keeps the counters and hands events to one listener, one at a time."""

    def __init__(self, clock: Clock, listener: Callable[[Event], None] | None, budget: Decimal | None) -> None:
        self._clock = clock
        self._listener = listener
        self._lock = threading.RLock()
        self._budget = budget
        self._total = self._done = self._cached = self._in_flight = self._too_many = 0
        self._spent = self._reserved = 0
        self._started = clock.monotonic()
        self.listener_error: Exception | None = None

    def start(self, total: int, spent: Decimal, reserved: Decimal) -> None:
        """Begin to count a new set of tasks."""
        with self._lock:
            self._started = self._clock.monotonic()
            self._total, self._spent, self._reserved = total, to_nano(spent), to_nano(reserved)
            self._done = self._cached = self._in_flight = self._too_many = 0

    def count(
        self,
        *,
        done: int = 0,
        cached: int = 0,
        in_flight: int = 0,
        spent_nanousd: int = 0,
        reserved_nanousd: int = 0,
        too_many: int = 0,
    ) -> None:
        """Add to the counters."""
        with self._lock:
            self._done += done
            self._cached += cached
            self._in_flight += in_flight
            self._spent += spent_nanousd
            self._reserved += reserved_nanousd
            self._too_many += too_many

    @property
    def counters(self) -> Counters:
        """The counters now, with the time left at the pace so far."""
        with self._lock:
            bought = self._done - self._cached
            left = self._total - self._done
            elapsed = self._clock.monotonic() - self._started
            return Counters(
                total=self._total,
                done=self._done,
                cached=self._cached,
                in_flight=self._in_flight,
                spent=to_usd(self._spent),
                reserved=to_usd(self._reserved),
                budget=self._budget,
                too_many=self._too_many,
                eta_s=elapsed / bought * left if bought else (0.0 if not left else None),
            )

    def tell(self, kind: EventKind, text: str, upload: str | None = None, draw: int | None = None) -> None:
        """Hand an event to the listener; one that raises is not called again, as its trouble must not cost a draw."""
        listener = self._listener
        if listener is None:
            return
        with self._lock:
            if listener is not self._listener:
                return
            event = Event(kind, self._clock.wall(), clean(text), upload, draw, self.counters)
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - foreign code; kept and shown when the run is over
                self._listener = None
                self.listener_error = error
