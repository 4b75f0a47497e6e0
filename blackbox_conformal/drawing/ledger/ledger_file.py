"""Opens the ledger's SQLite file, and refuses every file that money must not be entrusted to.

A ledger appears whole or not at all, and never replaces an old one. Only SQLite may open the file: closing any other
handle would give up this process's locks, and another process would take the WAL file for abandoned.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path

from blackbox_conformal.drawing.ledger.run_lock import file_identity
from blackbox_conformal.drawing.ledger.sample_store import sync
from blackbox_conformal.drawing.ledger.sqlite_schema import (
    APPLICATION_ID,
    VERSION,
    WITHOUT_PAYERS,
    bring_up_to_date,
    damage,
    empty_ledger,
    know_seals,
    read_as_today,
)
from blackbox_conformal.errors import BlackboxConformalError, DiskFullError, LedgerError
from blackbox_conformal.support.files import FULL_DISK, write_once

_BESIDE = ("-journal", "-wal", "-shm")
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN)
# Another process holds the lock for one commit at a time; after this long it must have stopped.
BUSY_TIMEOUT_S = 15.0


def ledger_path(run: Path) -> Path:
    return run / "ledger.sqlite"


def mark_path(run: Path) -> Path:
    """Return the file with the number of commits that a run folder's ledger has seen, written after each commit.

    A ledger that knows fewer was restored from an older copy, or lost its newest entries with a damaged WAL file.
    """
    return run / "ledger.commits"


def is_full(error: Exception) -> bool:
    """Tell whether the disk, or the user's quota, is full."""
    return getattr(error, "sqlite_errorcode", None) in _FULL or getattr(error, "errno", None) in FULL_DISK


def _unusable(path: Path, error: Exception) -> LedgerError:
    if is_full(error):
        return DiskFullError(f"{path} cannot be written ({error}); make room and run the same command again")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return _foreign(path, "a damaged or foreign file")
    if isinstance(error, OSError):
        return LedgerError(f"{path} cannot be opened: {error.strerror}. Correct that, or use another run folder")
    return LedgerError(
        f"{path} is locked or damaged ({error}); it is left as it is: restore a copy, or use another run folder"
    )


@contextmanager
def as_ledger_error(path: Path) -> Iterator[None]:
    """Raise errors of SQLite, the disk or an unfit value about a ledger as a `LedgerError`."""
    try:
        yield
    except BlackboxConformalError:
        raise
    except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError) as error:
        raise _unusable(path, error) from None


def _refuse_lost(run: Path) -> None:
    # An empty ledger must not take the place of a lost one: the samples would be paid for again.
    for name in ("samples", "inbox"):
        if (run / name).is_dir() and any(entry.is_file() for entry in (run / name).rglob("*")):
            raise LedgerError(
                f"{run} holds paid samples in {name}/ but no ledger.sqlite; restore the ledger, or use another run"
                " folder"
            )
    if not ledger_path(run).exists() and ledger_path(run).with_name("ledger.sqlite-wal").exists():
        raise LedgerError(f"{run} holds ledger.sqlite-wal but no ledger.sqlite; restore the ledger beside it")


def is_begun(path: Path) -> bool:
    """Tell whether a ledger file exists that may ever have held anything.

    The folder for samples is made after the ledger and before anything is sent. Without that folder, three kinds of
    file were never used: an empty one, one of ours without tables, and one of another version without attempts.
    """
    if not path.exists():
        return False
    if not path.is_file() or path.with_name("samples").exists():
        return True
    if path.stat().st_size == 0:
        return False
    with as_ledger_error(path), closing(_connect(path, writing=False)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] not in (0, APPLICATION_ID):
            return True
        if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return True
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        if "attempt" in tables:
            return connection.execute("SELECT 1 FROM attempt LIMIT 1").fetchone() is not None
        return bool(set(tables) - {"migration"})


def _begin(path: Path) -> None:
    if path.exists():
        # Never begun. SQLite would take leftovers beside it for a part of the new one.
        for leftover in (path, *(path.with_name(path.name + ending) for ending in _BESIDE)):
            leftover.unlink(missing_ok=True)
    mark_path(path.parent).unlink(missing_ok=True)
    write_once(path, empty_ledger())
    sync(path.parent)


