"""The log of a watch file: a chain of digests over everything that the watch concluded; entries may be signed.

A new watch, a visit, a live picture or a state is written together with its entry, in one transaction. The digest
covers the rows and the entry before. So an edited, dropped, added or moved row shows, unless a forger writes the rest
of the log anew, which only the key's owner can sign.
"""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.documents.watch_head import WatchHead, WatchStanding
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, FileFormatError
from blackbox_conformal.support.canonical import digest_json, strict_json
from blackbox_conformal.watching.records import insert

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.signature import SigningKey

Kind = Literal["watch", "visit", "live", "state"]

_ROWS: dict[str, tuple[str, ...]] = {
    "watch": (
        "SELECT id, calibration, begun_at, seed, level, first_draws_calibrated, live FROM watch WHERE id = ?",
        "SELECT * FROM canary WHERE watch = ? ORDER BY position",
    ),
    "visit": (
        "SELECT * FROM visit WHERE id = ?",
        "SELECT * FROM draw WHERE visit = ? ORDER BY id",
        "SELECT feature.* FROM feature JOIN draw ON draw.id = feature.draw WHERE draw.visit = ? ORDER BY draw.id, name",
        "SELECT * FROM wealth WHERE visit = ? ORDER BY feature",
        # A visit without losses beside has the digest that it had before there were any.
        "SELECT visit, truth, name, alpha, loss FROM (SELECT 0 AS part, rowid AS place, * FROM photograph UNION ALL"
        " SELECT 1, rowid, visit, truth, 'beside', 0, loss FROM beside) WHERE visit = ? ORDER BY part, place",
        "SELECT * FROM finding WHERE visit = ? ORDER BY layer",
    ),
    "live": ("SELECT * FROM live WHERE id = ?", "SELECT * FROM live_rank WHERE live = ? ORDER BY feature"),
    "state": ("SELECT * FROM state WHERE id = ?",),
}
"""Kind of entry → queries of the rows that its digest covers."""

_CONCLUDED = {
    "watch": "SELECT id, begun_at FROM watch WHERE calibration = ?",
    "visit": "SELECT visit.id, visit.ended_at FROM visit JOIN watch ON watch.id = visit.watch"
    " WHERE watch.calibration = ? AND visit.ended_at IS NOT NULL",
    "live": "SELECT live.id, at FROM live JOIN watch ON watch.id = live.watch WHERE watch.calibration = ?",
    "state": "SELECT id, at FROM state WHERE calibration = ?",
}
"""Kind of entry → query of all concluded rows of that kind, and when each was written."""

_WATCHES = "SELECT id, repeats_itself, ended_at FROM watch WHERE calibration = ? ORDER BY id"
_BETS = (
    "SELECT live_wealth.* FROM live_wealth JOIN watch ON watch.id = live_wealth.watch WHERE watch.calibration = ?"
    " ORDER BY live_wealth.watch, feature"
)
"""Rows that change later; each entry has digests of these rows at its time."""

_WORSENING = "kind = 'live' OR (kind = 'state' AND state IN ('suspended', 'void'))"
"""Entries that need no signature: masking without the key can raise an alarm, but not end one."""


