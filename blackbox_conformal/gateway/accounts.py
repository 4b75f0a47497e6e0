"""Who pays for a request: the limits of tokens, and what each request and each owner of a token spent."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from blackbox_conformal.drawing.money import to_nano
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.gateway.book import Book
from blackbox_conformal.gateway.request import Request
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.study.session.picture_masker import Payer
from blackbox_conformal.support.occupancy import Occupancy
from blackbox_conformal.support.text import dollars


class Accounts:
    """What owners of tokens may spend beside what they have spent and what is under way for them here."""

    def __init__(self, book: Book, tokens: Tokens) -> None:
        self.book, self.tokens = book, tokens
        self._begun: Occupancy[tuple[str, int]] = Occupancy()

    def payer(self, request: Request) -> "RequestPayer":
        return RequestPayer(self, request)

    def room(self, owner: str, price_nanousd: int) -> AbstractContextManager[None]:
        """Hold room for a price, in the ``with`` block; waits while what is under way may leave some of its own.

        Raises
        ------
        BudgetError
            There is none.
        """
        return self._begun.taken((owner, price_nanousd), partial(self._fits, owner, price_nanousd))

    def _fits(self, owner: str, price_nanousd: int, begun: Sequence[tuple[str, int]]) -> bool:
        limit = self.tokens.holder(owner).max_cost_usd
        if limit is None:
            return True
        # In nano-dollars, and of what earlier processes booked for this owner, too.
        left = to_nano(limit) - self.book.spent_nanousd(owner) - price_nanousd
        if left < 0:
            raise BudgetError(
                f"the picture does not fit into what is left of {dollars(limit)}, the limit of this token"
            )
        # Only what the same owner has under way can take this room away, so only that is waited for.
        return left >= sum(price for other, price in begun if other == owner)


class RequestPayer(Payer):
    """Books what is bought for one request.

    Attributes
    ----------
    cost_nanousd
        What the ledger booked for it so far, in this process.
    """

    def __init__(self, accounts: Accounts, request: Request) -> None:
        self._accounts, self._request = accounts, request
        self.again = request.pay_again
        self.cost_nanousd = 0

    def room(self, price_nanousd: int, calls: int) -> AbstractContextManager[None]:
        # A request that needs no call costs nothing, and need not wait for room.
        return self._accounts.room(self._request.owner, price_nanousd) if calls else nullcontext()

    def book(self, cost_nanousd: int, calls: int) -> None:
        self.cost_nanousd += cost_nanousd
        # Also where nothing was bought: a call that is free counts as a call.
        if calls or cost_nanousd:
            self._accounts.book.pay(self._request, calls, cost_nanousd)
