"""The file that a watch keeps beside its calibration: an SQLite database, readable with plain SQL.

One transaction plans a visit before anything is bought, another concludes it. A visit killed in between is resumed with
the same numbers of draws, so the ledger knows which are paid.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.documents.watch_head import WatchStanding
from blackbox_conformal.errors import BlackboxConformalError, FileFormatError, UsageError
from blackbox_conformal.support.files import FULL_DISK, refusal
from blackbox_conformal.support.wording import complaint
from blackbox_conformal.watching import log
from blackbox_conformal.watching.log import now
from blackbox_conformal.watching.records import (
    Canary,
    Entry,
    Finding,
    FreshMeasurement,
    Record,
    State,
    Visit,
    WatchDraw,
    Watched,
    columns,
    insert,
    records,
)

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.signature import SigningKey

# docs/watching.md describes these tables for people who read the file with SQL.

APPLICATION_ID = 0x42425761
VERSION = 5
LOGGED = 3  # The first version with a log.

LIVE_TABLES = """
CREATE TABLE live (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    input TEXT NOT NULL,
    at TEXT NOT NULL,
    photographs_of TEXT,
    statistics BLOB NOT NULL,
    answers BLOB NOT NULL,
    UNIQUE (watch, input)
);
CREATE TABLE live_rank (
    live INTEGER NOT NULL REFERENCES live,
    feature TEXT NOT NULL,
    p_value REAL NOT NULL,
    PRIMARY KEY (live, feature)
);
CREATE TABLE live_wealth (
    watch INTEGER NOT NULL REFERENCES watch,
    feature TEXT NOT NULL,
    shares TEXT NOT NULL,
    log_wealth REAL NOT NULL,
    log_highest REAL NOT NULL,
    PRIMARY KEY (watch, feature)
);
"""

LOG_TABLE = """
CREATE TABLE log (
    calibration TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('watch', 'visit', 'live', 'state')),
    subject INTEGER NOT NULL,
    digest TEXT NOT NULL,
    watches TEXT NOT NULL,
    bets TEXT NOT NULL,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    chain TEXT NOT NULL,
    signature TEXT,
    PRIMARY KEY (calibration, number)
);
"""

BESIDE_TABLE = """
CREATE TABLE IF NOT EXISTS beside (
    visit INTEGER NOT NULL REFERENCES visit,
    truth TEXT NOT NULL,
    loss REAL NOT NULL,
    PRIMARY KEY (visit, truth)
);
"""
"""Losses of fresh photographs under the guarantee beside; new in version 4."""

FROM = {
    1: f"ALTER TABLE watch ADD COLUMN live INTEGER NOT NULL DEFAULT 0; {LIVE_TABLES} {LOG_TABLE} {BESIDE_TABLE}",
    2: LOG_TABLE + BESIDE_TABLE,
    3: BESIDE_TABLE,
    4: BESIDE_TABLE,
}
"""Version → statements that bring its file up to date.

A watch of version 1 keeps its level, without a part for live pictures. Until version 3 each canary bet by itself, also
on a p-value beside its features; those bets stay in `wealth`, and all visits bet anew by their features alone.
"""

TABLES = (
    LIVE_TABLES
    + LOG_TABLE
    + BESIDE_TABLE
    + """
