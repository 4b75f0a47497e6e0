"""How fast one account is asked, by all processes of a user together.

A vendor counts requests by account, whatever run folder they are for; so the pace lies in a file of the user's own
instead of the ledger. Nothing in it is worth money: where it cannot be had, each process keeps its own pace. Turns are
given by the generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 1996), which is a token bucket that needs
one number an account: when the next request is due if all come evenly.
"""

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.errors import CredentialMissingError
from blackbox_conformal.files import private_folder
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.filesystem import file_system, is_network

LOOK_S = 0.2
"""Seconds between two looks for a pause that another process was told to make."""

_FORGET_S = 86400.0
_BUSY_S = 5.0
_MOST_AHEAD = 256
"""Turns of one's own rate that are waited for at most: those of a slower process, or of a dead one, count no more."""

_UNUSABLE = (sqlite3.Error, OSError, TypeError)
"""What a file can be that is damaged, locked, full, or of a version that keeps other values in it."""

_SALT = "CREATE TABLE IF NOT EXISTS salt (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT"
_PACE = (
    "CREATE TABLE IF NOT EXISTS pace (account BLOB PRIMARY KEY, due REAL NOT NULL, paused_until REAL NOT NULL,"
    " updated REAL NOT NULL) STRICT"
)


def pace_file() -> Path | None:
    """Where this user's processes meet; None when there is no private folder on a local disk."""
    folder = private_folder("XDG_STATE_HOME", ".local/state")
    if folder is None or is_network(file_system(folder)):
        return None
    return folder / "pace.sqlite"


class SharedRateLimiter:
    """The turns and pauses of one account.

    Parameters
    ----------
    adapter
        The vendor; its address and key name the account. The file holds a salted digest of them.
    rate
        Requests a second of every kind, on average, of this process and of all that have a rate for the same account;
        at most as many at once, at least one. None: no request waits for a turn, only for pauses.
    file
        Where processes meet (see `pace_file`); None: this process keeps its own pace.
    tell
        Told why, when processes cannot meet.
    """

    def __init__(
        self, adapter: Adapter, rate: float | None, clock: Clock, file: Path | None, tell: Callable[[str], None]
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._look_at = clock.monotonic()
        self._known = 0.0
        self._database, self._account = _joined(None, adapter, clock)
        if file is None:
            self._tell_apart("there is no private folder of yours on a local disk (XDG_STATE_HOME can name one)")
            return
        try:
            shared, self._account = _joined(file, adapter, clock)
        except _UNUSABLE as error:
            self._tell_apart(f"{file}: {error}; delete it if that stays so")
            return
        self._database.close()
        self._database = shared

    def close(self) -> None:
        """Leave; the file stays."""
        with self._lock:
            self._database.close()

    def take(self) -> float:
        """Take a turn; seconds to wait until it has come."""
        if self._rate is None:
            return 0.0
        interval = 1.0 / self._rate
        grace = max(1.0, self._rate) * interval - interval
        most = _MOST_AHEAD * interval
        with self._lock:
            due, _, now = self._moved(lambda due, paused, now: (min(max(due, now), now + most) + interval, paused))
            return max(0.0, due - interval - grace - now)

    def give_back(self) -> None:
        """A turn that was taken is not used: nobody need wait for it."""
        if self._rate is not None:
            interval = 1.0 / self._rate
            with self._lock:
                self._moved(lambda due, paused, now: (due - interval, paused))

    def announce(self, seconds: float) -> None:
        """The vendor wants a pause: tell the other processes."""
        with self._lock:
            now = self._clock.wall()
            self._known = max(self._known, now + seconds)
            self._moved(lambda due, paused, now: (due, max(paused, now + seconds)))

    def news(self) -> float:
        """Seconds that another process was told to pause from now; 0 when nothing new is known. Looks now and then."""
        if self._clock.monotonic() < self._look_at:
            return 0.0
        with self._lock:
            self._look_at = self._clock.monotonic() + LOOK_S
            try:
                _, until, now = self._row()
            except _UNUSABLE as error:
                self._part(str(error))
                return 0.0
            fresh = until > max(now, self._known)
            self._known = max(self._known, until)
            return until - now if fresh else 0.0

    def _moved(self, move: Callable[[float, float, float], tuple[float, float]]) -> tuple[float, float, float]:
        """The row after `move`, which is given when the next request is due, until when to pause, and now."""
        try:
            return self._move(move)
        except _UNUSABLE as error:
            self._part(str(error))
            return self._move(move)

    def _move(self, move: Callable[[float, float, float], tuple[float, float]]) -> tuple[float, float, float]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            due, paused, now = self._row()
            due, paused = move(due, paused, now)
            self._database.execute(
                "UPDATE pace SET due = ?, paused_until = ?, updated = ? WHERE account = ?",
                (due, paused, now, self._account),
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return due, paused, now

    def _row(self) -> tuple[float, float, float]:
        """When the next request is due, until when to pause, and now; moved along with a clock that was set back."""
        row = self._database.execute(
            "SELECT due, paused_until, updated FROM pace WHERE account = ?", (self._account,)
        ).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("the account's row is gone")
        now = self._clock.wall()
        back = max(0.0, row[2] - now)
        return row[0] - back, row[1] - back, now

    def _part(self, why: str) -> None:
        """Go on with a pace of this process only."""
        self._database.close()
        self._database = _opened(None)
        _enter(self._database, self._account, self._clock.wall())
        self._tell_apart(why)

    def _tell_apart(self, why: str) -> None:
        self._tell(f"other processes do not know this one's pace: {why}")


def _joined(file: Path | None, adapter: Adapter, clock: Clock) -> tuple[sqlite3.Connection, bytes]:
    """The open file (None: memory), and the account's name in it."""
    database = _opened(file)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_SALT)
        database.execute("INSERT OR IGNORE INTO salt VALUES (1, ?)", (os.urandom(32),))
        account = _account(adapter, database.execute("SELECT value FROM salt").fetchone()[0])
        _enter(database, account, clock.wall())
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database, account


def _enter(database: sqlite3.Connection, account: bytes, now: float) -> None:
    """Have a row for the account; those not used for a day go."""
    database.execute(_PACE)
    database.execute("DELETE FROM pace WHERE max(due, paused_until, updated) < ?", (now - _FORGET_S,))
    database.execute("INSERT OR IGNORE INTO pace VALUES (?, 0, 0, ?)", (account, now))


def _opened(file: Path | None) -> sqlite3.Connection:
    name = ":memory:" if file is None else file
    database = sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    if file is None:
        return database
    try:
        file.chmod(0o600)
        # No write-ahead log: its index is mapped into memory, and a process dies when another one cuts that file short.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = OFF")
    except BaseException:
        database.close()
        raise
    return database


def _account(adapter: Adapter, salt: bytes) -> bytes:
    try:
        key = adapter.credential().reveal()
    except CredentialMissingError:
        key = ""
    address = urlsplit(adapter.base_url)
    return hashlib.sha256(b"\0".join((salt, address.netloc.lower().encode(), key.encode()))).digest()
