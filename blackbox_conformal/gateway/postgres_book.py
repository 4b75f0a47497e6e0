"""A book of requests in the database of a shared ledger, for any number of gateways.

A request belongs to the gateway that accepted it, for as long as the gateway's lease in the ledger. After the lease
another gateway takes over, and the first one may neither begin the request nor say how it ended.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.postgres.database import Pool, PostgresConnection
from blackbox_conformal.drawing.ledger.postgres.inspection import reading
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import LIVES
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.gateway.book import DUE, LEFT, NOTICES, Book, Notice, notice_of

Result = TypeVar("Result")

_LET_GO = f"NOT EXISTS (SELECT 1 FROM owner WHERE owner.id = worker AND {LIVES})"


class PostgresBook(Book):
    """The book at an address, whose tables were made with the ledger's.

    `me`: This process, as the ledger knows it.
    """

    shared = True
    trusted_share = "(facts::json ->> 'trusted_share')::double precision"

    def __init__(self, address: Address, me: UUID) -> None:
        self._address, self._me = address, me
        self._mine = f" AND worker = '{me}' AND NOT (SELECT ended FROM owner WHERE owner.id = worker)"
        self._pool = Pool(address)
        query = "INSERT INTO secret VALUES (1, ?) ON CONFLICT DO NOTHING"
        self._write(lambda connection: connection.execute(query, (secrets.token_hex(32),)))

    def close(self) -> None:
        self._pool.close()

    def _write(self, operation: Callable[[Connection], Result]) -> Result:
        def once(connection: PostgresConnection) -> Result:
            with connection.raw.transaction():
                return operation(connection)

        return self._pool.run(once)

    def rows(self, query: str, given: Sequence[Any] = ()) -> list[Any]:
        return list(self._pool.run(lambda connection: connection.execute(query, given).fetchall()))

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        with reading(self._address) as connection:
            if connection is None:
                raise LedgerError(f"the ledger {self._address} has lost its tables; restore it")
            yield connection

    def check(self) -> None:
        self._pool.run(lambda connection: connection.execute("SELECT 1"), patience_s=0.0)

    def _holder(self) -> dict[str, Any]:
        return {"worker": self._me}

    def take(self, most: int) -> list[str]:
        chosen = f"SELECT id {LEFT} AND {_LET_GO} ORDER BY created LIMIT ? FOR UPDATE OF one SKIP LOCKED"
        query = f"UPDATE request SET worker = ? WHERE id IN ({chosen}) RETURNING id, created"
        taken = self._write(lambda connection: connection.execute(query, (self._me, most)).fetchall())
        return [row["id"] for row in sorted(taken, key=lambda row: row["created"])]

    def due(self, now: float) -> list[Notice]:
        free = f"(worker = ? OR {_LET_GO})"
        chosen = f"SELECT id {DUE} AND {free} ORDER BY due LIMIT {NOTICES} FOR UPDATE SKIP LOCKED"
        query = f"UPDATE notice SET worker = ? WHERE id IN ({chosen}) RETURNING *"
        given = (self._me, now, self._me)
        taken = self._write(lambda connection: connection.execute(query, given).fetchall())
        return [notice_of(row) for row in sorted(taken, key=lambda row: row["due"])]