CREATE TABLE watch (
    id INTEGER PRIMARY KEY,
    calibration TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    seed TEXT NOT NULL,
    level REAL NOT NULL,
    first_draws_calibrated INTEGER NOT NULL,
    repeats_itself INTEGER,
    ended_at TEXT,
    live INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE canary (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    upload TEXT NOT NULL,
    png BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    sensitivity REAL,
    UNIQUE (watch, position)
);
CREATE TABLE visit (
    id INTEGER PRIMARY KEY,
    watch INTEGER NOT NULL REFERENCES watch,
    number INTEGER NOT NULL,
    begun_at TEXT NOT NULL,
    ended_at TEXT,
    verdict TEXT,
    UNIQUE (watch, number)
);
CREATE TABLE draw (
    id INTEGER PRIMARY KEY,
    visit INTEGER NOT NULL REFERENCES visit,
    canary INTEGER NOT NULL REFERENCES canary,
    purpose TEXT NOT NULL CHECK (purpose IN ('chosen', 'reference', 'repeat', 'fresh')),
    draw_index INTEGER NOT NULL,
    seed TEXT,
    state TEXT,
    file TEXT,
    model TEXT,
    format TEXT,
    width INTEGER,
    height INTEGER,
    cost_usd TEXT,
    UNIQUE (canary, draw_index)
);
CREATE TABLE feature (
    draw INTEGER NOT NULL REFERENCES draw,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    p_value REAL,
    PRIMARY KEY (draw, name)
);
CREATE TABLE wealth (
    visit INTEGER NOT NULL REFERENCES visit,
    feature TEXT NOT NULL,
    log_wealth REAL NOT NULL,
    log_highest REAL NOT NULL,
    PRIMARY KEY (visit, feature)
);
CREATE TABLE photograph (
    visit INTEGER NOT NULL REFERENCES visit,
    truth TEXT NOT NULL,
    name TEXT NOT NULL,
    alpha REAL NOT NULL,
    loss REAL,
    UNIQUE (visit, truth)
);
CREATE TABLE finding (
    visit INTEGER NOT NULL REFERENCES visit,
    layer TEXT NOT NULL,
    verdict TEXT NOT NULL,
    statement TEXT NOT NULL,
    value REAL,
    PRIMARY KEY (visit, layer)
);
CREATE TABLE state (
    id INTEGER PRIMARY KEY,
    calibration TEXT NOT NULL,
    visit INTEGER REFERENCES visit,
    at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('watched', 'suspended', 'void', 'accepted')),
    reason TEXT NOT NULL
);
CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL REFERENCES state,
    channel TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    delivered_at TEXT,
    error TEXT,
    UNIQUE (state, channel)
);
"""
)


BUSY_S = 15.0
_DRAWS = (
    "SELECT draw.*, draw.draw_index AS 'index', canary.position AS position FROM draw"
    " JOIN canary ON canary.id = draw.canary"
)


def watch_path(calibration: Path) -> Path:
    """Return the path of the watch of the calibration in this file."""
    return calibration.with_suffix(".watch.sqlite")


def damaged(path: Path, why: str) -> FileFormatError:
    """Make the error of a watch file with content that this package does not write."""
    return FileFormatError(
        f"{path}: expected the watch of a calibration; {why}. Restore a copy, or move the file away to begin a new "
        "watch"
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of foreign rows into the error of a damaged file."""
    try:
        yield
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise damaged(path, f"{'.'.join(map(str, problem['loc']))}: {complaint(problem)}") from None
    except BlackboxConformalError as error:
        raise damaged(path, str(error)) from None
    except (ValueError, TypeError) as error:
        raise damaged(path, f"a row does not fit ({error})") from None


