"""Every attempt that may cost money, recorded before it is made; the budget is checked in the same transaction.

The file is opened by `ledgerfile`, written by `writer`, read by `queries`; the rules of the states are in `states`.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.sampling.ledger.allowance import UNLIMITED, Allowance, Sums
from blackbox_conformal.sampling.ledger.attempts import COLUMNS, Attempt, AttemptSpec, VendorReport, attempt_from
from blackbox_conformal.sampling.ledger.lease import Lease, acquire
from blackbox_conformal.sampling.ledger.ledger_file import (
    Place,
    ledger_path,
    open_for_reading,
    open_for_writing,
    told_of,
)
from blackbox_conformal.sampling.ledger.states import COUNTED, UNSENT, WITH_JOB
from blackbox_conformal.sampling.ledger.transaction import PLANNED, LedgerTransaction
from blackbox_conformal.sampling.ledger.writer import Ticket, Writer
from blackbox_conformal.sampling.money import to_usd


def _observed(seen: VendorReport) -> dict[str, Any]:
    values: dict[str, Any] = {"model": seen.model, "request_id": seen.request_id}
    if seen.vendor_seed is not None:
        values["vendor_seed"] = str(seen.vendor_seed)
    if seen.cost_nanousd is not None:
        values["priced"] = 1
    return {column: value for column, value in values.items() if value is not None}


class Ledger:
    """The ledger of one run folder, owned by this process until `close`."""

    def __init__(self, run: Path) -> None:
        connection = open_for_writing(run)
        try:
            with told_of(ledger_path(run)):
                place = Place(run)
                self._lease: Lease = acquire(connection, run)
        except BaseException:
            connection.close()
            raise
        self._writer = Writer(connection, self._lease, place)
        reader = open_for_reading(run, whole=False)
        if reader is None:
            raise LedgerError(f"the ledger in {run} vanished while it was opened")
        self._reader = reader
        self._reading = threading.Lock()
        self._path = ledger_path(run)

    def close(self) -> None:
        """Finish queued writes and give the ledger up."""
        with self._lookup() as reader:
            reader.close()
        try:
            self._writer.call(lambda book: self._lease.release(book.connection))
        except (LedgerError, MemoryError):
            pass  # Whoever waited for a write was told.
        finally:
            self._writer.close()
            self._lease.drop()

    @contextmanager
    def _lookup(self) -> Iterator[sqlite3.Connection]:
        with self._reading, told_of(self._path):
            yield self._reader

    def plan(self, wanted: Sequence[AttemptSpec]) -> dict[tuple[str, int], int]:
        """Record submissions that are to be made; returns the attempt of each (task, generation)."""

        def operation(book: LedgerTransaction) -> dict[tuple[str, int], int]:
            known = {
                (row[0], row[1]): row[2]
                for row in book.connection.execute("SELECT task, generation, id FROM attempt WHERE state = 'planned'")
            }
            return {
                (want.task, want.generation): known.get((want.task, want.generation))
                or self._insert(book, want, "planned")
                for want in wanted
            }

        return self._writer.call(operation) if wanted else {}

    def _insert(self, book: LedgerTransaction, want: AttemptSpec, state: str) -> int:
        return book.insert(
            task=want.task,
            generation=want.generation,
            identity=want.identity,
            adapter=want.adapter,
            upload=want.upload,
            upload_name=want.upload_name,
            draw=want.draw,
            seed=None if want.seed is None else str(want.seed),
            idempotency_key=want.idempotency_key,
            pixels=want.pixels,
            priced=int(want.priced),
            state=state,
            owner=self._lease.generation,
            planned_at=time.time(),
        )

    def claim(self, attempt: int) -> None:
        """Note that a worker has taken up what `plan` gave, and waits; not waited for, as nothing depends on it."""
        self._writer.later(lambda book: book.move(attempt, "claimed", origin=PLANNED, owner=self._lease.generation))

    def reserve(
        self, want: AttemptSpec, attempt: int | None, price_nanousd: int, allowance: Allowance = UNLIMITED
    ) -> int:
        """Reserve the price of one submission, in one transaction with the budget check; returns the attempt.

        Raises
        ------
        BudgetError
            Spent and reserved money, or calls, would exceed the limit. Nothing was written.
        """
        return self._writer.call(self._reservation(want, attempt, price_nanousd, allowance))

    def depart(self, want: AttemptSpec, attempt: int, price_nanousd: int, allowance: Allowance = UNLIMITED) -> None:
        """Take up what `plan` gave, reserve its price and record that bytes are about to leave, in one commit.

        Raises
        ------
        BudgetError
            As `reserve`. Nothing was written.
        """
        reserve = self._reservation(want, attempt, price_nanousd, allowance)

        def operation(book: LedgerTransaction) -> None:
            book.move(attempt, "claimed", origin=PLANNED)
            reserve(book)
            book.move(attempt, "sent")

        # Nothing that waits to be recorded concerns this attempt; and what it costs at most is reserved until then.
        self._writer.call(operation, ahead=True)

    def _reservation(
        self, want: AttemptSpec, attempt: int | None, price_nanousd: int, allowance: Allowance
    ) -> Callable[[LedgerTransaction], int]:
        def operation(book: LedgerTransaction) -> int:
            allowance.check(book, price_nanousd)
            number = self._insert(book, want, "planned") if attempt is None else attempt
            book.move(number, "intent", reserve=price_nanousd, owner=self._lease.generation)
            return number

        return operation

    def sent(self, attempt: int) -> None:
        """Record that bytes are about to leave; returns once that is on disk."""
        self._writer.call(lambda book: book.move(attempt, "sent", owner=self._lease.generation))

    def accepted(self, attempt: int, job: str, seen: VendorReport) -> Attempt | None:
        """Record the vendor's job id; returns another attempt that was given the same id, if there is one."""

        def operation(book: LedgerTransaction) -> Attempt | None:
            book.move(attempt, "accepted", seen.cost_nanousd, job=job, **_observed(seen))
            row = book.connection.execute(
                f"SELECT {COLUMNS} FROM attempt WHERE job = ? AND id != ?"
                " AND adapter = (SELECT adapter FROM attempt WHERE id = ?) LIMIT 1",
                (job, attempt, attempt),
            ).fetchone()
            return None if row is None else attempt_from(row)

        return self._writer.call(operation)

    def ready(self, attempt: int) -> None:
        """Note that the vendor has the picture; not waited for, as the job id says everything that matters."""
        self._writer.later(lambda book: book.move(attempt, "ready"))

    def end(
        self,
        attempt: int,
        state: str,
        seen: VendorReport,
        *,
        digest: str | None = None,
        size: int | None = None,
        error_class: str | None = None,
        error: str | None = None,
        code: str | None = None,
    ) -> None:
        """Take an attempt to a state that it may stay in, with what is known by then; durable on return."""
        values: dict[str, Any] = {"error_class": error_class, "error": error, "code": code, **_observed(seen)}
        if digest is not None:
            values |= {"digest": digest, "size": size, "stored_at": time.time()}
        self._writer.call(lambda book: book.move(attempt, state, seen.cost_nanousd, **values))

    def stored(
        self,
        attempt: int,
        seen: VendorReport,
        digest: str,
        size: int,
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
    ) -> Ticket[None]:
        """Record an answer in the inbox, where `before` makes it durable and where it stays until `after` is called."""
        values: dict[str, Any] = {"error_class": None, "error": None, "code": None, **_observed(seen)}
        values |= {"digest": digest, "size": size}
        return self._writer.later(lambda book: book.move(attempt, "stored", seen.cost_nanousd, **values), before, after)

    def flush(self) -> None:
        """Return once everything recorded so far is durable.

        Raises
        ------
        LedgerError
            It cannot be written.
        """
        self._writer.call(lambda book: None)

    def validated(self, attempt: int) -> None:
        """Note that stored bytes passed the check; not waited for, as the check can be made again."""
        self._writer.later(lambda book: book.move(attempt, "validated"))

    def note(self, attempt: int, error_class: str, error: str) -> None:
        """Write the last trouble beside an attempt that keeps its state."""
        self._writer.call(lambda book: book.note(attempt, error_class=error_class, error=error))

    def adopt(self, attempt: int, digest: str, size: int, seen: VendorReport) -> bool:
        """Record an answer that an owner which died had made durable; False if no attempt waits for it.

        Raises
        ------
        LedgerError
            The ledger does not know that this attempt was ever sent.
        """
        values = {"digest": digest, "size": size, "error_class": None, "error": None, **_observed(seen)}
        return self._adopt(attempt, "stored", ("sent", *WITH_JOB, "ambiguous"), seen, values)

    def adopt_job(self, attempt: int, job: str, seen: VendorReport) -> bool:
        """Record a job that an earlier owner could not record; as `adopt`."""
        values = {"job": job, "error_class": None, "error": None, **_observed(seen)}
        return self._adopt(attempt, "accepted", ("sent", "ambiguous"), seen, values)

    def _adopt(
        self, attempt: int, state: str, waiting: tuple[str, ...], seen: VendorReport, values: dict[str, Any]
    ) -> bool:
        def operation(book: LedgerTransaction) -> bool:
            row = book.connection.execute("SELECT state FROM attempt WHERE id = ?", (attempt,)).fetchone()
            if row is None or row[0] in (*UNSENT, "cancelled"):
                raise LedgerError(
                    f"inbox/ holds an answer to attempt {attempt}, of which the ledger does not know that it was sent:"
                    " it has lost its newest entries, and what they paid for would be paid again. Restore the newest"
                    " ledger, or move that file away to go on with this one"
                )
            if row[0] not in waiting:
                return False
            book.move(attempt, state, seen.cost_nanousd, **values)
            return True

        return self._writer.call(operation)

    def recover(self) -> int:
        """Settle what an owner that died left half done; returns how many attempts may have been billed for nothing.

        Attempts that never left are freed. Attempts that left and have neither job nor bytes become ``ambiguous``,
        booked at full price. Call it after the store's inbox has been adopted.
        """

        def operation(book: LedgerTransaction) -> int:
            lost = 0
            for row in book.connection.execute(
                f"SELECT id, state FROM attempt WHERE state IN ('sent', {', '.join('?' * len(UNSENT))})", UNSENT
            ).fetchall():
                if row[1] == "sent":
                    lost += 1
                    book.move(
                        row[0],
                        "ambiguous",
                        error_class="M",
                        error="the process ended between sending this request and its answer",
                    )
                elif row[1] == "claimed":
                    book.move(row[0], "planned")
                elif row[1] == "intent":
                    book.move(row[0], "cancelled", error_class="N", error="the process ended before sending")
            return lost

        return self._writer.call(operation)

    def rows(self, keys: Iterable[str]) -> dict[str, list[Attempt]]:
        """All attempts of each task, oldest first."""
        found: dict[str, list[Attempt]] = {}
        wanted = list(dict.fromkeys(keys))
        with self._lookup() as reader:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ", ".join("?" * len(part))
                query = f"SELECT {COLUMNS} FROM attempt WHERE task IN ({marks}) ORDER BY id"
                for row in reader.execute(query, part):
                    found.setdefault(row["task"], []).append(attempt_from(row))
        return found

    def attempt(self, number: int) -> Attempt | None:
        """One attempt by its id."""
        with self._lookup() as reader:
            row = reader.execute(f"SELECT {COLUMNS} FROM attempt WHERE id = ?", (number,)).fetchone()
        return None if row is None else attempt_from(row)

    def namesake(self, attempt: Attempt) -> Attempt | None:
        """An earlier attempt whose picture is that of the same job, if there is one."""
        with self._lookup() as reader:
            row = reader.execute(
                f"SELECT {COLUMNS} FROM attempt WHERE adapter = ? AND job = ? AND id < ? AND state != 'invalid'"
                " LIMIT 1",
                (attempt.adapter, attempt.job, attempt.id),
            ).fetchone()
        return None if row is None else attempt_from(row)

    def billed(self, identity: str) -> tuple[int, int]:
        """The highest booked price of this procedure, in nano-dollars, and its largest answered upload, in pixels."""
        with self._lookup() as reader:
            row = reader.execute(
                "SELECT MAX(cost_nanousd), MAX(pixels) FILTER (WHERE state IN ('stored', 'validated'))"
                " FROM attempt WHERE identity = ?",
                (identity,),
            ).fetchone()
        return row[0] or 0, row[1] or 0

    def sums_of_others(self, counted: Collection[str]) -> Sums:
        """What the ledger holds of draws whose keys are not `counted`."""
        self.flush()
        with self._lookup() as reader:
            rows = reader.execute("SELECT task, state, cost_nanousd FROM attempt").fetchall()
        others = [row for row in rows if row["task"] not in counted]
        return Sums(sum(row["cost_nanousd"] for row in others), sum(row["state"] in COUNTED for row in others))

    def totals(self) -> tuple[Decimal, Decimal, int]:
        """Dollars spent, dollars reserved, and calls."""
        with self._lookup() as reader:
            spent, reserved, calls = reader.execute(
                "SELECT spent_nanousd, reserved_nanousd, calls FROM total WHERE id = 1"
            ).fetchone()
        return to_usd(spent), to_usd(reserved), calls
