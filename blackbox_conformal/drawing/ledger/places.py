"""Where a ledger is, and how it is opened: an SQLite file in the run folder, or a database that the folder names."""

import importlib.util
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from blackbox_conformal.drawing.ledger import checksums, ledger_file
from blackbox_conformal.drawing.ledger.address import LEDGERS, Address
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempt_ledger import Ledger
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.object_answers import ObjectAnswers
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.shared_store import AnswerStore, SharedStore
from blackbox_conformal.drawing.ledger.store_address import STORES
from blackbox_conformal.drawing.object_store import store_at
from blackbox_conformal.errors import MissingPackageError

Where = Path | Address
"""A run folder, or the address of a ledger itself."""

_NOWHERE = Path("/dev/null/no-run-folder")


def has_ledger(run: Path) -> bool:
    """Whether something was, or is to be, drawn into a folder."""
    return ledger_file.ledger_path(run).is_file() or LEDGERS.is_placed(run)


def address_at(where: Where) -> Address | None:
    """The address of a ledger; None when it is a file in the run folder. Errors as `LEDGERS.of`."""
    return where if isinstance(where, Address) else LEDGERS.of(where)


def open_ledger(run: Path) -> AnyLedger:
    """The ledger of a run folder, begun where there is none, for writing; errors as the class of ledger says."""
    address = LEDGERS.of(run)
    if address is None:
        return Ledger(run)
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres.postgres_ledger import PostgresLedger

    LEDGERS.keep(run, address)
    return PostgresLedger(address)


def store_of(where: Where) -> Store:
    """The samples of a run folder, or of a ledger itself."""
    run, answers = where if isinstance(where, Path) else _NOWHERE, answers_of(where)
    return Store(run) if answers is None else SharedStore(run, answers)


def answers_of(where: Where) -> AnswerStore | None:
    """Where the answers are kept beside the run folder; None: nowhere."""
    address = address_at(where)
    kept = STORES.of(where) if isinstance(where, Path) else STORES.of_environment()
    in_database = None if address is None else _answers_at(address)
    return in_database if kept is None else ObjectAnswers(store_at(kept), in_database)


def _answers_at(address: Address) -> AnswerStore:
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres.stored_answers import PostgresAnswers

    return PostgresAnswers(address)


def set_limit(address: Address, limit_usd: Decimal | None) -> None:
    """Let everything with a ledger in a database cost so much in all; None: any amount. Errors as `reading`."""
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import limit

    limit.set_limit(address, limit_usd)


@contextmanager
def reading(where: Where, *, whole: bool = True) -> Iterator[Connection | None]:
    """A ledger, for queries only, for the ``with`` block; None when there is none.

    Unless `whole` is unset, every row of a file is compared with its checksum, which takes about a second for 100,000
    rows.

    Raises
    ------
    LedgerError
        The ledger is corrupt, foreign, of another version, locked, or cannot be reached.
    """
    address = address_at(where)
    if address is None:
        assert isinstance(where, Path)
        with ledger_file.reading(where, whole=whole) as connection:
            yield connection
        return
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import reading as postgres

    with postgres.reading(address) as shared:
        yield shared


def damage(connection: Connection) -> list[str]:
    """What is wrong with an open ledger, in words; empty when all in it agrees."""
    if isinstance(connection, sqlite3.Connection):
        return checksums.damage(connection)
    from blackbox_conformal.drawing.ledger.postgres import reading as postgres

    return postgres.damage(connection)


def inspect_database(address: Address) -> list[tuple[str, str, bool]]:
    """Parts of a database, how each is, and whether that makes it unfit to keep a ledger; errors as `reading`."""
    _require_driver(address)
    from blackbox_conformal.drawing.ledger.postgres import inspection

    return [*inspection.inspect(address)]


def _require_driver(address: Address) -> None:
    """Refuse an address where the extra is not installed."""
    if importlib.util.find_spec("psycopg") is None:
        raise MissingPackageError(
            f"the ledger {address} needs psycopg: pip install 'blackbox-conformal[postgres]', or leave --ledger out"
        )
