"""Records every attempt that may cost money before it is made, and checks the budget in the same transaction.

Every change is on disk when its method returns. Derived classes hold the differences between databases.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from decimal import Decimal
from typing import Any, TypeVar

from blackbox_conformal.drawing.ledger.attempts import COLUMNS, Attempt, AttemptSpec, VendorReport, attempt_from
from blackbox_conformal.drawing.ledger.connection import Connection, Cursor
from blackbox_conformal.drawing.ledger.money import Billed, Budget, PayerCheck, Totals, billed, to_usd
from blackbox_conformal.drawing.ledger.receipts import TOLD, Key, Receipt
from blackbox_conformal.drawing.ledger.states import COUNTED, ENDED, SETTLED, UNSENT, WITH_JOB, AttemptState
from blackbox_conformal.drawing.ledger.transaction import (
    LedgerTransaction,
    columns,
    insert,
    is_unknown,
    on_account,
    record,
    settle_left_behind,
)
from blackbox_conformal.drawing.ledger.writer import Writer
from blackbox_conformal.drawing.run_control import TakenError
from blackbox_conformal.errors import LedgerError

Result = TypeVar("Result")


class AnyLedger(ABC):
    """A ledger that is open for writing; any thread may call any method.

    `shared`: Whether other processes may draw with it at the same time.
    `check_payer`: Called in the transaction that reserves a price, to check what its payer may spend; None: anything.
    """

    _writer: Writer
    shared = False
    # SQLite takes a limited number of values in a statement.
    _asked_at_once = 500
    check_payer: PayerCheck | None = None

    def __init__(self) -> None:
        self._budget = Budget()

    @abstractmethod
    def close(self) -> None:
        """Finish queued writes and give the ledger up."""

    @abstractmethod
    def limit(self, budget: Budget) -> None:
        """Check every reservation from now on against this budget."""

    @abstractmethod
    def totals_in_scope(self) -> Totals:
        """Return money spent and reserved, and calls, for the budget's draws."""

    def _write(self, operation: Callable[[LedgerTransaction], Result], *attempts: int) -> Result:
        """Run `operation` on these attempts; return its result, or raise its error, once its changes are durable.

        It may run more than once, each time as if for the first time.
        """
        return self._writer.call(operation, attempts)

    @abstractmethod
    def _lookup(self) -> AbstractContextManager[Connection]:
        """Give a connection that reads durable changes."""

    @abstractmethod
    def _totals_of_job(self, transaction: LedgerTransaction) -> Totals:
        """Return `totals_in_scope`, with the changes of `transaction` so far."""

    def plan(self, specs: Sequence[AttemptSpec]) -> dict[tuple[str, int], int]:
        """Record submissions to be made; return the attempt of each (task, generation)."""

        def operation(transaction: LedgerTransaction) -> dict[tuple[str, int], int]:
            query = "SELECT id FROM attempt WHERE task = ? AND generation = ? AND state = ?"
            planned, connection = {}, transaction.connection
            for spec in specs:
                row = connection.execute(query, (spec.task, spec.generation, "planned")).fetchone()
                planned[spec.task, spec.generation] = insert(transaction, spec) if row is None else row[0]
            return planned

        return self._write(operation) if specs else {}

    def claim(self, attempt: int) -> None:
        """Record that a worker has taken up a planned attempt, and waits."""
        self._move(attempt, "claimed")

    def put_back(self, attempt: int) -> None:
        """Record that a claimed attempt is not made now; the next `plan` returns it again."""
        self._move(attempt, "planned")

    def reserve(self, spec: AttemptSpec, attempt: int | None, price_nanousd: int, *, alone: bool = False) -> int:
        """Reserve the price of one submission and check the budget in one transaction; return the attempt.

        `alone`: others wait to learn the price from this draw (see `Prices.enter`).
        """
        known = () if attempt is None else (attempt,)
        return self._write(lambda transaction: self._reserve(transaction, spec, attempt, price_nanousd, alone), *known)

    def reserve_and_mark_sent(
        self, spec: AttemptSpec, attempt: int, price_nanousd: int, *, alone: bool = False
    ) -> None:
        """Reserve the price of a planned attempt and record that bytes are about to leave, in one commit."""

        def operation(transaction: LedgerTransaction) -> None:
            # Each step alone would wait for the disk.
            transaction.move(attempt, "claimed")
            self._reserve(transaction, spec, attempt, price_nanousd, alone)
            transaction.move(attempt, "sent")

        self._write(operation, attempt)

    def _reserve(
        self, transaction: LedgerTransaction, spec: AttemptSpec, attempt: int | None, price_nanousd: int, alone: bool
    ) -> int:
        # In the transaction of the reservation, so that two draws cannot both take the last dollar.
        self._budget.check(self._totals_of_job(transaction), price_nanousd)
        if self.check_payer is not None and spec.payer is not None:
            spent, reserved, *_ = transaction.totals_of_payer(spec.payer)
            self.check_payer(spec.payer, spent + reserved + price_nanousd)
        number = insert(transaction, spec) if attempt is None else attempt
        transaction.move(number, "intent", reserve=price_nanousd, **on_account(spec))
        return number

    def limits_money(self) -> bool:
        """Tell whether money is limited now: by the budget, for payers, or for all users of the ledger."""
        return self._budget.limits_money or self.check_payer is not None

    def take(self, attempt: Attempt) -> bool:
        """Go on with an earlier attempt; return False if another process works on it."""
        return True

    def leave(self, attempt: int) -> None:  # noqa: B027 - nothing where no other process is
        """Let other processes go on with an attempt whose job was not fetched."""

    def require_hold(self, attempt: int) -> None:  # noqa: B027 - nothing where no other process is
        """Refuse to repeat a submission that another process may have settled meanwhile."""

    def require_lease(self) -> None:  # noqa: B027 - nothing where no other process is
        """Refuse if this process may draw no more with the ledger."""

    def now(self, wall: float) -> float:
        """Return seconds since 1970 by the clock that dates attempts; `wall` is this machine's."""
        return wall

    def has_company(self) -> bool:
        """Tell whether another process draws with the ledger now."""
        return False

    def may_adopt(self, attempt: int) -> bool:
        """Tell whether no process works any more on an attempt whose answer or job lies in the inbox."""
        return True

    def watch(self, adopt: Callable[[], None]) -> None:  # noqa: B027 - nothing where no other process is
        """Call `adopt`, which takes over the inbox, before leftovers of another process are settled."""

    def sent(self, attempt: int) -> None:
        self._move(attempt, "sent")

    def accepted(self, attempt: int, job: str, report: VendorReport) -> Attempt | None:
        """Record the vendor's job; return another attempt with the same job, if any."""

        def operation(transaction: LedgerTransaction) -> Attempt | None:
            transaction.move(attempt, "accepted", report.cost_nanousd, job=job, **columns(report))
            # Two submissions with one job have one picture for two draws, which must not count as independent; even if
            # this same commit records both.
            transaction.flush()
            row = transaction.connection.execute(
                f"SELECT {COLUMNS} FROM attempt WHERE job = ? AND id != ?"
                " AND adapter = (SELECT adapter FROM attempt WHERE id = ?) LIMIT 1",
                (job, attempt, attempt),
            ).fetchone()
            return None if row is None else attempt_from(row)

        return self._write(operation, attempt)

    def ready(self, attempt: int) -> None:
        self._move(attempt, "ready")

    def stored(self, attempt: int, report: VendorReport, digest: str, size: int, *, valid: bool = False) -> None:
        """Record an answer that is durable in the inbox; `valid`: it passed the check."""
        values = {"digest": digest, "size": size, "error_class": None, "error": None, "code": None, **columns(report)}

        def operation(transaction: LedgerTransaction) -> None:
            transaction.move(attempt, "stored", report.cost_nanousd, **values)
            if valid:
                transaction.move(attempt, "validated")

        self._write(operation, attempt)

    def validated(self, attempt: int) -> None:
        self._move(attempt, "validated")

    def end(
        self,
        attempt: int,
        state: AttemptState,
        report: VendorReport,
        *,
        digest: str | None = None,
        size: int | None = None,
        error_class: str | None = None,
        error: str | None = None,
        code: str | None = None,
    ) -> None:
        """Take an attempt to a state that it may keep, with everything known by then."""
        values: dict[str, Any] = {"error_class": error_class, "error": error, "code": code}
        if digest is not None:
            values |= {"digest": digest, "size": size, "stored_at": time.time()}
        self._move(attempt, state, report, **values)

    def note(self, attempt: int, error_class: str, error: str) -> None:
        """Write the last error beside an attempt that keeps its state."""
        self._write(lambda transaction: transaction.note(attempt, error_class=error_class, error=error), attempt)

    def _move(self, attempt: int, state: AttemptState, report: VendorReport | None = None, **values: Any) -> None:
        cost = None if report is None else report.cost_nanousd
        values |= {} if report is None else columns(report)
        self._write(lambda transaction: transaction.move(attempt, state, cost, **values), attempt)

    def adopt(self, attempt: int, digest: str, size: int, report: VendorReport) -> bool:
        """Record an answer that a dead process had made durable; return False if no attempt waits for it."""
        # Ends as well: the ledger may have settled an attempt whose answer turned up in the inbox later.
        waiting = ("sent", *WITH_JOB, "ambiguous", *SETTLED)
        return self._adopt(attempt, "stored", waiting, report, digest=digest, size=size)

    def adopt_job(self, attempt: int, job: str, report: VendorReport) -> bool:
        """Record a job that an earlier process could not record; return as `adopt`."""
        return self._adopt(attempt, "accepted", ("sent", "ambiguous", *SETTLED), report, job=job)

    def reopen(self, attempts: Sequence[int]) -> int:
        """Let these refusals count no more; return how many were reopened."""
        return self._write(lambda transaction: sum([transaction.reopen(number) for number in attempts]), *attempts)

    def settle(self, attempt: Attempt, cost_nanousd: int) -> bool:
        """End an ambiguous attempt, and book its cost on an invoice.

        Returns False if the attempt is not ambiguous any more, or another process works on it.
        """
        number = attempt.id
        return self.take(attempt) and self._write(lambda transaction: transaction.settle(number, cost_nanousd), number)

    def _adopt(
        self, attempt: int, state: AttemptState, waiting: tuple[AttemptState, ...], report: VendorReport, **values: Any
    ) -> bool:
        values |= {"error_class": None, "error": None, **columns(report)}

        def operation(transaction: LedgerTransaction) -> bool:
            query = "SELECT state FROM attempt WHERE id = ?"
            row = transaction.connection.execute(query, (attempt,)).fetchone()
            # An answer to an unsent attempt shows that the ledger is an older copy.
            if row is None or row[0] in (*UNSENT, "cancelled"):
                raise LedgerError(
                    f"inbox/ holds an answer to attempt {attempt}, of which the ledger does not know that it was sent:"
                    " it has lost its newest entries, and what they paid for would be paid again. Restore the newest"
                    " ledger, or move that file away to go on with this one"
                )
            if row[0] not in waiting:
                return False
            transaction.move(attempt, state, report.cost_nanousd, **values)
            return True

        return self._write(operation, attempt)

    def recover(self) -> int:
        """Settle what dead processes left half done; return how many attempts may have been billed for nothing.

        Unsent attempts are freed; sent ones without job or bytes become ``ambiguous``, booked at full price. Adopt the
        store's inbox first.
        """

        return self._write(settle_left_behind)

    def commits(self) -> int:
        """Return how many commits the ledger has seen; an older copy has seen fewer."""
        with self._lookup() as reader:
            return int(reader.execute("SELECT commits FROM total").fetchone()[0])

    def unknown(self, keys: Sequence[Key]) -> set[Key]:
        """Return the keys whose ends this ledger does not know; if any, it is an older copy."""
        ended = set[tuple[str, int]]()
        query = f"SELECT task, generation FROM attempt WHERE state IN {ENDED} AND task IN "
        with self._lookup() as reader:
            for start in range(0, len(keys), 500):
                part = [key.task for key in keys[start : start + 500]]
                ended.update(map(tuple, reader.execute(f"{query} ({', '.join('?' * len(part))})", part)))
        left = [key for key in keys if key[:2] not in ended]
        attempts = self.rows(key.task for key in left)
        return {key for key in left if is_unknown(key, attempts.get(key.task, ()))}

    def record(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Record ends of attempts that the ledger does not know, whatever they cost; return the recorded ones."""
        try:
            return self._write(lambda transaction: [one for one in receipts if record(transaction, one)])
        except TakenError:
            raise LedgerError(
                "the ledger is an older copy of itself, by which another process is at a draw that is paid and answered"
                " already. Stop all processes that draw with this ledger, and run again in half a minute"
            ) from None

    def receipt(self, attempt: int) -> Receipt:
        names = [field.name for field in fields(AttemptSpec)]
        with self._lookup() as reader:
            row = dict(reader.execute("SELECT * FROM attempt WHERE id = ?", (attempt,)).fetchone())
        spec = {name: row[name] for name in names} | {"priced": bool(row["priced"])}
        spec["seed"] = None if row["seed"] is None else int(row["seed"])
        told = {name: row[name] for name in TOLD}
        seed = None if row["vendor_seed"] is None else int(row["vendor_seed"])
        report = VendorReport(None, row["model"], row["request_id"], seed)
        return Receipt(AttemptSpec(**spec), row["state"], row["sent_at"], row["cost_nanousd"], report, **told)

    def rows(self, keys: Iterable[str]) -> dict[str, list[Attempt]]:
        """Return all attempts of each task, oldest first."""
        attempts: dict[str, list[Attempt]] = {}
        # Rows share the caller's copy of each key: a hundred thousand equal texts would be kept twice.
        own = {key: key for key in keys}
        tasks = list(own)
        for start in range(0, len(tasks), self._asked_at_once):
            with self._lookup() as reader:
                rows = self._rows(reader, tasks[start : start + self._asked_at_once]).fetchall()
            for row in rows:
                task = own[row["task"]]
                attempts.setdefault(task, []).append(attempt_from(row, task))
        return attempts

    def _rows(self, reader: Connection, tasks: Sequence[str]) -> Cursor:
        marks = ", ".join("?" * len(tasks))
        return reader.execute(f"SELECT {COLUMNS} FROM attempt WHERE task IN ({marks}) ORDER BY id", tasks)

    def attempt(self, number: int) -> Attempt | None:
        with self._lookup() as reader:
            row = reader.execute(f"SELECT {COLUMNS} FROM attempt WHERE id = ?", (number,)).fetchone()
        return None if row is None else attempt_from(row)

    def earlier_with_same_job(self, attempt: Attempt) -> Attempt | None:
        """Return an earlier attempt with the picture of the same job, if any."""
        with self._lookup() as reader:
            row = reader.execute(
                f"SELECT {COLUMNS} FROM attempt WHERE adapter = ? AND job = ? AND id < ? AND state != ? LIMIT 1",
                (attempt.adapter, attempt.job, attempt.id, "invalid"),
            ).fetchone()
        return None if row is None else attempt_from(row)

    def billed(self, identity: str) -> Billed:
        """Return the bills of this procedure so far."""
        with self._lookup() as reader:
            return billed(reader, identity)

    def payers(self) -> dict[str, Totals]:
        """Return money booked and held, and calls, on each payer's account, by name."""
        with self._lookup() as reader:
            rows = reader.execute("SELECT name, spent_nanousd, reserved_nanousd, calls FROM payer ORDER BY name")
            return {row[0]: Totals(*tuple(row)[1:]) for row in rows.fetchall()}

    def totals_of_request(self, request: str) -> Totals:
        """Return money booked and held, and calls, for a request."""
        query = (
            "SELECT COALESCE(SUM(cost_nanousd), 0), COALESCE(SUM(reserved_nanousd), 0),"
            f" COUNT(*) FILTER (WHERE state IN {COUNTED}) FROM attempt WHERE request = ?"
        )
        with self._lookup() as reader:
            return Totals(*reader.execute(query, (request,)).fetchone())

    @property
    def budget(self) -> Budget:
        return self._budget

    def totals(self) -> tuple[Decimal, Decimal, int]:
        """Return US dollars spent and reserved, and calls, for the budget's draws."""
        spent, reserved, calls, _ = self.totals_in_scope()
        return to_usd(spent), to_usd(reserved), calls
