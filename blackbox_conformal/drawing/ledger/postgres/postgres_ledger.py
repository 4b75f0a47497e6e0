"""A ledger in PostgreSQL that many processes on many machines hold at once."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import COLUMNS, Attempt, AttemptSpec
from blackbox_conformal.drawing.ledger.connection import Connection, Cursor
from blackbox_conformal.drawing.ledger.money import AwaitedBillError, Bill, Budget, DearerError, Totals, to_nano, to_usd
from blackbox_conformal.drawing.ledger.postgres.database import (
    PostgresConnection,
    Reconnecting,
    as_ledger_error,
    connect_at_last,
)
from blackbox_conformal.drawing.ledger.postgres.postgres_schema import migrate
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import EXPIRED, NOW, UNSETTLED, PostgresTransaction
from blackbox_conformal.drawing.ledger.states import RESERVING, WHOLE, WITH_JOB
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction, settle_left_behind
from blackbox_conformal.drawing.ledger.writer import Change, FailedOperationError, Writer
from blackbox_conformal.errors import BudgetError, LedgerError
from blackbox_conformal.support.canonical import digest_json


def require_room(limit_nanousd: int, totals: Totals, spec: AttemptSpec, price_nanousd: int, address: Address) -> None:
    """Refuse a submission without room in the ledger's own limit, or of unknown price."""
    if totals.spent + totals.reserved + price_nanousd <= limit_nanousd and (price_nanousd or spec.priced):
        return
    costs = f"up to {to_usd(price_nanousd)} USD" if price_nanousd or spec.priced else "an unknown amount"
    raise BudgetError(
        f"the next draw costs {costs}, with {to_usd(totals.spent)} spent and {to_usd(totals.reserved)} reserved of"
        f" {to_usd(limit_nanousd)} that everything with the ledger {address} may cost together; to raise that:"
        f" blackbox-conformal ledger limit USD --ledger {address}"
    )


def set_limit(address: Address, limit_usd: Decimal | None) -> None:
    """Limit the cost of all draws of a ledger; None: no limit. Processes that draw now obey at once."""
    with as_ledger_error(address), closing(connect_at_last(address)) as connection:
        # Setting the limit of a ledger that does not exist yet makes it.
        migrate(connection, address)
        limit = None if limit_usd is None else to_nano(limit_usd)
        connection.execute("UPDATE total SET limit_nanousd = ?", (limit,))


_HIGHEST = (
    "SELECT cost_nanousd, listed_nanousd FROM attempt WHERE identity = ? AND listed_nanousd > 0 AND cost_nanousd > 0"
    " ORDER BY (CAST(cost_nanousd AS DOUBLE PRECISION) / listed_nanousd) DESC LIMIT 1"
)
_HIGHEST_UNLISTED = (
    "SELECT cost_nanousd FROM attempt WHERE identity = ? AND listed_nanousd IS NULL AND cost_nanousd > 0"
    " ORDER BY cost_nanousd DESC LIMIT 1"
)
_LARGEST = f"SELECT pixels FROM attempt WHERE identity = ? AND state IN {WHOLE} ORDER BY pixels DESC LIMIT 1"
_UNDER_WAY = (
    "SELECT 1 FROM attempt WHERE owner IS NOT NULL AND identity = ? AND pixels > ?"
    # The largest answered picture prices all smaller ones.
    f" AND state IN {(*RESERVING, *WITH_JOB)} LIMIT 1"
)


def require_known_price(connection: Connection, spec: AttemptSpec, price_nanousd: int, *, alone: bool) -> None:
    """Refuse to reserve less than the vendor bills, and a draw that goes `alone` beside another such draw."""
    if spec.listed_nanousd:
        # Another process may have been billed more than this one knows, so the transaction asks the table.
        row = connection.execute(_HIGHEST, (spec.identity,)).fetchone()
        if row is not None and Bill(*row).raised(spec.listed_nanousd) > price_nanousd:
            raise DearerError(*row)
    elif spec.listed_nanousd is None:
        row = connection.execute(_HIGHEST_UNLISTED, (spec.identity,)).fetchone()
        if row is not None and row[0] > price_nanousd:
            raise DearerError(row[0], None)
    if alone:
        row = connection.execute(_LARGEST, (spec.identity,)).fetchone()
        largest = 0 if row is None else row[0]
        unknown = spec.pixels > largest
        # Two draws that both go alone would each learn the price, and both pay it.
        if unknown and connection.execute(_UNDER_WAY, (spec.identity, largest)).fetchone() is not None:
            raise AwaitedBillError


_OF_ONE_OPERATION = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)


