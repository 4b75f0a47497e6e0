"""Changes the ledger within one transaction: attempts between states, and the totals that move with them.

These are the rules of money in every database. `writer` begins the transaction; changes are written at its end, once
for each attempt, or before a question.
"""

import time
from collections.abc import Sequence
from typing import Any

from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.connection import Connection, Cursor
from blackbox_conformal.drawing.ledger.money import Totals
from blackbox_conformal.drawing.ledger.receipts import TOLD, Key, Receipt
from blackbox_conformal.drawing.ledger.sqlite_schema import update_sealed
from blackbox_conformal.drawing.ledger.states import (
    COUNTED,
    REOPENED,
    RESERVING,
    SETTLED,
    STEPS,
    UNBILLED,
    UNSENT,
    WITH_JOB,
    AttemptState,
)
from blackbox_conformal.errors import LedgerError

_PAYER = 4
_TIMES = {state: f"{state}_at" for state in ("planned", "claimed", "intent", "sent", "accepted", "ready", "stored")}
"""The column with the time at which an attempt reached a state; ``ended_at`` for all others."""


class LedgerTransaction:
    _COLUMNS: tuple[str, ...] = ("state", "reserved_nanousd", "cost_nanousd", "tries", "payer")
    """Values that are kept of each attempt, from its state on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._now = time.time()
        self._before: Totals | None = None
        self._booked = Totals()
        self._booked_of_payer: dict[str, Totals] = {}
        self._inserted = 0
        self._rows: dict[int, list[Any]] = {}
        self._changes: dict[int, dict[str, Any]] = {}

    @property
    def connection(self) -> Connection:
        """Return the connection for questions; its answers count every change so far."""
        self.flush()
        return self._connection

    def flush(self) -> None:
        """Write the changes of each attempt so far."""
        changes, self._changes = self._changes, {}
        for attempt, values in changes.items():
            update_sealed(self._connection, attempt, values)

    def commit(self) -> int:
        """Write changes and bookings; return the number of commits that the ledger has seen then."""
        self.flush()
        # All rows are fetched: SQLite cannot commit before the end of a statement.
        rows = self._write_totals().fetchall()
        if not rows:
            raise LedgerError("the ledger has lost its totals; verify it")
        self._connection.execute("COMMIT")
        return int(rows[0][0])

    def _write_totals(self) -> Cursor:
        """Add bookings to the totals; return the cursor of the number of commits."""
        for payer, booked in self._booked_of_payer.items():
            self._connection.execute(
                "INSERT INTO payer VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " spent_nanousd = payer.spent_nanousd + excluded.spent_nanousd,"
                " reserved_nanousd = payer.reserved_nanousd + excluded.reserved_nanousd,"
                " calls = payer.calls + excluded.calls",
                (payer, booked.spent, booked.reserved, booked.calls),
            )
        spent, reserved, calls, _ = self._booked
        return self._connection.execute(
            "UPDATE total SET spent_nanousd = spent_nanousd + ?, reserved_nanousd = reserved_nanousd + ?,"
            " calls = calls + ?, attempts = attempts + ?, commits = commits + 1 RETURNING commits",
            (spent, reserved, calls, self._inserted),
        )

    def totals(self) -> Totals:
        """Sum all attempts, with every change so far."""
        if self._before is None:
            row = self._connection.execute("SELECT spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
            self._before = Totals(*row)
        return self._before.plus(self._booked)

    def totals_of_payer(self, name: str) -> Totals:
        """Sum the attempts on a payer's account, with every change so far."""
        query = "SELECT spent_nanousd, reserved_nanousd, calls FROM payer WHERE name = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        return Totals(*(row or ())).plus(self._booked_of_payer.get(name, Totals()))

    def insert(self, **values: Any) -> int:
        """Write a new planned attempt; return its number."""
        values |= {"state": "planned", "planned_at": self._now}
        marks = ", ".join("?" * len(values))
        rows = self._connection.execute(
            f"INSERT INTO attempt ({', '.join(values)}) VALUES ({marks}) RETURNING id", tuple(values.values())
        ).fetchall()
        number = int(rows[0][0])
        self._inserted += 1
        self._rows[number], self._changes[number] = ["planned", 0, 0, 0, values["payer"]], {}
        return number

    def note(self, attempt: int, **values: Any) -> None:
        """Write `values` beside an attempt that keeps its state."""
        row = self._row(attempt)
        if row is None:
            return
        self._changes.setdefault(attempt, {}).update(values)
        for place, name in enumerate(self._COLUMNS):
            row[place] = values.get(name, row[place])

    def move(
        self, attempt: int, state: AttemptState, cost: int | None = None, reserve: int | None = None, **values: Any
    ) -> None:
        """Take `attempt` to `state`, write `values` beside it, and book its price as the state says.

        `cost`: Nano-dollars that the vendor bills; None keeps the reserved price.
        `reserve`: Price to reserve, for an intent.
        """
        row = self._row(attempt)
        if row is None or state not in STEPS[row[0]]:
            raise LedgerError(f"attempt {attempt} cannot go from {row and row[0]} to {state}; verify the ledger")
        before, reserved_before, spent_before, tries = row[:4]
        price = reserved_before or spent_before
        if not price and before == "failed":
            # Settled as not billed, and answered after all.
            price = self._listed(attempt)
        reserved, spent = _booked(state, price, cost, reserve)
        values |= {"state": state, "reserved_nanousd": reserved, "cost_nanousd": spent}
        if state == "sent":
            values["tries"] = tries + 1
        if state != "sent" or tries == 0:
            # A vendor forgets an idempotency key some time after its first use, so sent_at keeps the first.
            values[_TIMES.get(state, "ended_at")] = self._now
        self.note(attempt, **values)
        self._book(
            attempt,
            spent=spent - spent_before,
            reserved=reserved - reserved_before,
            calls=(state in COUNTED) - (before in COUNTED),
        )

    def settle(self, attempt: int, cost: int) -> bool:
        """End an ambiguous attempt at an invoice's `cost` in nano-dollars; return False if it is not ambiguous."""
        if self.state_of(attempt) != "ambiguous":
            return False
        error = f"it was never answered; {'' if cost else 'not '}billed, by the vendor's invoice"
        self.move(attempt, "expired" if cost else "failed", cost, priced=1, error_class="M", error=error)
        return True

    def reopen(self, attempt: int) -> bool:
        """Let a refusal count no more, whatever was billed for it; return False if the attempt was not refused."""
        if self.state_of(attempt) != "refused":
            return False
        self.note(attempt, error_class=REOPENED)
        return True

    def state_of(self, attempt: int) -> AttemptState:
        """Return the state of an existing attempt, with every change so far."""
        state: AttemptState = self._row(attempt)[0]
        return state

    def left_behind(self, state: AttemptState) -> list[int]:
        """Return attempts in `state` that no process works on."""
        rows = self.connection.execute("SELECT id FROM attempt WHERE state = ?", (state,)).fetchall()
        return [row[0] for row in rows]

    def _row(self, attempt: int) -> Any:
        if attempt not in self._rows:
            query = f"SELECT {', '.join(self._COLUMNS)} FROM attempt WHERE id = ?"
            row = self._connection.execute(query, (attempt,)).fetchone()
            if row is None:
                return None
            self._rows[attempt] = list(row)
        return self._rows[attempt]

    def _listed(self, attempt: int) -> int:
        row = self._connection.execute("SELECT listed_nanousd FROM attempt WHERE id = ?", (attempt,)).fetchone()
        return row[0] or 0

    def _book(self, attempt: int, *, spent: int, reserved: int, calls: int) -> None:
        change = Totals(spent, reserved, calls)
        self._booked = self._booked.plus(change)
        payer = self._row(attempt)[_PAYER]
        if payer is not None and any(change):
            self._booked_of_payer[payer] = self._booked_of_payer.get(payer, Totals()).plus(change)


