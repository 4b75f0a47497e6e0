"""The book of requests: a request is durable before its client is told.

The book lies beside the ledger: in the run folder, or in a database that several gateways share. Requests that a dead
process left accepted or running are begun again; the ledger knows which draws are paid.
"""

import json
import secrets
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.money import Totals
from blackbox_conformal.drawing.ledger.sqlite_schema import checksum, know_seals
from blackbox_conformal.errors import LedgerError
from blackbox_conformal.gateway.request import ENDED, Kept, Request, RequestOutcome

# Counts of requests for metrics, as samples of the Prometheus text format.

BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def counts(asked: Connection, trusted_share: str, condition: str = "1 = 1") -> dict[str, float]:
    """Count the requests under an SQL condition; name and labels of each Prometheus sample → number."""
    accepted = asked.execute(f"SELECT dialect, COUNT(*) AS n FROM request WHERE {condition} GROUP BY dialect")
    found: dict[str, float] = {
        f'requests_accepted_total{{dialect="{row["dialect"]}"}}': row["n"] for row in accepted.fetchall()
    }
    states = asked.execute(f"SELECT state, COUNT(*) AS n FROM request WHERE {condition} GROUP BY state").fetchall()
    ended = {row["state"]: row["n"] for row in states}
    found |= {f'requests_ended_total{{state="{state}"}}': ended.get(state, 0) for state in ENDED}
    masked = asked.execute(
        f"SELECT COUNT(*) AS n, COALESCE(SUM({trusted_share}), 0) AS share FROM request"
        f" WHERE {trusted_share} IS NOT NULL AND {condition}"
    ).fetchone()
    found |= {"masks_total": masked["n"], "trusted_shares_total": masked["share"]}
    # Quotes within JSON's texts are escaped, so no client's words look like the key.
    differing = f'SELECT COUNT(*) AS n FROM request WHERE facts LIKE \'%"differs": "%\' AND {condition}'
    found["differing_total"] = asked.execute(differing).fetchone()["n"]
    bounds = ", ".join(f"COUNT(*) FILTER (WHERE ended - created <= {bound})" for bound in BUCKETS_S)
    row = asked.execute(
        # Prometheus counts cumulatively: each bucket also holds all shorter times.
        f"SELECT {bounds}, COUNT(*), COALESCE(SUM(ended - created), 0) FROM request"
        f" WHERE ended IS NOT NULL AND {condition}"
    ).fetchone()
    *numbers, number, total = tuple(row)
    found |= {f'request_seconds_bucket{{le="{bound}"}}': n for bound, n in zip(BUCKETS_S, numbers, strict=True)}
    return {
        **found,
        'request_seconds_bucket{le="+Inf"}': number,
        "request_seconds_sum": total,
        "request_seconds_count": number,
    }


_BY_KEY = "SELECT * FROM request WHERE owner = ? AND dialect = ? AND idempotency_key = ?"
# If nothing was bought, the key is free again: the client may repeat the request.
_RELEASE = (
    "UPDATE request SET idempotency_key = NULL WHERE owner = ? AND dialect = ? AND idempotency_key = ?"
    " AND state IN ('failed', 'refused') AND calls = 0"
)
# A time in the year 2096: this notice is not due yet, or never again.
_NEVER = 4_000_000_000.0
_UNFINISHED = "state IN ('accepted', 'running')"
LEFT = (
    f"FROM request AS one WHERE {_UNFINISHED}"
    # An upgrade waits for the upgraded request, which may be at work in another gateway.
    f" AND NOT EXISTS (SELECT 1 FROM request WHERE id = one.upgrades AND {_UNFINISHED})"
)
"""SQL: requests that have not ended and wait for no other."""

DUE = "FROM notice WHERE delivered IS NULL AND due <= ?"
NOTICES = 256

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class KeptUpload:
    """A file sent ahead of a request; without a digest it is only announced. `metadata` is the client's JSON."""

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
    """A message to a webhook that is not delivered yet."""

    id: int
    request: str
    event: str
    address: str
    tries: int


