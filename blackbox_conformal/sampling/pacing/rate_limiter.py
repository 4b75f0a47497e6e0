"""How fast one account is asked, by all processes of a user together.

A vendor counts requests by account, whatever run folder they are for, so the rate is kept in a file of the user's own
instead of a ledger. Nothing in it is worth money: where it cannot be used, each process keeps a rate of its own. Turns
are given by the generic cell rate algorithm, GCRA (ATM Forum, Traffic Management 4.0, 1996). It is a token bucket that
needs one number an account: the theoretical arrival time of the next request, if all came evenly.
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
"""Turns, at one's own rate, that are waited for at most: those of a slower or dead process beyond it do not count."""

_UNUSABLE = (sqlite3.Error, OSError, TypeError)
"""What a file raises that is damaged, locked, full, or of a version that keeps other values in it."""

_SALT = "CREATE TABLE IF NOT EXISTS salt (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT"
_PACE = (
    "CREATE TABLE IF NOT EXISTS pace (account BLOB PRIMARY KEY, arrival REAL NOT NULL, paused_until REAL NOT NULL,"
    " updated REAL NOT NULL) STRICT"
)


def pace_file() -> Path | None:
    """Where this user's processes share their rate; None when there is no private folder on a local disk."""
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
        Where the rate is shared (see `pace_file`); None: this process keeps a rate of its own.
    tell
        Told why, when the rate cannot be shared.
    """

    def __init__(
        self, adapter: Adapter, rate: float | None, clock: Clock, file: Path | None, tell: Callable[[str], None]
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._look_at = clock.monotonic()
        self._known_until = 0.0
        self._database, self._account = _joined(None, adapter, clock)
        if file is None:
            self._tell_alone("there is no private folder of yours on a local disk (XDG_STATE_HOME can name one)")
            return
        try:
            shared, self._account = _joined(file, adapter, clock)
        except _UNUSABLE as error:
            self._tell_alone(f"{file}: {error}; delete it if that stays so")
            return
        self._database.close()
        self._database = shared

    def close(self) -> None:
        """Leave; the file stays."""
        with self._lock:
            self._database.close()

    def reserve(self) -> float:
        """Take the next turn; seconds to wait until it has come."""
        if self._rate is None:
            return 0.0
        interval = 1.0 / self._rate
        burst = max(1.0, self._rate) * interval - interval
        latest = _MOST_AHEAD * interval
        with self._lock:
            arrival, _, now = self._update(
                lambda arrival, paused, now: (min(max(arrival, now), now + latest) + interval, paused)
            )
            return max(0.0, arrival - interval - burst - now)

    def cancel(self) -> None:
        """Give back a turn that was reserved and is not used, so that nobody waits for it."""
        if self._rate is not None:
            interval = 1.0 / self._rate
            with self._lock:
                self._update(lambda arrival, paused, now: (arrival - interval, paused))

    def announce_pause(self, seconds: float) -> None:
        """Tell the other processes that the vendor asked for a pause."""
        with self._lock:
            now = self._clock.wall()
            self._known_until = max(self._known_until, now + seconds)
            self._update(lambda arrival, paused, now: (arrival, max(paused, now + seconds)))

    def new_pause(self) -> float:
        """Seconds left of a pause that another process announced; 0 when none is new. Looks every `LOOK_S` seconds."""
        if self._clock.monotonic() < self._look_at:
            return 0.0
        with self._lock:
            self._look_at = self._clock.monotonic() + LOOK_S
            try:
                _, until, now = self._row()
            except _UNUSABLE as error:
                self._go_alone(str(error))
                return 0.0
            fresh = until > max(now, self._known_until)
            self._known_until = max(self._known_until, until)
            return until - now if fresh else 0.0

    def _update(self, change: Callable[[float, float, float], tuple[float, float]]) -> tuple[float, float, float]:
        """The row after `change` of the arrival time and the end of the pause; all times in seconds since 1970."""
        try:
            return self._update_row(change)
        except _UNUSABLE as error:
            self._go_alone(str(error))
            return self._update_row(change)

    def _update_row(self, change: Callable[[float, float, float], tuple[float, float]]) -> tuple[float, float, float]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            arrival, paused, now = self._row()
            arrival, paused = change(arrival, paused, now)
            self._database.execute(
                "UPDATE pace SET arrival = ?, paused_until = ?, updated = ? WHERE account = ?",
                (arrival, paused, now, self._account),
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return arrival, paused, now

    def _row(self) -> tuple[float, float, float]:
        """The arrival time, until when to pause, and now; moved along with a clock that was set back."""
        row = self._database.execute(
            "SELECT arrival, paused_until, updated FROM pace WHERE account = ?", (self._account,)
        ).fetchone()
        if row is None:
            raise sqlite3.DatabaseError("the account's row is gone")
        now = self._clock.wall()
        set_back = max(0.0, row[2] - now)
        return row[0] - set_back, row[1] - set_back, now

    def _go_alone(self, why: str) -> None:
        """Go on with a rate of this process only."""
        self._database.close()
        self._database = _opened(None)
        _add_account(self._database, self._account, self._clock.wall())
        self._tell_alone(why)

    def _tell_alone(self, why: str) -> None:
        self._tell(f"other processes do not know this one's pace: {why}")


def _joined(file: Path | None, adapter: Adapter, clock: Clock) -> tuple[sqlite3.Connection, bytes]:
    """The open file (None: memory), and the account's name in it."""
    database = _opened(file)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_SALT)
        database.execute("INSERT OR IGNORE INTO salt VALUES (1, ?)", (os.urandom(32),))
        account = _account(adapter, database.execute("SELECT value FROM salt").fetchone()[0])
        _add_account(database, account, clock.wall())
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database, account


def _add_account(database: sqlite3.Connection, account: bytes, now: float) -> None:
    """Make sure that the account has a row; remove those that were not used for a day."""
    database.execute(_PACE)
    database.execute("DELETE FROM pace WHERE max(arrival, paused_until, updated) < ?", (now - _FORGET_S,))
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
