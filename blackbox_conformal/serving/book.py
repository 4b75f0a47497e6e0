"""The book of requests: what was accepted, in a SQLite file, durable before the client is told.

A process that died leaves requests that are accepted or running. The next one begins them again; the engine's ledger
knows which draws are paid.
"""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import LedgerError
from blackbox_conformal.serving.request import Kept, Outcome, Request

VERSION = 2
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
        delivered REAL
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
        created REAL NOT NULL
    ) STRICT;
    CREATE TABLE secret (value TEXT NOT NULL) STRICT;
"""
_BY_KEY = "SELECT * FROM request WHERE owner = ? AND dialect = ? AND idempotency_key = ?"
_NEVER = 4_000_000_000.0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a client sent ahead of a request; without a digest, one that it announced and did not send yet.

    `metadata` is JSON of the client's.
    """

    id: str
    owner: str
    name: str
    type: str
    digest: str
    size: int
    metadata: str
    created: float


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to a webhook that was not delivered yet."""

    id: int
    request: str
    event: str
    address: str
    tries: int


class Book:
    """The book in a folder; every method may be called from any thread, and returns when its change is on disk.

    Raises
    ------
    LedgerError
        The file is damaged, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "requests.sqlite"
        self._writing_lock, self._reading_lock = threading.Lock(), threading.Lock()
        with self._errors():
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._begin()
            # Who asks for a request does not wait for the disk.
            self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    def _begin(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            key = secrets.token_hex(32)
            made = f"INSERT INTO secret VALUES ('{key}'); PRAGMA user_version = {VERSION};"
            self._connection.executescript(f"BEGIN; {_TABLES} {made} COMMIT;")
        elif version != VERSION:
            raise LedgerError(
                f"expected a book of requests of version {VERSION} at {self._path}; got {version}. Give another --run"
            )

    def close(self) -> None:
        """Close the file."""
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

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._writing_lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, given: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The answer to a question that changes nothing."""
        with self._reading_lock, self._errors():
            return self._reader.execute(query, given).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """The book as it is now, to be asked long questions while others go on."""
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    def accept(
        self, request: Request, *, digest: str, key: str | None, webhook: str | None, events: tuple[str, ...]
    ) -> Request | None:
        """Enter a request, and with it the one that upgrades it; the earlier one with its idempotency key, if any.

        Parameters
        ----------
        digest
            Of everything that was asked.

        Returns
        -------
        None where an earlier request has the key and asked for something else.
        """
        rows = [{**self._row_of(request), "digest": digest, "idempotency_key": key}]
        if request.upgrade is not None:
            further = replace(request, id=request.upgrade, upgrades=request.id, upgrade=None)
            rows.append({**self._row_of(further), "digest": digest, "idempotency_key": None})
        with self._writing() as connection:
            if key is not None:
                earlier = connection.execute(_BY_KEY, (request.owner, request.dialect, key)).fetchone()
                if earlier is not None:
                    return _request(earlier) if earlier["digest"] == digest else None
            for row in rows:
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO request ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
                for event in events if webhook is not None else ():
                    due = request.created if event == "start" and row["upgrades"] is None else _NEVER
                    values = (row["id"], event, webhook, due)
                    connection.execute("INSERT INTO notice (request, event, address, due) VALUES (?, ?, ?, ?)", values)
        return request

    def _row_of(self, request: Request) -> dict[str, Any]:
        row = asdict(request)
        del row["outcome"]
        return {
            **row,
            "options": json.dumps(dict(request.options)),
            "echo": json.dumps(dict(request.echo)),
            "strict": int(request.strict),
            "state": request.outcome.state,
            "status": request.outcome.status,
            "facts": "{}",
            "files": "{}",
        }

    def begin(self, number: str) -> Request | None:
        """Note that work on a request begins; None where it has ended meanwhile, such as by being cancelled."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE request SET state = 'running', started = COALESCE(started, ?)"
                " WHERE id = ? AND state IN ('accepted', 'running')",
                (time.time(), number),
            )
        found = self.find(number)
        return found if found is not None and not found.has_ended else None

    def end(self, number: str, outcome: Outcome) -> None:
        """Note how a request ended, unless it has ended; its webhook is due."""
        now = time.time()
        files = {kind: [file.digest, file.type] for kind, file in outcome.files.items()}
        told = (outcome.state, outcome.status, outcome.error, json.dumps(dict(outcome.facts)), json.dumps(files), now)
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE request SET state = ?, status = ?, error = ?, facts = ?, files = ?, ended = ?"
                " WHERE id = ? AND state IN ('accepted', 'running')",
                (*told, number),
            )
            if changed.rowcount:
                query = "UPDATE notice SET due = ? WHERE request = ? AND event = 'completed'"
                connection.execute(query, (now, number))

    def find(self, number: str, owner: str | None = None) -> Request | None:
        """The request of that id, of this owner where one is given."""
        rows = self.rows("SELECT * FROM request WHERE id = ?", (number,))
        found = _request(rows[0]) if rows else None
        return found if found is None or owner is None or found.owner == owner else None

    def find_by_key(self, key: str, owner: str, dialect: str) -> Request | None:
        """The request that an owner gave this idempotency key."""
        rows = self.rows(_BY_KEY, (owner, dialect, key))
        return _request(rows[0]) if rows else None

    def latest(self, owner: str, dialect: str, most: int) -> list[Request]:
        """The newest requests of an owner, the newest first."""
        query = "SELECT * FROM request WHERE owner = ? AND dialect = ? ORDER BY created DESC LIMIT ?"
        return [_request(row) for row in self.rows(query, (owner, dialect, most))]

    def unfinished(self) -> list[str]:
        """Ids of the requests that have not ended and wait for no other one, the oldest first."""
        query = (
            "SELECT id FROM request AS one WHERE state IN ('accepted', 'running') AND NOT EXISTS"
            " (SELECT 1 FROM request WHERE id = one.upgrades AND state IN ('accepted', 'running')) ORDER BY created"
        )
        return [row["id"] for row in self.rows(query)]

    def due(self, now: float) -> list[Notice]:
        """Messages that are to be sent."""
        query = "SELECT * FROM notice WHERE delivered IS NULL AND due <= ? ORDER BY due LIMIT 32"
        return [
            Notice(row["id"], row["request"], row["event"], row["address"], row["tries"])
            for row in self.rows(query, (now,))
        ]

    def note_notice(self, number: int, *, error: str | None, again: float | None) -> None:
        """Note a try to deliver a message, and when it is tried again; None: never."""
        delivered = time.time() if error is None else None
        with self._writing() as connection:
            connection.execute(
                "UPDATE notice SET tries = tries + 1, error = ?, delivered = ?, due = ? WHERE id = ?",
                (error, delivered, _NEVER if again is None else again, number),
            )

    def keep_upload(self, upload: Upload) -> None:
        """Enter a file that a client sent."""
        row = asdict(upload)
        with self._writing() as connection:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO upload ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))

    def expects_upload(self, number: str) -> bool:
        """Whether a file of that id was announced or sent, by whomever."""
        return bool(self.rows("SELECT 1 FROM upload WHERE id = ?", (number,)))

    def fill_upload(self, number: str, digest: str, size: int) -> bool:
        """Enter the content of a file that was announced; whether it was, and has no other content already."""
        with self._writing() as connection:
            query = "UPDATE upload SET digest = ?, size = ? WHERE id = ? AND digest IN ('', ?)"
            return connection.execute(query, (digest, size, number, digest)).rowcount > 0

    def upload(self, number: str, owner: str) -> Upload | None:
        """The file of that id, of this owner."""
        rows = self.rows("SELECT * FROM upload WHERE id = ? AND owner = ?", (number, owner))
        return Upload(**rows[0]) if rows else None

    def forget_upload(self, number: str, owner: str) -> bool:
        """Forget a file; whether there was one."""
        with self._writing() as connection:
            gone = connection.execute("DELETE FROM upload WHERE id = ? AND owner = ?", (number, owner))
        return gone.rowcount > 0

    def secret(self) -> bytes:
        """What webhooks are signed with; made with the book."""
        return bytes.fromhex(self.rows("SELECT value FROM secret")[0]["value"])


def new_id() -> str:
    """An id that nobody can guess: 160 random bits in small letters and digits."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(32))


def _request(row: Mapping[str, Any] | sqlite3.Row) -> Request:
    files = {kind: Kept(*kept) for kind, kept in json.loads(row["files"]).items()}
    return Request(
        id=row["id"],
        owner=row["owner"],
        dialect=row["dialect"],
        name=row["name"],
        model=row["model"],
        options=json.loads(row["options"]),
        echo=json.loads(row["echo"]),
        strict=bool(row["strict"]),
        input=row["input"],
        base=row["base"],
        outcome=Outcome(
            state=row["state"],
            status=row["status"],
            error=row["error"],
            facts=json.loads(row["facts"]),
            files=files,
        ),
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        upgrades=row["upgrades"],
        upgrade=row["upgrade"],
    )
