"""One transaction on the ledger: moving attempts between states, and the totals that move with them.

The transaction is begun and committed by `writer`; what is done in it is `ledger`'s.
"""

import json
import sqlite3
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.sampling.ledger.checksums import seal
from blackbox_conformal.sampling.ledger.lease import Lease
from blackbox_conformal.sampling.ledger.states import COUNTED, RESERVING, STEPS

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


Totals = tuple[int, int, int, int, int]

Row = tuple[str, int, int, int]
"""What a step needs to know of an attempt: state, reserved and booked nano-dollars, tries."""

_MOST_ROWS = 4096


PLANNED: Row = ("planned", 0, 0, 0)


@dataclass(slots=True)
class Known:
    """What the only owner of a ledger need not read again: the totals, and the rows that moved last."""

    totals: Totals | None = None
    rows: dict[int, Row] = field(default_factory=dict)

    def forget(self) -> None:
        """After a transaction that was not kept."""
        self.totals = None
        self.rows.clear()


@lru_cache(maxsize=256)
def _update(columns: tuple[str, ...]) -> str:
    """One statement for any number of rows: the interpreter is handed over at each, and many threads want it."""
    settings = ", ".join(
        f"{column} = json_extract(new.value, '$[{number}]')" for number, column in enumerate(columns, start=1)
    )
    return f"UPDATE attempt SET {settings} FROM json_each(?) AS new WHERE attempt.id = json_extract(new.value, '$[0]')"


class LedgerTransaction:
    """The ledger within one transaction; each row that moved is written once, and the totals with them.

    Parameters
    ----------
    connection
        The ledger, in a transaction.
    lease
        Our hold on it: what was done here counts only while it is ours.
    known
        What earlier transactions of this owner left, so that nothing need be read again at each step.

    Attributes
    ----------
    spent, reserved
        Nano-dollars booked and held, over all attempts.
    calls
        Attempts that count against ``max_calls``.
    attempts
        Rows, whatever became of them.
    commits
        Transactions that were kept, this one included once it is closed.
    """

    __slots__ = (
        "_connection",
        "_known",
        "_lease",
        "_now",
        "_pending",
        "_rows",
        "_touched",
        "attempts",
        "calls",
        "commits",
        "reserved",
        "spent",
    )

    def __init__(self, connection: sqlite3.Connection, lease: Lease, known: Known) -> None:
        self._connection = connection
        self._lease = lease
        self._known = known
        self._rows = known.rows
        self._pending: dict[int, dict[str, Any]] = {}
        self._touched: set[int] = set()
        self._now = time.time()
        if known.totals is None:
            known.totals = tuple(
                connection.execute(
                    "SELECT spent_nanousd, reserved_nanousd, calls, attempts, commits FROM total WHERE id = 1"
                ).fetchone()
            )
        self.spent, self.reserved, self.calls, self.attempts, self.commits = known.totals

    @property
    def connection(self) -> sqlite3.Connection:
        """For statements of one's own: every step so far is in the tables."""
        self.flush()
        return self._connection

    def totals(self) -> Totals:
        """Spent, reserved, calls, attempts, commits."""
        return self.spent, self.reserved, self.calls, self.attempts, self.commits

    def restore(self, totals: Totals) -> None:
        """Go back to earlier totals, with a savepoint."""
        self.spent, self.reserved, self.calls, self.attempts, self.commits = totals
        self._pending.clear()
        self._rows.clear()

    def insert(self, **values: Any) -> int:
        """Write a row of its own for a new attempt; returns its number."""
        marks = ", ".join("?" * len(values))
        cursor = self.connection.execute(
            f"INSERT INTO attempt ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        if cursor.lastrowid is None:
            raise LedgerError("SQLite gave no id for a new attempt")
        self.attempts += 1
        self._touched.add(cursor.lastrowid)
        return cursor.lastrowid

    def note(self, attempt: int, **values: Any) -> None:
        """Write `values` beside an attempt that keeps its state."""
        self._pending.setdefault(attempt, {}).update(values)

    def flush(self) -> None:
        """Write the rows that moved."""
        alike: dict[tuple[str, ...], list[Any]] = {}
        for attempt, values in self._pending.items():
            alike.setdefault(tuple(values), []).append((attempt, *values.values()))
        for columns, given in alike.items():
            self._connection.execute(_update(columns), (json.dumps(given),))
        self._touched.update(self._pending)
        self._pending.clear()

    def close(self) -> None:
        """Write what moved, and the totals; the last thing before the commit.

        Raises
        ------
        LedgerError
            The ledger belongs to another process by now.
        """
        self.flush()
        seal(self._connection, self._touched)
        self.commits += 1
        written = self._connection.execute(
            "UPDATE total SET spent_nanousd = ?, reserved_nanousd = ?, calls = ?, attempts = ?, commits = ?"
            " WHERE id = 1 AND EXISTS (SELECT 1 FROM lease WHERE id = 1 AND generation = ?)",
            (*self.totals(), self._lease.generation),
        ).rowcount
        if written != 1:
            self._lease.guard(self._connection)
            raise LedgerError("the ledger has lost its totals; verify it")
        self._known.totals = self.totals()
        if len(self._rows) > _MOST_ROWS:
            self._rows.clear()

    def move(
        self,
        attempt: int,
        state: str,
        cost: int | None = None,
        reserve: int | None = None,
        origin: Row | None = None,
        **values: Any,
    ) -> None:
        """Take `attempt` to `state`, write `values` beside it, and book its price as the state says.

        Parameters
        ----------
        cost
            What the vendor says that it bills, in nano-dollars; None keeps the price that was reserved.
        reserve
            Price to reserve, for an intent.
        origin
            The attempt's row, where the caller knows it; else it is read.

        Raises
        ------
        LedgerError
            There is no such attempt, or no step from its state to `state`.
        """
        row = self._rows.get(attempt) or origin
        if row is None:
            row = self._connection.execute(
                "SELECT state, reserved_nanousd, cost_nanousd, tries FROM attempt WHERE id = ?", (attempt,)
            ).fetchone()
        if row is None or state not in STEPS[row[0]]:
            raise LedgerError(f"attempt {attempt} cannot go from {row and row[0]} to {state}; verify the ledger")
        before, held, booked, tries = row
        price = held or booked
        reserved, spent = (price, 0) if state in RESERVING else (0, price)
        if state in _UNBILLED:
            reserved, spent = 0, 0
        if cost is not None:
            reserved, spent = 0, cost
        if reserve is not None:
            reserved, spent = reserve, 0
        values["state"] = state
        values[_STAMPS.get(state, "ended_at")] = self._now
        if reserved != held:
            values["reserved_nanousd"] = reserved
        if spent != booked:
            values["cost_nanousd"] = spent
        if state == "sent":
            tries += 1
            values["tries"] = tries
            if tries > 1:
                # A vendor forgets an idempotency key so long after its first use, not its last.
                del values["sent_at"]
        self.note(attempt, **values)
        self._rows[attempt] = (state, reserved, spent, tries)
        self.spent += spent - booked
        self.reserved += reserved - held
        self.calls += (state in COUNTED) - (before in COUNTED)
