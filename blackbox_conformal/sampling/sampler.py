"""Draws any number of tasks from one vendor into one run folder: threads, order, stopping, cleaning up.

What happens to a single draw lives in `drawing`; money in `ledger`; speed in `pace` and `limiter`.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import IncompleteError, LedgerError, PayloadError, UsageError
from blackbox_conformal.files import make_private
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.estimate import Estimate as Estimate
from blackbox_conformal.sampling.estimate import estimate as estimate
from blackbox_conformal.sampling.estimate import known_price, price_missing
from blackbox_conformal.sampling.events import Counters, Event, EventBoard
from blackbox_conformal.sampling.expected_models import ExpectedModels
from blackbox_conformal.sampling.http.transport import Transport
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.local_draws import draw_here, read_here
from blackbox_conformal.sampling.pending_work import jobs_for
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.run_control import RunControl, StoppedError
from blackbox_conformal.sampling.task import Outcome, Task, task_key
from blackbox_conformal.sampling.work_item import refetch
from blackbox_conformal.sampling.workers import work


class Sampler:
    """Buys draws from a vendor; use it as a context manager.

    Parameters
    ----------
    adapter
        The vendor; opened on entry, closed on exit.
    run
        The run folder: ``ledger.sqlite`` and ``samples/`` are made there.
    limits
        Money, speed, patience.
    models
        Names of the vendor's models that a calibration was made with: an answer of another one ends the run. Empty: the
        model that answers first.
    check
        Called with an answer's bytes and its task before the answer counts; raises an error of this package when the
        bytes are not the picture that was asked for.
    counted
        Called with the task of every draw that counts, stored ones first, and the digest of its file; an error of this
        package that it raises ends the run.
    listener
        Called with every event, from any thread, one at a time.

    Raises
    ------
    UsageError
        A limit on money for a vendor whose price is unknown, also to the run folder's ledger.
    """

    def __init__(
        self,
        adapter: Adapter,
        run: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        models: Collection[str] = (),
        check: Callable[[bytes, Task], None] | None = None,
        counted: Callable[[Task, str], None] | None = None,
        listener: Callable[[Event], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        capabilities = adapter.capabilities
        if limits.max_cost_usd is not None and not capabilities.local and known_price(adapter, Path(run)) is None:
            raise UsageError(price_missing(adapter))
        self._adapter = adapter
        self._local = capabilities.local
        self._run = Path(run)
        self._limits = limits
        self._models = ExpectedModels(models)
        self._check = check
        self._counted = counted
        self._clock = clock or Clock()
        self._board = EventBoard(self._clock, listener, limits.max_cost_usd)
        self._control = RunControl()
        self._engine: RunContext | None = None
        self._opened: Adapter | None = None
        self._threads: list[threading.Thread] = []
        self._drawing = self._abandoned = self._asked_to_stop = self._closed = False

    def __enter__(self) -> "Sampler":
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Own the run folder, settle what an earlier session left, and start what the adapter needs.

        Raises
        ------
        LedgerError
            The ledger is in use, damaged, newer, foreign, or on a network disk.
        UsageError
            The sampler was closed.
        """
        if self._closed:
            raise UsageError("the sampler is closed; open another one")
        if self._opened is not None:
            return
        if self._local:
            self._opened = self._adapter.open()
            return
        try:
            make_private(self._run)
        except OSError as error:
            raise UsageError(f"expected a run folder that can be written; {self._run}: {error.strerror}") from None
        ledger = Ledger(self._run)
        transport: Transport | None = None
        try:
            store = Store(self._run)
            store.prepare()
            _recover(ledger, store)
            self._opened = self._adapter.open()
            transport = Transport(self._opened.base_url, self._opened.capabilities.result_hosts, self._limits)
            self._engine = RunContext(
                adapter=self._opened,
                identity=digest_json(self._adapter.identity()),
                limits=self._limits,
                ledger=ledger,
                store=store,
                transport=transport,
                board=self._board,
                clock=self._clock,
                check=self._check,
                control=self._control,
                calibrated=self._models.calibrated,
                counted=self._counted,
            )
        except BaseException:
            if transport is not None:
                transport.close()
            ledger.close()
            opened, self._opened = self._opened, None
            if opened is not None:
                opened.close()
            raise

    def close(self) -> None:
        """Wait for nothing, keep everything: jobs under way are resumed by the next session."""
        self._closed = True
        self._control.leave()
        if not self._abandoned:
            self._join()
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                engine.rate_limiter.close()
            finally:
                engine.ledger.close()
                if not self._abandoned:
                    engine.transport.close()
                engine.store.flush()
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def local(self) -> bool:
        """Whether draws come from this machine's disk."""
        return self._local

    @property
    def counters(self) -> Counters:
        """The counters now."""
        return self._board.counters

    def estimate(self, tasks: Sequence[Task]) -> Estimate:
        """What drawing `tasks` would cost; reads only, and needs no open sampler."""
        return estimate(self._adapter, self._run, self._limits, tasks)

    def stop(self) -> None:
        """Submit nothing new and finish what is under way; a second call waits for nothing that can be resumed.

        May be called from any thread and from a signal handler.
        """
        if self._asked_to_stop:
            self._control.leave()
        self._asked_to_stop = True
        self._control.stop()

    def fail(self, error: BaseException) -> None:
        """Submit nothing new, finish what is under way, and end `draw` with `error`; from any thread."""
        self._control.fail(error)

    def draw(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Draw every task, yielding outcomes as they arrive, roughly in the order of the tasks.

        Raises
        ------
        AccountRefusedError, BudgetError, IncompleteError, VendorError, AdapterError
            After everything under way was finished and yielded. The same call resumes.
        ModelChangedError
            The vendor answered with a model that must not be mixed with earlier ones. The same call cannot succeed.
        UsageError
            One draw is asked for twice, or another call of `draw` is not finished.
        """
        if self._local:
            yield from self._draw_here(list(tasks))
            return
        self.open()
        engine = self._engine
        if engine is None:
            raise UsageError("the sampler is closed; open another one")
        if self._drawing:
            raise UsageError("another draw() of this sampler is not finished; finish or close it first")
        if self._asked_to_stop:
            raise IncompleteError("stopped before anything was drawn; the same command starts again")
        self._drawing = True
        try:
            # What an interrupted draw left under way has to end and be recorded first: it may be paid for.
            self._join()
            self._abandoned = False
            engine.ledger.flush()
            yield from self._draw(engine, list(tasks))
        finally:
            self._drawing = False

    def _draw(self, engine: RunContext, tasks: list[Task]) -> Iterator[Outcome]:
        control = self._control = RunControl()
        if self._asked_to_stop:
            control.stop()
        engine.renew(control)
        jobs = deque(jobs_for(engine, self._adapter.identity(), tasks))
        self._board.start(len(tasks), *engine.spent_usd())
        self._board.tell("started", f"{len(tasks)} draws wanted")
        arrived: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        workers = min(self._limits.most_workers, len(jobs))
        self._threads = [
            threading.Thread(target=work, args=(engine, control, jobs, arrived), name=f"draw-{number}", daemon=True)
            for number in range(workers)
        ]
        done, living = 0, workers
        try:
            for thread in self._threads:
                thread.start()
            while living:
                outcome = arrived.get()
                if outcome is None:
                    living -= 1
                    continue
                done += 1
                self._tell(outcome)
                yield outcome
        except (KeyboardInterrupt, SystemExit):
            control.leave()
            self._abandoned = True
            raise
        except BaseException:
            control.leave()
            raise
        finally:
            if not self._abandoned:
                self._join()
        if isinstance(control.error, LedgerError):
            raise control.error
        engine.ledger.flush()
        engine.store.flush()
        self._board.tell("finished", f"{done} of {len(tasks)} draws are done")
        if control.error is not None:
            raise control.error
        if done < len(tasks):
            raise IncompleteError(
                f"stopped with {len(tasks) - done} of {len(tasks)} draws left; the same command resumes"
            )

    def _join(self) -> None:
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._threads = []

    def _tell(self, outcome: Outcome) -> None:
        self._board.count(done=1, cached=int(outcome.cached))
        text = outcome.state if outcome.error is None else f"{outcome.state}: {outcome.error}"
        kind = "cached" if outcome.cached else outcome.state
        self._board.tell(kind, text, outcome.task.upload.name, outcome.task.index)

    def read(self, outcome: Outcome) -> bytes:
        """The bytes of an outcome, hashed again; a damaged file is put aside and fetched again by its job.

        Raises
        ------
        PayloadError
            The bytes are damaged or gone and the vendor keeps no job to fetch them from.
        LedgerError
            The outcome is not of this run folder.
        """
        if outcome.digest is None:
            raise PayloadError(f"a draw that is {outcome.state} has no bytes")
        if self._local:
            return read_here(self._ready(), outcome)
        self.open()
        engine = self._engine
        if engine is None:
            raise UsageError("the sampler is closed; open another one")
        trouble: PayloadError | None = None
        try:
            return engine.store.read(outcome.digest)
        except PayloadError as error:
            trouble = error
        engine.ledger.flush()
        key = task_key(self._adapter.identity(), outcome.task)
        own = [row for row in engine.ledger.rows([key]).get(key, ()) if row.digest == outcome.digest]
        if not own:
            raise LedgerError(f"{trouble}; the ledger holds no draw with these bytes")
        self._board.tell("damaged", str(trouble), outcome.task.upload.name, outcome.task.index)
        try:
            return refetch(engine, outcome.task, own[-1])
        except StoppedError:
            raise PayloadError(f"{trouble}; it could not be fetched again: the run was stopped") from None

    def _ready(self) -> Adapter:
        self.open()
        if self._opened is None:
            raise UsageError("the sampler is closed; open another one")
        return self._opened

    def _draw_here(self, tasks: list[Task]) -> Iterator[Outcome]:
        adapter = self._ready()
        self._board.start(len(tasks), Decimal(0), Decimal(0))
        for done, task in enumerate(tasks):
            if self._asked_to_stop:
                raise IncompleteError(f"stopped with {len(tasks) - done} of {len(tasks)} draws left")
            if self._control.error is not None:
                raise self._control.error
            outcome = draw_here(adapter, task, self._check)
            trouble = self._models.trouble(outcome.model) if self._models.calibrated else None
            if trouble is not None:
                raise trouble
            self._tell(outcome)
            yield outcome


def _recover(ledger: Ledger, store: Store) -> None:
    """Take over what a session that died left: jobs and answers in the inbox first, then everything half done."""
    for attempt, job, seen in store.jobs():
        ledger.adopt_job(attempt, job, seen)
        store.forget_job(attempt)
    for arrival in store.arrivals():
        ledger.adopt(arrival.attempt, arrival.digest, arrival.size, arrival.seen)
        store.settle(arrival)
    store.flush()
    ledger.recover()
