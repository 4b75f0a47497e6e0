"""What the draws of one job may cost together, and whether one more fits."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from blackbox_conformal.drawing.money import to_nano, to_usd
from blackbox_conformal.errors import BudgetError


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

    def check(self, totals: Totals, price_nanousd: int, calls: int = 1) -> None:
        """Refuse so many submissions of this price together that the job's totals leave no room for them."""
        spent, reserved, made, of_day = totals
        wanted = "the next draw costs" if calls == 1 else f"the next {calls} draws cost"
        # Held money counts as spent: all that is under way may be billed.
        if self.max_cost_usd is not None and spent + reserved + price_nanousd > to_nano(self.max_cost_usd):
            raise BudgetError(
                f"{wanted} up to {to_usd(price_nanousd)} USD, with {to_usd(spent)} spent and"
                f" {to_usd(reserved)} reserved of {to_usd(to_nano(self.max_cost_usd))} allowed; raise --max-cost"
                " (max_cost in Python) to go on"
            )
        # What is held was submitted within the day.
        per_day = self.max_cost_per_day_usd
        if per_day is not None and of_day + reserved + price_nanousd > to_nano(per_day):
            raise BudgetError(
                f"{wanted} up to {to_usd(price_nanousd)} USD, with {to_usd(of_day)} spent in the last 24 hours and"
                f" {to_usd(reserved)} reserved of {to_usd(to_nano(per_day))} allowed in a day; wait, or raise"
                " --max-cost-per-day (max_cost_per_day in Python)"
            )
        if self.max_calls is not None and made + calls > self.max_calls:
            more = "" if calls == 1 else f", and {calls} more are needed"
            raise BudgetError(
                f"{made} calls of {self.max_calls} allowed are made{more}; raise --max-calls (max_calls in Python) to"
                " go on"
            )