class PostgresWriter(Writer):
    """A writer as the process `me` among the owners, outliving cut connections and restarts of the database.

    `budget`: its sums are read with every transaction; empty: none.
    """

    def __init__(self, address: Address, me: UUID) -> None:
        self._connection = Reconnecting(address)
        self._me, self.budget = me, ""
        super().__init__()

    def _commit_together(self, batch: Sequence[Change]) -> list[Any]:
        # After a cut the number tells whether the commit arrived: the same batch is never written twice.
        number, results = uuid4(), list[Any]()
        looked_at = sorted({attempt for _, attempts, _ in batch for attempt in attempts})

        def once(connection: PostgresConnection) -> None:
            transaction = PostgresTransaction(connection, self._me)
            # The batch was committed before the connection broke, with these results.
            if not transaction.begin(number, looked_at, self.budget):
                connection.execute("ROLLBACK")
                return
            try:
                # In place: after a cut the operations run again from the start.
                results[:] = [operation(transaction) for operation, *_ in batch]
                transaction.commit()
            except psycopg.Error as error:
                # Errors of the connection go up, to be repeated; an operation's error belongs to its caller.
                if not isinstance(error, _OF_ONE_OPERATION):
                    raise
                connection.execute("ROLLBACK")
                raise FailedOperationError(LedgerError(f"the ledger cannot hold this: {error}")) from None
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                connection.execute("ROLLBACK")
                raise FailedOperationError(error) from None

        self._connection.run(once)
        return results

    def _undo(self, error: Exception) -> LedgerError | None:
        self._connection.close()
        return error if isinstance(error, LedgerError) else None

    def _finish(self) -> None:
        self._connection.close()


Result = TypeVar("Result")

LEASE_S = 20.0  # Seconds without a sign of life after which a process is taken for dead.
_PLANNED_AT_ONCE = 1000