def _booked(state: AttemptState, price: int, cost: int | None, reserve: int | None) -> tuple[int, int]:
    # Returns nano-dollars to hold, and to book.
    if reserve is not None:
        return reserve, 0
    if cost is not None:
        return 0, cost
    if state in UNBILLED:
        return 0, 0
    return (price, 0) if state in RESERVING else (0, price)


def insert(transaction: LedgerTransaction, spec: AttemptSpec) -> int:
    """Write a new planned attempt; return its number."""
    values = {name: getattr(spec, name) for name in AttemptSpec.__dataclass_fields__}
    values["seed"] = None if spec.seed is None else str(spec.seed)
    values["priced"] = int(spec.priced)
    return transaction.insert(**values)


def on_account(spec: AttemptSpec) -> dict[str, Any]:
    """Return the payer's columns of a submission: a planned draw may be made for another payer."""
    return {"payer": spec.payer, "request": spec.request, "member": spec.member}


def columns(report: VendorReport) -> dict[str, Any]:
    values = {
        "model": report.model,
        "request_id": report.request_id,
        "vendor_seed": None if report.vendor_seed is None else str(report.vendor_seed),
        "priced": None if report.cost_nanousd is None else 1,
    }
    return {column: value for column, value in values.items() if value is not None}


def settle_left_behind(transaction: LedgerTransaction) -> int:
    """Settle attempts that no process works on any more (see `AnyLedger.recover`)."""
    for attempt in transaction.left_behind("claimed"):
        transaction.move(attempt, "planned")
    for attempt in transaction.left_behind("intent"):
        transaction.move(attempt, "cancelled", error_class="N", error="the process ended before sending")
    sent = transaction.left_behind("sent")
    for attempt in sent:
        error = "the process ended before it had recorded what came of this request"
        transaction.move(attempt, "ambiguous", error_class="M", error=error)
    return len(sent)


