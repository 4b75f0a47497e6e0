"""Connects to the database: opens, pools and reopens connections, reads rows, and tells passing errors apart."""

import queue
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.adapt import Loader

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.errors import DiskFullError, LedgerError
from blackbox_conformal.support.secrets import redact

SCHEMA = "blackbox_conformal"
_CONNECT_S = 10
_START_S = 10.0
# Waiting would not help here; other errors of connecting may pass.
_REFUSED = re.compile("authentication|password|does not exist|pg_hba|permi(tted|ssion)", re.IGNORECASE)
"""Words of a server that lets a client in no more, however long the client waits."""

_UNKNOWN = re.compile("translate host|not known", re.IGNORECASE)
"""Words about a host that does not exist, or cannot be found at the moment."""

_SETTINGS: dict[str, Any] = {
    "connect_timeout": _CONNECT_S,
    "application_name": "blackbox-conformal",
    # A peer that is cut off is given up after about 20 seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_BEGUN = (
    f"SET search_path TO {SCHEMA}",
    # Limits how long a process that stands still within a transaction holds up all others.
    "SET idle_in_transaction_session_timeout TO '15s'",
    "SET lock_timeout TO '30s'",
)


class NamedRow:
    """A row whose values are read by number or by name."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: dict[str, int], values: Sequence[Any]) -> None:
        self._names, self._values = names, values

    def __getitem__(self, key: int | str) -> Any:
        return self._values[self._names[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        return list(self._names)


def _row_factory(cursor: Any) -> Any:
    names = {column.name: number for number, column in enumerate(cursor.description or ())}
    return lambda values: NamedRow(names, values)


# Reads whole sums as whole numbers, as in SQLite, and means as floats.
class _Number(Loader):
    def load(self, data: Any) -> Any:
        # PostgreSQL gives NUMERIC for sums of BIGINT.
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


class _Later:
    """The rows of a statement that was not sent yet."""

    def __init__(self) -> None:
        self.rows: Iterator[Any] = iter(())

    def fetchone(self) -> Any:
        return next(self.rows, None)

    def fetchall(self) -> list[Any]:
        return list(self.rows)


class PostgresConnection:
    """A connection on which every statement outside BEGIN and COMMIT is durable at once."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self._later: list[tuple[str, Sequence[Any], _Later]] | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run one statement with ``?`` for each value."""
        # PostgreSQL's text holds no NUL, but a vendor may put one into a name.
        values = [value.replace("\0", "") if isinstance(value, str) else value for value in parameters]
        # The statements hold no other ? or %.
        sql = sql.replace("?", "%s") if values else sql
        if self._later is not None:
            self._later.append((sql, values, later := _Later()))
            return later
        return self.raw.execute(sql, values or None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the statements of the ``with`` block as one message at its end; their rows can be read after it.

        Had the database locked for the first while others were still to come, a process that stands still there would
        hold up all others: the limit for idle transactions does not count that as idle.
        """
        self._later = waiting = list[tuple[str, Sequence[Any], _Later]]()
        try:
            yield
        finally:
            self._later = None
        with psycopg.ClientCursor(self.raw) as cursor:
            cursor.execute(";".join(cursor.mogrify(sql, values or None) for sql, values, _ in waiting))
            for _, _, later in waiting:
                later.rows = iter(cursor.fetchall() if cursor.description else ())
                cursor.nextset()

    def close(self) -> None:
        """Close the connection; the database undoes an open transaction."""
        self.raw.close()


def connect(address: Address, *, durable: bool = True) -> PostgresConnection:
    """Open a connection; unless it is `durable`, a commit may return before it is on disk."""
    settings = dict(_SETTINGS)
    if address.password is not None:
        settings["password"] = address.password.reveal()
    raw = psycopg.connect(address.shown, autocommit=True, row_factory=_row_factory, **settings)
    try:
        raw.adapters.register_loader("numeric", _Number)
        for statement in _BEGUN:
            raw.execute(statement)
        raw.execute(f"SET synchronous_commit TO {'on' if durable else 'off'}")
    except BaseException:
        raw.close()
        raise
    return PostgresConnection(raw)


def connect_at_last(address: Address) -> PostgresConnection:
    """Open as `connect`, and wait a while for a database that is starting."""
    until = time.monotonic() + _START_S
    while True:
        try:
            return connect(address)
        except psycopg.OperationalError as error:
            if _REFUSED.search(str(error)) or _UNKNOWN.search(str(error)) or time.monotonic() > until:
                # Wrong passwords and names are told at once; only a starting database is waited for.
                raise
        time.sleep(0.3)


def is_passing(error: Exception) -> bool:
    """Tell whether the same transaction may succeed later: the database is away or busy, or the connection is lost."""
    kinds = (psycopg.OperationalError, psycopg.InterfaceError)
    if isinstance(error, psycopg.errors.DiskFull) or _is_refused(error):
        return False
    return isinstance(error, kinds)


def _is_refused(error: Exception) -> bool:
    # Errors of logging in have no code, unlike errors of statements.
    return isinstance(error, psycopg.OperationalError) and not error.sqlstate and bool(_REFUSED.search(str(error)))


def told(address: Address, error: Exception) -> LedgerError:
    """Turn an error of a connection into the ledger's."""
    kind = DiskFullError if isinstance(error, psycopg.errors.DiskFull) else LedgerError
    # Server texts may quote the address with its password.
    text = " ".join(redact(str(error)).split())[:300]
    if _is_refused(error):
        return kind(
            f"the database of the ledger {address} does not let this user in ({text}); nothing more is sent. Set"
            " PGPASSWORD, or the file that PGPASSFILE names, to the password that holds now, and run the same command"
            " again: what was paid for is kept"
        )
    return kind(
        f"the ledger {address} cannot be used ({text or type(error).__name__}); nothing more is sent. Correct that, or"
        " wait until the database is back, and run the same command again"
    )


@contextmanager
def as_ledger_error(address: Address) -> Iterator[None]:
    """Raise errors of a connection, and of a value that no ledger holds, as a `LedgerError`."""
    try:
        yield
    except (psycopg.Error, OverflowError) as error:
        raise told(address, error) from None


Result = TypeVar("Result")

PATIENCE_S = 120.0  # Seconds to wait for a database that is away; nothing is sent meanwhile.
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Reconnecting:
    """A connection that opens when needed, and again after a loss; for one thread at a time."""

    def __init__(self, address: Address, *, durable: bool = True) -> None:
        self._address, self._durable = address, durable
        self._connection: PostgresConnection | None = None

    def run(self, action: Callable[[PostgresConnection], Result], patience_s: float = PATIENCE_S) -> Result:
        """Run `action`, again for `patience_s` seconds after passing errors; return its result."""
        until, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
        while True:
            try:
                if self._connection is None:
                    self._connection = connect(self._address, durable=self._durable)
                return action(self._connection)
            except psycopg.Error as error:
                # After an error a connection is in an unknown state: the next try opens a new one.
                self.close()
                if not is_passing(error) or time.monotonic() > until:
                    raise told(self._address, error) from None
            # Random, so that many processes do not come back in the same instant.
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connection; `run` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


_CONNECTIONS = 4


class Pool:
    """A few connections to a database for any number of threads; errors are a `LedgerError`."""

    def __init__(self, address: Address) -> None:
        # Last in, first out: the newest connection is the least likely to be cut.
        self._idle: queue.LifoQueue[Reconnecting] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(Reconnecting(address))

    def run(self, action: Callable[[PostgresConnection], Result], patience_s: float = PATIENCE_S) -> Result:
        """Run `action` on a connection that no other thread uses meanwhile."""
        connection = self._idle.get()
        try:
            return connection.run(action, patience_s)
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
