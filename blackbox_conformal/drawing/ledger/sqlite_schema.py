"""Defines the ledger's tables in SQLite, the checksum of each row, and what counts as damage.

A bit that flips on disk must neither make a draw look unpaid nor change a row's content.
"""

import hashlib
import sqlite3
from collections.abc import Container, Iterable, Mapping
from contextlib import closing
from functools import cache
from typing import Any

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.states import COUNTED, STATES

APPLICATION_ID = 0x42424366
VERSION = 12  # The file's ``user_version``; it changes whenever the tables do.
WITHOUT_PAYERS = 11  # The earlier version that is still read; opening it for writing brings it up to date.
_STATE_LIST = ", ".join(f"'{state}'" for state in STATES)

_TABLES = (
    f"""
    CREATE TABLE attempt (
        id INTEGER PRIMARY KEY,
        task TEXT NOT NULL,
        generation INTEGER NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        identity TEXT NOT NULL,
        adapter TEXT NOT NULL,
        upload TEXT NOT NULL,
        upload_name TEXT NOT NULL,
        draw INTEGER NOT NULL,
        seed TEXT,
        idempotency_key TEXT NOT NULL,
        pixels INTEGER NOT NULL,
        listed_nanousd INTEGER,
        priced INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ({_STATE_LIST})),
        reserved_nanousd INTEGER NOT NULL DEFAULT 0 CHECK (reserved_nanousd >= 0),
        cost_nanousd INTEGER NOT NULL DEFAULT 0 CHECK (cost_nanousd >= 0),
        job TEXT,
        digest TEXT,
        size INTEGER,
        model TEXT,
        request_id TEXT,
        vendor_seed TEXT,
        error_class TEXT,
        error TEXT,
        code TEXT,
        planned_at REAL,
        claimed_at REAL,
        intent_at REAL,
        sent_at REAL,
        accepted_at REAL,
        ready_at REAL,
        stored_at REAL,
        ended_at REAL,
        seal INTEGER
    ) STRICT
    """,
    "CREATE INDEX attempt_task ON attempt (task)",
    "CREATE INDEX attempt_job ON attempt (adapter, job) WHERE job IS NOT NULL",
    """
    CREATE TABLE total (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        spent_nanousd INTEGER NOT NULL,
        reserved_nanousd INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        commits INTEGER NOT NULL
    ) STRICT
    """,
    "INSERT INTO total VALUES (1, 0, 0, 0, 0, 0)",
)

# New files take the same steps as earlier ones that are brought up to date, so that both hold the same text.
_ACCOUNTS = (
    "ALTER TABLE attempt ADD COLUMN payer TEXT",
    "ALTER TABLE attempt ADD COLUMN request TEXT",
    "ALTER TABLE attempt ADD COLUMN member INTEGER",
    "CREATE INDEX attempt_request ON attempt (request) WHERE request IS NOT NULL",
    """
    CREATE TABLE payer (
        name TEXT PRIMARY KEY,
        spent_nanousd INTEGER NOT NULL,
        reserved_nanousd INTEGER NOT NULL,
        calls INTEGER NOT NULL
    ) STRICT
    """,
    f"PRAGMA user_version = {VERSION}",
)
ACCOUNT_COLUMNS = ("payer", "request", "member")
"""Columns that rows of earlier versions lack: they read as NULL, which leaves the checksum the same."""


def read_as_today(connection: sqlite3.Connection) -> None:
    """Let an open ledger without payers answer queries of this version; write nothing."""
    nothing = ", ".join(f"NULL AS {name}" for name in ACCOUNT_COLUMNS)
    # SQLite finds a temporary view before the table of the same name.
    connection.execute(f"CREATE TEMPORARY VIEW attempt AS SELECT *, {nothing} FROM main.attempt")
    connection.execute(
        "CREATE TEMPORARY VIEW payer AS SELECT '' AS name, 0 AS spent_nanousd, 0 AS reserved_nanousd, 0 AS calls"
        " WHERE FALSE"
    )


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Bring a ledger to this version, after `read_as_today`."""
    connection.execute("DROP VIEW temp.attempt")
    connection.execute("DROP VIEW temp.payer")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _ACCOUNTS:
        connection.execute(statement)
    connection.execute("COMMIT")


def _empty(version: int = VERSION) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES if version == WITHOUT_PAYERS else (*_TABLES, *_ACCOUNTS):
        connection.execute(statement)
    return connection


def empty_ledger() -> bytes:
    """Return the content of a ledger file without attempts."""
    with closing(_empty()) as connection:
        return connection.serialize()


@cache
def schema_of_an_empty_ledger(version: int) -> list[tuple[str, ...]]:
    """Return type, name, table and statement of everything in a version's ledger file, by name."""
    with closing(_empty(version)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _columns() -> tuple[str, ...]:
    with closing(_empty()) as connection:
        return tuple(row[1] for row in connection.execute("PRAGMA table_info(attempt)"))


ATTEMPT_COLUMNS = tuple(name for name in _columns() if name != "seal")
"""All columns of an attempt, in order, without the checksum."""


# Times are sealed as whole numbers of 2**-22 s, the resolution of a double in this century: versions of SQLite print
# fractions differently.
_STEPS = 2**22


def checksum(
    columns: Iterable[str], times: Container[str], given: Container[str] = (), further: Container[str] = ()
) -> str:
    """Write SQL for the checksum of these columns of a row, in order.

    `times` hold seconds as fractions; `given` columns are parameters of the statement, in this order; NULL in a
    `further` column, which an earlier version lacks, changes nothing.
    """
    form, values = list[str](), list[str]()
    for name in columns:
        value = "?" if name in given else name
        # A separator that no value holds keeps neighbouring columns apart.
        form.append("%s" if name in further or not form else f"{chr(31)}%s")
        value = f"CAST({value} * {_STEPS} AS INTEGER)" if name in times else value
        values.append(f"COALESCE('{chr(31)}{name}=' || {value}, '')" if name in further else value)
    return f"seal(CAST(printf('{''.join(form)}', {', '.join(values)}) AS BLOB))"


_TIMES = [name for name in ATTEMPT_COLUMNS if name.endswith("_at")]
_SEAL = checksum(ATTEMPT_COLUMNS, _TIMES, further=ACCOUNT_COLUMNS)
_COUNTED = ", ".join(f"'{state}'" for state in COUNTED)
_MOST_NAMED = 5


def _seal(row: bytes) -> int:
    # Eight bytes, signed, as SQLite's integers are.
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "big", signed=True)


