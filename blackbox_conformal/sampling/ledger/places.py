"""Where the ledger of a run folder is, and how it is opened: an SQLite file in the folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blackbox_conformal.sampling.ledger import checksums, ledger_file
from blackbox_conformal.sampling.ledger.any_ledger import AnyLedger
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.connection import Connection
from blackbox_conformal.sampling.ledger.sample_store import Store


def has_ledger(run: Path) -> bool:
    """Whether something was, or is to be, drawn into a folder."""
    return ledger_file.ledger_path(run).is_file()


def open_ledger(run: Path) -> AnyLedger:
    """The ledger of a run folder, begun where there is none, for writing; errors as the class of ledger says."""
    return Ledger(run)


def store_of(run: Path) -> Store:
    """The samples of a run folder."""
    return Store(run)


@contextmanager
def reading(run: Path, *, whole: bool = True) -> Iterator[Connection | None]:
    """The ledger of a run folder, for queries only, for the ``with`` block; None when there is none.

    Unless `whole` is unset, every row is compared with its checksum, which takes about a second for 100,000 rows.

    Raises
    ------
    LedgerError
        The ledger is corrupt, foreign, of another version, locked, or cannot be reached.
    """
    with ledger_file.reading(run, whole=whole) as connection:
        yield connection


def damage(connection: Connection) -> list[str]:
    """What is wrong with an open ledger, in words; empty when all in it agrees."""
    assert isinstance(connection, sqlite3.Connection)
    return checksums.damage(connection)
