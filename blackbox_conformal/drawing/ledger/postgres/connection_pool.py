"""A few connections for any number of threads."""

import queue
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.postgres.database import PostgresConnection
from blackbox_conformal.drawing.ledger.postgres.reconnecting import PATIENCE_S, Reconnecting

Result = TypeVar("Result")

_CONNECTIONS = 4


class Pool:
    """Connections to a database, each opened when it is needed; errors are a `LedgerError`."""

    def __init__(self, address: Address) -> None:
        # Last in, first out: the connection used last is the least likely to be cut.
        self._idle: queue.LifoQueue[Reconnecting] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(Reconnecting(address))

    def run(self, action: Callable[[PostgresConnection], Result], patience_s: float = PATIENCE_S) -> Result:
        """What `action` returns on a connection that no other thread uses meanwhile; see `Reconnecting.run`."""
        connection = self._idle.get()
        try:
            return connection.run(action, patience_s)
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Close the connections; nothing is asked afterwards."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
