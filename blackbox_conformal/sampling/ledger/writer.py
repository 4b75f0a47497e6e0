"""The one thread that writes the ledger: many workers' changes share one durable commit.

What the changes are lives in `ledger`; whether the ledger is still ours is asked of `lease` in every commit.
"""

import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from blackbox_conformal.errors import DiskFullError, LedgerError
from blackbox_conformal.sampling.ledger.lease import RENEW_S, Lease
from blackbox_conformal.sampling.ledger.ledger_file import Place, is_full
from blackbox_conformal.sampling.ledger.transaction import Known, LedgerTransaction

Result = TypeVar("Result")
_MOST_PER_COMMIT = 256
_LATEST_S = 0.05


class Ticket(Generic[Result]):
    """An operation handed to the writer, and what came of it once its commit is durable."""

    __slots__ = ("_done", "_failure", "_result", "after", "ahead", "before", "operation")

    def __init__(
        self,
        operation: Callable[[LedgerTransaction], Result],
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
        ahead: bool = False,
    ) -> None:
        self.operation = operation
        self.ahead = ahead
        self.before = before
        self.after = after
        self._done = threading.Lock()
        self._done.acquire()
        self._failure: BaseException | None = None
        self._result: Result | None = None

    def result(self) -> Result:
        """Wait for the commit; what the operation returned, or its error."""
        failure = self.failure()
        if failure is not None:
            raise failure
        return cast(Result, self._result)

    def failure(self) -> BaseException | None:
        """Wait for the commit; the operation's error, None when it worked."""
        self._done.acquire()
        self._done.release()
        return self._failure

    def finish(self, result: Result | None, failure: BaseException | None) -> None:
        """Hand the result out; the writer's part, once."""
        if not self._done.locked():
            return
        self._result, self._failure = result, failure
        self._done.release()
        if self.after is not None and failure is None:
            self.after()


def _unwritten(error: Exception) -> LedgerError:
    kind = DiskFullError if is_full(error) else LedgerError
    return kind(f"cannot write the ledger: {error}. Nothing more is sent; run again once it can be")


_Done = tuple["Ticket[Any]", Any, BaseException | None]


