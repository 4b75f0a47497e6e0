"""Draws four draws in a process of its own and kills it, uncaught, right after the so-manieth call of one function.

``python crash_driver.py URL RUN KIND POINT NUMBER``
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.draws import limits, tasks

from blackbox_conformal.drawing.http.transport import Transport
from blackbox_conformal.drawing.ledger.backends import Ledger
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.rates import Rate

LEDGER, KEPT = Ledger, (Store, "receive")
if address := os.environ.get("LEDGER_OF_THE_CRASH"):
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS
    from blackbox_conformal.drawing.ledger.postgres import postgres_ledger, shared_store

    LEDGER = postgres_ledger.PostgresLedger  # type: ignore[assignment, misc]
    KEPT = shared_store.PostgresAnswers, "put"  # type: ignore[assignment]
    LEDGERS.place(Path(sys.argv[2]), address)

POINTS: dict[str, tuple[Any, str]] = {
    "planned": (LEDGER, "plan"),
    "departed": (LEDGER, "reserve_and_mark_sent"),
    "intent": (LEDGER, "reserve"),
    "sent": (LEDGER, "sent"),
    "answered": (Transport, "send"),
    "accepted": (LEDGER, "accepted"),
    "ready": (LEDGER, "ready"),
    "received": (Store, "receive"),
    "kept": KEPT,
    "settled": (Store, "settle"),
    "stored": (LEDGER, "stored"),
    "receipt": (Store, "keep_receipt"),
}


def main(url: str, run: str, kind: str, point: str, number: str) -> None:
    owner, name = POINTS[point]
    real, left = getattr(owner, name), int(number)

    def deadly(self: Any, *given: Any, **named: Any) -> Any:
        nonlocal left
        result = real(self, *given, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    if point == "stored":
        Store.settle = lambda self, arrival: None  # type: ignore[method-assign]
    setattr(owner, name, deadly)
    adapter = {"once": SynchronousVendor, "jobs": JobVendor}[kind](url=url)
    # With a rate to keep, the reservation of a price and the sending are commits of their own.
    rates = (Rate(1000, 1.0),) if point in ("intent", "sent") else ()
    with Sampler(adapter, Path(run), limits(concurrency=1, rates=rates), check=lambda data, task: None) as sampler:
        for _ in sampler.draw(tasks(1, 4)):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
