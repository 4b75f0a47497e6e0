"""Changes a shared ledger within one transaction.

Each transaction begins by locking the row of totals, so all transactions of a ledger run one after another: the rules
of a ledger in one process hold, and a limit holds at every instant over all machines. An attempt under way has an
owner, a process that renews its lease; no other process takes a step that leads to paying. The process that has a
vendor's answer records it, even after the end of its lease.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.connection import Cursor
from blackbox_conformal.drawing.ledger.money import Totals
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection
from blackbox_conformal.drawing.ledger.states import COUNTED, WHOLE, WITH_JOB, AttemptState
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction
from blackbox_conformal.drawing.run_control import TakenError
from blackbox_conformal.errors import LedgerError

_MINUTE_S = 60
_DAY_S = 24 * 3600
_OWNED: tuple[AttemptState, ...] = ("claimed", "intent", "sent", *WITH_JOB)
_PAYING: tuple[AttemptState, ...] = ("claimed", "intent", "sent")
# A later state includes these, so they need not be recorded again.
_SAID_BY: dict[AttemptState, tuple[AttemptState, ...]] = {"ready": ("ready", *WHOLE), "stored": WHOLE}
_KINDS = dict.fromkeys(("generation", "draw", "priced", "member"), "integer")
_KINDS |= dict.fromkeys(("pixels", "listed_nanousd"), "bigint")
_TASK, _OWNER, _INTENT_AT = 5, 6, 7
_SUMS = "SELECT spent_nanousd, reserved_nanousd, calls FROM budget WHERE name = ?"

NOW = "extract(epoch FROM clock_timestamp())::double precision"
# While the database is away no process can renew its lease, so after its return each gets one more.
EXPIRED = f"GREATEST(expires_at, extract(epoch FROM pg_postmaster_start_time())::double precision + lease_s) < {NOW}"
LIVES = f"NOT ended AND NOT {EXPIRED}"
# A process that was ended while it stood still may have recorded late answers afterwards, and so owned attempts.
UNSETTLED = f"{EXPIRED} AND (NOT ended OR EXISTS (SELECT 1 FROM attempt WHERE attempt.owner = owner.id))"
_FENCED = (
    "this process stood still for longer than its lease, and others settled what it had under way, so nothing more is"
    " sent from here; run the same command again"
)


class PostgresTransaction(LedgerTransaction):
    """The ledger within one transaction of the process `me`.

    `fenced`: Whether another process found this one's lease over, and settled its attempts under way.
    `limit_nanousd`: The most that may be booked and held in all; None: no limit.
    """

    _COLUMNS = (*LedgerTransaction._COLUMNS, "task", "owner", "intent_at")
    _connection: PostgresConnection

    def __init__(self, connection: PostgresConnection, me: UUID) -> None:
        super().__init__(connection)
        self._me = me
        self._acting = {me}
        self._dead: list[UUID] = []
        self.fenced = False
        self.limit_nanousd: int | None = None
        self._booked_of: dict[str, Counter[str]] = {}
        self._minutes: Counter[int] = Counter()
        self._budgets: dict[str, tuple[int, int, int]] = {}
        self._counted: dict[tuple[str, str], bool] = {}

    @property
    def connection(self) -> PostgresConnection:
        """Return the connection for questions; changes are written with the commit."""
        return self._connection

    def begin(self, batch: UUID, attempts: Sequence[int], budget: str) -> bool:
        """Lock the ledger and renew the lease; return False if the transaction `batch` was committed before.

        The attempts and the sums of the budget are read in the same exchange, since others wait from now on.
        """
        # One exchange with the server instead of five: the lock on the totals is held for all of them.
        with self.connection.together():
            # FOR UPDATE makes all transactions of the ledger queue here.
            self.connection.execute("BEGIN")
            totals = self.connection.execute(
                f"SELECT spent_nanousd, reserved_nanousd, calls, limit_nanousd, {NOW} FROM total FOR UPDATE"
            )
            # Every transaction renews the lease, so a working process needs no other sign of life.
            renewed = self.connection.execute(
                f"UPDATE owner SET batch = ?, expires_at = {NOW} + owner.lease_s FROM owner AS before"
                " WHERE owner.id = ? AND before.id = owner.id RETURNING before.batch, owner.ended",
                (batch, self._me),
            )
            read = self.connection.execute(
                "SELECT id, EXISTS (SELECT 1 FROM budget_task WHERE budget_task.task = attempt.task AND budget = ?),"
                f" {', '.join(self._COLUMNS)} FROM attempt WHERE id = ANY(?)",
                (budget, attempts),
            )
            sums_of_budget = self.connection.execute(_SUMS, (budget,))
        *sums, self.limit_nanousd, self._now = totals.fetchone()
        self._before, row = Totals(*sums), renewed.fetchone()
        if row is None:
            raise LedgerError("the ledger does not know this process any more, so nothing more is sent; run again")
        self.fenced = row[1]
        for number, counted, *values in read.fetchall():
            self._rows[number] = values
            self._counted[budget, values[_TASK]] = counted
        if (found := sums_of_budget.fetchone()) is not None:
            self._budgets[budget] = tuple(found)
        # The same batch number means that this very transaction was committed before a cut.
        return bool(row[0] != batch)

    def commit(self) -> int:
        """Write changes and bookings at once; return the number of commits that the ledger has seen then."""
        with self._connection.together():
            self.flush()
            commits = self._write_totals()
            self._connection.execute("COMMIT")
        return int(commits.fetchone()[0])

    def flush(self) -> None:
        changes, self._changes = self._changes, {}
        for attempt, values in changes.items():
            settings = ", ".join(f"{column} = ?" for column in values)
            self._connection.execute(f"UPDATE attempt SET {settings} WHERE id = ?", (*values.values(), attempt))

    def _write_totals(self) -> Cursor:
        commits = super()._write_totals()
        # Money that moved forth and back within the transaction changes no budget.
        tasks = [task for task, counts in self._booked_of.items() if any(counts.values())]
        if tasks:
            columns = [[self._booked_of[task][name] for task in tasks] for name in ("spent", "reserved", "calls")]
            self.connection.execute(
                "UPDATE budget SET spent_nanousd = budget.spent_nanousd + more.spent,"
                " reserved_nanousd = budget.reserved_nanousd + more.reserved, calls = budget.calls + more.calls"
                " FROM (SELECT budget AS name, SUM(spent)::bigint AS spent, SUM(reserved)::bigint AS reserved,"
                " SUM(calls)::bigint AS calls FROM unnest(?::text[], ?::bigint[], ?::bigint[], ?::bigint[])"
                " AS booked (task, spent, reserved, calls) JOIN budget_task USING (task) GROUP BY budget) AS more"
                " WHERE budget.name = more.name",
                (tasks, *columns),
            )
        for minute, nanousd in self._minutes.items():
            self.connection.execute(
                "INSERT INTO booked_by_minute VALUES (?, ?) ON CONFLICT (minute)"
                " DO UPDATE SET nanousd = booked_by_minute.nanousd + excluded.nanousd",
                (minute, nanousd),
            )
        return commits

    def totals_of(self, budget: str) -> Totals:
        """Sum the attempts of a budget, with every change so far."""
        if budget not in self._budgets:
            row = self.connection.execute(_SUMS, (budget,)).fetchone()
            if row is None:
                raise LedgerError(f"the ledger has lost the budget {budget}; verify it")
            self._budgets[budget] = tuple(row)
        spent, reserved, calls = self._budgets[budget]
        # The row was read at the beginning: later bookings of this transaction come on top.
        for task in self._counted_tasks(budget):
            booked = self._booked_of[task]
            spent, reserved, calls = spent + booked["spent"], reserved + booked["reserved"], calls + booked["calls"]
        return Totals(spent, reserved, calls)

    def _counted_tasks(self, budget: str) -> list[str]:
        # Only tasks that this transaction booked.
        unknown = [task for task in self._booked_of if (budget, task) not in self._counted]
        if unknown:
            query = "SELECT task FROM budget_task WHERE budget = ? AND task = ANY(?)"
            found = {row[0] for row in self.connection.execute(query, (budget, unknown)).fetchall()}
            self._counted |= {(budget, task): task in found for task in unknown}
        return [task for task in self._booked_of if self._counted[budget, task]]

    def spent_of_day(self) -> int:
        """Return nano-dollars booked for submissions of the last 24 hours and the minute before."""
        first = int((self._now - _DAY_S) // _MINUTE_S)
        row = self.connection.execute(
            "SELECT COALESCE(SUM(nanousd), 0) FROM booked_by_minute WHERE minute >= ?", (first,)
        ).fetchone()
        # The table gets this transaction's minutes only at the commit.
        return int(row[0]) + sum(nanousd for minute, nanousd in self._minutes.items() if minute >= first)

    def plan(self, specs: Sequence[AttemptSpec]) -> dict[tuple[str, int], int]:
        """Plan submissions that are neither made nor planned; return the planned ones by task, generation."""
        names = [field.name for field in fields(AttemptSpec)]
        rows = [asdict(spec) for spec in specs]
        for row in rows:
            row["seed"] = None if row["seed"] is None else str(row["seed"])
            row["priced"] = int(row["priced"])
        arrays = ", ".join(f"?::{_KINDS.get(name, 'text')}[]" for name in names)
        made = self.connection.execute(
            f"INSERT INTO attempt ({', '.join(names)}, state, planned_at) SELECT *, 'planned', {NOW}"
            # Another process may have planned the same draw; the next statement finds its row.
            f" FROM unnest({arrays}) ON CONFLICT (task, generation) WHERE state <> 'cancelled' DO NOTHING",
            [[row[name] for row in rows] for name in names],
        )
        self._inserted += made.rowcount
        found = self.connection.execute(
            "SELECT task, generation, id FROM attempt WHERE task = ANY(?) AND state = 'planned'",
            ([spec.task for spec in specs],),
        ).fetchall()
        return {(row[0], row[1]): row[2] for row in found}

    def insert(self, **values: Any) -> int:
        """Write a new planned attempt, or find the existing one; return its number."""
        values |= {"state": "planned", "planned_at": self._now}
        marks = ", ".join("?" * len(values))
        row = self.connection.execute(
            f"INSERT INTO attempt ({', '.join(values)}) VALUES ({marks})"
            " ON CONFLICT (task, generation) WHERE state <> 'cancelled' DO NOTHING RETURNING id",
            tuple(values.values()),
        ).fetchone()
        if row is not None:
            self._inserted += 1
            self._rows[row[0]] = ["planned", 0, 0, 0, values["payer"], values["task"], None, None]
            return int(row[0])
        row = self.connection.execute(
            "SELECT id FROM attempt WHERE task = ? AND generation = ? AND state = 'planned'",
            (values["task"], values["generation"]),
        ).fetchone()
        if row is None:
            raise TakenError
        return int(row[0])

    def move(
        self, attempt: int, state: AttemptState, cost: int | None = None, reserve: int | None = None, **values: Any
    ) -> None:
        """Take an attempt to `state` (see `LedgerTransaction.move`), and own it while it is under way."""
        row = self._row(attempt)
        # A late word of a process that was taken for dead must not undo what others know by now.
        if row is not None and row[0] in _SAID_BY.get(state, (state,)) and state not in _PAYING:
            return  # Another process has recorded this, or more, of the same submission.
        others = row is not None and row[_OWNER] is not None and row[_OWNER] not in self._acting
        if state in _PAYING and row is not None:
            if self.fenced:
                raise LedgerError(_FENCED)
            # Only a planned attempt may be claimed: any other is under way somewhere.
            if others or (state == "claimed" and row[0] != "planned"):
                raise TakenError
        # An attempt stays with its owner, even if this process records the vendor's answer.
        values["owner"] = (row[_OWNER] if others else self._me) if state in _OWNED and row is not None else None
        super().move(attempt, state, cost, reserve, **values)

    def _book(self, attempt: int, *, spent: int, reserved: int, calls: int) -> None:
        super()._book(attempt, spent=spent, reserved=reserved, calls=calls)
        row = self._row(attempt)
        self._booked_of.setdefault(row[_TASK], Counter()).update(spent=spent, reserved=reserved, calls=calls)
        # Booked to the minute of the reservation, so that giving back falls into the same day.
        if spent:
            self._minutes[int((row[_INTENT_AT] or 0) // _MINUTE_S)] += spent

    def count_in(self, budget: str, task: str) -> None:
        """Let a budget count the attempts at a task from now on."""
        self.connection.execute("INSERT INTO budget_task VALUES (?, ?) ON CONFLICT DO NOTHING", (task, budget))
        self._counted[budget, task] = True

    def begin_budget(self, name: str, tasks: Sequence[str]) -> None:
        """Make sure that a budget of that name exists, which counts all attempts at these tasks."""
        self.connection.execute(
            f"INSERT INTO budget (name, began_at) VALUES (?, {NOW}) ON CONFLICT DO NOTHING", (name,)
        )
        added = self.connection.execute(
            "INSERT INTO budget_task (task, budget) SELECT task, ? FROM unnest(?::text[]) AS task"
            " ON CONFLICT DO NOTHING",
            (name, list(tasks)),
        )
        if added.rowcount:
            self.connection.execute(
                "UPDATE budget SET (spent_nanousd, reserved_nanousd, calls) = (SELECT"
                " COALESCE(SUM(cost_nanousd), 0), COALESCE(SUM(reserved_nanousd), 0),"
                " COUNT(*) FILTER (WHERE state = ANY(?)) FROM attempt JOIN budget_task USING (task)"
                " WHERE budget_task.budget = budget.name) WHERE name = ?",
                (list(COUNTED), name),
            )
        self._budgets.pop(name, None)
        self._counted |= {(name, task): True for task in tasks}

    def take(self, attempt: int, state: AttemptState) -> bool:
        """Own an attempt in `state` that no process works on; return True if this process owns it."""
        row = self._row(attempt)
        if row is None or row[0] != state or row[_OWNER] not in (None, self._me):
            return False
        self.note(attempt, owner=self._me)
        return True

    def leave(self, attempt: int) -> None:
        row = self._row(attempt)
        if row is not None and row[_OWNER] == self._me:
            self.note(attempt, owner=None)

    def require_hold(self, attempt: int) -> None:
        """Refuse to repeat a submission that this process no longer owns."""
        row = self._row(attempt)
        if self.fenced or row is None or row[0] != "sent" or row[_OWNER] != self._me:
            raise LedgerError(_FENCED)

    def require_lease(self) -> None:
        """Refuse to go on if this process was taken for dead."""
        if self.fenced:
            raise LedgerError(_FENCED)

    def end_owners(self, *, myself: bool = False) -> list[UUID]:
        """End the owners whose lease is over, or only this process; `left_behind` then returns their attempts."""
        which = "id = ?" if myself else f"id <> ? AND {UNSETTLED}"
        rows = self.connection.execute(
            f"UPDATE owner SET ended = TRUE WHERE {which} RETURNING id", (self._me,)
        ).fetchall()
        self._dead = [row[0] for row in rows]
        self._acting.update(self._dead)
        return self._dead

    def left_behind(self, state: AttemptState) -> list[int]:
        """Return attempts in `state` whose owners were ended in this transaction."""
        query = "SELECT id FROM attempt WHERE state = ? AND owner = ANY(?) ORDER BY id"
        return [row[0] for row in self.connection.execute(query, (state, self._dead)).fetchall()]

    def release(self, owners: Sequence[UUID]) -> None:
        """Let others go on with these owners' attempts under way: jobs that the vendor has."""
        self.connection.execute("UPDATE attempt SET owner = NULL WHERE owner = ANY(?)", (list(owners),))
        for row in self._rows.values():
            row[_OWNER] = None if row[_OWNER] in owners else row[_OWNER]
