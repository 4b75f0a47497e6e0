"""Reads a shared ledger while others draw with it, checks its sums, and checks whether a database is fit for one."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.postgres.database import (
    SCHEMA,
    PostgresConnection,
    as_ledger_error,
    connect_at_last,
)
from blackbox_conformal.drawing.ledger.postgres.postgres_schema import VERSION, require_version, version_of
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import NOW
from blackbox_conformal.drawing.ledger.sqlite_schema import damage_of_sums
from blackbox_conformal.drawing.ledger.states import COUNTED

_MOST_NAMED = 5


@contextmanager
def reading(address: Address) -> Iterator[PostgresConnection | None]:
    """Give the ledger as it is now, for the ``with`` block; None if the database holds none yet."""
    with as_ledger_error(address), closing(connect_at_last(address)) as connection:
        if not require_version(connection, address):
            yield None
            return
        # One snapshot for all questions, in which nothing can be written.
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


def damage(connection: Connection) -> list[str]:
    """Return the sums that do not add up, in words."""
    wrong = connection.execute(
        "SELECT name FROM budget LEFT JOIN (SELECT budget_task.budget AS name, SUM(cost_nanousd) AS spent,"
        " SUM(reserved_nanousd) AS reserved, COUNT(*) FILTER (WHERE state = ANY(?)) AS calls"
        " FROM attempt JOIN budget_task USING (task)"
        # CHR(37) is the percent sign, which the driver would take for a parameter.
        " GROUP BY budget_task.budget) AS added USING (name) WHERE name NOT LIKE 'session-' || CHR(37) AND"
        " (spent_nanousd, reserved_nanousd, budget.calls) IS DISTINCT FROM"
        f" (COALESCE(spent, 0), COALESCE(reserved, 0), COALESCE(added.calls, 0)) LIMIT {_MOST_NAMED}",
        (list(COUNTED),),
    ).fetchall()
    return damage_of_sums(connection) + [f"the budget {row[0]} is not what its attempts add up to" for row in wrong]


_OLDEST = 15
_MOST_AWAY_S = 30.0
_NEEDED = "SELECT, INSERT, UPDATE, DELETE"


class LedgerFinding(NamedTuple):
    """A part of a database, its state in words, and whether that makes the database unfit."""

    part: str
    detail: str
    unfit: bool = False


def inspect(address: Address) -> list[LedgerFinding]:
    """Return the findings on every part of a database that matters."""
    with as_ledger_error(address), closing(connect_at_last(address)) as connection:
        return [*_server(connection), *_tables(connection), *_durability(connection)]


def _server(connection: PostgresConnection) -> Iterator[LedgerFinding]:
    begun = time.perf_counter()
    # The difference includes the time of the question to the server, at most `taken`.
    away = _asked(connection, f"SELECT {NOW} - {time.time()!r}")
    taken = time.perf_counter() - begun
    version = _asked(connection, "SHOW server_version")
    if int(version.split(".")[0]) < _OLDEST:
        yield LedgerFinding("server", f"PostgreSQL {version} is too old; {_OLDEST} or newer is needed", unfit=True)
    else:
        yield LedgerFinding("server", f"PostgreSQL {version}; answers in {taken * 1000:.1f} ms")
    clock = f"{away:+.1f} s from this one"
    if abs(away) > _MOST_AWAY_S:
        yield LedgerFinding("clock", f"{clock}; let both machines ask a time server (NTP)", unfit=True)
    else:
        yield LedgerFinding("clock", clock)


def _tables(connection: PostgresConnection) -> Iterator[LedgerFinding]:
    version = version_of(connection)
    if version == 0:
        yield LedgerFinding("tables", "no ledger is in it yet; the first draw makes them")
    elif version > VERSION:
        text = (
            f"made by a newer version (schema {version}, this one knows {VERSION}); upgrade the package on this machine"
        )
        yield LedgerFinding("tables", text, unfit=True)
    else:
        older = "" if version == VERSION else f"; the next draw brings it to {VERSION}"
        yield LedgerFinding("tables", f"a ledger is in it, schema {version}{older}")
    if version < VERSION and not _may_make(connection, version):
        what = "make the schema" if version == 0 else "change its tables"
        yield LedgerFinding("rights", f"this user may not {what}: let the owner of the database draw first", unfit=True)
        return
    query = (
        "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = ? AND NOT (SELECT bool_and("
        " has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), needed))"
        " FROM unnest(string_to_array(?, ', ')) AS needed)"
    )
    lacking = _asked(connection, query, SCHEMA, _NEEDED)
    if lacking:
        grant = f"GRANT {_NEEDED} ON ALL TABLES IN SCHEMA {SCHEMA} TO this user"
        yield LedgerFinding("rights", f"this user may not write {lacking}: {grant}", unfit=True)
    else:
        yield LedgerFinding("rights", "this user may read and write it")


def _may_make(connection: PostgresConnection, version: int) -> bool:
    if version == 0:
        return bool(_asked(connection, "SELECT has_database_privilege(current_database(), 'CREATE')"))
    query = "SELECT bool_and(pg_has_role(tableowner, 'USAGE')) FROM pg_tables WHERE schemaname = ?"
    return bool(_asked(connection, query, SCHEMA))


def _durability(connection: PostgresConnection) -> Iterator[LedgerFinding]:
    # A commit that was answered must survive every crash.
    if _asked(connection, "SELECT pg_is_in_recovery()"):
        yield LedgerFinding("role", "it is a replica, which cannot be written; name the primary server", unfit=True)
    lost = "so that a crash may lose what was paid for: set it on"
    for name in ("fsync", "full_page_writes"):
        if _asked(connection, f"SHOW {name}") == "off":
            yield LedgerFinding(name, f"off, {lost}", unfit=True)
    # Every connection of ours sets it on, but a pool of connections may undo that.
    commit = _asked(connection, "SHOW synchronous_commit")
    if commit == "on":
        yield LedgerFinding("synchronous_commit", "on, and a commit is on disk when it is answered")
    else:
        text = f"{commit} right after it was set on; connect directly, or through a pool that keeps sessions"
        yield LedgerFinding("synchronous_commit", text, unfit=True)
    if _asked(connection, "SHOW data_checksums") == "off":
        yield LedgerFinding(
            "data checksums", "off, so that damage of the disk is not noticed; pg_checksums --enable makes them"
        )


def _asked(connection: PostgresConnection, query: str, *given: object) -> Any:
    return connection.execute(query, given).fetchone()[0]
