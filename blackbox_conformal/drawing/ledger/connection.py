"""What statements of a ledger are run on, whichever database keeps it.

Statements are written once, in the SQL that SQLite and PostgreSQL share, with ``?`` for each value.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """Rows of an answer; a row is asked by number or by name, and ``dict(row)`` is its columns."""

    @property
    def rowcount(self) -> int:
        """Rows that a change concerned."""

    def fetchone(self) -> Any:
        """The next row; None when there is none."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """An open ledger."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement."""
