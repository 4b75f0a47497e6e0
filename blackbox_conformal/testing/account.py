"""The fault server's books: what was asked, what would have been billed, and how often the same draw was."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it arrived, with the fault that answered it; `at` is monotonic, in seconds."""

    purpose: str
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    fault: str
    port: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Paid:
    """One billed submission; `draw` is what makes two submissions the same draw (picture and seed)."""

    draw: str
    key: str
    reference: str


class Account:
    """Counts requests and billed submissions; every method may be called from any thread."""

    def __init__(self, price_usd: Decimal, *, keep: int = 5000) -> None:
        self.price_usd = price_usd
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._paid: list[Paid] = []
        # Only the newest, as a server may run for days.
        self._recorded: deque[RecordedRequest] = deque(maxlen=keep)
        self._running: Counter[str] = Counter()
        self._highest: Counter[str] = Counter()
        self._connections = 0

    def connected(self) -> int:
        """Book a connection; its number, from 0."""
        with self._lock:
            self._connections += 1
            return self._connections - 1

    def arrived(self, purpose: str) -> int:
        """Book the head of a request; its number among those of its purpose, from 0."""
        with self._lock:
            self._requests[purpose] += 1
            self._running[purpose] += 1
            # The most requests at once, which tells whether a client keeps to its limit.
            self._highest[purpose] = max(self._highest[purpose], self._running[purpose])
            return self._requests[purpose] - 1

    def answered(self, purpose: str) -> None:
        """Book the end of a request."""
        with self._lock:
            self._running[purpose] -= 1

    def record(self, request: RecordedRequest) -> None:
        """Remember one request; only the newest are kept."""
        with self._lock:
            self._faults[request.fault] += 1
            self._recorded.append(request)

    def bill(self, draw: str, key: str, reference: str) -> None:
        """Book one billed submission."""
        with self._lock:
            self._paid.append(Paid(draw, key, reference))

    @property
    def paid(self) -> int:
        """Number of billed submissions."""
        with self._lock:
            return len(self._paid)

    @property
    def distinct(self) -> int:
        """Number of different draws among the billed submissions."""
        with self._lock:
            return len({entry.draw for entry in self._paid})

    @property
    def bills(self) -> list[Paid]:
        """Every billed submission, in order."""
        with self._lock:
            return list(self._paid)

    @property
    def recorded(self) -> list[RecordedRequest]:
        """The newest requests, in order."""
        with self._lock:
            return list(self._recorded)

    def requests(self, purpose: str) -> int:
        """Number of requests of one purpose."""
        with self._lock:
            return self._requests[purpose]

    def summary(self) -> dict[str, Any]:
        """What ``GET /account`` answers."""
        with self._lock:
            return {
                "paid": len(self._paid),
                "distinct": len({entry.draw for entry in self._paid}),
                "cost_usd": str(self.price_usd * len(self._paid)),
                "requests": dict(self._requests),
                "faults": dict(self._faults),
                "connections": self._connections,
                "most_at_once": dict(self._highest),
            }
