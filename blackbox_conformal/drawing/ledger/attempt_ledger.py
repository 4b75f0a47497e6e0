"""The ledger of one run folder, in SQLite: one process at a time holds it."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.drawing.job_budget import Budget, Totals
from blackbox_conformal.drawing.ledger import last_day
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.ledger_file import (
    LedgerFile,
    as_ledger_error,
    ledger_path,
    open_for_reading,
    open_for_writing,
)
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.ledger.states import COUNTED
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction
from blackbox_conformal.drawing.ledger.writer import SqliteWriter
from blackbox_conformal.errors import LedgerError

Result = TypeVar("Result")


class Ledger(AnyLedger):
    """The ledger of one run folder, which this process holds until `close`.

    Raises
    ------
    LedgerError
        The folder is in use or on a network disk; or the ledger is lost, damaged, foreign or of another version.
    DiskFullError
        There is no room to begin the ledger or to work on it.
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._path = ledger_path(run)
        with as_ledger_error(self._path):
            self._lock = RunLock(run)
        self._elsewhere = Totals()
        self._reading = threading.Lock()
        with ExitStack() as opened:
            opened.callback(self._lock.release)
            connection = opened.enter_context(closing(open_for_writing(run)))
            reader = open_for_reading(run, whole=False)
            if reader is None:
                raise LedgerError(f"the ledger in {run} vanished while it was opened")
            self._reader = opened.enter_context(closing(reader))
            self._writer = SqliteWriter(connection, self._lock, LedgerFile(run))
            opened.pop_all()

    def close(self) -> None:
        with self._reading:
            # Before the writer: the last connection folds the WAL file into the ledger, which a reader cannot do.
            self._reader.close()
        self._writer.close()
        self._lock.release()

    def limit(self, budget: Budget) -> None:
        if budget == self._budget:
            return
        if budget.max_cost_per_day_usd is not None:
            self._writer.call(lambda transaction: last_day.begin(transaction.connection))
        elsewhere = Totals()
        if budget.scope is not None:
            with self._lookup() as reader:
                rows = reader.execute("SELECT task, state, cost_nanousd FROM attempt").fetchall()
            others = [row for row in rows if row["task"] not in budget.scope]
            calls = sum(row["state"] in COUNTED for row in others)
            elsewhere = Totals(spent=sum(row["cost_nanousd"] for row in others), calls=calls)
        self._budget, self._elsewhere = budget, elsewhere

    @contextmanager
    def _lookup(self) -> Iterator[sqlite3.Connection]:
        with self._reading, as_ledger_error(self._path):
            yield self._reader

    def _write(self, operation: Callable[[LedgerTransaction], Result], *attempts: int) -> Result:
        return self._writer.call(operation, attempts)

    def _totals_of_job(self, transaction: LedgerTransaction) -> Totals:
        return self._in_scope(self._totals(transaction))

    def _totals(self, transaction: LedgerTransaction) -> Totals:
        """The sums over all attempts; those of the last day only where the budget asks for them."""
        totals = transaction.totals()
        if self._budget.max_cost_per_day_usd is None:
            return totals
        return totals._replace(of_day=last_day.spent_nanousd(transaction.connection))

    def _in_scope(self, totals: Totals) -> Totals:
        """The totals of the draws that the budget is for: the ledger's, less what was held elsewhere at the start."""
        spent, calls = self._elsewhere.spent, self._elsewhere.calls
        return totals._replace(spent=totals.spent - spent, calls=totals.calls - calls)

    def totals_in_scope(self) -> Totals:
        if self._budget.max_cost_per_day_usd is not None:
            return self._write(self._totals_of_job)
        with self._lookup() as reader:
            row = reader.execute("SELECT spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
        return self._in_scope(Totals(*row))