class Book(ABC):
    """An open book, for any thread. Methods return once the change is on disk, or raise `LedgerError`.

    `shared`: Whether other gateways write it, too.
    `trusted_share`: SQL: the trusted share of a request, or NULL.
    """

    shared = False
    trusted_share: str
    _mine = ""  # SQL: further conditions under which this gateway may begin or end a request.

    @abstractmethod
    def close(self) -> None:
        """Close the book."""

    @abstractmethod
    def _write(self, operation: Callable[[Connection], Result]) -> Result:
        """Run `operation`, and return its result once it is on disk. It may run again, even after a commit."""

    @abstractmethod
    def rows(self, query: str, given: Sequence[Any] = ()) -> list[Any]:
        """Answer a question that changes nothing."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """Return the book at this moment, for long questions."""

    def check(self) -> None:
        """Raise the error that a question would meet now, without waiting for an absent database."""
        self.rows("SELECT 1")

    def _holder(self) -> dict[str, Any]:
        """Return columns that say which gateway holds a request."""
        return {}

    def accept(
        self, request: Request, *, digest: str, key: str | None, webhook: str | None, events: tuple[str, ...]
    ) -> Request | None:
        """Enter a request and its upgrade; return an earlier request with the same idempotency key, if any.

        `digest`: Covers everything that was asked.
        `key`: Idempotency key; free again after a request that ended without picture and cost.
        Returns: None if an earlier request has the key and asked for something else.
        """
        rows = [{**self._row_of(request), "digest": digest, "idempotency_key": key}]
        # Both rows in one transaction: a promised upgrade without a row would never come.
        if request.upgrade is not None:
            further = replace(request, id=request.upgrade, upgrades=request.id, upgrade=None)
            rows.append({**self._row_of(further), "digest": digest, "idempotency_key": None})

        def operation(connection: Connection) -> Request | None:
            # In the transaction of the entry, so that two clients with one key cannot both pass.
            connection.execute(_RELEASE, (request.owner, request.dialect, key))
            for row in rows:
                if not _insert(connection, "request", row):
                    by_key = connection.execute(_BY_KEY, (request.owner, request.dialect, key)).fetchone()
                    # Without an earlier request the row is this one's own: its commit went unanswered.
                    return request if by_key is None else _request(by_key) if by_key["digest"] == digest else None
                for event in events if webhook is not None else ():
                    # The start is told at once; the end is not known yet.
                    due = request.created if event == "start" and row["upgrades"] is None else _NEVER
                    notice = {"request": row["id"], "event": event, "address": webhook, "due": due}
                    _insert(connection, "notice", notice)
            return request

        return self._write(operation)

    def _row_of(self, request: Request) -> dict[str, Any]:
        row = asdict(request)
        del row["outcome"]
        return {
            **row,
            "options": json.dumps(dict(request.options)),
            "echo": json.dumps(dict(request.echo)),
            "strict": int(request.strict),
            "pay_again": int(request.pay_again),
            "state": request.outcome.state,
            "status": request.outcome.status,
            "facts": "{}",
            "files": "{}",
            **self._holder(),
        }

    def begin(self, number: str) -> Request | None:
        """Note that work on a request begins; return None if it has ended, or is another gateway's."""
        query = (
            # A restart keeps the time of the first beginning.
            "UPDATE request SET state = 'running', started = COALESCE(started, ?)"
            f" WHERE id = ? AND {_UNFINISHED}{self._mine}"
        )
        begun = self._write(lambda connection: connection.execute(query, (time.time(), number)).rowcount > 0)
        return self.find(number) if begun else None

    def end(self, number: str, outcome: RequestOutcome, calls: int) -> None:
        """Note how a request ended, unless it has, or is another gateway's by now; its webhook is due.

        `calls` are its submissions in the ledger.
        """
        self._end(number, outcome, self._mine, calls)

    def spent_before(self) -> dict[str, Totals]:
        """Return each owner's spending from before the ledger named payers; it no longer grows."""
        rows = self.rows("SELECT owner, cost_nanousd, calls FROM account")
        return {row["owner"]: Totals(spent=row["cost_nanousd"], calls=row["calls"]) for row in rows}

    def cancel(self, number: str) -> None:
        """End a request that has not ended, whichever gateway works on it."""
        self._end(number, RequestOutcome(state="cancelled", status=409, error="cancelled"), "", 0)

    def _end(self, number: str, outcome: RequestOutcome, condition: str, calls: int) -> None:
        now = time.time()
        files = {kind: [file.digest, file.type] for kind, file in outcome.files.items()}
        told = (outcome.state, outcome.status, outcome.error, json.dumps(dict(outcome.facts)), json.dumps(files))

        def operation(connection: Connection) -> None:
            changed = connection.execute(
                "UPDATE request SET state = ?, status = ?, error = ?, facts = ?, files = ?, calls = calls + ?,"
                " ended = ?"
                f" WHERE id = ? AND {_UNFINISHED}{condition}",
                (*told, calls, now, number),
            )
            # The first end counts: a later one changes and announces nothing.
            if changed.rowcount:
                query = "UPDATE notice SET due = ? WHERE request = ? AND event = 'completed'"
                connection.execute(query, (now, number))

        self._write(operation)

    def find(self, number: str, owner: str | None = None) -> Request | None:
        """Return the request with this id, of this owner if one is given."""
        rows = self.rows("SELECT * FROM request WHERE id = ?", (number,))
        found = _request(rows[0]) if rows else None
        # Another owner's request seems absent: an id must not tell who asked.
        return found if found is None or owner is None or found.owner == owner else None

    def find_by_key(self, key: str, owner: str, dialect: str) -> Request | None:
        """Return the request that an owner gave this idempotency key."""
        rows = self.rows(_BY_KEY, (owner, dialect, key))
        return _request(rows[0]) if rows else None

    def latest(self, owner: str, dialect: str, most: int) -> list[Request]:
        """Return an owner's newest requests, newest first."""
        query = "SELECT * FROM request WHERE owner = ? AND dialect = ? ORDER BY created DESC LIMIT ?"
        return [_request(row) for row in self.rows(query, (owner, dialect, most))]

    def take(self, most: int) -> list[str]:
        """Take over requests that no gateway works on, and return their ids, oldest first.

        `most` limits their number if gateways share the book.
        """
        return [row["id"] for row in self.rows(f"SELECT id {LEFT} ORDER BY created")]

    def due(self, now: float) -> list[Notice]:
        """Return messages that are due and that no other gateway sends."""
        return [notice_of(row) for row in self.rows(f"SELECT * {DUE} ORDER BY due LIMIT {NOTICES}", (now,))]

    def note_notice(self, number: int, *, error: str | None, again: float | None) -> None:
        """Note a try to deliver a message, and when to try again; None: never."""
        delivered = time.time() if error is None else None
        query = "UPDATE notice SET tries = tries + 1, error = ?, delivered = ?, due = ? WHERE id = ?"
        given = (error, delivered, _NEVER if again is None else again, number)
        self._write(lambda connection: connection.execute(query, given))

    def keep_upload(self, upload: KeptUpload) -> None:
        """Enter a file that a client sent."""
        self._write(lambda connection: _insert(connection, "upload", asdict(upload)))

    def upload_owner(self, number: str) -> str | None:
        """Return the owner of the file with this id; None: no such file."""
        rows = self.rows("SELECT owner FROM upload WHERE id = ?", (number,))
        return rows[0]["owner"] if rows else None

    def uploaded_bytes(self, owner: str, since: float) -> int:
        """Return how many bytes an owner has uploaded since then."""
        query = "SELECT COALESCE(SUM(size), 0) AS bytes FROM upload WHERE owner = ? AND created >= ?"
        return int(self.rows(query, (owner, since))[0]["bytes"])

    def fill_upload(self, number: str, digest: str, size: int) -> bool:
        """Enter the content of an announced file; False: not announced, or its content differs."""
        # After a lost answer the same content may come again; other content under the same link may not.
        query = "UPDATE upload SET digest = ?, size = ? WHERE id = ? AND digest IN ('', ?)"
        return self._write(lambda connection: connection.execute(query, (digest, size, number, digest)).rowcount > 0)

    def upload(self, number: str, owner: str) -> KeptUpload | None:
        """Return the file with this id, of this owner."""
        rows = self.rows("SELECT * FROM upload WHERE id = ? AND owner = ?", (number, owner))
        return KeptUpload(*(rows[0][name] for name in KeptUpload.__dataclass_fields__)) if rows else None

    def forget_upload(self, number: str, owner: str) -> bool:
        """Forget a file; return whether it was there."""
        query = "DELETE FROM upload WHERE id = ? AND owner = ?"
        return self._write(lambda connection: connection.execute(query, (number, owner)).rowcount > 0)

    def delete_before(self, moment: float) -> None:
        """Delete older uploads, and requests that ended before without a pending webhook; metrics still count them."""
        # A pending notice needs its request.
        waits = f"SELECT 1 FROM notice WHERE notice.request = request.id AND delivered IS NULL AND due < {_NEVER}"
        old = f"ended < {float(moment)!r} AND NOT EXISTS ({waits})"

        def operation(connection: Connection) -> None:
            # Only one gateway counts and deletes at a time.
            connection.execute("UPDATE secret SET value = value")
            for sample, value in counts(connection, self.trusted_share, old).items():
                _insert(connection, "deleted", {"sample": sample, "value": 0.0})
                query = "UPDATE deleted SET value = value + ? WHERE sample = ?"
                connection.execute(query, (float(value), sample))
            connection.execute(f"DELETE FROM notice WHERE request IN (SELECT id FROM request WHERE {old})")
            connection.execute(f"DELETE FROM request WHERE {old}")
            connection.execute("DELETE FROM upload WHERE created < ?", (moment,))

        self._write(operation)

    def digests(self) -> set[str]:
        """Return the digests of every file of a request or upload."""
        rows = self.rows("SELECT input, files FROM request")
        kept = {digest for row in rows for digest, _ in json.loads(row["files"]).values()}
        uploads = self.rows("SELECT digest FROM upload")
        return kept | {row["input"] for row in rows} | {row["digest"] for row in uploads}

    def secret(self) -> bytes:
        """Return the secret that signs webhooks, made with the book."""
        return bytes.fromhex(self.rows("SELECT value FROM secret")[0]["value"])


