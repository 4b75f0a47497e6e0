"""Opens a ledger: an SQLite file in the run folder, or a database that the folder names."""

import importlib.util
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from blackbox_conformal.drawing.ledger import ledger_file, sqlite_schema
from blackbox_conformal.drawing.ledger.addresses import LEDGERS, Address
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.ledger_file import (
    LedgerFile,
    as_ledger_error,
    ledger_path,
    open_for_reading,
    open_for_writing,
)
from blackbox_conformal.drawing.ledger.money import Budget, Totals
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import COUNTED
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction
from blackbox_conformal.drawing.ledger.writer import SqliteWriter
from blackbox_conformal.errors import LedgerError, MissingPackageError

_DAY_S = 24 * 3600
_MINUTE_S = 60

_TABLE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS booked_by_minute (
        minute INTEGER PRIMARY KEY,
        nanousd INTEGER NOT NULL
    )
"""
_TRIGGER = f"""
    CREATE TEMPORARY TRIGGER IF NOT EXISTS book_by_minute
    AFTER UPDATE OF cost_nanousd ON main.attempt WHEN NEW.cost_nanousd != OLD.cost_nanousd
    BEGIN
        INSERT INTO booked_by_minute
        VALUES (CAST(COALESCE(NEW.intent_at, 0) / {_MINUTE_S} AS INTEGER), NEW.cost_nanousd - OLD.cost_nanousd)
        ON CONFLICT (minute) DO UPDATE SET nanousd = nanousd + excluded.nanousd;
    END
"""


def begin_last_day(connection: Connection) -> None:
    """Keep the sums of the last day on this connection from now on, starting from the ledger."""
    connection.execute(_TABLE)
    connection.execute("DELETE FROM booked_by_minute")
    connection.execute(
        f"INSERT INTO booked_by_minute SELECT CAST(intent_at / {_MINUTE_S} AS INTEGER), SUM(cost_nanousd) FROM attempt"
        " WHERE intent_at >= ? AND cost_nanousd > 0 GROUP BY 1",
        # A minute more: the oldest minute counts in full, which errs on the side of spending less.
        (time.time() - _DAY_S - _MINUTE_S,),
    )
    connection.execute(_TRIGGER)


def spent_in_last_day(connection: Connection) -> int:
    """Return nano-dollars booked for submissions of the last 24 hours and the minute before."""
    first = int((time.time() - _DAY_S) // _MINUTE_S)
    connection.execute("DELETE FROM booked_by_minute WHERE minute < ?", (first,))
    row = connection.execute("SELECT COALESCE(SUM(nanousd), 0) FROM booked_by_minute").fetchone()
    return int(row[0])


Result = TypeVar("Result")


class Ledger(AnyLedger):
    """The ledger of one run folder in SQLite, which only this process holds until `close`."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._path = ledger_path(run)
        with as_ledger_error(self._path):
            # The lock comes first: two processes that open a ledger must not both recover it.
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
            self._writer.call(lambda transaction: begin_last_day(transaction.connection))
        elsewhere = Totals()
        # This process holds the ledger alone, so the cost of other draws is fixed from here on.
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

    def _totals_of_job(self, transaction: LedgerTransaction) -> Totals:
        return self._in_scope(self._totals(transaction))

    def _totals(self, transaction: LedgerTransaction) -> Totals:
        # Only some budgets ask for the last day.
        totals = transaction.totals()
        if self._budget.max_cost_per_day_usd is None:
            return totals
        return totals._replace(of_day=spent_in_last_day(transaction.connection))

    def _in_scope(self, totals: Totals) -> Totals:
        # Other draws were counted once, at the start, since this process alone holds the ledger.
        spent, calls = self._elsewhere.spent, self._elsewhere.calls
        return totals._replace(spent=totals.spent - spent, calls=totals.calls - calls)

    def totals_in_scope(self) -> Totals:
        if self._budget.max_cost_per_day_usd is not None:
            return self._write(self._totals_of_job)
        with self._lookup() as reader:
            row = reader.execute("SELECT spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
        return self._in_scope(Totals(*row))


Where = Path | Address  # A run folder, or the address of a ledger itself.

# A database's store without a folder needs a path; this one cannot exist on any system.
_NOWHERE = Path("/dev/null/no-run-folder")


def has_ledger(run: Path) -> bool:
    """Tell whether a folder has draws, or is prepared for them."""
    return ledger_file.ledger_path(run).is_file() or LEDGERS.is_placed(run)


def address_at(where: Where) -> Address | None:
    """Return the address of a ledger; None if it is a file in the run folder."""
    return where if isinstance(where, Address) else LEDGERS.of(where)


def open_ledger(run: Path) -> AnyLedger:
    """Open the ledger of a run folder for writing; begin one if there is none."""
    address = LEDGERS.of(run)
    if address is None:
        return Ledger(run)
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger

    LEDGERS.keep(run, address)
    return PostgresLedger(address)


def store_of(where: Where) -> Store:
    """Return the samples of a run folder, or of a ledger itself."""
    run, address = where if isinstance(where, Path) else _NOWHERE, address_at(where)
    if address is None:
        return Store(run)
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres.shared_store import SharedStore

    return SharedStore(run, address)


def set_limit(address: Address, limit_usd: Decimal | None) -> None:
    """Limit the cost of everything with a ledger in a database; None: no limit."""
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import postgres_ledger

    postgres_ledger.set_limit(address, limit_usd)


@contextmanager
def reading(where: Where, *, whole: bool = True) -> Iterator[Connection | None]:
    """Give a ledger for queries in the ``with`` block; None if there is none.

    `whole`: compare every row of a file with its checksum, about a second for 100,000 rows.
    """
    address = address_at(where)
    if address is None:
        assert isinstance(where, Path)
        with ledger_file.reading(where, whole=whole) as connection:
            yield connection
        return
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import inspection as postgres

    with postgres.reading(address) as shared:
        yield shared


def damage(connection: Connection) -> list[str]:
    """Return what is wrong with an open ledger, in words; empty if all agrees."""
    if isinstance(connection, sqlite3.Connection):
        return sqlite_schema.damage(connection)
    from blackbox_conformal.drawing.ledger.postgres import inspection as postgres

    return postgres.damage(connection)


def inspect_database(address: Address) -> list[tuple[str, str, bool]]:
    """Return parts of a database, the state of each, and whether it makes the database unfit for a ledger."""
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import inspection

    return [*inspection.inspect(address)]


def _require_driver(address: Address) -> None:
    if importlib.util.find_spec("psycopg") is None:
        raise MissingPackageError(
            f"the ledger {address} needs psycopg (LGPL-3.0): pip install 'blackbox-conformal[postgres]', or leave "
            "--ledger out"
        )
