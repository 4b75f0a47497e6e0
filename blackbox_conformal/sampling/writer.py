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
from blackbox_conformal.sampling.book import Book

Result = TypeVar("Result")
_Entry = tuple[Callable[[Book], Any], "Future[Any]"]
_Result = tuple["Future[Any]", Any, BaseException | None]
_MOST_PER_COMMIT = 256


def _nothing(book: Book) -> None:
    """An operation for a commit that only renews the lease."""


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
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._broken: LedgerError | None = None
        self._ticked = time.monotonic()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Book], Result]) -> "Future[Result]":
        """Queue `operation`; the future is done when its commit is durable, or holds what it raised."""
        future: Future[Result] = Future()
        with self._closing:
            if self._closed:
                future.set_exception(LedgerError("the ledger is closed; nothing more can be recorded from here"))
            else:
                self._queue.put((operation, future))
        return future

    def call(self, operation: Callable[[Book], Result]) -> Result:
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
                entry = (_nothing, Future())
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

    def _commit(self, batch: list[_Entry]) -> None:
        if self._broken is not None:
            for _, future in batch:
                future.set_exception(self._broken)
            return
        connection = self._connection
        try:
            results = self._run_together(batch)
            if results is None:
                results = self._run_apart(batch)
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

    def _begin(self) -> Book:
        self._connection.execute("BEGIN IMMEDIATE")
        self._guard(self._connection)
        if time.monotonic() - self._ticked >= self._tick_s:
            self._tick(self._connection)
            self._ticked = time.monotonic()
        return Book(self._connection)

    def _run_together(self, batch: "list[_Entry]") -> "list[_Result] | None":
        """Run a batch that is expected to succeed; None when one operation fails, with nothing written."""
        book = self._begin()
        results: list[_Result] = []
        for operation, future in batch:
            try:
                results.append((future, operation(book), None))
            except sqlite3.OperationalError:
                raise
            except Exception:  # noqa: BLE001 - run again apart, where it is told to its caller
                self._connection.execute("ROLLBACK")
                return None
        book.close()
        self._connection.execute("COMMIT")
        return results

    def _run_apart(self, batch: "list[_Entry]") -> "list[_Result]":
        """Run a batch so that an operation which fails undoes only itself."""
        book = self._begin()
        results: list[_Result] = []
        for operation, future in batch:
            totals = book.totals()
            self._connection.execute("SAVEPOINT operation")
            try:
                results.append((future, operation(book), None))
            except sqlite3.OperationalError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to the batch
                self._connection.execute("ROLLBACK TO operation")
                book.restore(totals)
                results.append((future, None, error))
            self._connection.execute("RELEASE operation")
        book.close()
        self._connection.execute("COMMIT")
        return results
