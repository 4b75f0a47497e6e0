"""What the draws of one job may cost together, and whether one more fits.

A person's limits are in `sampling.limits`.
"""

from typing import NamedTuple

from blackbox_conformal.errors import BudgetError
from blackbox_conformal.sampling.ledger.transaction import Totals
from blackbox_conformal.sampling.money import to_usd


class Sums(NamedTuple):
    """Nano-dollars booked and submissions counted."""

    nanousd: int = 0
    calls: int = 0


class Allowance(NamedTuple):
    """Limits on money and submissions, None = none, for all that a ledger holds but `others`: what other jobs took."""

    max_cost_nanousd: int | None = None
    max_calls: int | None = None
    others: Sums = Sums()

    def check(self, totals: Totals, price_nanousd: int) -> None:
        """Refuse a submission of this price that the limits have no room for, with these totals in the ledger.

        Raises
        ------
        BudgetError
            Spent and reserved money, or calls, would exceed a limit.
        """
        spent, calls = totals.spent - self.others.nanousd, totals.calls - self.others.calls
        most = self.max_cost_nanousd
        if most is not None and spent + totals.reserved + price_nanousd > most:
            raise BudgetError(
                f"the next draw costs up to {to_usd(price_nanousd)} USD, with {to_usd(spent)} spent and"
                f" {to_usd(totals.reserved)} reserved of {to_usd(most)} allowed; raise --max-cost"
                " (max_cost in Python) to go on"
            )
        if self.max_calls is not None and calls + 1 > self.max_calls:
            raise BudgetError(
                f"{calls} calls of {self.max_calls} allowed are made; raise --max-calls (max_calls in Python) to go on"
            )


UNLIMITED = Allowance()
