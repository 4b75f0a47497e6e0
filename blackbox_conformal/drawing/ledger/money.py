"""Money in a ledger: whole nano-dollars (SQLite adds them without rounding), bills, totals and budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import NamedTuple

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.support.text import dollars


@dataclass(frozen=True, slots=True)
class Bill:
    """The booked cost and the highest listed price of one draw, in nano-dollars."""

    cost: int
    listed: int

    def exceeds(self, other: "Bill") -> bool:
        """Tell whether this bill is a larger multiple of its listed price than `other`."""
        # Multiplied out, so that whole numbers decide and nothing is rounded.
        return self.cost * other.listed > other.cost * self.listed

    def raised(self, listed: int) -> int:
        """Raise a listed price in the same proportion, rounded up; never lower it."""
        return max(listed, -(-listed * self.cost // self.listed))


AS_LISTED = Bill(1, 1)


class DearerError(Exception):
    """Another process was billed `cost` nano-dollars for a draw listed at `listed`; None: without a price."""

    def __init__(self, cost: int, listed: int | None) -> None:
        super().__init__(cost, listed)
        self.cost, self.listed = cost, listed


class AwaitedBillError(Exception):
    """Another process is about to learn the price of a draw: wait for it."""


@dataclass(frozen=True, slots=True)
class Billed:
    """Bills for the draws of one procedure."""

    # The largest and, among answered draws, the smallest bill relative to its listed price.
    highest: Bill = AS_LISTED
    lowest: Bill = AS_LISTED
    # The lowest booking of an answered draw, and the highest of all; 0 = none.
    booked_nanousd: tuple[int, int] = (0, 0)
    pixels: int = 0  # The largest answered upload; 0 = none.


def billed(connection: Connection, identity: str) -> Billed:
    """Read a procedure's bills from the ledger, by the digest of its identity."""
    whole = f"state IN {WHOLE}"
    bills = (
        "SELECT cost_nanousd, listed_nanousd FROM attempt"
        + " WHERE identity = ? AND listed_nanousd > 0 AND cost_nanousd > 0"
    )
    # Only for the order: exact proportions are computed from the row's whole numbers.
    order = "ORDER BY CAST(cost_nanousd AS DOUBLE PRECISION) / listed_nanousd"
    highest = connection.execute(f"{bills} {order} DESC LIMIT 1", (identity,)).fetchone()
    lowest = connection.execute(f"{bills} AND {whole} {order} LIMIT 1", (identity,)).fetchone()
    least, most, pixels = connection.execute(
        f"SELECT MIN(cost_nanousd) FILTER (WHERE {whole}), MAX(cost_nanousd), MAX(pixels) FILTER (WHERE {whole})"
        " FROM attempt WHERE identity = ?",
        (identity,),
    ).fetchone()
    return Billed(
        Bill(*highest) if highest else AS_LISTED,
        Bill(*lowest) if lowest else AS_LISTED,
        (least or 0, most or 0),
        pixels or 0,
    )


_NANO = Decimal(1_000_000_000)
_MOST_USD = Decimal(2**62) / _NANO


@lru_cache(1024)
def to_nano(usd: Decimal) -> int:
    """Convert to nano-dollars, rounded up so that nothing is booked too low."""
    if not usd.is_finite() or usd < 0 or usd > _MOST_USD:
        raise UsageError(f"expected a price in US dollars between 0 and 4 billion; got {usd}")
    return int((usd * _NANO).to_integral_value(rounding=ROUND_CEILING))


@lru_cache(1024)
def to_usd(nano: int) -> Decimal:
    """Convert to US dollars without trailing zeros; draws at one price share one value."""
    usd = (Decimal(nano) / _NANO).normalize()
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd


def may_be_billed(costs: Sequence[Decimal | None]) -> str:
    """Describe the booking of calls that were never answered, in US dollars (None: unknown)."""
    booked = f"booked at {dollars(sum(filter(None, costs), Decimal(0)))}"
    booked += f", {costs.count(None)} of them at an unknown price" if None in costs else ""
    which = f"{len(costs)} calls were" if len(costs) > 1 else "1 call was"
    return (
        f"{which} never answered and may have been billed ({booked}): `blackbox-conformal ledger settle INVOICE.csv`"
        " compares with the vendor's invoice"
    )


class Totals(NamedTuple):
    """Nano-dollars spent and reserved, calls, and nano-dollars of the last 24 hours by all jobs.

    `of_day` includes money that other jobs hold.
    """

    spent: int = 0
    reserved: int = 0
    calls: int = 0
    of_day: int = 0

    def plus(self, more: "Totals") -> "Totals":
        return Totals(*map(sum, zip(self, more, strict=True)))


@dataclass(frozen=True, slots=True)
class Payer:
    """The account that pays for draws, as in their rows of the ledger."""

    name: str | None = None  # Such as the owner of a token; None: the run folder alone.
    request: str | None = None  # Id of the request that the draws belong to.
    # Whether to buy a draw once more that was, or may have been, paid for without a usable picture.
    again: bool = False


NOBODY = Payer()

PayerCheck = Callable[[str, int], None]
"""Raises a `BudgetError` if a payer may not spend and hold so many nano-dollars in all."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the money and the submissions of one job; None = no limit."""

    # The most US dollars and submissions for its draws.
    max_cost_usd: Decimal | None = None
    max_calls: int | None = None
    scope: frozenset[str] | None = None  # Keys of its draws (see `task.task_key`); None = all draws of the run folder.
    # The most US dollars for all draws of the run folder submitted in any 24 hours.
    max_cost_per_day_usd: Decimal | None = None

    @property
    def limits_money(self) -> bool:
        return self.max_cost_usd is not None or self.max_cost_per_day_usd is not None

    @property
    def is_limited(self) -> bool:
        return self.limits_money or self.max_calls is not None

    def check(self, totals: Totals, price_nanousd: int, calls: int = 1, *, bound: str = "up to") -> None:
        """Refuse `calls` submissions at this price together if `totals` leave no room."""
        spent, reserved, made, of_day = totals
        costs = "the next draw costs" if calls == 1 else f"the next {calls} draws cost"
        costs += f" {bound} {to_usd(price_nanousd)} USD, with"
        # Held money counts as spent: everything under way may be billed.
        most, held = self.max_cost_usd, f"{to_usd(reserved)} reserved of"
        if most is not None and spent + reserved + price_nanousd > to_nano(most):
            raise BudgetError(
                f"{costs} {to_usd(spent)} spent and {held} {to_usd(to_nano(most))} allowed; raise --max-cost (max_cost"
                " in Python) to go on"
            )
        # Held money was submitted within the day.
        most = self.max_cost_per_day_usd
        if most is not None and of_day + reserved + price_nanousd > to_nano(most):
            raise BudgetError(
                f"{costs} {to_usd(of_day)} spent in the last 24 hours and {held} {to_usd(to_nano(most))} allowed in a"
                " day; wait, or raise --max-cost-per-day (max_cost_per_day in Python)"
            )
        if self.max_calls is not None and made + calls > self.max_calls:
            more = "" if calls == 1 else f", and {calls} more are needed"
            raise BudgetError(
                f"{made} calls of {self.max_calls} allowed are made{more}; raise --max-calls (max_calls in Python) to"
                " go on"
            )
