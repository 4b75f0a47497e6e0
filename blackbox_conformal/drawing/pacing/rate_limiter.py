"""Keeps all processes of a user within the request rates of one account.

Vendors count requests by account, so one file of the user keeps the times for all ledgers; if the file is unusable,
each process counts for itself. The log is a sliding window: a request may go when fewer than `Rate.count` others of
its kind went in the last `Rate.kept_seconds`. A process takes its turn only when it sends, so one that dies while
waiting holds up nobody.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.run_lock import file_system, is_network
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker
from blackbox_conformal.drawing.run_control import Clock, StoppedError
from blackbox_conformal.errors import CredentialMissingError, TryLaterError, VendorError
from blackbox_conformal.support.files import private_folder
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.rates import Purpose, Rate

Result = TypeVar("Result")

LOOK_S = 0.2  # Seconds between two looks for a pause of another process.
FORGET_S = 2 * 86400.0
_BUSY_S = 5.0

_UNUSABLE = (sqlite3.Error, OSError, TypeError)
"""Errors of a file that is damaged, locked, full, or of a version with other values."""

_SALT = "CREATE TABLE IF NOT EXISTS salt (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT"
_PACE = (
    "CREATE TABLE IF NOT EXISTS pace (account BLOB PRIMARY KEY, longest REAL NOT NULL, paused_until REAL NOT NULL,"
    " updated REAL NOT NULL) STRICT"
)
_TURN = (
    "CREATE TABLE IF NOT EXISTS turn (account BLOB NOT NULL, purpose TEXT NOT NULL, taken_at REAL NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS turn_by_time ON turn (account, taken_at)",
)


def pace_file() -> Path | None:
    """Return the file of shared rates; None without a private folder on a local disk."""
    folder = private_folder("XDG_STATE_HOME", ".local/state")
    if folder is None or is_network(file_system(folder)):
        return None
    return folder / "pace.sqlite"


class SharedRateLimiter:
    """Turns and pauses of one account.

    `adapter`: Its address and key name the account; the file holds only a salted digest.
    `rates`: Allowed requests in a time, over all processes with this account; empty: requests wait only for pauses.
    `file`: See `pace_file`; None: this process counts for itself.
    `tell`: Called with the reason if the rate cannot be shared.
    """

    def __init__(
        self, adapter: Adapter, rates: Sequence[Rate], clock: Clock, file: Path | None, tell: Callable[[str], None]
    ) -> None:
        self.rates = tuple(rates)
        self._longest = max((rate.kept_seconds for rate in rates), default=0.0)
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._look_at = clock.monotonic()
        self._known_until = 0.0
        self._database, self._account = _joined(None, adapter, self._longest, clock)
        if file is None:
            self._tell_alone("there is no private folder of yours on a local disk (XDG_STATE_HOME can name one)")
            return
        try:
            shared, self._account = _joined(file, adapter, self._longest, clock)
        except _UNUSABLE as error:
            self._tell_alone(f"{file}: {error}; delete it if that stays so")
            return
        self._database.close()
        self._database = shared

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def take(self, purpose: Purpose) -> float:
        """Take a turn and return 0, or return the seconds after which to ask again.

        Once a quarter of a window is used, polls are spaced evenly, so that new jobs do not use it all.
        """
        if not self.rates:
            return 0.0
        with self._lock:
            return self._safely(lambda: self._take(purpose))

    def _take(self, purpose: Purpose) -> float:
        with self._transaction() as database:
            now = self._now()
            # Nobody takes a turn ahead of time: times in the future mean that the clock was set back.
            database.execute(
                "UPDATE turn SET taken_at = ? WHERE account = ? AND taken_at > ?", (now, self._account, now)
            )
            (longest,) = database.execute("SELECT longest FROM pace WHERE account = ?", (self._account,)).fetchone()
            database.execute(
                "DELETE FROM turn WHERE account = ? AND taken_at <= ?", (self._account, now - min(longest, FORGET_S))
            )
            seconds = max(self._free_at(rate, purpose, now) - now for rate in self.rates)
            if seconds <= 0:
                # In the transaction that found the turn free, so that two processes cannot share it.
                database.execute("INSERT INTO turn VALUES (?, ?, ?)", (self._account, purpose, now))
                return 0.0
            return seconds

    def _free_at(self, rate: Rate, purpose: Purpose, now: float) -> float:
        if not rate.counts(purpose):
            return 0.0
        free_at = self._nth_latest(rate, rate.count) + rate.kept_seconds
        if purpose == "poll" and self._nth_latest(rate, rate.count // 4 + 1) > now - rate.kept_seconds:
            free_at = max(free_at, self._nth_latest(rate, 1) + rate.kept_seconds / rate.count)
        return free_at

    def _nth_latest(self, rate: Rate, n: int) -> float:
        row = (
            self._turns()
            .execute(
                f"SELECT taken_at FROM turn WHERE account = ?{'' if rate.purpose is None else ' AND purpose = ?'}"
                " ORDER BY taken_at DESC LIMIT 1 OFFSET ?",
                (self._account, *([] if rate.purpose is None else [rate.purpose]), n - 1),
            )
            .fetchone()
        )
        return float("-inf") if row is None else float(row[0])

    def announce_pause(self, seconds: float) -> None:
        """Tell other processes about a pause that the vendor asked for."""
        with self._lock:
            self._safely(lambda: self._announce(seconds))

    def _announce(self, seconds: float) -> None:
        with self._transaction() as database:
            paused, now = self._pause()
            self._known_until = max(self._known_until, now + seconds)
            database.execute(
                "UPDATE pace SET paused_until = ?, updated = ? WHERE account = ?",
                (max(paused, now + seconds), now, self._account),
            )

    def new_pause(self) -> float:
        """Return the seconds left of another process's new pause, or 0; look every `LOOK_S` seconds."""
        # Each look costs a disk access.
        if self._clock.monotonic() < self._look_at:
            return 0.0
        with self._lock:
            self._look_at = self._clock.monotonic() + LOOK_S
            until, now = self._safely(self._pause)
            # Only a pause that ends later than all known ones is new.
            fresh = until > max(now, self._known_until)
            self._known_until = max(self._known_until, until)
            return until - now if fresh else 0.0

    def _safely(self, act: Callable[[], Result]) -> Result:
        try:
            return act()
        except _UNUSABLE as error:
            # Without the shared pace requests may go too fast, but a paid run must not end for that.
            self._go_alone(str(error))
            return act()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def _turns(self) -> Connection:
        return self._database

    def _now(self) -> float:
        return self._clock.wall()

    def _pause(self) -> tuple[float, float]:
        # If the clock was set back, the stored pause moves back with it.
        row = (
            self._turns()
            .execute("SELECT paused_until, updated FROM pace WHERE account = ?", (self._account,))
            .fetchone()
        )
        if row is None:
            raise sqlite3.DatabaseError("the account's row is gone")
        now = self._now()
        return row[0] - max(0.0, row[1] - now), now

    def _go_alone(self, why: str) -> None:
        self._database.close()
        self._database = _opened(None)
        _add_account(self._database, self._account, self._longest, self._clock.wall())
        self._tell_alone(why)

    def _tell_alone(self, why: str) -> None:
        self._tell(f"other processes do not know this one's pace: {why}")


