"""What a ledger's statements run on, in SQL that SQLite and PostgreSQL share, with ``?`` for each value."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """Rows of an answer; a row is asked by number or by name, and ``dict(row)`` is its columns."""

    @property
    def rowcount(self) -> int:
        """Return how many rows a change concerned."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
