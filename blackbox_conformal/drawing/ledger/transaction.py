"""Changes of the ledger within one transaction: attempts between states, and the totals that move with them.

These are the rules of money, whichever database keeps the ledger. `writer` begins and commits the transaction.
"""

import time
from typing import Any

from blackbox_conformal.drawing.job_budget import Totals
from blackbox_conformal.drawing.ledger.checksums import seal
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import COUNTED, REOPENED, RESERVING, STEPS, UNBILLED, AttemptState
from blackbox_conformal.errors import LedgerError

_TIMES = {state: f"{state}_at" for state in ("planned", "claimed", "intent", "sent", "accepted", "ready", "stored")}
"""The column that says when an attempt came to a state; ``ended_at`` for all others."""


class LedgerTransaction:
    """The ledger within one transaction on `connection`."""

    def __init__(self, connection: Connection) -> None:
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
        # All rows are fetched, since a statement that is not at its end cannot be committed.
        rows = self.connection.execute(
            f"INSERT INTO attempt ({', '.join(values)}) VALUES ({marks}) RETURNING id", tuple(values.values())
        ).fetchall()
        number = int(rows[0][0])
        self._seal(number)
        self._book(number, attempts=1)
        return number

    def note(self, attempt: int, **values: Any) -> None:
        """Write `values` beside an attempt that keeps its state."""
        settings = ", ".join(f"{column} = ?" for column in values)
        self.connection.execute(f"UPDATE attempt SET {settings} WHERE id = ?", (*values.values(), attempt))
        self._seal(attempt)

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
        row = self._row(attempt)
        if row is None or state not in STEPS[row[0]]:
            raise LedgerError(f"attempt {attempt} cannot go from {row and row[0]} to {state}; verify the ledger")
        before, reserved_before, spent_before, tries = tuple(row)[:4]
        price = reserved_before or spent_before
        if not price and before == "failed":
            # It was settled as not billed, and is answered after all.
            price = self._listed(attempt)
        reserved, spent = _booked(state, price, cost, reserve)
        values |= {"state": state, "reserved_nanousd": reserved, "cost_nanousd": spent}
        if state == "sent":
            values["tries"] = tries + 1
        if state != "sent" or tries == 0:
            # A vendor forgets an idempotency key so long after its first use, not its last: sent_at keeps the first.
            values[_TIMES.get(state, "ended_at")] = self._now
        self.note(attempt, **values)
        self._book(
            attempt,
            spent=spent - spent_before,
            reserved=reserved - reserved_before,
            calls=(state in COUNTED) - (before in COUNTED),
        )

    def settle(self, attempt: int, cost: int) -> bool:
        """End an attempt that may have been billed as the vendor's invoice says; whether it still was one.

        Parameters
        ----------
        cost
            What the invoice charges for it, in nano-dollars; 0: nothing.
        """
        if self.state_of(attempt) != "ambiguous":
            return False
        error = f"it was never answered; {'' if cost else 'not '}billed, by the vendor's invoice"
        self.move(attempt, "expired" if cost else "failed", cost, priced=1, error_class="M", error=error)
        return True

    def reopen(self, attempt: int) -> bool:
        """Let a refusal count no more, whatever was billed for it; whether the attempt was refused."""
        if self.state_of(attempt) != "refused":
            return False
        self.note(attempt, error_class=REOPENED)
        return True

    def state_of(self, attempt: int) -> AttemptState:
        """The state of an attempt that there is, every change so far included."""
        state: AttemptState = self._row(attempt)[0]
        return state

    def left_behind(self, state: AttemptState) -> list[int]:
        """Attempts in `state` that no process works on, for the one process that holds the ledger: all there are."""
        rows = self.connection.execute("SELECT id FROM attempt WHERE state = ?", (state,)).fetchall()
        return [row[0] for row in rows]

    def _row(self, attempt: int) -> Any:
        """State, reserved and booked price and tries of an attempt; None when there is none."""
        query = "SELECT state, reserved_nanousd, cost_nanousd, tries FROM attempt WHERE id = ?"
        return self.connection.execute(query, (attempt,)).fetchone()

    def _listed(self, attempt: int) -> int:
        """The price that the vendor's list names for an attempt; 0: none."""
        row = self.connection.execute("SELECT listed_nanousd FROM attempt WHERE id = ?", (attempt,)).fetchone()
        return row[0] or 0

    def _seal(self, attempt: int) -> None:
        """Protect a row that was changed against damage."""
        seal(self.connection, attempt)

    def _book(self, attempt: int, *, spent: int = 0, reserved: int = 0, calls: int = 0, attempts: int = 0) -> None:
        """Add what an attempt changes to the totals."""
        self.connection.execute(
            "UPDATE total SET spent_nanousd = spent_nanousd + ?, reserved_nanousd = reserved_nanousd + ?,"
            " calls = calls + ?, attempts = attempts + ?",
            (spent, reserved, calls, attempts),
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
