"""Whether a calibration may be used, as its watch left it: read by everything that issues certificates."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from blackbox_conformal.errors import FileFormatError, SuspendedError
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live_file import wealth_of
from blackbox_conformal.watching.live_findings import inputs_finding
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.schema import VERSION
from blackbox_conformal.watching.watch_file import BUSY_S, watch_path

_ABOUT_INPUTS = "The guarantee is for inputs like the calibration's: calibrate again on photographs like those now"


def state_of(path: Path, calibration: str) -> Entry | None:
    """The state that a watch left the calibration with this digest in; None where it is not watched.

    Raises
    ------
    FileFormatError
        The watch file is there and cannot be read, so that nobody knows.
    """
    if not path.exists():
        return None
    with _read(path) as connection:
        return _state(connection, calibration)


def _state(connection: sqlite3.Connection, calibration: str) -> Entry | None:
    row = connection.execute(
        "SELECT id, state, at, reason FROM state WHERE calibration = ? ORDER BY id DESC LIMIT 1", (calibration,)
    ).fetchone()
    return None if row is None else Entry(*row)


def _drift(path: Path, connection: sqlite3.Connection, calibration: str) -> str | None:
    """That the inputs drifted since the present watch began; None where they did not, or nobody looked."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < VERSION:
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
    """The watch file, open for reading alone."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise FileFormatError(
            f"{path}: expected the watch of a calibration; {error}. Whether the calibration is suspended "
            "cannot be told: restore a copy, or move the file away if you know that it is not"
        ) from None


def refuse_suspended(file: Path, calibration: str) -> str | None:
    """What a certificate has to say of the watch of the calibration in `file`; None where there is nothing to say.

    Raises
    ------
    SuspendedError
        The watch suspended the calibration or called it void, and nobody accepted that.
    FileFormatError
        Nobody knows, since the watch file cannot be read.
    """
    if not watch_path(file).exists():
        return None
    with _read(watch_path(file)) as connection:
        entry, drift = _state(connection, calibration), _drift(watch_path(file), connection, calibration)
    if entry is None or entry.state == "watched":
        return drift
    if entry.state == "accepted":
        accepted = (
            f"a watch raised an alarm about this calibration, which was accepted on {entry.at[:10]}: {entry.reason}. "
            "The guarantee is about the vendor as it was calibrated"
        )
        return accepted if drift is None else f"{accepted}. Besides, {drift}"
    why = "its vendor is not what was calibrated" if entry.state == "suspended" else "its risk is above what it allows"
    raise SuspendedError(
        f"this calibration is {entry.state} since {entry.at}: {why} ({entry.reason}). Calibrate again, or say why you "
        f"use it nevertheless: blackbox-conformal watch --calibration {file} --accept REASON"
    )