def now() -> str:
    """Return the present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(
    connection: sqlite3.Connection, calibration: str, kind: Kind, row: int, key: "SigningKey | None"
) -> WatchHead:
    """Write the entry of a conclusion into its transaction, and sign the entry if there is a key.

    `kind`, `row`: Kind of conclusion, and the id of its row.
    """
    newest = _newest(connection, calibration)
    number, before = (0, None) if newest is None else (newest["number"], newest["chain"])
    entry: dict[str, Any] = {
        "calibration": calibration,
        "number": number + 1,
        "kind": kind,
        "subject": row,
        "digest": _digest(connection, _ROWS[kind], row),
        "watches": _digest(connection, (_WATCHES,), calibration),
        "bets": _digest(connection, (_BETS,), calibration),
        "state": _state(connection, calibration),
        "at": now(),
    }
    # Each digest covers the one before, so that no entry can be moved or left out.
    entry["chain"] = digest_json({**entry, "before": before})
    entry["signature"] = None
    head = _head(entry)
    if key is not None:
        head = head.signed(key)
        entry["signature"] = head.signature and head.signature.model_dump_json()
    insert(connection, "log", **entry)
    return head


def record_all(connection: sqlite3.Connection) -> None:
    """Write the entries of a file that had no log."""
    for (calibration,) in connection.execute("SELECT DISTINCT calibration FROM watch ORDER BY calibration").fetchall():
        concluded = [
            (at, order, row, kind)
            for order, kind in enumerate(_CONCLUDED)
            for row, at in connection.execute(_CONCLUDED[kind], (calibration,)).fetchall()
        ]
        # By time and, at equal times, in the order of the kinds.
        for _, _, row, kind in sorted(concluded):
            record(connection, calibration, kind, row, None)  # type: ignore[arg-type]


def sign_newest(connection: sqlite3.Connection, calibration: str, key: "SigningKey") -> WatchHead | None:
    """Sign the newest entry, and with it all earlier ones; None: the log is empty."""
    newest = _newest(connection, calibration)
    if newest is None:
        return None
    head = _head({**newest, "signature": None}).signed(key)
    assert head.signature is not None
    connection.execute(
        "UPDATE log SET signature = ? WHERE calibration = ? AND number = ?",
        (head.signature.model_dump_json(), calibration, head.entries),
    )
    return head


def check(
    path: Path,
    connection: sqlite3.Connection,
    calibration: "Calibration",
    trusted: Trusted = (),
    *,
    whole: bool = True,
) -> WatchStanding | None:
    """Check the log of a calibration; for a signed calibration also that a trusted key signed the log.

    `path`: Of the watch file.
    `trusted`: Public keys that count beside the calibration's own.
    `whole`: Check every entry and row; otherwise only the newest entry and the rows that change.
    Returns: None if the file has no watch of this calibration.
    """
    newest = _newest(connection, calibration.digest)
    if whole:
        _check_rows(path, connection, calibration.digest)
    if newest is None:
        return None
    try:
        # The chain of the newest entry covers all earlier ones.
        before = _entry(connection, calibration.digest, newest["number"] - 1)
        _check_entry(newest, None if before is None else before["chain"])
        for name, query in (("watches", _WATCHES), ("bets", _BETS)):
            if newest[name] != _digest(connection, (query,), calibration.digest):
                raise ValueError(f"{name} are not those of entry {newest['number']}")
        if newest["state"] != _state(connection, calibration.digest):
            raise ValueError(f"the state is not that of entry {newest['number']}")
        return _vouched(path, connection, calibration, trusted, newest)
    except BlackboxConformalError:
        raise
    except (ValueError, TypeError) as error:
        raise _changed(path, str(error)) from None


def holds(connection: sqlite3.Connection, head: WatchHead) -> bool:
    """Whether the log has the entry that a certificate names."""
    entry = _entry(connection, head.calibration, head.entries)
    return entry is not None and entry["chain"] == head.chain


def _check_rows(path: Path, connection: sqlite3.Connection, calibration: str) -> None:
    logged: set[tuple[str, int]] = set()
    before = None
    cursor = connection.execute("SELECT * FROM log WHERE calibration = ? ORDER BY number", (calibration,))
    names = [column[0] for column in cursor.description]
    for number, values in enumerate(cursor.fetchall(), 1):
        entry = dict(zip(names, values, strict=True))
        try:
            if entry["number"] != number:
                raise ValueError(f"entry {number} is missing")
            _check_entry(entry, before)
            if entry["digest"] != _digest(connection, _ROWS[entry["kind"]], entry["subject"]):
                raise ValueError(f"the {entry['kind']} of entry {number} was edited")
        except (ValueError, TypeError, KeyError) as error:
            raise _changed(path, str(error)) from None
        logged.add((entry["kind"], entry["subject"]))
        before = entry["chain"]
    there = {(kind, row[0]) for kind, query in _CONCLUDED.items() for row in connection.execute(query, (calibration,))}
    if there != logged:
        kind = min(there ^ logged)[0]
        what = "a row has no entry" if there - logged else "a row is missing"
        raise _changed(path, f"{what} ({kind})")


def _check_entry(entry: dict[str, Any], before: str | None) -> None:
    content = {name: value for name, value in entry.items() if name not in ("chain", "signature")}
    if entry["chain"] != digest_json({**content, "before": before}):
        raise ValueError(f"entry {entry['number']} does not follow from the one before")


def _vouched(
    path: Path,
    connection: sqlite3.Connection,
    calibration: "Calibration",
    trusted: Trusted,
    newest: dict[str, Any],
) -> WatchStanding:
    signer = calibration.signature
    others = Vouching(None)
    for values in connection.execute(
        "SELECT number FROM log WHERE calibration = ? AND signature IS NOT NULL ORDER BY number DESC",
        (calibration.digest,),
    ):
        entry = _entry(connection, calibration.digest, values[0])
        assert entry is not None
        head = _head(entry)
        assert head.signature is not None
        own = signer is not None and head.signature.key == signer.key
        known = TrustPolicy.of(trusted).refusal(head.signature.key, head.signature.kind) == ""
        if signer is not None and not own and not known:
            others = others if others.signature else Vouching(head.signature, checked=True)
            continue
        vouching = head.vouching(trusted)
        # Only entries that make the state worse may follow the newest signature unsigned.
        if signer is not None:
            later = connection.execute(
                # Entries that can only raise an alarm need no signature.
                f"SELECT kind, number FROM log WHERE calibration = ? AND number > ? AND NOT ({_WORSENING}) LIMIT 1",
                (calibration.digest, entry["number"]),
            ).fetchone()
            if later is not None:
                raise unvouched(path, calibration, f"entry {later[1]}, a {later[0]}, is not, and none after it")
            # A watch may end without an entry, so the whole table is compared.
            if newest["watches"] != entry["watches"]:
                raise unvouched(path, calibration, f"what follows entry {entry['number']} is not")
        return WatchStanding(_head(newest), vouching, head.entries, own)
    if signer is not None:
        raise unvouched(path, calibration, f"it is {others.words('another key')}")
    return WatchStanding(_head(newest), Vouching(None))


def unvouched(path: Path, calibration: "Calibration", found: str) -> CheckFailedError:
    """Make the error that no trusted key signed the watch of a signed calibration; `found`: the reason in words."""
    signer = calibration.signature
    assert signer is not None
    return CheckFailedError(
        f"{path}: expected the watch of a signed calibration to be signed by its key, {signer.key}, or by one "
        f"that is given with --trust; {found}. Give --trust KEY, or, if you know that the file is as it should be, "
        f"sign it with the calibration: blackbox-conformal sign {calibration.file or 'CALIBRATION'} --sign-with FILE"
    )


def _changed(path: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path}: expected the watch of a calibration as it was written; it was changed since: {what}. Restore a copy, "
        "or move the file away to begin a new watch"
    )


def _newest(connection: sqlite3.Connection, calibration: str) -> dict[str, Any] | None:
    number = connection.execute("SELECT max(number) FROM log WHERE calibration = ?", (calibration,)).fetchone()[0]
    return None if number is None else _entry(connection, calibration, number)


def _entry(connection: sqlite3.Connection, calibration: str, number: int) -> dict[str, Any] | None:
    cursor = connection.execute("SELECT * FROM log WHERE calibration = ? AND number = ?", (calibration, number))
    row = cursor.fetchone()
    return None if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))


def _head(entry: dict[str, Any]) -> WatchHead:
    try:
        signature = None if entry["signature"] is None else Signature(**strict_json(entry["signature"]))
        return WatchHead(
            calibration=entry["calibration"],
            entries=entry["number"],
            chain=entry["chain"],
            state=entry["state"],
            at=entry["at"],
            signature=signature,
        )
    except ValidationError as error:
        raise ValueError(f"entry {entry['number']}: {error.errors(include_url=False)[0]['msg']}") from None


def _state(connection: sqlite3.Connection, calibration: str) -> str:
    row = connection.execute(
        "SELECT state FROM state WHERE calibration = ? ORDER BY id DESC LIMIT 1", (calibration,)
    ).fetchone()
    return "watched" if row is None else str(row[0])


def _digest(connection: sqlite3.Connection, queries: tuple[str, ...], value: int | str) -> str:
    # Values in the order of the query, so that the digest does not depend on how they are stored.
    rows = [[list(map(_plain, row)) for row in connection.execute(query, (value,))] for query in queries]
    return digest_json(rows)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