def new_id() -> str:
    """Return an id that cannot be guessed: 160 random bits in letters and digits."""
    # Five bits a character, all safe in addresses.
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(32))


def _insert(connection: Connection, table: str, row: Mapping[str, Any]) -> bool:
    marks = ", ".join("?" * len(row))
    query = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    return connection.execute(query, tuple(row.values())).rowcount > 0


def notice_of(row: Any) -> Notice:
    """Read the message from a row."""
    return Notice(row["id"], row["request"], row["event"], row["address"], row["tries"])


def _request(row: Any) -> Request:
    files = {kind: Kept(*kept) for kind, kept in json.loads(row["files"]).items()}
    values = {name: row[name] for name in Request.__dataclass_fields__ if name != "outcome"}
    values |= {"options": json.loads(row["options"]), "echo": json.loads(row["echo"]), "strict": bool(row["strict"])}
    values["pay_again"] = bool(row["pay_again"])
    facts = json.loads(row["facts"])
    outcome = RequestOutcome(state=row["state"], status=row["status"], error=row["error"], facts=facts, files=files)
    return Request(**values, outcome=outcome)


# The book in an SQLite file of the run folder, for one gateway.

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
    """The book in a folder."""

    trusted_share = "json_extract(facts, '$.trusted_share')"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "requests.sqlite"
        self._writing_lock, self._reading_lock = threading.Lock(), threading.Lock()
        with self._errors():
            self._connection = self._connect()
            # Readers and the writer do not wait for each other.
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A client is told only what survives a power cut.
            self._connection.execute("PRAGMA synchronous = FULL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version != VERSION:
                raise LedgerError(
                    f"expected a book of requests of version {VERSION} at {self._path}; got {version}. {_WITHOUT_IT}"
                )
            # Damaged rows are refused, and from now on every write renews its row's checksum.
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
                    # A trigger, so that no statement can forget the checksum.
                    self._connection.execute(
                        f"CREATE TEMPORARY TRIGGER {table}_{event} AFTER {event} ON main.{table}"
                        f" BEGIN UPDATE {table} SET seal = {seal} WHERE rowid = NEW.rowid; END"
                    )
            if problems:
                raise LedgerError(
                    f"{self._path} is damaged ({problems[0]}); it is left as it is: restore a copy. {_WITHOUT_IT}"
                )
            key = (secrets.token_hex(32),)
            # Clients have noted the key, so a restarted gateway must sign with the same one.
            query = "INSERT INTO secret (value) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM secret)"
            self._write(lambda connection: connection.execute(query, key))
            # Readers do not wait for the disk.
            self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        know_seals(connection)
        return connection

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
            # The lock is taken at once: a transaction that begins by reading could not get it later.
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
            # A snapshot: numbers of one answer belong together.
            connection.execute("BEGIN")
            yield connection
