"""Damage to a ledger: a checksum in each row, and everything else in the file that must agree.

A bit that flips on disk must not make a draw look unpaid, nor change what a row says.
"""

import hashlib
import sqlite3
from collections.abc import Container, Iterable, Mapping
from functools import cache
from typing import Any

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.sqlite_schema import ACCOUNT_COLUMNS, ATTEMPT_COLUMNS, schema_of_an_empty_ledger
from blackbox_conformal.drawing.ledger.states import COUNTED

# Times are sealed as whole numbers of the steps that a double of this century has: how SQLite writes a fraction out
# differs between its versions.
_STEPS = 2**22


def checksum(
    columns: Iterable[str], times: Container[str], given: Container[str] = (), further: Container[str] = ()
) -> str:
    """SQL: the checksum of these columns of a row, in order.

    `times` are those that hold seconds as fractions. What is `given` are parameters of the statement, in this order.
    NULL in a `further` column, which an earlier version did not have, changes nothing.
    """
    form, values = list[str](), list[str]()
    for name in columns:
        value = "?" if name in given else name
        # A separator that no value holds keeps neighbouring columns from running into each other.
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


@cache
def _schema(version: int) -> list[tuple[str, ...]]:
    return schema_of_an_empty_ledger(version)


_SUMS_OF_PAYERS = (
    "SELECT payer, SUM(cost_nanousd), SUM(reserved_nanousd),"
    f" COUNT(*) FILTER (WHERE state IN ({_COUNTED})) FROM attempt WHERE payer IS NOT NULL GROUP BY payer"
)
_KEPT_OF_PAYERS = "SELECT name, spent_nanousd, reserved_nanousd, calls FROM payer"


def damage_of_payers(connection: Connection) -> list[str]:
    """Payers whose account is not what their attempts add up to, in words, in either database."""
    # Who has only planned attempts has no account yet.
    missing = f"{_SUMS_OF_PAYERS} HAVING COUNT(*) FILTER (WHERE state IN ({_COUNTED})) > 0 EXCEPT {_KEPT_OF_PAYERS}"
    wrong = connection.execute(
        f"SELECT name FROM ({_KEPT_OF_PAYERS} EXCEPT {_SUMS_OF_PAYERS}) AS kept"
        f" UNION SELECT payer FROM ({missing}) AS added LIMIT {_MOST_NAMED}"
    ).fetchall()
    return [f"the account of the payer {row[0]!r} is not what its attempts add up to" for row in wrong]


def damage(connection: sqlite3.Connection) -> list[str]:
    """What is wrong with the open ledger, in words; empty when every row is as it was written, and none is missing."""
    # One snapshot for all questions, though a run may write meanwhile.
    connection.execute("BEGIN")
    try:
        report = connection.execute(f"PRAGMA integrity_check({_MOST_NAMED})").fetchall()
        problems = [f"SQLite: {row[0]}" for row in report if row[0] != "ok"]
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if [tuple(row) for row in schema] != _schema(version):
            return [*problems, "its tables are not those of a ledger"]
        # IS NOT, since a seal that damage made NULL would pass any comparison.
        altered = connection.execute(f"SELECT id FROM attempt WHERE seal IS NOT {_SEAL} LIMIT {_MOST_NAMED}").fetchall()
        problems += [f"attempt {row[0]} is not as it was written" for row in altered]
        total = connection.execute("SELECT attempts, spent_nanousd, reserved_nanousd, calls FROM total").fetchone()
        if total is None:
            return [*problems, "it has no totals"]
        sums = connection.execute(
            "SELECT COUNT(*), IFNULL(SUM(cost_nanousd), 0), IFNULL(SUM(reserved_nanousd), 0),"
            f" COUNT(*) FILTER (WHERE state IN ({_COUNTED})) FROM attempt"
        ).fetchone()
        names = ("attempts", "spent", "reserved", "calls")
        problems += [
            f"the total of {name} is {kept} and the attempts add up to {added}"
            for name, kept, added in zip(names, total, sums, strict=True)
            if kept != added
        ]
        return [*problems, *damage_of_payers(connection)]
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
