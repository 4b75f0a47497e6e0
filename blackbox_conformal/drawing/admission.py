"""Which pictures may begin: those whose draws the budget has room for beside everything that has begun.

The ledger refuses every single draw that there is no room for. Without more, pictures under way at the same time would
take each other's last draws away, so that money is spent and none of them is finished.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from blackbox_conformal.drawing.job_budget import NOBODY, Payer, Totals
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.support.occupancy import Occupancy


class Admission:
    """The prices of the pictures that have begun, against the ledger's limits; asked from any thread."""

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger
        self._begun: Occupancy[tuple[str | None, int, int]] = Occupancy()

    def room(self, price_nanousd: int, calls: int, payer: Payer = NOBODY) -> AbstractContextManager[None]:
        """Hold room for so many draws of this price together, on the account of `payer`, in the ``with`` block.

        Waits while pictures that have begun may leave some of theirs.
        """
        wanted = (payer.name, price_nanousd, calls)
        return self._begun.taken(wanted, lambda begun: self._fits(*wanted, begun) and self._fits_payer(*wanted, begun))

    def _fits_payer(
        self, payer: str | None, price_nanousd: int, calls: int, begun: Sequence[tuple[str | None, int, int]]
    ) -> bool:
        check = self._ledger.check_payer
        if payer is None or check is None or not calls:
            return True
        totals = self._ledger.payers().get(payer, Totals())
        # What is spent is not given back.
        check(payer, totals.spent + price_nanousd)
        # Only what the same payer has begun can give room back, so only that is waited for.
        own = sum(price for name, price, _ in begun if name == payer)
        try:
            check(payer, totals.spent + totals.reserved + own + price_nanousd)
        except BudgetError:
            if not own:
                raise
            return False
        return True

    def _fits(
        self, payer: str | None, price_nanousd: int, calls: int, begun: Sequence[tuple[str | None, int, int]]
    ) -> bool:
        # Nothing more is bought, so there is nothing to hold room for.
        if not calls:
            return True
        budget, totals = self._ledger.budget, self._ledger.totals_in_scope()
        # What is spent is not given back.
        budget.check(Totals(totals.spent, of_day=totals.of_day), price_nanousd, calls)
        begun_nanousd, begun_calls = sum(price for _, price, _ in begun), sum(number for *_, number in begun)
        try:
            # A draw of a picture that has begun may be counted twice, as begun and as held or spent: until it ends.
            together = Totals(
                totals.spent + begun_nanousd,
                totals.reserved,
                totals.calls + begun_calls,
                totals.of_day + begun_nanousd,
            )
            budget.check(together, price_nanousd, calls)
        except BudgetError:
            # Nothing has begun that could give room back: waiting would never end.
            if not begun:
                raise
            return False
        return True