def is_unknown(key: Key, attempts: Sequence[Attempt]) -> bool:
    """Tell whether a ledger with these attempts at a draw does not know a receipt's end.

    Attempts of other living processes are left alone: their receipt comes before their change of the ledger.
    """
    made = [one for one in attempts if one.generation == key.generation and one.state != "cancelled"]
    if not made or made[-1].state in UNSENT:
        return True
    # As far as the ledger knows, attempts that an invoice settled were never answered.
    open_ended = made[-1].state in (*WITH_JOB, "ambiguous", *SETTLED) and made[-1].digest is None
    return open_ended and key.state in STEPS[made[-1].state] and not made[-1].busy


def record(transaction: LedgerTransaction, receipt: Receipt) -> bool:
    """Record the end of an attempt as its receipt says; return False if the ledger knows it meanwhile."""
    spec = receipt.spec
    row = transaction.connection.execute(
        "SELECT id FROM attempt WHERE task = ? AND generation = ? AND state <> 'cancelled' ORDER BY id DESC LIMIT 1",
        (spec.task, spec.generation),
    ).fetchone()
    attempt = insert(transaction, spec) if row is None else int(row[0])
    state = transaction.state_of(attempt)
    if state in UNSENT:
        if state != "intent":
            transaction.move(attempt, "intent", reserve=receipt.price_nanousd, **on_account(spec))
        transaction.note(attempt, intent_at=receipt.at)
        transaction.move(attempt, "sent")
    elif receipt.state not in STEPS[state]:
        return False
    ended = "stored_at" if receipt.state == "stored" else "ended_at"
    values: dict[str, Any] = {name: getattr(receipt, name) for name in TOLD}
    transaction.move(attempt, receipt.state, receipt.cost_nanousd, **values, **columns(receipt.report))
    transaction.note(attempt, **{"sent_at": receipt.at, ended: receipt.at})
    return True
