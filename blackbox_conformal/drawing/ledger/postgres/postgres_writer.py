"""The thread that writes a shared ledger: it outlives cut connections and restarts of the database.

A transaction whose commit was not answered may have happened or not. Its number, which is made here, is written with
the lease in the same transaction; so the next connection looks for it, once it holds the ledger's lock, and runs the
transaction again only where it is not there.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg

from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import PostgresTransaction
from blackbox_conformal.drawing.ledger.postgres.reconnecting import Reconnecting
from blackbox_conformal.drawing.ledger.writer import Change, Writer
from blackbox_conformal.errors import LedgerError

_OF_ONE_OPERATION = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)


class _FailedOperationError(Exception):
    """An operation raised `error`, and nothing was written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class PostgresWriter(Writer):
    """Writes as the process `me`, which has a row among the owners.

    Attributes
    ----------
    budget
        Whose sums are read with every transaction; empty: none.
    """

    def __init__(self, address: Address, me: UUID) -> None:
        self._connection = Reconnecting(address)
        self._me, self.budget = me, ""
        super().__init__()

    def _write(self, batch: list[Change]) -> list[tuple[Any, Exception | None]]:
        try:
            return [(result, None) for result in self._commit_together(batch)]
        except _FailedOperationError as failed:
            if len(batch) == 1:
                return [(None, failed.error)]
        # One of them undoes all, so each is run alone.
        return [result for change in batch for result in self._write([change])]

    def _commit_together(self, batch: Sequence[Change]) -> list[Any]:
        """What each operation returns, all of which are committed together."""
        number, results = uuid4(), list[Any]()
        looked_at = sorted({attempt for _, attempts, _ in batch for attempt in attempts})

        def once(connection: PostgresConnection) -> None:
            transaction = PostgresTransaction(connection, self._me)
            if not transaction.begin(number, looked_at, self.budget):
                connection.execute("ROLLBACK")
                return
            try:
                results[:] = [operation(transaction) for operation, *_ in batch]
                transaction.commit()
            except psycopg.Error as error:
                if not isinstance(error, _OF_ONE_OPERATION):
                    raise
                connection.execute("ROLLBACK")
                raise _FailedOperationError(LedgerError(f"the ledger cannot hold this: {error}")) from None
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                connection.execute("ROLLBACK")
                raise _FailedOperationError(error) from None

        self._connection.run(once)
        return results

    def _undo(self, error: Exception) -> LedgerError | None:
        self._connection.close()
        return error if isinstance(error, LedgerError) else None

    def _finish(self) -> None:
        self._connection.close()
