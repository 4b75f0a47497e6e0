"""The one thread that writes the ledger: many workers' changes share one durable commit.

What the changes are lives in `ledger`; whether the ledger is still ours is asked of `lease` in every commit.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from blackbox_conformal.errors import LedgerError

Result = TypeVar("Result")
_MOST_PER_COMMIT = 256


class Writer:
    """Runs operations on one connection; an operation's result is handed out after its commit is on disk.

    Parameters
    ----------
    connection
        The ledger, opened for writing; closed by `close`.
    guard
        Called in every transaction first; raises when the ledger now belongs to another process.
    tick, tick_s
        Called inside a transaction at least every `tick_s` seconds, to renew the lease.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        guard: Callable[[sqlite3.Connection], None],
        tick: Callable[[sqlite3.Connection], None],
        tick_s: float,
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._tick = tick
        self._tick_s = tick_s
        self._queue: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._broken: LedgerError | None = None
        self._ticked = time.monotonic()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[sqlite3.Connection], Result]) -> "Future[Result]":
        """Queue `operation`; the future is done when its commit is durable, or holds what it raised."""
        future: Future[Result] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(LedgerError("the ledger is closed; nothing more can be recorded from here"))
            else:
                self._queue.put((operation, future))
        return future

    def call(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `operation` and return its result once it is durable."""
        return self.submit(operation).result()

    def close(self) -> None:
        """Finish what is queued and close the connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = []
            try:
                entry = self._queue.get(timeout=self._tick_s)
            except queue.Empty:
                entry = (self._tick, Future())
            while entry is not None:
                batch.append(entry)
                if len(batch) >= _MOST_PER_COMMIT:
                    break
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                open_ = False
            if batch:
                self._commit(batch)
        self._connection.close()

    def _commit(self, batch: list[tuple[Callable[[sqlite3.Connection], Any], "Future[Any]"]]) -> None:
        if self._broken is not None:
            for _, future in batch:
                future.set_exception(self._broken)
            return
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._guard(connection)
            if time.monotonic() - self._ticked >= self._tick_s:
                self._tick(connection)
                self._ticked = time.monotonic()
            for operation, future in batch:
                connection.execute("SAVEPOINT operation")
                try:
                    results.append((future, operation(connection), None))
                except sqlite3.OperationalError:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to the batch
                    connection.execute("ROLLBACK TO operation")
                    results.append((future, None, error))
                connection.execute("RELEASE operation")
            connection.execute("COMMIT")
        except (sqlite3.Error, LedgerError) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not isinstance(error, LedgerError):
                error = LedgerError(f"cannot write the ledger: {error}. Nothing more is sent; run again once it can be")
            self._broken = error
            for _, future in batch:
                future.set_exception(error)
            return
        for future, result, failure in results:
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