def _refuse_foreign(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(f"expected a ledger file at {path}; found something that is not a regular file")
    if path.stat().st_size == 0:
        raise _foreign(path, "an empty file")


def _foreign(path: Path, kind: str) -> LedgerError:
    return LedgerError(f"expected an SQLite ledger at {path}; found {kind}. It is left as it is: restore a copy")


def marked_commits(run: Path) -> int:
    """Return the written number of commits; 0 if none can be read."""
    try:
        return int(mark_path(run).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _check(connection: sqlite3.Connection, path: Path, *, whole: bool) -> None:
    # Read first: a run may add commits meanwhile, and the mark is never ahead of the ledger.
    last = marked_commits(path.parent)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerError(f"{path} is an SQLite file of another program; use another run folder")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == WITHOUT_PAYERS:
        read_as_today(connection)
    elif version != VERSION:
        # Neither is read: misread money would be spent again.
        newer = version > VERSION
        raise LedgerError(
            f"{path} was written by {'a newer' if newer else 'an older'} version (schema {version}, this one knows"
            f" {VERSION}); {'upgrade the package' if newer else 'use that version'}, or use another run folder"
        )
    problems = damage(connection) if whole else []
    if problems:
        raise LedgerError(f"{path} is damaged ({problems[0]}); it is left as it is: restore a copy")
    if whole:
        commits = connection.execute("SELECT commits FROM total").fetchone()[0]
        if commits < last:
            raise LedgerError(
                f"the ledger in {path.parent} is older than its folder: it knows {commits} commits of {last}. Restore"
                f" the newest ledger; or delete {mark_path(path.parent)} to go on with this one, which then counts and"
                " uses again what receipts.jsonl says, but knows nothing of calls that were never answered"
            )


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    run = path.parent
    if writing or (os.access(run, os.W_OK) and path.with_name("ledger.sqlite-journal").exists()):
        # Even a reader has to write, to undo the transaction of a process that died.
        mode = "mode=rw"
    elif os.access(run, os.W_OK) or path.with_name("ledger.sqlite-wal").exists():
        mode = "mode=ro"
    else:
        # To read a ledger, SQLite makes files beside it; on a read-only disk it cannot.
        mode = "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        # The writer's thread and the readers' lock let one thread at a time use a connection.
        check_same_thread=False,
    )
    know_seals(connection)
    connection.row_factory = sqlite3.Row
    return connection


class LedgerFile:
    """The file of a ledger that is open for writing, and the mark beside it."""

    def __init__(self, run: Path) -> None:
        self._path = ledger_path(run)
        self._file = file_identity(self._path)
        self._mark_path = mark_path(run)
        self._mark: FileIO | None = None

    def guard(self) -> None:
        """Refuse a ledger whose file is gone: anything written into it would be lost."""
        if file_identity(self._path) != self._file:
            raise LedgerError(
                f"{self._path} was deleted, moved or replaced while a run was using it, so nothing more is sent. What"
                " was paid for lies in samples/ and inbox/ beside it; put the ledger back and run again"
            )

    def mark(self, commits: int) -> None:
        """Write down the number of durable commits; if that fails, later opens compare nothing."""
        with contextlib.suppress(OSError):
            if self._mark is None:
                self._mark_path.touch()
                self._mark = FileIO(self._mark_path, "r+")
            self._mark.seek(0)
            # Always twenty digits, so that the number is overwritten in place and never half as long.
            self._mark.write(b"%020d" % commits)

    def close(self) -> None:
        if self._mark is not None:
            self._mark.close()


def open_for_writing(run: Path) -> sqlite3.Connection:
    """Open the ledger of `run` in WAL mode (or DELETE), begun if missing; the caller holds its `RunLock`."""
    path = ledger_path(run)
    if not is_begun(path):
        _refuse_lost(run)
        with as_ledger_error(path):
            _begin(path)
    _refuse_foreign(path)
    # Leftovers of processes that died while they began this ledger.
    for leftover in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            leftover.unlink()
    with as_ledger_error(path):
        connection = _connect(path, writing=True)
        try:
            _check(connection, path, whole=True)
            if connection.execute("PRAGMA user_version").fetchone()[0] == WITHOUT_PAYERS:
                bring_up_to_date(connection)
            # WAL cannot work on some network disks; a journal can.
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = DELETE")
            # A commit that was answered must survive a power cut.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_reading(run: Path, *, whole: bool = True) -> sqlite3.Connection | None:
    """Open the ledger of `run` for queries, even while another process writes; None if there is none.

    `whole`: compare every row with its checksum, about a second for 100,000 rows.
    """
    path = ledger_path(run)
    if not is_begun(path):
        return None
    _refuse_foreign(path)
    with as_ledger_error(path):
        connection = _connect(path, writing=False)
        try:
            _check(connection, path, whole=whole)
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def reading(run: Path, *, whole: bool = True) -> Iterator[sqlite3.Connection | None]:
    """Open as `open_for_reading`, and close at the end; errors meanwhile are a `LedgerError`."""
    connection = open_for_reading(run, whole=whole)
    if connection is None:
        yield None
        return
    with as_ledger_error(ledger_path(run)), closing(connection):
        yield connection
