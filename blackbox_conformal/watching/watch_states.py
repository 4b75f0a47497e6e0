"""Tells everything that issues certificates whether a watch lets its calibration be used."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.documents.watch_head import WatchHead, WatchStanding, WatchState
from blackbox_conformal.errors import FileFormatError, SuspendedError
from blackbox_conformal.watching import log
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import inputs_finding, wealth_of
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.watch_file import BUSY_S, LOGGED, watch_path

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration

_ABOUT_INPUTS = "The guarantee is for inputs like the calibration's: calibrate again on photographs like those now"


def state_of(file: Path, calibration: "Calibration", trusted: Trusted = ()) -> Entry | None:
    """Return the state in which its watch left this calibration; None: not watched."""
    if not watch_path(file).exists():
        return None
    with _read(watch_path(file)) as connection:
        _checked(watch_path(file), connection, calibration, trusted, whole=True)
        return _state(connection, calibration.digest)


def standing_of(file: Path, calibration: "Calibration", trusted: Trusted = ()) -> WatchStanding | None:
    """Return how far the watch of this calibration reaches, and who vouches for it; errors as for `state_of`."""
    if not watch_path(file).exists():
        return None
    with _read(watch_path(file)) as connection:
        return _checked(watch_path(file), connection, calibration, trusted, whole=True)


def holds(file: Path, head: WatchHead) -> bool:
    """Whether the watch has the entry that a certificate names."""
    with _read(watch_path(file)) as connection:
        return _version(connection) >= LOGGED and log.holds(connection, head)


def _checked(
    path: Path, connection: sqlite3.Connection, calibration: "Calibration", trusted: Trusted, *, whole: bool
) -> WatchStanding | None:
    if _version(connection) >= LOGGED:
        return log.check(path, connection, calibration, trusted, whole=whole)
    if calibration.signature is not None:
        raise log.unvouched(path, calibration, "an earlier version wrote it, and signed nothing")
    return None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _state(connection: sqlite3.Connection, calibration: str) -> Entry | None:
    row = connection.execute(
        "SELECT id, state, at, reason FROM state WHERE calibration = ? ORDER BY id DESC LIMIT 1", (calibration,)
    ).fetchone()
    return None if row is None else Entry(*row)


def _drift(path: Path, connection: sqlite3.Connection, calibration: str) -> str | None:
    if _version(connection) < 2:
        return None
    row = connection.execute(
        "SELECT id, level, live FROM watch WHERE calibration = ? AND ended_at IS NULL ORDER BY id DESC LIMIT 1",
        (calibration,),
    ).fetchone()
    if row is None:
        return None
    found = inputs_finding(wealth_of(path, connection, row[0]), Level(row[1], bool(row[2])))
    return f"{found.statement}. {_ABOUT_INPUTS}" if found.verdict == "note" else None


@contextmanager
def _read(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise FileFormatError(
            f"{path}: expected the watch of a calibration; {error}. Whether the calibration is suspended "
            "cannot be told: restore a copy, or move the file away if you know that it is not"
        ) from None


def refuse_suspended(
    file: Path, calibration: "Calibration", trusted: Trusted = (), *, whole: bool = True
) -> WatchState | None:
    """Return the watch's state for a certificate; None: not watched. Refuse a suspended or void calibration.

    `trusted`: Public keys that count beside the calibration's own.
    `whole`: Check the whole file, not only its new entries.
    """
    path = watch_path(file)
    if not path.exists():
        return None
    with _read(path) as connection:
        standing = _checked(path, connection, calibration, trusted, whole=whole)
        entry, drift = _state(connection, calibration.digest), _drift(path, connection, calibration.digest)
    head = None if standing is None else standing.head
    if entry is None or entry.state == "watched":
        return None if drift is None and head is None else WatchState(None, head, drift)
    if entry.state == "accepted":
        accepted = (
            f"a watch raised an alarm about this calibration, which was accepted on {entry.at[:10]}: {entry.reason}. "
            "The guarantee is about the vendor as it was calibrated"
        )
        return WatchState(accepted, head, drift)
    why = "its vendor is not what was calibrated" if entry.state == "suspended" else "its risk is above what it allows"
    raise SuspendedError(
        f"this calibration is {entry.state} since {entry.at}: {why} ({entry.reason}). Calibrate again, or say why you "
        f"use it nevertheless: blackbox-conformal watch --calibration {file} --accept REASON"
    )
