"""A book of requests in a SQLite file of the run folder, for one gateway."""

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from blackbox_conformal.drawing.ledger.checksums import checksum, know_seals
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.gateway.book import Book

Result = TypeVar("Result")

VERSION = 3
_TABLES = """
    CREATE TABLE request (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        dialect TEXT NOT NULL,
        name TEXT NOT NULL,
        model TEXT,
        options TEXT NOT NULL,
        echo TEXT NOT NULL,
        strict INTEGER NOT NULL,
        input TEXT NOT NULL,
        base TEXT NOT NULL,
        digest TEXT NOT NULL,
        idempotency_key TEXT,
        state TEXT NOT NULL,
        status INTEGER NOT NULL,
        error TEXT,
        facts TEXT NOT NULL,
        files TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        upgrades TEXT,
        upgrade TEXT,
        pay_again INTEGER NOT NULL DEFAULT 0,
        calls INTEGER NOT NULL DEFAULT 0,
        cost_nanousd INTEGER NOT NULL DEFAULT 0,
        seal INTEGER,
        UNIQUE (owner, dialect, idempotency_key)
    ) STRICT;
    CREATE INDEX request_state ON request (state);
    CREATE TABLE notice (
        id INTEGER PRIMARY KEY,
        request TEXT NOT NULL REFERENCES request (id),
        event TEXT NOT NULL,
        address TEXT NOT NULL,
        due REAL NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        delivered REAL,
        seal INTEGER
    ) STRICT;
    CREATE INDEX notice_due ON notice (due) WHERE delivered IS NULL;
    CREATE TABLE upload (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        created REAL NOT NULL,
        seal INTEGER
    ) STRICT;
    CREATE TABLE secret (value TEXT NOT NULL, seal INTEGER) STRICT;
    CREATE TABLE account (
        owner TEXT PRIMARY KEY,
        calls INTEGER NOT NULL,
        cost_nanousd INTEGER NOT NULL,
        seal INTEGER
    ) STRICT;
    CREATE TABLE deleted (sample TEXT PRIMARY KEY, value REAL NOT NULL, seal INTEGER) STRICT;
"""
_TABLE_NAMES = ("request", "notice", "upload", "secret", "account", "deleted")
_WITHOUT_IT = (
    "Or move it away: clients then find none of their earlier requests, and what was paid is kept in the run folder"
)


class SqliteBook(Book):
    """The book in a folder.

    Raises
    ------
    LedgerError
        The file is damaged, or of another version.
    """

    trusted_share = "json_extract(facts, '$.trusted_share')"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "requests.sqlite"
        self._writing_lock, self._reading_lock = threading.Lock(), threading.Lock()
        with self._errors():
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._begin()
            self._seal()
            key = (secrets.token_hex(32),)
            query = "INSERT INTO secret (value) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM secret)"
            self._write(lambda connection: connection.execute(query, key))
            # Who asks for a request does not wait for the disk.
            self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        know_seals(connection)
        return connection

    def _begin(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise LedgerError(
                f"expected a book of requests of version {VERSION} at {self._path}; got {version}. {_WITHOUT_IT}"
            )

    def _seal(self) -> None:
        """Refuse rows that are not as they were written, and have a checksum in each from now on."""
        report = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        problems = [] if report == "ok" else [f"SQLite: {report}"]
        for table in _TABLE_NAMES:
            columns = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            names = [column["name"] for column in columns if column["name"] != "seal"]
            seal = checksum(names, [column["name"] for column in columns if column["type"] == "REAL"])
            problems += [
                f"row {row[0]} of {table} is not as it was written"
                for row in self._connection.execute(f"SELECT rowid FROM {table} WHERE seal IS NOT {seal} LIMIT 1")
            ]
            for event in ("INSERT", "UPDATE"):
                self._connection.execute(
                    f"CREATE TEMPORARY TRIGGER {table}_{event} AFTER {event} ON main.{table}"
                    f" BEGIN UPDATE {table} SET seal = {seal} WHERE rowid = NEW.rowid; END"
                )
        if problems:
            raise LedgerError(
                f"{self._path} is damaged ({problems[0]}); it is left as it is: restore a copy. {_WITHOUT_IT}"
            )

    def close(self) -> None:
        with self._reading_lock:
            self._reader.close()
        with self._writing_lock:
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path} cannot be used ({error}); restore a copy, or give another --run") from None

    def _write(self, operation: Callable[[Connection], Result]) -> Result:
        with self._writing_lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = operation(self._connection)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return result

    def rows(self, query: str, given: Sequence[Any] = ()) -> list[Any]:
        with self._reading_lock, self._errors():
            return self._reader.execute(query, given).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection
