"""What a vendor billed so far, beside what its price list says."""

from dataclasses import dataclass

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import WHOLE


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