class WatchFile:
    """An open watch file; a context manager.

    `make`: Make the file if there is none.
    `key`: Signs new entries; None: not signed.
    """

    def __init__(self, path: Path, *, make: bool = True, key: "SigningKey | None" = None) -> None:
        self.path, self._key = path, key
        if not make and not path.exists():
            raise UsageError(f"expected a watch file at {path}; there is none. `blackbox-conformal watch` begins one")
        with self._told():
            # Masking also writes the file, so a writer waits for others a moment.
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            with self._told():
                self._connection.row_factory = sqlite3.Row
                # A concluded visit must survive a power cut.
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "WatchFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code == sqlite3.SQLITE_FULL:
                raise refusal(self.path, OSError(FULL_DISK[0], "the disk is full")) from None
            if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise UsageError(f"{self.path} cannot be written: {error}. Correct that and run again") from None
            raise damaged(self.path, str(error)) from None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all that the ``with`` block does, or nothing."""
        with self._told():
            # The lock is taken at once: a transaction that begins by reading could not get it later.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _prepare(self) -> None:
        with self.transaction() as connection:
            mark, version = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if (mark, version) == (APPLICATION_ID, VERSION):
                return
            # An older file is brought up to date in the same transaction, whole or not at all.
            if mark == APPLICATION_ID and version in FROM:
                statements = FROM[version]
            elif mark or version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise FileFormatError(
                    f"{self.path}: expected a watch file of version {VERSION}; it is another file, or a newer one. "
                    "Move it away, or update blackbox-conformal"
                )
            else:
                # An empty file is a new one.
                statements = TABLES
            for statement in filter(str.strip, statements.split(";")):
                connection.execute(statement)
            # A file from before the log gets an entry for everything that it holds.
            if version < LOGGED:
                log.record_all(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def record(self, connection: sqlite3.Connection, calibration: str, kind: log.Kind, row: int | None) -> None:
        """Log the row with this id, which this transaction concludes."""
        assert row is not None
        log.record(connection, calibration, kind, row, self._key)

    def enter(
        self, connection: sqlite3.Connection, calibration: str, state: State, reason: str, visit: int | None = None
    ) -> None:
        """Write the calibration's new state into this transaction."""
        said = {"calibration": calibration, "visit": visit, "at": now(), "state": state, "reason": reason}
        self.record(connection, calibration, "state", insert(connection, "state", **said))

    def check(self, calibration: "Calibration", trusted: Trusted = ()) -> WatchStanding | None:
        """Check the whole log of a calibration; see `log.check`."""
        with self.transaction() as connection:
            return log.check(self.path, connection, calibration, trusted)

    def sign(self, calibration: str) -> None:
        """Sign the log of a calibration, if there is a key."""
        if self._key is not None:
            with self.transaction() as connection:
                log.sign_newest(connection, calibration, self._key)

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._told():
            return self._connection.execute(query, values).fetchall()

    def _records(self, kind: type[Record], query: str, *values: object) -> list[Record]:
        rows = self._rows(query, *values)
        with reading(self.path):
            return records(kind, rows)

    def _draw(self, row: sqlite3.Row, features: Mapping[str, float]) -> WatchDraw:
        with reading(self.path):
            (draw,) = records(WatchDraw, [{**row, "canary": row["position"], "features": features}])
        return draw

    def current(self, calibration: str) -> Watched | None:
        """Return the calibration's watch that has not ended; None: there is none."""
        return self._watch("calibration = ? AND ended_at IS NULL", calibration)

    def latest(self, calibration: str) -> Watched | None:
        """Return the calibration's latest watch, ended or not; None: there is none."""
        return self._watch("calibration = ?", calibration)

    def _watch(self, condition: str, calibration: str) -> Watched | None:
        found = self._records(Watched, f"SELECT * FROM watch WHERE {condition} ORDER BY id DESC LIMIT 1", calibration)
        return found[0] if found else None

    def begin(self, calibration: str, level: float, canaries: Sequence[Canary], *, calibrated: bool) -> Watched:
        """Draw a seed, and begin a watch with these canaries, in order."""
        seed = secrets.token_hex(16)
        with self.transaction() as connection:
            values = {"level": level, "first_draws_calibrated": calibrated, "live": 1}
            watch = insert(connection, "watch", calibration=calibration, begun_at=now(), seed=seed, **values)
            for place, each in enumerate(canaries):
                sent = columns(each, "name", "upload", "png", "width", "height", "sensitivity")
                insert(connection, "canary", watch=watch, position=place, **sent)
            self.record(connection, calibration, "watch", watch)
        begun = self.current(calibration)
        assert begun is not None
        return begun

    def canaries(self, watch: Watched) -> list[Canary]:
        """Return the canaries of a watch, in order."""
        return self._records(Canary, "SELECT * FROM canary WHERE watch = ? ORDER BY position", watch.id)

    def last_canaries(self, calibration: str) -> list[Canary]:
        """Return the canaries of the calibration's latest watch, in order."""
        watch = self.latest(calibration)
        return [] if watch is None else self.canaries(watch)

    def plan(self, watch: Watched, draws: Sequence[WatchDraw], photographs: Sequence[FreshMeasurement] = ()) -> Visit:
        """Plan the draws of the next visit, before anything is bought."""
        ids = {canary.position: canary.id for canary in self.last_canaries(watch.calibration)}
        with self.transaction() as connection:
            number = connection.execute(
                "SELECT 1 + coalesce(max(number), 0) FROM visit WHERE watch = ?", (watch.id,)
            ).fetchone()[0]
            visit = insert(connection, "visit", watch=watch.id, number=number, begun_at=now())
            _plan(connection, visit, ids, draws)
            for each in photographs:
                insert(connection, "photograph", visit=visit, **columns(each, "truth", "name", "alpha"))
        return self.visits(watch)[-1]

    def plan_again(self, watch: Watched, draw: WatchDraw) -> Visit:
        """Plan one more repetition of a draw in the open visit, and return that visit."""
        opened = self.visits(watch)[-1]
        # Above all numbers of this visit, so that none of its draws is meant.
        again = replace(draw, purpose="repeat", index=1 + max(each.index for each in opened.draws))
        with self.transaction() as connection:
            _plan(connection, opened.id, {each.position: each.id for each in self.canaries(watch)}, [again])
        return self.visits(watch)[-1]

    def visits(self, watch: Watched) -> list[Visit]:
        """Return every visit of a watch in order, the open one last."""
        features: dict[int, dict[str, float]] = {}
        of_watch = "SELECT id FROM visit WHERE watch = ?"
        for row in self._rows(
            f"SELECT feature.* FROM feature JOIN draw ON draw.id = feature.draw WHERE draw.visit IN ({of_watch})",
            watch.id,
        ):
            features.setdefault(row["draw"], {})[row["name"]] = row["value"]
        draws: dict[int, list[WatchDraw]] = {}
        for row in self._rows(f"{_DRAWS} WHERE draw.visit IN ({of_watch}) ORDER BY draw.id", watch.id):
            draws.setdefault(row["visit"], []).append(self._draw(row, features.get(row["id"], {})))
        visits = self._records(Visit, "SELECT * FROM visit WHERE watch = ? ORDER BY number", watch.id)
        return [replace(visit, draws=tuple(draws.get(visit.id, ()))) for visit in visits]

    def photographs(self, watch: Watched, visit: int | None = None) -> list[FreshMeasurement]:
        """Return the fresh photographs of all visits, or of one, as planned."""
        return self._records(
            FreshMeasurement,
            "SELECT photograph.*, beside.loss AS beside FROM photograph JOIN visit ON visit.id = photograph.visit"
            " LEFT JOIN beside ON beside.visit = visit.id AND beside.truth = photograph.truth WHERE visit.watch = ?"
            " AND (? IS NULL OR visit.id = ?) ORDER BY photograph.rowid",
            watch.id,
            visit,
            visit,
        )

    def used_photographs(self) -> set[str]:
        """Return the digests of all photographs that any visit in this file planned."""
        return {row["truth"] for row in self._rows("SELECT truth FROM photograph")}

    def draws_of(self, calibration: str) -> list[tuple[Canary, WatchDraw]]:
        """Return every draw that any watch of this calibration planned, with its canary."""
        rows = self._rows(
            f"{_DRAWS} JOIN watch ON watch.id = canary.watch WHERE watch.calibration = ? ORDER BY draw.id", calibration
        )
        of_calibration = "SELECT canary.* FROM canary JOIN watch ON watch.id = canary.watch WHERE watch.calibration = ?"
        canaries = {canary.id: canary for canary in self._records(Canary, of_calibration, calibration)}
        return [(canaries[row["canary"]], self._draw(row, {})) for row in rows]

    def evidence(self, watch: Watched) -> list[float]:
        """Return the logarithm of the largest wealth of a feature's martingale, after each concluded visit.

        Visits of earlier versions are left out: there each canary bet by itself, and that wealth cannot be continued.
        """
        rows = self._rows(
            "SELECT max(log_wealth) AS largest FROM wealth JOIN visit ON visit.id = wealth.visit WHERE visit.watch = ?"
            # Earlier versions counted evidence by canary.
            " AND NOT EXISTS (SELECT 1 FROM feature JOIN draw ON draw.id = feature.draw"
            " WHERE draw.visit = visit.id AND feature.p_value IS NOT NULL)"
            " GROUP BY visit.id ORDER BY visit.number",
            watch.id,
        )
        return [row["largest"] for row in rows]

    def highest(self, visit: int) -> dict[str, float]:
        """Return feature → logarithm of its martingale's highest wealth up to a visit."""
        rows = self._rows("SELECT feature, log_highest FROM wealth WHERE visit = ?", visit)
        return {row["feature"]: row["log_highest"] for row in rows}

    def findings(self, visit: int) -> list[Finding]:
        """Return the findings of a visit, by layer."""
        return self._records(Finding, "SELECT * FROM finding WHERE visit = ? ORDER BY rowid", visit)

    def states(self, calibration: str) -> list[Entry]:
        """Return every state of the calibration, in order."""
        return self._records(Entry, "SELECT * FROM state WHERE calibration = ? ORDER BY id", calibration)

    def untold(self, calibration: str, channel: str) -> list[Entry]:
        """Return the present state and states with a failed notice, in order, unless the channel got their notice."""
        return self._records(
            # Old states are no news, unless their notice failed.
            Entry,
            "SELECT state.* FROM state LEFT JOIN notice ON notice.state = state.id AND notice.channel = ?"
            " WHERE state.calibration = ? AND notice.delivered_at IS NULL AND (notice.id IS NOT NULL OR state.id ="
            " (SELECT max(id) FROM state WHERE calibration = ?)) ORDER BY state.id",
            channel,
            calibration,
            calibration,
        )

    def note_notice(self, state: int, channel: str, error: str | None) -> None:
        """Note that a channel got the notice of a state, or why not."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO notice (state, channel, tries, delivered_at, error) VALUES (?, ?, 1, ?, ?)"
                # One row a state and channel, so that tries add up.
                " ON CONFLICT (state, channel) DO UPDATE SET tries = tries + 1, delivered_at = excluded.delivered_at,"
                " error = excluded.error",
                (state, channel, None if error else now(), error),
            )


def _plan(connection: sqlite3.Connection, visit: int, ids: Mapping[int, int], draws: Sequence[WatchDraw]) -> None:
    for draw in draws:
        # As text: seeds may have more than 63 bits.
        seed = None if draw.seed is None else str(draw.seed)
        planned = {"purpose": draw.purpose, "draw_index": draw.index, "seed": seed}
        insert(connection, "draw", visit=visit, canary=ids[draw.canary], **planned)


def check_beside(path: Path, calibration: "Calibration") -> None:
    """Check the watch beside the calibration's file, if there is one; see `WatchFile.check`."""
    if watch_path(path).exists():
        with WatchFile(watch_path(path)) as file:
            file.check(calibration)


def sign_beside(path: Path, calibration: "Calibration", key: "SigningKey") -> None:
    """Sign the log of the watch beside the calibration's file, if there is one."""
    if watch_path(path).exists():
        with WatchFile(watch_path(path), key=key) as file:
            file.sign(calibration.digest)
