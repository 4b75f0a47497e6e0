"""What the draws of one job may cost together, and whether one more fits."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from blackbox_conformal.errors import BudgetError
from blackbox_conformal.sampling.money import to_nano, to_usd


class Totals(NamedTuple):
    """Nano-dollars booked and held, and submissions that count."""

    spent: int = 0
    reserved: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the money and the submissions of one job.

    Attributes
    ----------
    max_cost_usd, max_calls
        The most that its draws may cost, and how often something may be submitted for them; None = no limit.
    scope
        Keys of its draws (see `task.task_key`); None = all draws of the run folder.
    """

    max_cost_usd: Decimal | None = None
    max_calls: int | None = None
    scope: frozenset[str] | None = None

    @property
    def is_limited(self) -> bool:
        """Whether money or submissions are limited."""
        return self.max_cost_usd is not None or self.max_calls is not None

    def check(self, totals: Totals, price_nanousd: int) -> None:
        """Refuse a submission of this price that there is no room for, when the job's draws have these totals.

        Raises
        ------
        BudgetError
            Spent and reserved money, or calls, would exceed a limit.
        """
        spent, reserved, calls = totals
        if self.max_cost_usd is not None and spent + reserved + price_nanousd > to_nano(self.max_cost_usd):
            raise BudgetError(
                f"the next draw costs up to {to_usd(price_nanousd)} USD, with {to_usd(spent)} spent and"
                f" {to_usd(reserved)} reserved of {to_usd(to_nano(self.max_cost_usd))} allowed; raise --max-cost"
                " (max_cost in Python) to go on"
            )
        if self.max_calls is not None and calls + 1 > self.max_calls:
            raise BudgetError(
                f"{calls} calls of {self.max_calls} allowed are made; raise --max-calls (max_calls in Python) to go on"
            )