class Writer:
    """Runs operations on one connection; an operation's result is handed out after its commit is on disk.

    Parameters
    ----------
    connection
        The ledger, opened for writing; closed by `close`.
    lease
        Our hold on it, looked at in every transaction and renewed every `RENEW_S` seconds.
    place
        Its file, looked at in every transaction; closed by `close`.
    """

    def __init__(self, connection: sqlite3.Connection, lease: Lease, place: Place) -> None:
        self._connection = connection
        self._lease = lease
        self._place = place
        self._queue: queue.SimpleQueue[Ticket[Any] | None] = queue.SimpleQueue()
        self._later: deque[Ticket[Any]] = deque()
        self._known = Known()
        self._broken: LedgerError | None = None
        self._gave_up: Exception | None = None
        self._batch: list[Ticket[Any]] = []
        self._renewed = time.monotonic()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[LedgerTransaction], Result], *, ahead: bool = False) -> Ticket[Result]:
        """Queue `operation` for the next commit, after everything that was left for later.

        `ahead` of it, if it has nothing to do with it: what is left may go on waiting for more of its kind.
        """
        return self._hand_in(Ticket(operation, ahead=ahead), self._queue.put)

    def later(
        self,
        operation: Callable[[LedgerTransaction], Result],
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
    ) -> Ticket[Result]:
        """Leave `operation` for a commit within moments.

        It comes before everything that the same thread submits afterwards, unless that goes ahead. The writer calls
        `before` ahead of the commit, once for all operations that share one, and `after` when the commit is durable.
        """
        return self._hand_in(Ticket(operation, before, after), self._later.append)

    def _hand_in(self, ticket: Ticket[Result], where: Callable[[Ticket[Any]], None]) -> Ticket[Result]:
        with self._closing:
            if not self._closed:
                where(ticket)
                return ticket
        closed = LedgerError("the ledger is closed; nothing more can be recorded from here")
        ticket.finish(None, self._gave_up or closed)
        return ticket

    def call(self, operation: Callable[[LedgerTransaction], Result], *, ahead: bool = False) -> Result:
        """Run `operation` and return its result once it is durable."""
        return self.submit(operation, ahead=ahead).result()

    def close(self) -> None:
        """Finish what is queued and close the connection."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - a thread that ended here would leave everybody waiting
            self._give_up(error)
        self._connection.close()
        self._place.close()

    def _give_up(self, error: Exception) -> None:
        """Tell whoever waits, and whoever still comes, that memory or something else that nobody expected ran out."""
        with self._closing:
            self._gave_up, self._closed = error, True
        for ticket in (*self._batch, *self._later):
            ticket.finish(None, error)
        with contextlib.suppress(queue.Empty):
            while True:
                entry = self._queue.get_nowait()
                if entry is not None:
                    entry.finish(None, error)

    def _serve(self) -> None:
        open_ = True
        waiting_since: float | None = None
        while open_:
            # Kept where `_give_up` finds them.
            self._batch = batch = []
            try:
                entry = self._queue.get(timeout=_LATEST_S)
                while entry is not None:
                    batch.append(entry)
                    if len(batch) >= _MOST_PER_COMMIT:
                        break
                    entry = self._queue.get_nowait()
                else:
                    open_ = False
            except queue.Empty:
                pass
            now = time.monotonic()
            if self._later and waiting_since is None:
                waiting_since = now
            if waiting_since is not None:
                in_order = not batch or not open_ or any(not ticket.ahead for ticket in batch)
                if in_order or now - waiting_since >= _LATEST_S or len(self._later) >= _MOST_PER_COMMIT:
                    # What waits was left by threads that submit and wait: theirs in the batch, if any, comes after it.
                    for place in range(len(self._later)):
                        batch.insert(place, self._later[0])
                        self._later.popleft()
                    waiting_since = None
            if batch or now - self._renewed >= RENEW_S:
                self._commit(batch)

    def _commit(self, batch: list[Ticket[Any]]) -> None:
        if self._broken is not None:
            for ticket in batch:
                ticket.finish(None, self._broken)
            return
        connection = self._connection
        trouble: LedgerError | None = None
        try:
            for before in {ticket.before for ticket in batch if ticket.before is not None}:
                before()
        except (OSError, LedgerError) as error:
            trouble = error if isinstance(error, LedgerError) else _unwritten(error)
            for ticket in batch:
                if ticket.before is not None:
                    ticket.finish(None, trouble)
            # The rest is recorded all the same, as the last thing: there may be a job in it that is paid for.
            batch = [ticket for ticket in batch if ticket.before is None]
        try:
            results = self._run_together(batch)
            if results is None:
                results = self._run_apart(batch)
        except Exception as error:  # noqa: BLE001 - a thread that ended here would leave everybody waiting
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            self._broken = error if isinstance(error, LedgerError) else _unwritten(error)
            for ticket in batch:
                ticket.finish(None, self._broken)
            return
        self._broken = trouble
        for ticket, result, failure in results:
            ticket.finish(result, failure)

    def _keep(self, book: LedgerTransaction) -> None:
        self._connection.execute("COMMIT")
        self._place.mark(book.commits)

    def _begin(self) -> LedgerTransaction:
        self._place.guard()
        self._connection.execute("BEGIN IMMEDIATE")
        if time.monotonic() - self._renewed >= RENEW_S:
            self._lease.guard(self._connection)
            self._lease.renew(self._connection)
            self._renewed = time.monotonic()
        return LedgerTransaction(self._connection, self._lease, self._known)

    def _run_together(self, batch: "list[Ticket[Any]]") -> "list[_Done] | None":
        """Run a batch that is expected to succeed; None when one operation fails, with nothing written."""
        book = self._begin()
        results: list[_Done] = []
        try:
            for ticket in batch:
                results.append((ticket, ticket.operation(book), None))
            book.close()
        except sqlite3.Error:
            raise
        except Exception:  # noqa: BLE001 - run again apart, where it is told to its caller
            self._connection.execute("ROLLBACK")
            self._known.forget()
            return None
        self._keep(book)
        return results

    def _run_apart(self, batch: "list[Ticket[Any]]") -> "list[_Done]":
        """Run a batch so that an operation which fails undoes only itself."""
        book = self._begin()
        results: list[_Done] = []
        for ticket in batch:
            totals = book.totals()
            self._connection.execute("SAVEPOINT operation")
            try:
                result = ticket.operation(book)
                book.flush()
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to the batch
                self._connection.execute("ROLLBACK TO operation")
                book.restore(totals)
                results.append((ticket, None, error))
            else:
                results.append((ticket, result, None))
            self._connection.execute("RELEASE operation")
        book.close()
        self._keep(book)
        return results
