"""Answers questions about a run folder's ledger: purchases, costs, and whether all adds up.

Only reads; a run may go on meanwhile.
"""

import contextlib
import os
import shlex
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from blackbox_conformal.drawing.ledger.addresses import LEDGERS, Address
from blackbox_conformal.drawing.ledger.attempts import COLUMNS, Attempt, attempt_from
from blackbox_conformal.drawing.ledger.backends import (
    Where,
    address_at,
    damage,
    has_ledger,
    open_ledger,
    reading,
    store_of,
)
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.ledger_file import ledger_path
from blackbox_conformal.drawing.ledger.money import to_usd
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import COUNTED, ENDED, PAID, RESERVING, WHOLE, WITH_JOB, AttemptState
from blackbox_conformal.errors import LedgerError, PayloadError, UsageError
from blackbox_conformal.support.text import file_stem


def _literals(states: tuple[AttemptState, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


_ALL = 2**62  # More rows than any ledger has.
_AT_ONCE = 8
_SUBMITTED = 1000  # Samples that wait for their turn to be read; a limit keeps memory small for large ledgers.
# SQL: the attempt may have cost an unknown amount, and is booked at nothing.
UNPRICED = f"priced = 0 AND cost_nanousd = 0 AND state IN ({_literals((*PAID, 'ambiguous'))})"


def ledger_ls(run: Where, states: tuple[str, ...] = (), limit: int | None = None) -> list[Attempt]:
    """Return attempts in the order of planning, all or only in `states`; at most the last `limit`."""
    where = f" WHERE state IN ({', '.join('?' * len(states))})" if states else ""
    with _open(run) as connection:
        query = f"SELECT {COLUMNS} FROM attempt{where} ORDER BY id DESC LIMIT ?"
        return [attempt_from(row) for row in connection.execute(query, (*states, limit or _ALL))][::-1]


def ledger_sum(run: Where) -> dict[str, int | Decimal]:
    """Count and add up a run folder; all zero without a ledger.

    ``attempts``: submissions. ``paid``: taken by the vendor. ``ambiguous``: perhaps taken, booked at full price.
    ``stored``: pictures. ``unpriced``: paid and ambiguous ones of unknown price, booked at nothing. ``cost_usd``:
    booked. ``reserved_usd``: held for submissions under way.
    """
    conditions = {
        "attempts": "sent_at IS NOT NULL",
        "paid": f"state IN ({_literals(PAID)})",
        "ambiguous": "state = 'ambiguous'",
        "stored": f"state IN ({_literals(WHOLE)})",
        "unpriced": UNPRICED,
    }
    with reading(run) as connection:
        if connection is None:
            return dict.fromkeys(conditions, 0) | {"cost_usd": Decimal(0), "reserved_usd": Decimal(0)}
        columns = ", ".join(f"COUNT(*) FILTER (WHERE {condition})" for condition in conditions.values())
        counts = connection.execute(f"SELECT {columns} FROM attempt").fetchone()
        spent, reserved = connection.execute("SELECT spent_nanousd, reserved_nanousd FROM total").fetchone()
    return dict(zip(conditions, counts, strict=True)) | {"cost_usd": to_usd(spent), "reserved_usd": to_usd(reserved)}


def spent_by_procedure(run: Where) -> dict[str, Decimal]:
    """Return US dollars booked by digest of the vendor procedure; empty without a ledger."""
    with reading(run) as connection:
        if connection is None:
            return {}
        rows = connection.execute("SELECT identity, SUM(cost_nanousd) FROM attempt GROUP BY identity").fetchall()
    return {identity: to_usd(int(spent or 0)) for identity, spent in rows}


def unanswered_procedures(run: Where) -> frozenset[str]:
    """Return digests of vendor procedures without any answer; empty without a ledger."""
    with reading(run) as connection:
        if connection is None:
            return frozenset()
        rows = connection.execute(
            f"SELECT identity, COUNT(*) FILTER (WHERE state IN ({_literals(ENDED)})) FROM attempt GROUP BY identity"
        ).fetchall()
    return frozenset(identity for identity, answered in rows if not answered)


def ledger_limit(address: Address) -> Decimal | None:
    """Return the most US dollars that all draws with a shared ledger may cost; None: no limit."""
    with _open(address) as connection:
        (limit,) = connection.execute("SELECT limit_nanousd FROM total").fetchone()
    return None if limit is None else to_usd(limit)


def ledger_export(run: Where) -> Iterator[dict[str, Any]]:
    """Yield every attempt with every column: money as decimal text, times in ISO 8601 (UTC)."""
    with _open(run) as connection:
        for row in connection.execute("SELECT * FROM attempt ORDER BY id"):
            out: dict[str, Any] = {}
            for name in row.keys():  # noqa: SIM118 - a Row iterates over its values
                value = row[name]
                if name.endswith("_nanousd"):
                    out[name.removesuffix("_nanousd") + "_usd"] = None if value is None else str(to_usd(value))
                elif name.endswith("_at") and value is not None:
                    out[name] = _iso(value)
                else:
                    out[name] = value
            yield out


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    # Damage may have left a time outside the calendar.
    except (ValueError, OverflowError, OSError):
        return None


def csv_cell(value: Any) -> str:
    """Return a value as text for a CSV cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return "'" + text
    return text


@dataclass(frozen=True, slots=True)
class Verification:
    """Counts of what `ledger_verify` looked at, and everything that is wrong (empty: nothing)."""

    attempts: int
    samples: int
    problems: tuple[str, ...]


def ledger_verify(run: Where) -> Verification:
    """Hash every stored sample again; check the states, the money, and that no draw was bought twice."""
    problems: list[str] = []
    with _open(run, whole=False) as connection:
        problems += damage(connection)
        attempts = [
            attempt_from(row) for row in connection.execute(f"SELECT {COLUMNS} FROM attempt ORDER BY id").fetchall()
        ]
    stored = [one.digest for one in attempts if one.state in WHOLE and isinstance(one.digest, str)]
    damaged = _damaged(run, [*dict.fromkeys(stored)])
    for attempt in attempts:
        problems += _problems_of(attempt)
        if attempt.state in WHOLE and attempt.digest in damaged:
            problems.append(f"attempt {attempt.id}: {damaged[attempt.digest]}")
    problems += _bought_twice(attempts)
    return Verification(len(attempts), len(stored), tuple(problems))


@contextmanager
def _open(run: Where, *, whole: bool = True) -> Iterator[Connection]:
    with reading(run, whole=whole) as connection:
        if connection is None:
            shown = address_at(run) or (ledger_path(run) if isinstance(run, Path) else "")
            raise LedgerError(
                f"expected a ledger at {shown}; nothing was drawn with it. Give the run folder with --run, or the"
                " address of its database with --ledger"
            )
        yield connection


def _damaged(run: Where, digests: Sequence[str]) -> dict[str, str]:
    # Answers may lie in a database far away; one at a time would take hours.
    problems: dict[str, str] = {}
    with closing(store_of(run)) as store, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="verify") as pool:
        for start in range(0, len(digests), _SUBMITTED):
            part = digests[start : start + _SUBMITTED]
            found = zip(part, pool.map(partial(_damage, store), part), strict=True)
            problems |= {digest: problem for digest, problem in found if problem is not None}
    return problems


def _damage(store: Store, digest: str) -> str | None:
    try:
        store.check(digest)
    except PayloadError as error:
        return str(error)
    return None


def _problems_of(attempt: Attempt) -> list[str]:
    problems = []
    if attempt.reserved_nanousd and attempt.state not in RESERVING:
        problems.append("holds a reserved price")
    if attempt.cost_nanousd and attempt.state not in (*PAID, "ambiguous", "refused", "cancelled"):
        problems.append("is booked at a price")
    if attempt.state in WITH_JOB and attempt.job is None:
        problems.append("names no job")
    # Damage may have turned a text into a blob: SQLite checks a table's types only when it writes.
    if attempt.state in WHOLE and (not isinstance(attempt.digest, str) or attempt.size is None):
        problems.append("names no bytes")
    if attempt.state in COUNTED and attempt.state != "intent" and attempt.sent_at is None:
        problems.append("was never sent")
    return [f"attempt {attempt.id} is {attempt.state} and {problem}" for problem in problems]


def _bought_twice(attempts: list[Attempt]) -> list[str]:
    bought: dict[str, int] = {}
    problems = []
    for attempt in attempts:
        if attempt.state in WHOLE:
            if attempt.task in bought:
                problems.append(f"attempts {bought[attempt.task]} and {attempt.id} bought the same draw")
            bought[attempt.task] = attempt.id
    return problems


# Lists, verifies, prunes and exports the samples of a run folder; never removes one that the ledger names.


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample file: digest, path, size, and the attempts that own it (none: an orphan)."""

    digest: str
    path: Path
    size: int
    attempts: tuple[int, ...]


def cache_ls(run: Path) -> list[StoredSample]:
    owners: dict[str, list[int]] = defaultdict(list)
    if has_ledger(run):
        for attempt in ledger_ls(run):
            if attempt.digest is not None:
                owners[attempt.digest].append(attempt.id)
    return [
        StoredSample(digest, path, path.stat().st_size, tuple(owners.get(digest, ())))
        for digest, path in Store(run).files()
    ]


def cache_verify(run: Path) -> list[str]:
    """Hash every sample again; return what is wrong with them. Nothing is moved."""
    store = Store(run)
    problems = []
    for digest, _ in store.files():
        try:
            store.examine(digest)
        except PayloadError as error:
            problems.append(str(error))
    return problems


def cache_prune(run: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove unpaid files: samples that no attempt names, and quarantined files; return the files."""
    store = Store(run)
    with contextlib.ExitStack() as owned:
        if LEDGERS.of(run) is not None:
            # A shared ledger does not belong to one process, but the folder does.
            owned.callback(RunLock(run).release)
        ledger = open_ledger(run)
        owned.callback(ledger.close)
        if next(iter(store.unknown_to(ledger.unknown)), None) is not None:
            raise LedgerError(
                f"the ledger of {run} is older than what lies beside it, and has forgotten what was paid for; first run"
                f" blackbox-conformal ledger remember --run {shlex.quote(str(run))}"
            )
        unpaid = [sample.path for sample in cache_ls(run) if not sample.attempts and sample.path.parent.name != "inbox"]
        unpaid += store.quarantined()
        if not dry_run:
            for path in unpaid:
                path.unlink(missing_ok=True)
    return unpaid


def cache_export(run: Path, folder: Path) -> list[Path]:
    """Copy every stored sample into `folder` as picture, draw, digest; return the copies."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"expected an empty folder to export into; {folder} holds files. Name another")
    copies = []
    with contextlib.closing(store_of(run)) as store:
        for attempt in ledger_ls(run, WHOLE):
            if attempt.digest is None:
                continue
            source = store.examine(attempt.digest)
            short = attempt.digest.removeprefix("sha256:")[:12]
            target = folder / f"{file_stem(attempt.upload_name)}-{attempt.draw:03d}-{short}{source.suffix}"
            try:
                with source.open("rb") as data, target.open("xb") as copy:
                    shutil.copyfileobj(data, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
            except FileExistsError:
                raise UsageError(f"{target} is there already; export into an empty folder") from None
            copies.append(target)
    return copies