def know_seals(connection: sqlite3.Connection) -> None:
    """Let statements on this connection compute the checksum of a row."""
    connection.create_function("seal", 1, _seal, deterministic=True)


def update_sealed(connection: Connection, attempt: int, values: Mapping[str, Any]) -> None:
    """Write these columns of an attempt, and the checksum of its row."""
    sealed = [values[name] for name in ATTEMPT_COLUMNS if name in values]
    connection.execute(_sealed_update(tuple(values)), (*values.values(), *sealed, attempt))


@cache
def _sealed_update(columns: tuple[str, ...]) -> str:
    settings = "".join(f"{name} = ?, " for name in columns)
    seal = checksum(ATTEMPT_COLUMNS, _TIMES, columns, ACCOUNT_COLUMNS)
    return f"UPDATE attempt SET {settings}seal = {seal} WHERE id = ?"


_SUMS_OF_PAYERS = (
    "SELECT payer, SUM(cost_nanousd), SUM(reserved_nanousd),"
    f" COUNT(*) FILTER (WHERE state IN ({_COUNTED})) FROM attempt WHERE payer IS NOT NULL GROUP BY payer"
)
_KEPT_OF_PAYERS = "SELECT name, spent_nanousd, reserved_nanousd, calls FROM payer"


def damage_of_sums(connection: Connection) -> list[str]:
    """Return, in words, wrong totals and payers' accounts; works in either database."""
    kept = connection.execute("SELECT attempts, spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
    if kept is None:
        return ["it has no totals"]
    sums = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(cost_nanousd), 0), COALESCE(SUM(reserved_nanousd), 0),"
        f" COUNT(*) FILTER (WHERE state IN ({_COUNTED})) FROM attempt"
    ).fetchone()
    problems = [
        f"the total of {name} is {total} and the attempts add up to {added}"
        for name, total, added in zip(("attempts", "spent", "reserved", "calls"), kept, sums, strict=True)
        if total != added
    ]
    # A payer with only planned attempts has no account yet.
    missing = f"{_SUMS_OF_PAYERS} HAVING COUNT(*) FILTER (WHERE state IN ({_COUNTED})) > 0 EXCEPT {_KEPT_OF_PAYERS}"
    wrong = connection.execute(
        f"SELECT name FROM ({_KEPT_OF_PAYERS} EXCEPT {_SUMS_OF_PAYERS}) AS kept"
        f" UNION SELECT payer FROM ({missing}) AS added LIMIT {_MOST_NAMED}"
    ).fetchall()
    return problems + [f"the account of the payer {row[0]!r} is not what its attempts add up to" for row in wrong]


def damage(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the open ledger, in words; empty if every row is as it was written."""
    # One snapshot for all questions, since a run may write meanwhile.
    connection.execute("BEGIN")
    try:
        report = connection.execute(f"PRAGMA integrity_check({_MOST_NAMED})").fetchall()
        problems = [f"SQLite: {row[0]}" for row in report if row[0] != "ok"]
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if [tuple(row) for row in schema] != schema_of_an_empty_ledger(version):
            return [*problems, "its tables are not those of a ledger"]
        # IS NOT: a seal that damage made NULL would pass any other comparison.
        altered = connection.execute(f"SELECT id FROM attempt WHERE seal IS NOT {_SEAL} LIMIT {_MOST_NAMED}").fetchall()
        problems += [f"attempt {row[0]} is not as it was written" for row in altered]
        return [*problems, *damage_of_sums(connection)]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
