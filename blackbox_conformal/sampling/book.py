"""One transaction on the ledger: moving attempts between states, and the totals that move with them.

The transaction is begun and committed by `writer`; what is done in it is `ledger`'s.
"""

import sqlite3
import time
from typing import Any

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.sampling.states import COUNTED, RESERVING, STEPS

_STAMPS = {
    "planned": "planned_at",
    "claimed": "claimed_at",
    "intent": "intent_at",
    "sent": "sent_at",
    "accepted": "accepted_at",
    "ready": "ready_at",
    "stored": "stored_at",
}
_UNBILLED = ("refused", "cancelled", "planned", "claimed")


class Book:
    """The ledger within one transaction; the totals are read once and written back once.

    Attributes
    ----------
    spent, reserved
        Nano-dollars booked and held, over all attempts.
    calls
        Attempts that count against ``max_calls``.
    """

    __slots__ = ("_changed", "calls", "connection", "reserved", "spent")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.spent, self.reserved, self.calls = connection.execute(
            "SELECT spent_nanousd, reserved_nanousd, calls FROM total WHERE id = 1"
        ).fetchone()
        self._changed = False

    def totals(self) -> tuple[int, int, int]:
        """Spent, reserved, calls."""
        return self.spent, self.reserved, self.calls

    def restore(self, totals: tuple[int, int, int]) -> None:
        """Go back to earlier totals, with a savepoint."""
        self.spent, self.reserved, self.calls = totals

    def close(self) -> None:
        """Write the totals; the last thing before the commit."""
        if self._changed:
            self.connection.execute(
                "UPDATE total SET spent_nanousd = ?, reserved_nanousd = ?, calls = ? WHERE id = 1", self.totals()
            )

    def move(
        self, attempt: int, state: str, cost: int | None = None, reserve: int | None = None, **values: Any
    ) -> None:
        """Take `attempt` to `state`, write `values` beside it, and book its price as the state says.

        Parameters
        ----------
        cost
            What the vendor says that it bills, in nano-dollars; None keeps the price that was reserved.
        reserve
            Price to reserve, for an intent.

        Raises
        ------
        LedgerError
            There is no such attempt, or no step from its state to `state`.
        """
        row = self.connection.execute(
            "SELECT state, reserved_nanousd, cost_nanousd FROM attempt WHERE id = ?", (attempt,)
        ).fetchone()
        if row is None or state not in STEPS[row[0]]:
            raise LedgerError(f"attempt {attempt} cannot go from {row and row[0]} to {state}; verify the ledger")
        before, held, booked = row
        price = held or booked
        reserved, spent = (price, 0) if state in RESERVING else (0, price)
        if state in _UNBILLED:
            reserved, spent = 0, 0
        if cost is not None:
            reserved, spent = 0, cost
        if reserve is not None:
            reserved, spent = reserve, 0
        values["state"] = state
        values[_STAMPS.get(state, "ended_at")] = time.time()
        if reserved != held:
            values["reserved_nanousd"] = reserved
        if spent != booked:
            values["cost_nanousd"] = spent
        assignments = ", ".join(f"{column} = ?" for column in values)
        if state == "sent":
            assignments += ", tries = tries + 1"
        self.connection.execute(f"UPDATE attempt SET {assignments} WHERE id = ?", (*values.values(), attempt))
        self.spent += spent - booked
        self.reserved += reserved - held
        self.calls += (state in COUNTED) - (before in COUNTED)
        self._changed = True
