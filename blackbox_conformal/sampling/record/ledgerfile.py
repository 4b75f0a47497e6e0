"""Opening the ledger's SQLite file, and refusing every file that money must not be entrusted to.

A ledger is never recreated over an old one. What is written into it lives in `ledger`.
"""

import os
import sqlite3
from pathlib import Path

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.sampling.mounts import file_system, is_network
from blackbox_conformal.sampling.record.migrations import LATEST, migrate

APPLICATION_ID = 0x42424366
_MAGIC = b"SQLite format 3\x00"
BUSY_TIMEOUT_S = 15.0


def ledger_path(run: Path) -> Path:
    """Where a run folder keeps its ledger."""
    return run / "ledger.sqlite"


def _refuse_unsafe_place(path: Path) -> None:
    kind = file_system(path.parent)
    if is_network(kind):
        raise LedgerError(
            f"expected the run folder on a local disk; {path.parent} is on {kind}, where SQLite's locks cannot be"
            " trusted with money. Choose a local folder with --run and copy the results afterwards"
        )


def _refuse_lost(run: Path) -> None:
    """A run folder with paid samples and no ledger has lost its ledger; an empty one must not take its place."""
    for name in ("samples", "inbox"):
        if (run / name).is_dir() and any(entry.is_file() for entry in (run / name).rglob("*")):
            raise LedgerError(
                f"{run} holds paid samples in {name}/ but no ledger.sqlite; restore the ledger, or use another run"
                " folder"
            )
    if ledger_path(run).with_name("ledger.sqlite-wal").exists():
        raise LedgerError(f"{run} holds ledger.sqlite-wal but no ledger.sqlite; restore the ledger beside it")


def _is_begun(path: Path) -> bool:
    """Whether there is a ledger file that may ever have held anything.

    An empty one is all that a full disk leaves of a ledger that could not be begun. The folder for samples is made once
    it is begun, before anything is sent.
    """
    if not path.exists():
        return False
    return not path.is_file() or path.stat().st_size > 0 or path.with_name("samples").exists()


def _refuse_foreign(path: Path) -> None:
    """Check the file's first bytes before SQLite touches it."""
    if not path.is_file():
        raise LedgerError(f"expected a ledger file at {path}; found something that is not a regular file")
    with path.open("rb") as file:
        head = file.read(16)
    if head != _MAGIC:
        found = "an empty file" if not head else "a damaged or foreign file"
        raise LedgerError(f"expected an SQLite ledger at {path}; found {found}. It is left as it is: restore a copy")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerError(f"{path} is an SQLite file of another program; use another run folder")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > LATEST:
        raise LedgerError(
            f"{path} was written by a newer version (schema {version}, this one knows {LATEST}); upgrade the package"
        )
    report = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if report != "ok":
        raise LedgerError(f"{path} is damaged ({report}); it is left as it is: restore a copy")


def open_for_writing(run: Path) -> sqlite3.Connection:
    """The ledger of `run`, created if the folder has none, in WAL mode (or DELETE where WAL does not take).

    Raises
    ------
    LedgerError
        The ledger is lost, corrupt, foreign, newer, locked, or on a network file system.
    """
    path = ledger_path(run)
    _refuse_unsafe_place(path)
    fresh = not _is_begun(path)
    if fresh:
        _refuse_lost(run)
    else:
        _refuse_foreign(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise LedgerError(f"cannot open {path}: {error}") from None
    try:
        connection.row_factory = sqlite3.Row
        if fresh:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        else:
            _check(connection, path)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise LedgerError(f"{path} is locked or damaged ({error}); it is left as it is") from None
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(run: Path) -> sqlite3.Connection | None:
    """The ledger of `run` for queries only, also while another process writes it; None when there is none.

    Raises
    ------
    LedgerError
        The ledger is corrupt, foreign, newer, or locked.
    """
    path = ledger_path(run)
    if not _is_begun(path):
        return None
    _refuse_foreign(path)
    # Beside a ledger that is nobody's at the moment, SQLite makes files even to read; on a read-only disk it cannot.
    still = not os.access(run, os.W_OK) and not path.with_name("ledger.sqlite-wal").exists()
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise LedgerError(f"cannot open {path}: {error}") from None
    try:
        connection.row_factory = sqlite3.Row
        _check(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise LedgerError(f"{path} is locked or damaged ({error}); it is left as it is") from None
    except BaseException:
        connection.close()
        raise
    return connection
