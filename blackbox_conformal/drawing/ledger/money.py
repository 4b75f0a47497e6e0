"""US dollars as whole nano-dollars, which SQLite adds up without rounding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import NamedTuple

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.errors import BudgetError, UsageError
from blackbox_conformal.support.text import dollars

# What a vendor billed so far, beside what its price list says.


@dataclass(frozen=True, slots=True)
class Bill:
    """What one draw was booked at, and the highest price that the list names for it, in nano-dollars."""

    cost: int
    listed: int

    def exceeds(self, other: "Bill") -> bool:
        """Whether it is more of its listed price than `other` is; both have one."""
        # Multiplied out, so that whole numbers decide and no quotient is rounded.
        return self.cost * other.listed > other.cost * self.listed

    def raised(self, listed: int) -> int:
        """A listed price in the same proportion, rounded up; never below itself."""
        # Rounded up: a reservation must not fall short of the bill.
        return max(listed, -(-listed * self.cost // self.listed))


AS_LISTED = Bill(1, 1)


class DearerError(Exception):
    """Another process was billed `cost` nano-dollars for a draw that is listed at `listed`; None: without a price."""

    def __init__(self, cost: int, listed: int | None) -> None:
        super().__init__(cost, listed)
        self.cost, self.listed = cost, listed


class AwaitedBillError(Exception):
    """Another process is about to learn what a draw costs: it is waited for."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What was billed for the draws of one procedure.

    Attributes
    ----------
    highest, lowest
        The bills that are most and least of their listed prices; the least among draws that were answered.
    booked_nanousd
        The lowest booking of a draw that was answered, and the highest of all; 0 = none.
    pixels
        The largest upload that was answered; 0 = none.
    """

    highest: Bill = AS_LISTED
    lowest: Bill = AS_LISTED
    booked_nanousd: tuple[int, int] = (0, 0)
    pixels: int = 0


def billed(connection: Connection, identity: str) -> Billed:
    """What the ledger on `connection` says of a procedure, by the digest of its identity."""
    whole = f"state IN {WHOLE}"
    bills = (
        "SELECT cost_nanousd, listed_nanousd FROM attempt"
        + " WHERE identity = ? AND listed_nanousd > 0 AND cost_nanousd > 0"
    )
    # Only for the order: exact proportions are computed from the whole numbers of the row.
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
    """`usd` in nano-dollars, rounded up so that nothing is booked too low."""
    if not usd.is_finite() or usd < 0 or usd > _MOST_USD:
        raise UsageError(f"expected a price in US dollars between 0 and 4 billion; got {usd}")
    return int((usd * _NANO).to_integral_value(rounding=ROUND_CEILING))


@lru_cache(1024)
def to_usd(nano: int) -> Decimal:
    """`nano` nano-dollars in US dollars, without trailing zeros; one value for many draws at one price."""
    usd = (Decimal(nano) / _NANO).normalize()
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd


def may_be_billed(costs: Sequence[Decimal | None]) -> str:
    """What is said of calls that were never answered, booked at these costs in US dollars (None: unknown)."""
    booked = f"booked at {dollars(sum(filter(None, costs), Decimal(0)))}"
    booked += f", {costs.count(None)} of them at an unknown price" if None in costs else ""
    which = f"{len(costs)} calls were" if len(costs) > 1 else "1 call was"
    return (
        f"{which} never answered and may have been billed ({booked}): `blackbox-conformal ledger settle INVOICE.csv`"
        " compares with the vendor's invoice"
    )


# What the draws of one job may cost together, and whether one more fits.


class Totals(NamedTuple):
    """Nano-dollars booked and held, submissions that count, and nano-dollars of the last 24 hours, by all jobs.

    What other jobs hold counts in `of_day`.
    """

    spent: int = 0
    reserved: int = 0
    calls: int = 0
    of_day: int = 0

    def plus(self, more: "Totals") -> "Totals":
        return Totals(*map(sum, zip(self, more, strict=True)))


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account draws are, as their rows in the ledger say.

    Attributes
    ----------
    name
        Such as that of the owner of a token; None: nobody's but the run folder's.
    request
        Id of the request that the draws are for.
    again
        Whether a draw that earlier sets of tasks paid for, or may have, without a usable picture is bought once more.
    """

    name: str | None = None
    request: str | None = None
    again: bool = False


NOBODY = Payer()

PayerCheck = Callable[[str, int], None]
"""Raises a `BudgetError` where a payer may not have spent, and hold, so many nano-dollars in all."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the money and the submissions of one job.

    Attributes
    ----------
    max_cost_usd, max_calls
        The most that its draws may cost, and how often something may be submitted for them; None = no limit.
    scope
        Keys of its draws (see `task.task_key`); None = all draws of the run folder.
    max_cost_per_day_usd
        The most that all draws of the run folder may cost that were submitted in any 24 hours; None = no limit.
    """

    max_cost_usd: Decimal | None = None
    max_calls: int | None = None
    scope: frozenset[str] | None = None
    max_cost_per_day_usd: Decimal | None = None

    @property
    def limits_money(self) -> bool:
        """Whether money is limited, in all or by the day."""
        return self.max_cost_usd is not None or self.max_cost_per_day_usd is not None

    @property
    def is_limited(self) -> bool:
        """Whether money or submissions are limited."""
        return self.limits_money or self.max_calls is not None

    def check(self, totals: Totals, price_nanousd: int, calls: int = 1, *, bound: str = "up to") -> None:
        """Refuse `calls` submissions that cost this price together where `totals` leave no room for them."""
        spent, reserved, made, of_day = totals
        costs = "the next draw costs" if calls == 1 else f"the next {calls} draws cost"
        costs += f" {bound} {to_usd(price_nanousd)} USD, with"
        # Held money counts as spent: all that is under way may be billed.
        most, held = self.max_cost_usd, f"{to_usd(reserved)} reserved of"
        if most is not None and spent + reserved + price_nanousd > to_nano(most):
            raise BudgetError(
                f"{costs} {to_usd(spent)} spent and {held} {to_usd(to_nano(most))} allowed; raise --max-cost (max_cost"
                " in Python) to go on"
            )
        # What is held was submitted within the day.
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
