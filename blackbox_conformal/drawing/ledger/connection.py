"""Connections that run a ledger's statements, in SQL that SQLite and PostgreSQL share, with ``?`` for each value."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """Rows of an answer; a row is read by number or by name, and ``dict(row)`` gives its columns."""

    @property
    def rowcount(self) -> int:
        """Return the number of rows that a change concerned."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
