"""Whether a calibration may be used, as its watch left it: read by everything that issues certificates."""

import sqlite3
from contextlib import closing
from pathlib import Path

from blackbox_conformal.errors import FileFormatError, SuspendedError
from blackbox_conformal.watching.records import Entry
from blackbox_conformal.watching.watch_file import BUSY_S, watch_path


def state_of(path: Path, calibration: str) -> Entry | None:
    """The state that a watch left the calibration with this digest in; None where it is not watched.

    Raises
    ------
    FileFormatError
        The watch file is there and cannot be read, so that nobody knows.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            row = connection.execute(
                "SELECT id, state, at, reason FROM state WHERE calibration = ? ORDER BY id DESC LIMIT 1", (calibration,)
            ).fetchone()
    except sqlite3.Error as error:
        raise FileFormatError(
            f"{path}: expected the watch of a calibration; {error}. Whether the calibration is suspended "
            "cannot be told: restore a copy, or move the file away if you know that it is not"
        ) from None
    return None if row is None else Entry(*row)


def refuse_suspended(file: Path, calibration: str) -> str | None:
    """What a certificate has to say of the watch of the calibration in `file`; None where there is nothing to say.

    Raises
    ------
    SuspendedError
        The watch suspended the calibration or called it void, and nobody accepted that.
    FileFormatError
        Nobody knows, since the watch file cannot be read.
    """
    entry = state_of(watch_path(file), calibration)
    if entry is None or entry.state == "watched":
        return None
    if entry.state == "accepted":
        return (
            f"a watch raised an alarm about this calibration, which was accepted on {entry.at[:10]}: {entry.reason}. "
            "The guarantee is about the vendor as it was calibrated"
        )
    why = "its vendor is not what was calibrated" if entry.state == "suspended" else "its risk is above what it allows"
    raise SuspendedError(
        f"this calibration is {entry.state} since {entry.at}: {why} ({entry.reason}). Calibrate again, or say why you "
        f"use it nevertheless: blackbox-conformal watch --calibration {file} --accept REASON"
    )
