"""Makes the tables in the database, in steps that only ever grow in number."""

from typing import Any

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.postgres.database import SCHEMA, PostgresConnection
from blackbox_conformal.drawing.ledger.states import STATES, WHOLE
from blackbox_conformal.errors import LedgerError

_LOCK = 0x42424366  # Number of the advisory lock under which one process at a time makes tables.
_STATE_LIST = ", ".join(f"'{state}'" for state in STATES)

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE owner (
            id UUID PRIMARY KEY,
            name TEXT NOT NULL,
            began_at DOUBLE PRECISION NOT NULL,
            expires_at DOUBLE PRECISION NOT NULL,
            lease_s DOUBLE PRECISION NOT NULL,
            batch UUID,
            ended BOOLEAN NOT NULL DEFAULT FALSE
        )
        """,
        f"""
        CREATE TABLE attempt (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
            pixels BIGINT NOT NULL,
            listed_nanousd BIGINT,
            priced INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ({_STATE_LIST})),
            reserved_nanousd BIGINT NOT NULL DEFAULT 0 CHECK (reserved_nanousd >= 0),
            cost_nanousd BIGINT NOT NULL DEFAULT 0 CHECK (cost_nanousd >= 0),
            job TEXT,
            digest TEXT,
            size BIGINT,
            model TEXT,
            request_id TEXT,
            vendor_seed TEXT,
            error_class TEXT,
            error TEXT,
            code TEXT,
            planned_at DOUBLE PRECISION,
            claimed_at DOUBLE PRECISION,
            intent_at DOUBLE PRECISION,
            sent_at DOUBLE PRECISION,
            accepted_at DOUBLE PRECISION,
            ready_at DOUBLE PRECISION,
            stored_at DOUBLE PRECISION,
            ended_at DOUBLE PRECISION,
            owner UUID REFERENCES owner
        )
        """,
        # One submission of each generation of a draw at a time, by any process.
        "CREATE UNIQUE INDEX attempt_generation ON attempt (task, generation) WHERE state <> 'cancelled'",
        "CREATE INDEX attempt_job ON attempt (adapter, job) WHERE job IS NOT NULL",
        "CREATE INDEX attempt_owner ON attempt (owner) WHERE owner IS NOT NULL",
        """
        CREATE TABLE total (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            spent_nanousd BIGINT NOT NULL,
            reserved_nanousd BIGINT NOT NULL,
            calls BIGINT NOT NULL,
            attempts BIGINT NOT NULL,
            commits BIGINT NOT NULL
        )
        """,
        "INSERT INTO total VALUES (1, 0, 0, 0, 0, 0)",
        """
        CREATE TABLE budget (
            name TEXT PRIMARY KEY,
            spent_nanousd BIGINT NOT NULL DEFAULT 0,
            reserved_nanousd BIGINT NOT NULL DEFAULT 0,
            calls BIGINT NOT NULL DEFAULT 0,
            began_at DOUBLE PRECISION NOT NULL
        )
        """,
        """
        CREATE TABLE budget_task (
            task TEXT NOT NULL,
            budget TEXT NOT NULL REFERENCES budget,
            PRIMARY KEY (task, budget)
        )
        """,
        "CREATE INDEX budget_task_budget ON budget_task (budget)",
        "CREATE TABLE booked_by_minute (minute BIGINT PRIMARY KEY, nanousd BIGINT NOT NULL)",
        "CREATE TABLE sample (digest TEXT PRIMARY KEY, size BIGINT NOT NULL, content BYTEA NOT NULL)",
        # Pictures are compressed already.
        "ALTER TABLE sample ALTER COLUMN content SET STORAGE EXTERNAL",
        "CREATE TABLE salt (id INTEGER PRIMARY KEY CHECK (id = 1), value BYTEA NOT NULL)",
        """
        CREATE TABLE pace (
            account BYTEA PRIMARY KEY,
            longest DOUBLE PRECISION NOT NULL,
            paused_until DOUBLE PRECISION NOT NULL,
            updated DOUBLE PRECISION NOT NULL
        )
        """,
        "CREATE TABLE turn (account BYTEA NOT NULL, purpose TEXT NOT NULL, taken_at DOUBLE PRECISION NOT NULL)",
        "CREATE INDEX turn_by_time ON turn (account, taken_at)",
    ),
    # The gateways' book of requests; `worker` is the process that works on one.
    (
        """
        CREATE TABLE request (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            dialect TEXT NOT NULL,
            name TEXT NOT NULL,
            model TEXT,
            options TEXT NOT NULL,
            echo TEXT NOT NULL,
            strict INTEGER NOT NULL,
            input TEXT NOT NULL,
            base TEXT NOT NULL,
            digest TEXT NOT NULL,
            idempotency_key TEXT,
            state TEXT NOT NULL,
            status INTEGER NOT NULL,
            error TEXT,
            facts TEXT NOT NULL,
            files TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL,
            started DOUBLE PRECISION,
            ended DOUBLE PRECISION,
            upgrades TEXT,
            upgrade TEXT,
            worker UUID,
            UNIQUE (owner, dialect, idempotency_key)
        )
        """,
        "CREATE INDEX request_unfinished ON request (created) WHERE state IN ('accepted', 'running')",
        "CREATE INDEX request_latest ON request (owner, dialect, created)",
        """
        CREATE TABLE notice (
            id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            request TEXT NOT NULL REFERENCES request,
            event TEXT NOT NULL,
            address TEXT NOT NULL,
            due DOUBLE PRECISION NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0,
            error TEXT,
            delivered DOUBLE PRECISION,
            worker UUID
        )
        """,
        "CREATE INDEX notice_due ON notice (due) WHERE delivered IS NULL",
        "CREATE INDEX notice_request ON notice (request)",
        """
        CREATE TABLE upload (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            name TEXT NOT NULL,
            type TEXT NOT NULL,
            digest TEXT NOT NULL,
            size BIGINT NOT NULL,
            metadata TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL
        )
        """,
        "CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), value TEXT NOT NULL)",
    ),
    ("ALTER TABLE total ADD COLUMN limit_nanousd BIGINT CHECK (limit_nanousd >= 0)",),
    # Without these, every reservation would read all attempts of the procedure.
    (
        "CREATE INDEX attempt_bill ON attempt (identity, (CAST(cost_nanousd AS DOUBLE PRECISION) / listed_nanousd))"
        " WHERE listed_nanousd > 0 AND cost_nanousd > 0",
        "CREATE INDEX attempt_unlisted ON attempt (identity, cost_nanousd)"
        " WHERE listed_nanousd IS NULL AND cost_nanousd > 0",
        f"CREATE INDEX attempt_largest ON attempt (identity, pixels) WHERE state IN {WHOLE}",
    ),
    # Purchases for a request and for an owner of tokens, and metrics' counts of deleted requests.
    (
        "ALTER TABLE request ADD COLUMN pay_again INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE request ADD COLUMN calls BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE request ADD COLUMN cost_nanousd BIGINT NOT NULL DEFAULT 0",
        "CREATE TABLE account (owner TEXT PRIMARY KEY, calls BIGINT NOT NULL, cost_nanousd BIGINT NOT NULL)",
        "CREATE TABLE deleted (sample TEXT PRIMARY KEY, value DOUBLE PRECISION NOT NULL)",
    ),
    # Whose account pays for each attempt; `account` keeps earlier spending, and grows no more.
    (
        "ALTER TABLE attempt ADD COLUMN payer TEXT",
        "ALTER TABLE attempt ADD COLUMN request TEXT",
        "ALTER TABLE attempt ADD COLUMN member INTEGER",
        "CREATE INDEX attempt_request ON attempt (request) WHERE request IS NOT NULL",
        """
        CREATE TABLE payer (
            name TEXT PRIMARY KEY,
            spent_nanousd BIGINT NOT NULL,
            reserved_nanousd BIGINT NOT NULL,
            calls BIGINT NOT NULL
        )
        """,
    ),
)

VERSION = len(_MIGRATIONS)


def version_of(connection: PostgresConnection) -> int:
    """Return how many of the steps the database has seen; 0: it holds no ledger."""
    found: Any = connection.execute("SELECT to_regclass(?)", (f"{SCHEMA}.version",)).fetchone()[0]
    if found is None:
        return 0
    return int(connection.execute(f"SELECT COALESCE(MAX(number), 0) FROM {SCHEMA}.version").fetchone()[0])


def require_version(connection: PostgresConnection, address: Address, *, may_be_empty: bool = False) -> bool:
    """Tell whether the database holds a ledger of this version; refuse newer and older ones."""
    version = version_of(connection)
    if version > VERSION:
        raise LedgerError(
            f"the ledger {address} was made by a newer version (schema {version}, this one knows {VERSION}); upgrade"
            " the package on this machine"
        )
    if 0 < version < VERSION and not may_be_empty:
        raise LedgerError(
            f"the ledger {address} is of an older version (schema {version}, this one has {VERSION}); draw with it once"
            " to bring it up to date"
        )
    return version == VERSION


def migrate(connection: PostgresConnection, address: Address) -> None:
    """Make the tables, or bring them up to date; of many simultaneous processes one does it."""
    if require_version(connection, address, may_be_empty=True):
        return
    connection.execute("SELECT pg_advisory_lock(?)", (_LOCK,))
    connection.execute("BEGIN")
    version = version_of(connection)
    if version == 0:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.version"
            " (number INTEGER PRIMARY KEY, made_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        )
    connection.execute(f"SET LOCAL search_path TO {SCHEMA}")
    for number in range(version, VERSION):
        for statement in _MIGRATIONS[number]:
            connection.execute(statement)
        connection.execute("INSERT INTO version (number) VALUES (?)", (number + 1,))
    connection.execute("COMMIT")
    connection.execute("SELECT pg_advisory_unlock(?)", (_LOCK,))
