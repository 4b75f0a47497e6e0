"""The ledger's tables, and the marks by which a file is known to be a ledger."""

import sqlite3
from contextlib import closing

from blackbox_conformal.drawing.ledger.states import STATES

APPLICATION_ID = 0x42424366
VERSION = 12
"""Written into the file as ``user_version``; it changes whenever the tables do."""

WITHOUT_PAYERS = 11
"""The earlier version that is still read; it is brought up to date when it is opened for writing."""

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

# A new file is made by the same steps as an earlier one is brought up to date, so that both hold the same text.
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
"""Columns that rows of earlier versions do not have: there they are NULL, and the checksum is the same without them."""


def read_as_today(connection: sqlite3.Connection) -> None:
    """Let an open ledger without payers be asked as one of this version; nothing is written."""
    nothing = ", ".join(f"NULL AS {name}" for name in ACCOUNT_COLUMNS)
    # A temporary view comes before the table of the same name.
    connection.execute(f"CREATE TEMPORARY VIEW attempt AS SELECT *, {nothing} FROM main.attempt")
    connection.execute(
        "CREATE TEMPORARY VIEW payer AS SELECT '' AS name, 0 AS spent_nanousd, 0 AS reserved_nanousd, 0 AS calls"
        " WHERE FALSE"
    )


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make a ledger without payers, which `read_as_today` was called for, one of this version."""
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
    """The content of a ledger file that holds no attempt yet."""
    with closing(_empty()) as connection:
        return connection.serialize()


def schema_of_an_empty_ledger(version: int) -> list[tuple[str, ...]]:
    """Type, name, table and statement of everything that a ledger file of a version holds, by name."""
    with closing(_empty(version)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _columns() -> tuple[str, ...]:
    with closing(_empty()) as connection:
        return tuple(row[1] for row in connection.execute("PRAGMA table_info(attempt)"))


ATTEMPT_COLUMNS = tuple(name for name in _columns() if name != "seal")
"""Everything that a row says of an attempt, in order."""
