"""Shares turns and pauses of one account among all machines with one ledger, by the database's clock."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from blackbox_conformal.drawing.ledger.addresses import Address
from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection, Reconnecting
from blackbox_conformal.drawing.ledger.postgres.postgres_transaction import NOW
from blackbox_conformal.drawing.pacing.rate_limiter import FORGET_S, SharedRateLimiter, account_of
from blackbox_conformal.drawing.run_control import Clock
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.rates import Rate

Result = TypeVar("Result")


class PostgresRateLimiter(SharedRateLimiter):
    """Turns and pauses of one account; without the database nobody gets a turn, since nothing may be sent then."""

    def __init__(self, adapter: Adapter, rates: Sequence[Rate], clock: Clock, address: Address) -> None:
        super().__init__(adapter, rates, clock, None, lambda _: None)
        # Not durable: a crash of the database loses only the last turns, which are worth no money.
        self._shared = Reconnecting(address, durable=False)
        self._shared.run(lambda connection: self._join(connection, adapter))

    def _join(self, connection: PostgresConnection, adapter: Adapter) -> None:
        # The first process writes the salt, and all use it: account names must match.
        connection.execute("INSERT INTO salt VALUES (1, ?) ON CONFLICT DO NOTHING", (os.urandom(32),))
        self._account = account_of(adapter, bytes(connection.execute("SELECT value FROM salt").fetchone()[0]))
        connection.execute(f"DELETE FROM turn WHERE taken_at < {NOW} - ?", (FORGET_S,))
        connection.execute(
            f"INSERT INTO pace VALUES (?, ?, 0, {NOW}) ON CONFLICT (account)"
            " DO UPDATE SET longest = GREATEST(pace.longest, excluded.longest)",
            (self._account, self._longest),
        )

    def close(self) -> None:
        super().close()
        # A thread may still be asking.
        with self._lock:
            self._shared.close()

    def _safely(self, act: Callable[[], Result]) -> Result:
        def on_shared(connection: PostgresConnection) -> Result:
            self._connection = connection
            return act()

        return self._shared.run(on_shared)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._connection.execute("BEGIN")
        try:
            # The row lock lets turns of one account follow one another.
            self._connection.execute("SELECT 1 FROM pace WHERE account = ? FOR UPDATE", (self._account,))
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            # Closing the connection releases the lock.
            self._shared.close()
            raise

    def _turns(self) -> Connection:
        return self._connection

    def _now(self) -> float:
        return float(self._connection.execute(f"SELECT {NOW}").fetchone()[0])
