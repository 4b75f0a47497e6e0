"""The ledger's tables as an ordered list of named steps; a step that was ever released is never edited.

Opening the file and refusing foreign ones lives in `ledgerfile`.
"""

import sqlite3
import time

from blackbox_conformal.sampling.record.states import STATES

_STATE_LIST = ", ".join(f"'{state}'" for state in STATES)

MIGRATIONS: list[tuple[str, str]] = [
    (
        "0001_attempts",
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
            state TEXT NOT NULL CHECK (state IN ({_STATE_LIST})),
            owner INTEGER NOT NULL,
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
            ended_at REAL
        ) STRICT;
        CREATE INDEX attempt_task ON attempt (task);
        CREATE INDEX attempt_job ON attempt (adapter, job) WHERE job IS NOT NULL;
        CREATE TABLE total (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            spent_nanousd INTEGER NOT NULL,
            reserved_nanousd INTEGER NOT NULL,
            calls INTEGER NOT NULL
        ) STRICT;
        INSERT INTO total VALUES (1, 0, 0, 0);
        """,
    ),
    (
        "0002_lease",
        """
        CREATE TABLE lease (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            pid INTEGER,
            host TEXT NOT NULL,
            boot TEXT NOT NULL,
            process_start TEXT NOT NULL,
            expires REAL NOT NULL,
            generation INTEGER NOT NULL
        ) STRICT;
        """,
    ),
    (
        "0003_limiter",
        """
        CREATE TABLE limiter (
            name TEXT PRIMARY KEY,
            tokens REAL NOT NULL,
            updated REAL NOT NULL,
            paused_until REAL NOT NULL
        ) STRICT;
        """,
    ),
    ("0004_pace_of_the_account", "DROP TABLE limiter"),
    ("0005_pixels_of_the_upload", "ALTER TABLE attempt ADD COLUMN pixels INTEGER NOT NULL DEFAULT 0"),
]

LATEST = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Run the steps that the open ledger lacks, each in its own transaction; `user_version` counts them."""
    connection.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_at REAL NOT NULL) STRICT")
    done: int = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, (name, script) in enumerate(MIGRATIONS, start=1):
        if number <= done:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] < number:
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute("INSERT INTO migration VALUES (?, ?)", (name, time.time()))
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
