"""Events of a run as it goes, each with the counters at that moment."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypedDict, Unpack

from blackbox_conformal.drawing.ledger.money import to_nano, to_usd
from blackbox_conformal.drawing.run_control import Clock
from blackbox_conformal.support.text import clean

EventKind = Literal[
    "started",
    "inspected",
    "remembered",
    "cached",
    "submitted",
    "accepted",
    "stored",
    "refused",
    "failed",
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
    "unwritten",
    "stopping",
    "finished",
]


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of a run; `budget` is None without a limit, `eta_s` while nothing is known."""

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
    """One event: kind, time (seconds since 1970), a line for people, the draw and the counters."""

    kind: EventKind
    at: float
    text: str
    upload: str | None
    draw: int | None
    counters: Counters

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with money as decimal text."""
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


class Amounts(TypedDict, total=False):
    """Increments of the counters."""

    wanted: int
    done: int
    cached: int
    in_flight: int
    spent_nanousd: int
    reserved_nanousd: int
    too_many: int


class EventBoard:
    """A board that keeps the counters and hands events to one listener, one at a time."""

    def __init__(self, clock: Clock, listener: Callable[[Event], None] | None, budget: Decimal | None) -> None:
        self._clock = clock
        self._listener = listener
        # Reentrant, as telling an event reads the counters under the same lock.
        self._lock = threading.RLock()
        self._budget = budget
        self._counts: Counter[str] = Counter()
        self._started = clock.monotonic()

    def start(self, total: int, spent: Decimal, reserved: Decimal) -> None:
        """Begin to count a new set of tasks."""
        with self._lock:
            self._started = self._clock.monotonic()
            self._counts = Counter(wanted=total, spent_nanousd=to_nano(spent), reserved_nanousd=to_nano(reserved))

    def count(self, **amounts: Unpack[Amounts]) -> None:
        with self._lock:
            self._counts.update(amounts)

    @property
    def counters(self) -> Counters:
        """Return the counters now, with the time left at the pace so far."""
        with self._lock:
            counts = self._counts
            bought = counts["done"] - counts["cached"]
            left = counts["wanted"] - counts["done"]
            elapsed = self._clock.monotonic() - self._started
            return Counters(
                total=counts["wanted"],
                done=counts["done"],
                cached=counts["cached"],
                in_flight=counts["in_flight"],
                spent=to_usd(counts["spent_nanousd"]),
                reserved=to_usd(counts["reserved_nanousd"]),
                budget=self._budget,
                too_many=counts["too_many"],
                # Draws that were already stored took no time, so the pace leaves them out.
                eta_s=elapsed / bought * left if bought else (0.0 if not left else None),
            )

    def tell(self, kind: EventKind, text: str, upload: str | None = None, draw: int | None = None) -> None:
        """Hand an event to the listener; one that raises is not called again."""
        listener = self._listener
        if listener is None:
            return
        with self._lock:
            if listener is not self._listener:
                return
            event = Event(kind, self._clock.wall(), clean(text), upload, draw, self.counters)
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - foreign code, whose errors must not cost a draw
                self._listener = None