def _joined(file: Path | None, adapter: Adapter, longest: float, clock: Clock) -> tuple[sqlite3.Connection, bytes]:
    database = _opened(file)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute(_SALT)
        # Each file has its own salt, so that digests of keys cannot be compared between files.
        database.execute("INSERT OR IGNORE INTO salt VALUES (1, ?)", (os.urandom(32),))
        account = account_of(adapter, database.execute("SELECT value FROM salt").fetchone()[0])
        _add_account(database, account, longest, clock.wall())
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database, account


def _add_account(database: sqlite3.Connection, account: bytes, longest: float, now: float) -> None:
    # Rows that nobody used for two days are removed.
    database.execute(_PACE)
    for statement in _TURN:
        database.execute(statement)
    database.execute("DELETE FROM turn WHERE taken_at < ?", (now - FORGET_S,))
    database.execute(
        "DELETE FROM pace WHERE max(paused_until, updated) < ? AND account NOT IN (SELECT account FROM turn)",
        (now - FORGET_S,),
    )
    database.execute(
        "INSERT INTO pace VALUES (?, ?, 0, ?)"
        " ON CONFLICT (account) DO UPDATE SET longest = max(longest, excluded.longest)",
        (account, longest, now),
    )


def _opened(file: Path | None) -> sqlite3.Connection:
    name = ":memory:" if file is None else file
    database = sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    if file is None:
        return database
    try:
        file.chmod(0o600)
        # No write-ahead log: SQLite maps its index into memory, and a process dies when another cuts that file short.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = OFF")
    except BaseException:
        database.close()
        raise
    return database


