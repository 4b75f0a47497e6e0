"""Writes the ledger in one thread: changes of many workers share one durable commit."""

import contextlib
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from blackbox_conformal.drawing.ledger.ledger_file import LedgerFile, is_full
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.ledger.transaction import LedgerTransaction
from blackbox_conformal.errors import DiskFullError, LedgerError

Result = TypeVar("Result")
_MOST_PER_COMMIT = 256
Change = tuple[Callable[[LedgerTransaction], Any], Sequence[int], "Future[Any]"]
"""An operation, the attempts that it looks at, and the future of its caller."""


class FailedOperationError(Exception):
    """An operation raised `error`, and nothing of its batch was written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Writer(ABC):
    """A thread that runs operations one after another, and hands each result out once its commit is on disk."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._broken: LedgerError | None = None
        self._gave_up: Exception | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @abstractmethod
    def _commit_together(self, batch: Sequence[Change]) -> list[Any]:
        """Run the operations and commit them together; return their results."""

    @abstractmethod
    def _undo(self, error: Exception) -> LedgerError | None:
        """Undo open changes; return why the ledger cannot be written, or None for an error of another kind."""

    @abstractmethod
    def _finish(self) -> None:
        """Close the connection."""

    def call(self, operation: Callable[[LedgerTransaction], Result], attempts: Sequence[int] = ()) -> Result:
        """Run `operation` in the next commit; return its result, or raise its error, once that is durable.

        `attempts`: attempts that it looks at, which may be read for all operations of a commit together.
        """
        future: Future[Result] = Future()
        with self._closing:
            if self._closed:
                raise self._gave_up or LedgerError("the ledger is closed; nothing more can be recorded from here")
            self._queue.put((operation, attempts, future))
        return future.result()

    def close(self) -> None:
        """Finish queued operations and close the connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        batch: list[Change] = []
        try:
            while batch := self._next_batch():
                self._commit(batch)
        except Exception as error:  # noqa: BLE001 - a thread that ended here would leave everybody waiting
            self._give_up(batch, error)
        self._finish()

    def _next_batch(self) -> list[Change]:
        # Waits for at least one change; an empty batch means that the writer is closed.
        batch: list[Change] = []
        change = self._queue.get()
        while change is not None:
            batch.append(change)
            if len(batch) == _MOST_PER_COMMIT or self._queue.empty():
                return batch
            change = self._queue.get()
        if batch:
            self._queue.put(None)
        return batch

    def _give_up(self, batch: list[Change], error: Exception) -> None:
        # An error such as a lack of memory is raised in all waiting threads and in later ones.
        with self._closing:
            self._gave_up, self._closed = error, True
        with contextlib.suppress(queue.Empty):
            while True:
                change = self._queue.get_nowait()
                if change is not None:
                    batch.append(change)
        for *_, future in batch:
            if not future.done():
                future.set_exception(error)

    def _write(self, batch: Sequence[Change]) -> list[tuple[Any, Exception | None]]:
        # An operation that fails undoes only itself.
        try:
            return [(result, None) for result in self._commit_together(batch)]
        except FailedOperationError as failed:
            if len(batch) == 1:
                return [(None, failed.error)]
        return [result for change in batch for result in self._write([change])]

    def _commit(self, batch: list[Change]) -> None:
        # After a commit that failed, nothing is written any more.
        try:
            if self._broken is not None:
                raise self._broken
            results = self._write(batch)
        except Exception as error:
            broken = self._undo(error)
            if broken is None:
                raise
            self._broken = broken
            for *_, future in batch:
                future.set_exception(self._broken)
            return
        for (*_, future), (result, failure) in zip(batch, results, strict=True):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)


class SqliteWriter(Writer):
    """A writer on one connection, which checks lock and file before every transaction."""

    def __init__(self, connection: sqlite3.Connection, lock: RunLock, file: LedgerFile) -> None:
        self._connection = connection
        self._lock = lock
        self._file = file
        super().__init__()

    def _commit_together(self, batch: Sequence[Change]) -> list[Any]:
        self._file.guard()
        self._lock.guard()
        self._connection.execute("BEGIN IMMEDIATE")
        transaction = LedgerTransaction(self._connection)
        try:
            results = [operation(transaction) for operation, *_ in batch]
            transaction.flush()
        except (sqlite3.Error, MemoryError):
            # Short of memory, SQLite itself undoes the whole transaction: there is nothing to go back to.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to the batch
            self._connection.execute("ROLLBACK")
            raise FailedOperationError(error) from None
        self._file.mark(transaction.commit())
        return results

    def _undo(self, error: Exception) -> LedgerError | None:
        if not isinstance(error, (sqlite3.Error, OSError, LedgerError)):
            return None
        with contextlib.suppress(sqlite3.Error):
            self._connection.rollback()
        return error if isinstance(error, LedgerError) else _unwritten(error)

    def _finish(self) -> None:
        self._connection.close()
        self._file.close()


def _unwritten(error: Exception) -> LedgerError:
    kind = DiskFullError if is_full(error) else LedgerError
    return kind(f"cannot write the ledger: {error}. Nothing more is sent; run again once it can be")