class PostgresLedger(AnyLedger):
    """The ledger at an address, with a lease of this process (`me` among the owners) until `close`."""

    _writer: PostgresWriter
    shared = True
    _asked_at_once = 5000

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        self.me, self._scope = uuid4(), ""
        self._adopt_inbox: Callable[[], None] = lambda: None
        self._reading = threading.Lock()
        self._closed = threading.Event()
        with ExitStack() as opened, as_ledger_error(address):
            connect_at_last(address).close()
            self._reader = Reconnecting(address)
            opened.callback(self._reader.close)
            self._reader.run(lambda connection: _enter(connection, address, self.me))
            self._writer = PostgresWriter(address, self.me)
            opened.pop_all()
        self._renewer = threading.Thread(target=self._renew, name="ledger-lease", daemon=True)
        self._renewer.start()

    def close(self) -> None:
        self._closed.set()
        self._renewer.join()
        # If this fails, others settle this process when its lease is over.
        with suppress(LedgerError):  # The lease ends by itself.
            self._write(lambda transaction: _settle(transaction, myself=True))
        self._writer.close()
        with self._reading:
            self._reader.close()

    def _renew(self) -> None:
        # The renewing thread also settles attempts that dead processes left behind.
        # Four tries in a lease, so that one slow renewal does not end it.
        while not self._closed.wait(LEASE_S / 4):
            try:
                # The inbox first: an attempt with an answer must not be settled as ambiguous.
                if self._write(_any_expired):
                    self._adopt_inbox()
                    self.recover()
            except Exception:  # noqa: BLE001 - the next write meets the same error, and tells it
                if self._closed.wait(1.0):
                    return

    def watch(self, adopt: Callable[[], None]) -> None:
        self._adopt_inbox = adopt

    def limit(self, budget: Budget) -> None:
        if budget == self._budget:
            return
        scope = ""
        if budget.scope is not None:
            tasks = sorted(budget.scope)
            # Without tasks the scope belongs to a session, which counts what it adds. A job's scope is named after its
            # draws, so that all its processes share one budget.
            scope = f"job-{digest_json(tasks).removeprefix('sha256:')}" if tasks else f"session-{self.me}"
            self._write(lambda transaction: _shared(transaction).begin_budget(scope, tasks))
        self._budget, self._scope = budget, scope
        self._writer.budget = scope

    def _totals_of_job(self, transaction: LedgerTransaction) -> Totals:
        shared = _shared(transaction)
        totals = shared.totals_of(self._scope) if self._scope else shared.totals()
        if self._budget.max_cost_per_day_usd is None:
            return totals
        # Money that others hold counts for the day, too.
        held_elsewhere = shared.totals().reserved - totals.reserved
        return totals._replace(of_day=shared.spent_of_day() + held_elsewhere)

    def totals_in_scope(self) -> Totals:
        return self._write(self._totals_of_job)

    def limits_money(self) -> bool:
        with self._lookup() as reader:
            limit = reader.execute("SELECT limit_nanousd FROM total").fetchone()[0]
        return limit is not None or super().limits_money()

    def _reserve(
        self, transaction: LedgerTransaction, spec: AttemptSpec, attempt: int | None, price_nanousd: int, alone: bool
    ) -> int:
        shared = _shared(transaction)
        if super().limits_money() or shared.limit_nanousd is not None:
            # Only if money is limited: a dearer bill of another process must be known before more is reserved.
            require_known_price(shared.connection, spec, price_nanousd, alone=alone)
        if self._scope.startswith("session-"):
            # A session does not know its draws beforehand: each joins its budget when reserved.
            shared.count_in(self._scope, spec.task)
        if shared.limit_nanousd is not None:
            # The ledger's own limit covers everything together, whatever each job's budget is.
            require_room(shared.limit_nanousd, shared.totals(), spec, price_nanousd, self.address)
        return super()._reserve(transaction, spec, attempt, price_nanousd, alone)

    def plan(self, specs: Sequence[AttemptSpec]) -> dict[tuple[str, int], int]:
        planned: dict[tuple[str, int], int] = {}
        # Many rows a statement, but not so many that others wait long for the lock on the totals.
        for start in range(0, len(specs), _PLANNED_AT_ONCE):
            part = specs[start : start + _PLANNED_AT_ONCE]
            planned |= self._write(lambda transaction, part=part: _shared(transaction).plan(part))  # type: ignore[misc]
        return planned

    def take(self, attempt: Attempt) -> bool:
        return self._write(lambda transaction: _shared(transaction).take(attempt.id, attempt.state), attempt.id)

    def leave(self, attempt: int) -> None:
        self._write(lambda transaction: _shared(transaction).leave(attempt), attempt)

    def require_hold(self, attempt: int) -> None:
        self._write(lambda transaction: _shared(transaction).require_hold(attempt), attempt)

    def require_lease(self) -> None:
        self._write(lambda transaction: _shared(transaction).require_lease())

    def now(self, wall: float) -> float:
        with self._lookup() as reader:
            return float(reader.execute(f"SELECT {NOW}").fetchone()[0])

    def has_company(self) -> bool:
        with self._lookup() as reader:
            query = f"SELECT EXISTS (SELECT 1 FROM owner WHERE NOT ended AND id <> ? AND NOT {EXPIRED})"
            return bool(reader.execute(query, (self.me,)).fetchone()[0])

    def may_adopt(self, attempt: int) -> bool:
        with self._lookup() as reader:
            row = reader.execute(
                # An answer may be taken over when its owner is gone; a living process never leaves its own behind.
                f"SELECT attempt.owner IS NULL OR (owner.id <> ? AND (owner.ended OR {EXPIRED}))"
                " FROM attempt LEFT JOIN owner ON owner.id = attempt.owner WHERE attempt.id = ?",
                (self.me, attempt),
            ).fetchone()
        return row is None or bool(row[0])

    def recover(self) -> int:
        return self._write(lambda transaction: _settle(transaction))

    def _rows(self, reader: Connection, tasks: Sequence[str]) -> Cursor:
        return reader.execute(
            f"SELECT {COLUMNS}, COALESCE(owner <> ?, FALSE) AS busy FROM attempt WHERE task = ANY(?) ORDER BY id",
            (self.me, tasks),
        )

    @contextmanager
    def _lookup(self) -> Iterator[Connection]:
        with self._reading:
            yield _Lookup(self._reader)


# Each question opens a lost connection again.
class _Lookup:
    def __init__(self, connection: Reconnecting) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        return self._connection.run(lambda connection: connection.execute(sql, parameters))


def _enter(connection: PostgresConnection, address: Address, me: UUID) -> None:
    # Each step may run again after a cut.
    migrate(connection, address)
    connection.execute(
        # A day later, since a process that stood still may come back and record a late answer.
        "DELETE FROM owner WHERE ended AND expires_at < extract(epoch FROM now()) - 86400"
        " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.owner = owner.id)"
    )
    connection.execute(
        f"INSERT INTO owner (id, name, began_at, expires_at, lease_s) VALUES (?, ?, {NOW}, {NOW} + ?, ?)"
        " ON CONFLICT DO NOTHING",
        (me, f"process {os.getpid()} on {socket.gethostname()}", LEASE_S, LEASE_S),
    )


def _shared(transaction: LedgerTransaction) -> PostgresTransaction:
    assert isinstance(transaction, PostgresTransaction)
    return transaction


def _any_expired(transaction: LedgerTransaction) -> bool:
    # As a transaction, the question renews the lease.
    query = f"SELECT 1 FROM owner WHERE {UNSETTLED} LIMIT 1"
    return transaction.connection.execute(query).fetchone() is not None


def _settle(transaction: LedgerTransaction, *, myself: bool = False) -> int:
    shared = _shared(transaction)
    dead = shared.end_owners(myself=myself)
    if not dead:
        return 0
    count = settle_left_behind(shared)
    shared.release(dead)
    return count
