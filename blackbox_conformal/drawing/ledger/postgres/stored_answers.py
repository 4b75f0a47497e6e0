"""Answers as the database keeps them: each content once, by its digest."""

from collections.abc import Collection, Iterator

from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.postgres.connection_pool import Pool
from blackbox_conformal.drawing.ledger.receipts import Receipt, Unknown

_ASKED_AT_ONCE = 5000


class PostgresAnswers:
    """The contents in one database (see `shared_store.AnswerStore`); errors are a `LedgerError`.

    A content is on disk when `put` returns, since a crash of the server may come before the ledger names it.
    """

    def __init__(self, address: Address) -> None:
        self._pool = Pool(address)

    def prepare(self) -> None:
        """The database was looked at when its ledger was opened."""

    def put(self, digest: str, content: bytes) -> None:
        """Keep a content; nothing happens where it is kept already."""
        query = "INSERT INTO sample VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
        self._pool.run(lambda connection: connection.execute(query, (digest, len(content), content)))

    def get(self, digest: str) -> bytes | None:
        """A content; None when there is none."""
        # In binary: a picture as text would be twice as long on the way.
        query = "SELECT content FROM sample WHERE digest = %s"
        row = self._pool.run(lambda connection: connection.raw.execute(query, (digest,), binary=True).fetchone())
        return None if row is None else bytes(row[0])

    def among(self, digests: Collection[str]) -> set[str]:
        """Those of `digests` whose contents are kept."""
        wanted, found = list(digests), set[str]()
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            found |= self._among(wanted[start : start + _ASKED_AT_ONCE])
        return found

    def _among(self, digests: list[str]) -> set[str]:
        query = "SELECT digest FROM sample WHERE digest = ANY(?)"
        return self._pool.run(lambda connection: {row[0] for row in connection.execute(query, (digests,)).fetchall()})

    def keep_receipt(self, receipt: Receipt) -> None:
        """What would be restored together with the ledger could tell it nothing."""

    def unknown_to(self, unknown: Unknown) -> Iterator[list[Receipt]]:
        """None are kept here."""
        return iter(())

    def close(self) -> None:
        """Close the connections; nothing is asked afterwards."""
        self._pool.close()
