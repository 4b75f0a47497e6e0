"""Changes of the ledger within one transaction: attempts between states, and the totals that move with them.

`writer` begins and commits the transaction.
"""

import sqlite3
import time
from typing import Any

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.sampling.job_budget import Totals
from blackbox_conformal.sampling.ledger.checksums import seal
from blackbox_conformal.sampling.ledger.states import COUNTED, RESERVING, STEPS, UNBILLED, AttemptState

_TIMES = {state: f"{state}_at" for state in ("planned", "claimed", "intent", "sent", "accepted", "ready", "stored")}
"""The column that says when an attempt came to a state; ``ended_at`` for all others."""


class LedgerTransaction:
    """The ledger within one transaction on `connection`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._now = time.time()

    def totals(self) -> Totals:
        """The sums over all attempts, every change so far included."""
        row = self.connection.execute("SELECT spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
        return Totals(*row)

    def insert(self, **values: Any) -> int:
        """Write a new attempt that is planned; returns its number."""
        values |= {"state": "planned", "planned_at": self._now}
        marks = ", ".join("?" * len(values))
        cursor = self.connection.execute(
            f"INSERT INTO attempt ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        if cursor.lastrowid is None:
            raise LedgerError("SQLite gave no id for a new attempt")
        self.connection.execute("UPDATE total SET attempts = attempts + 1")
        seal(self.connection, cursor.lastrowid)
        return cursor.lastrowid

    def note(self, attempt: int, **values: Any) -> None:
        """Write `values` beside an attempt that keeps its state."""
        settings = ", ".join(f"{column} = ?" for column in values)
        self.connection.execute(f"UPDATE attempt SET {settings} WHERE id = ?", (*values.values(), attempt))
        seal(self.connection, attempt)

    def move(
        self, attempt: int, state: AttemptState, cost: int | None = None, reserve: int | None = None, **values: Any
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
            "SELECT state, reserved_nanousd, cost_nanousd, tries FROM attempt WHERE id = ?", (attempt,)
        ).fetchone()
        if row is None or state not in STEPS[row[0]]:
            raise LedgerError(f"attempt {attempt} cannot go from {row and row[0]} to {state}; verify the ledger")
        before, reserved_before, spent_before, tries = row
        reserved, spent = _booked(state, reserved_before or spent_before, cost, reserve)
        values |= {"state": state, "reserved_nanousd": reserved, "cost_nanousd": spent}
        if state == "sent":
            values["tries"] = tries + 1
        if state != "sent" or tries == 0:
            # A vendor forgets an idempotency key so long after its first use, not its last: sent_at keeps the first.
            values[_TIMES.get(state, "ended_at")] = self._now
        self.note(attempt, **values)
        self.connection.execute(
            "UPDATE total SET spent_nanousd = spent_nanousd + ?, reserved_nanousd = reserved_nanousd + ?,"
            " calls = calls + ?",
            (spent - spent_before, reserved - reserved_before, (state in COUNTED) - (before in COUNTED)),
        )

    def count_commit(self) -> int:
        """Count this transaction, as the last thing in it; the number of commits that the ledger will have seen."""
        self.connection.execute("UPDATE total SET commits = commits + 1")
        row = self.connection.execute("SELECT commits FROM total").fetchone()
        if row is None:
            raise LedgerError("the ledger has lost its totals; verify it")
        return int(row[0])


def _booked(state: AttemptState, price: int, cost: int | None, reserve: int | None) -> tuple[int, int]:
    """Nano-dollars to hold and to book for an attempt in `state` at this price."""
    if reserve is not None:
        return reserve, 0
    if cost is not None:
        return 0, cost
    if state in UNBILLED:
        return 0, 0
    return (price, 0) if state in RESERVING else (0, price)
