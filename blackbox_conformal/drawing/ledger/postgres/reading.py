"""Questions to a shared ledger while others draw with it, and whether its sums add up."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.checksums import damage_of_payers
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection, as_ledger_error, connect_at_last
from blackbox_conformal.drawing.ledger.postgres.postgres_schema import require_version
from blackbox_conformal.drawing.ledger.states import COUNTED

_MOST_NAMED = 5


@contextmanager
def reading(address: Address) -> Iterator[PostgresConnection | None]:
    """The ledger as it is now, for the ``with`` block; None when the database holds none yet."""
    with as_ledger_error(address), closing(connect_at_last(address)) as connection:
        if not require_version(connection, address):
            yield None
            return
        # One snapshot for all questions, in which nothing can be written.
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


def damage(connection: Connection) -> list[str]:
    """What does not add up, in words."""
    counted = "COUNT(*) FILTER (WHERE state = ANY(?))"
    kept = connection.execute("SELECT attempts, spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
    if kept is None:
        return ["it has no totals"]
    sums = connection.execute(
        f"SELECT COUNT(*), COALESCE(SUM(cost_nanousd), 0), COALESCE(SUM(reserved_nanousd), 0), {counted} FROM attempt",
        (list(COUNTED),),
    ).fetchone()
    problems = [
        f"the total of {name} is {total} and the attempts add up to {added}"
        for name, total, added in zip(("attempts", "spent", "reserved", "calls"), kept, sums, strict=True)
        if total != added
    ]
    wrong = connection.execute(
        "SELECT name FROM budget LEFT JOIN (SELECT budget_task.budget AS name, SUM(cost_nanousd) AS spent,"
        f" SUM(reserved_nanousd) AS reserved, {counted} AS calls FROM attempt JOIN budget_task USING (task)"
        # CHR(37) is the percent sign, which the driver would take for a parameter.
        " GROUP BY budget_task.budget) AS added USING (name) WHERE name NOT LIKE 'session-' || CHR(37) AND"
        " (spent_nanousd, reserved_nanousd, budget.calls) IS DISTINCT FROM"
        f" (COALESCE(spent, 0), COALESCE(reserved, 0), COALESCE(added.calls, 0)) LIMIT {_MOST_NAMED}",
        (list(COUNTED),),
    ).fetchall()
    problems += damage_of_payers(connection)
    return problems + [f"the budget {row[0]} is not what its attempts add up to" for row in wrong]
