"""Knows the price of one draw: from the price table until the vendor bills, then from its bills.

While only a table tells the price and money is limited, one draw goes alone, of all processes that share the ledger. A
vendor that bills more than its table then exceeds the limit by one draw at most.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.backends import reading
from blackbox_conformal.drawing.ledger.money import AS_LISTED, Bill, Billed, billed, to_nano, to_usd
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.run_control import StoppedError
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.vendor.adapter import Adapter, Price, Upload

Known = TypeVar("Known")

_BOOKED = "as earlier draws were booked"


class KnownPrices:
    """Prices of draws: the adapter's list, or the bookings of draws in a run folder, if higher."""

    def __init__(self, adapter: Adapter, run: Path) -> None:
        self._adapter = adapter
        self._members = [KnownPrices(member, run) for member in adapter.members]
        self._billed = Billed()
        # Local vendors cost nothing, so their ledger is not read.
        if not (adapter.capabilities.local or adapter.members):
            with reading(run) as connection:
                if connection is not None:
                    self._billed = billed(connection, digest_json(adapter.identity()))

    def of_any(self) -> Price | None:
        """Return the price of a draw, over all sizes of uploads; None if unknown."""
        if self._members:
            return _of_cascade([member.of_any() for member in self._members])
        return self._raised(self._adapter.capabilities.price)

    def of(self, upload: Upload) -> Price | None:
        """Return the price of a draw of this upload; None if unknown."""
        if self._members:
            sent = [self._adapter.sent(place, upload) for place in range(len(self._members))]
            return _of_cascade(
                [member.of(part) for member, own in zip(self._members, sent, strict=True) for part in own]
            )
        return self._raised(self._adapter.price_for(upload.width, upload.height))

    def of_these(self, uploads: Sequence[Upload]) -> Price | None:
        """Return the price from the cheapest to the dearest of these uploads; `of_any` if there are none."""
        by_size = {(upload.width, upload.height): upload for upload in uploads}
        prices = [price for upload in by_size.values() if (price := self.of(upload)) is not None]
        # A price that is known for some uploads only would understate the whole.
        if not uploads or len(prices) < len(by_size):
            return None if uploads else self.of_any()
        cheapest = min(prices, key=lambda price: price.low_usd)
        dearest = max(prices, key=lambda price: price.high_usd)
        return replace(dearest, low=cheapest.low)

    def _raised(self, listed: Price | None) -> Price | None:
        known, (least, most) = self._billed, self._billed.booked_nanousd
        if listed is None or not listed.high_usd:
            return Price(to_usd(least or most), to_usd(most), _BOOKED) if most else listed
        if not known.highest.exceeds(AS_LISTED):
            return listed
        low, high = known.lowest.raised(to_nano(listed.low_usd)), known.highest.raised(to_nano(listed.high_usd))
        return Price(to_usd(min(low, high)), to_usd(high), _BOOKED)


def _of_cascade(prices: Sequence[Price | None]) -> Price | None:
    # The first member may suffice, or all may be asked; one unknown price makes the whole unknown.
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    most = sum((price.high_usd for price in known), Decimal(0))
    return Price(known[0].low_usd, most, "; ".join(dict.fromkeys(price.source for price in known)))


def refuse_unlimited(adapter: Adapter, limits: Limits, run: Path) -> None:
    """Refuse to spend money without a limit, or with a limit but no known price; `run` may hold booked prices."""
    price = KnownPrices(adapter, run).of_any()
    if adapter.capabilities.local or (price is not None and price.high_usd == 0):
        return
    if not limits.budget.is_limited:
        raise BudgetError(
            f"drawing from {adapter.name} costs money: give max_cost (--max-cost) or max_calls (--max-calls)"
        )
    if limits.budget.limits_money:
        require_price(adapter, price)


def require_price(adapter: Adapter, price: Known | None) -> Known:
    """Return the price of a draw; refuse to limit money where none is known."""
    if price is not None:
        return price
    asked = ", which plan --quote asks for" if type(adapter).quote is not Adapter.quote else ""
    stated = adapter.unpriced or "add -p price-usd=0.02 with your vendor's price (price_usd in Python)"
    stated = f"{stated}{asked}, or " if "price_usd" in type(adapter).model_fields else ""
    raise BudgetError(
        f"--max-cost (max_cost in Python) needs the price of one call, and none is known for {adapter.name}: "
        f"{stated}give --max-calls (max_calls) instead"
    )


class Prices:
    """Prices of one vendor procedure in one run.

    `billed`: The vendor's bills so far, by the ledger.
    `source`: The origin of the price list.
    """

    def __init__(self, billed: Billed, source: str, *, limited: bool, board: EventBoard) -> None:
        self._source = source
        self._highest = billed.highest
        self._unlisted_nanousd = billed.booked_nanousd[1]
        # Without a limit no draw has to go alone, so every size counts as known.
        self._known_pixels: float = billed.pixels if limited else math.inf
        self._alone = self._told = False
        self._board = board
        self._changed = threading.Condition()

    def nanousd(self, spec: AttemptSpec) -> int:
        """Return the price to reserve: the listed one, raised as far as the vendor ever billed above its list.

        Without a listed price, it is the cost of the dearest draw so far.
        """
        if not spec.listed_nanousd:
            return self._unlisted_nanousd
        return self._highest.raised(spec.listed_nanousd)

    def enter(self, pixels: int, stopping: threading.Event) -> bool:
        """Wait until a draw of so many pixels may be bought; return True if it goes alone.

        A draw goes alone while no upload as large was answered, since many vendors bill by size; others as large wait
        for `leave`.
        """
        # Without the lock: the known size only grows.
        if pixels <= self._known_pixels:
            return False
        with self._changed:
            while pixels > self._known_pixels:
                if stopping.is_set():
                    raise StoppedError
                if not self._alone:
                    self._alone = True
                    return True
                self._changed.wait(0.2)
        return False

    def leave(self, pixels: int, *, answered: bool, billed: bool) -> None:
        """End a draw that went alone. A vendor that answers it without a bill is assumed never to send one."""
        with self._changed:
            self._alone = False
            if billed:
                self._known_pixels = max(self._known_pixels, pixels)
            elif answered:
                self._known_pixels = math.inf
            self._changed.notify_all()

    def billed(self, listed_nanousd: int | None, cost_nanousd: int) -> None:
        """Expect the vendor's bills from now on, if they are higher; report once that they exceed its list."""
        tell = False
        with self._changed:
            if not listed_nanousd:
                self._unlisted_nanousd = max(self._unlisted_nanousd, cost_nanousd)
            # By proportion: a dear large picture need not mean that the list is wrong.
            elif Bill(cost_nanousd, listed_nanousd).exceeds(self._highest):
                self._highest = Bill(cost_nanousd, listed_nanousd)
                tell, self._told = not self._told, True
        # Outside the lock, as the listener is foreign code.
        if tell:
            self._board.tell("price-differs", f"{self.explanation()}; limits count what is billed")

    def explanation(self) -> str:
        """Say that the vendor bills more than its table says; "" if it does not."""
        bill = self._highest
        if not bill.exceeds(AS_LISTED):
            return ""
        return (
            f"the vendor billed {to_usd(bill.cost)} USD for a draw, more than the {to_usd(bill.listed)} USD of the "
            f"price table ({self._source})"
        )
