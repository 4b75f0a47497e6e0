"""The ledger's tables, and the marks by which a file is known to be a ledger."""

import sqlite3
from contextlib import closing

from blackbox_conformal.drawing.ledger.states import STATES

APPLICATION_ID = 0x42424366
VERSION = 11
"""Written into the file as ``user_version``; it changes whenever the tables do."""

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


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


def empty_ledger() -> bytes:
    """The content of a ledger file that holds no attempt yet."""
    with closing(_empty()) as connection:
        return connection.serialize()


def schema_of_an_empty_ledger() -> list[tuple[str, ...]]:
    """Type, name, table and statement of everything that a ledger file holds, by name."""
    with closing(_empty()) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _columns() -> tuple[str, ...]:
    with closing(_empty()) as connection:
        return tuple(row[1] for row in connection.execute("PRAGMA table_info(attempt)"))


ATTEMPT_COLUMNS = tuple(name for name in _columns() if name != "seal")
"""Everything that a row says of an attempt, in order."""
