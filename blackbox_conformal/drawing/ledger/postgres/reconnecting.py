"""A connection that outlives cuts and restarts of the database."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection, connect, is_passing, told

Result = TypeVar("Result")

PATIENCE_S = 120.0
"""Seconds that a database which is away is waited for. Nothing is sent meanwhile."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Reconnecting:
    """A connection that is opened when it is needed, and again when it was lost; for one thread at a time."""

    def __init__(self, address: Address, *, durable: bool = True) -> None:
        self._address, self._durable = address, durable
        self._connection: PostgresConnection | None = None

    def run(self, action: Callable[[PostgresConnection], Result], patience_s: float = PATIENCE_S) -> Result:
        """What `action` returns, which is run again after an error that passes, for so many seconds."""
        until, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
        while True:
            try:
                if self._connection is None:
                    self._connection = connect(self._address, durable=self._durable)
                return action(self._connection)
            except psycopg.Error as error:
                # A connection after an error is in an unknown state: the next try opens a new one.
                self.close()
                if not is_passing(error) or time.monotonic() > until:
                    raise told(self._address, error) from None
            # A random pause, so that many processes do not come back in the same instant.
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connection; `run` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