def account_of(adapter: Adapter, salt: bytes) -> bytes:
    try:
        key = adapter.credential().reveal()
    except CredentialMissingError:
        key = ""
    address = urlsplit(adapter.base_url)
    # Vendors count by address and key; the salt keeps anybody from guessing the key.
    return hashlib.sha256(b"\0".join((salt, address.netloc.lower().encode(), key.encode()))).digest()


_TELL_S = 60.0


@dataclass(eq=False)
class TurnTaking:
    """A gate at which workers wait for pauses and turns."""

    breaker: CircuitBreaker
    rate_limiter: SharedRateLimiter
    concurrency: AdaptiveConcurrency
    limits: Limits
    clock: Clock
    board: EventBoard
    _tell_at: float = field(default=0.0, init=False)

    def is_free(self) -> bool:
        """Tell whether a submission may go now without `wait`."""
        self._join_pauses_of_others()
        # A half-open breaker has a single probe, so nothing is free then.
        return not self.rate_limiter.rates and self.breaker.is_closed()

    def wait(self, wake: threading.Event, purpose: Purpose) -> float:
        """Wait for the end of a pause and for a turn; return the seconds spent on the turn."""
        if wake.is_set():
            raise StoppedError
        self._wait_for_pause(wake)
        waited = 0.0
        while (seconds := self.rate_limiter.take(purpose)) > 0:
            self._tell_wait(seconds)
            if self.clock.sleep(seconds, wake):
                # The probe was not sent, so another worker may probe.
                self.breaker.abandon_probe()
                raise StoppedError
            waited += seconds
            self._wait_for_pause(wake)
        return waited

    def _tell_wait(self, seconds: float) -> None:
        # At most once a minute, and only for waits longer than a minute.
        now = self.clock.monotonic()
        if seconds >= _TELL_S and now >= self._tell_at:
            self._tell_at = now + _TELL_S
            rates = ", ".join(map(str, self.rate_limiter.rates))
            self.board.tell("pace", f"waiting {seconds:.0f} s for a turn at the rate of this vendor ({rates})")

    def _wait_for_pause(self, wake: threading.Event) -> None:
        worker = threading.get_ident()
        self._join_pauses_of_others()
        while (seconds := self.breaker.delay(worker)) > 0:
            # A pause longer than the user allows ends the run.
            if seconds > self.limits.max_retry_after_s:
                raise TryLaterError("the vendor asked for a pause, which is not over", retry_after=seconds)
            if self.clock.sleep(seconds, wake):
                raise StoppedError
            self._join_pauses_of_others()

    def _join_pauses_of_others(self) -> None:
        seconds = self.rate_limiter.new_pause()
        # A longer pause ends this run when it asks the vendor itself; joining it here would hide the reason.
        if 0.0 < seconds <= self.limits.max_retry_after_s:
            self.concurrency.record_throttle()
            if self.breaker.open(seconds):
                self.board.tell(
                    "throttled", f"the vendor put off another process of yours; everyone pauses for {seconds:.1f} s"
                )

    def record(self, failure: VendorError | None) -> None:
        """Tell the circuit breaker how a request went; None: the vendor answered properly."""
        if failure is None:
            if self.breaker.record_success():
                self.board.tell("recovered", "the vendor answers again")
        elif not isinstance(failure, TryLaterError):
            # The probe met another failure: the next worker probes.
            self.breaker.abandon_probe()
