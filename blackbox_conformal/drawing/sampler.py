"""Draws any number of tasks from one vendor into one run folder: threads, order, stopping, cleaning up."""

import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType

from blackbox_conformal.drawing.acceptance import Acceptance, Check
from blackbox_conformal.drawing.events import Counters, Event, EventBoard
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.local_draws import LocalDraws
from blackbox_conformal.drawing.next_step import Submit
from blackbox_conformal.drawing.open_run import AnyRun, OpenCascade, OpenRun, opened
from blackbox_conformal.drawing.owned_folder import OwnedFolder
from blackbox_conformal.drawing.run_control import Clock, RunControl
from blackbox_conformal.drawing.spending.prices import KnownPrices, require_price
from blackbox_conformal.drawing.task import ENDED, UNAVAILABLE, FellBack, Outcome, Task, sent_to, task_keys
from blackbox_conformal.drawing.work_item import Processor, WorkItem
from blackbox_conformal.errors import (
    BlackboxConformalError,
    IncompleteError,
    LedgerError,
    PayloadError,
    UsageError,
    VendorError,
    VendorUnavailableError,
)
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.descriptors import require_descriptors
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.vendor.adapter import Adapter, Upload


# A picture's request to one member of a cascade, its answers so far by digest, and the earlier answer.
@dataclass(frozen=True, slots=True)
class _Asked:
    task: Task
    uploads: tuple[Upload, ...]
    before: Outcome | None = None
    arrived: dict[str, Outcome] = field(default_factory=dict)


InTurn = Callable[["Sampler", Sequence[Task]], Iterator[Outcome]]
"""Draws tasks by a sampler, as `Sampler.draw` does."""


class Sampler:
    """A buyer of draws from a vendor; use it as a context manager.

    `adapter`: The vendor; opened on entry, closed on exit.
    `run`: The run folder, which gets ``ledger.sqlite`` and ``samples/``.
    `limits`: Limits on money, pace and patience.
    `models`: Models of a calibration; an answer of another model ends the run. Empty: the model that answers first.
      None: any.
    `check`: Called with an answer's bytes and its task before the answer counts; raises an error of this package for
      bytes that are not the picture.
    `counted`: Called with the task of every draw that counts, stored ones first, and the digest of its file; an error
      of this package ends the run.
    `listener`: Called with every event, from any thread, one at a time.
    `falls_back`: If the last member of a cascade fails, deliver the earlier answer.
    `in_turn`: Draws the tasks of each member of a cascade, in an order of its own.
    `shared`: The vendor, already open, with these limits and a listener; other samplers draw from it at the same time.
      None: the sampler opens and owns the vendor and `run`.
    """

    def __init__(
        self,
        adapter: Adapter,
        run: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        models: Collection[str] | None = (),
        check: Check | None = None,
        counted: Callable[[Task, str], None] | None = None,
        listener: Callable[[Event], None] | None = None,
        falls_back: bool = False,
        in_turn: InTurn | None = None,
        shared: AnyRun | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._local = adapter.capabilities.local
        # Checked before the vendor is opened: without a price, a limit on money could not be kept.
        if limits.budget.limits_money and not self._local and shared is None:
            require_price(adapter, KnownPrices(adapter, Path(run)).of_any())
        self._adapter, self._run = adapter, Path(run)
        self._limits = limits if adapter.members else limits.for_vendor(adapter.capabilities)
        self._new_acceptance = partial(Acceptance, check, counted, models, limits.accept_refusals, self._run)
        self._clock = clock or Clock()
        self._board = EventBoard(self._clock, listener, limits.max_cost_usd) if shared is None else shared.board
        self._control = RunControl()
        self._shared, self._falls_back, self._in_turn = shared, falls_back, in_turn or Sampler.draw
        self._given: BaseException | None = None
        self._folder: OwnedFolder | None = None
        self._opened: AnyRun | LocalDraws | None = None
        self._members: tuple[Sampler, ...] = ()
        self._of_member = partial(
            Sampler, run=self._run, limits=limits, check=check, counted=counted, listener=listener, clock=clock
        )
        self._models = models
        self._processor: Processor | None = None
        self._threads: list[threading.Thread] = []
        self._drawing = self._abandoned = self._asked_to_stop = self._closed = False

    def __enter__(self) -> "Sampler":
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> "AnyRun | LocalDraws":
        """Own the run folder, settle leftovers of an earlier session, and open the adapter."""
        if self._closed:
            raise UsageError("the sampler is closed; open another one")
        if self._opened is None and self._local:
            self._opened = LocalDraws(self._adapter, self._new_acceptance(self._control))
        elif self._opened is None:
            self._opened = self._shared or self._open_alone()
        if self._adapter.members and not self._members:
            self._members = tuple(self._open_members(self._opened))
        return self._opened

    def _open_members(self, opened: "AnyRun | LocalDraws") -> Iterator["Sampler"]:
        runs = opened.members if isinstance(opened, OpenCascade) else ()
        for place, member in enumerate(self._adapter.members):
            words = f"{self._answered_by(place)}: "
            models = self._models and [name.removeprefix(words) for name in self._models if name.startswith(words)]
            yield self._of_member(member, models=models, shared=runs[place] if runs else None)

    def _answered_by(self, place: int) -> str:
        return f"vendor {place + 1} of {len(self._adapter.members)}"

    def _named(self, place: int) -> str:
        return f"{self._answered_by(place)} ({vendor_title(self._adapter.members[place].identity())})"

    def _open_alone(self) -> AnyRun:
        require_descriptors(self._limits.most_workers)
        folder = OwnedFolder(self._run)
        try:
            run = opened(self._adapter, folder, self._limits, self._clock, self._board)
        except BaseException:
            folder.close()
            raise
        self._folder = folder
        return run

    def close(self) -> None:
        """Wait for nothing and keep everything; the next session resumes jobs under way."""
        self._closed = True
        for member in self._members:
            member.close()
        self._control.leave()
        opened, self._opened = self._opened, None
        if not self._abandoned:
            self._join()
        elif isinstance(opened, OpenRun):
            opened.abandon()
        if opened is not None and opened is not self._shared:
            opened.close()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    @property
    def adapter(self) -> Adapter:
        """Return the vendor."""
        return self._adapter

    @property
    def local(self) -> bool:
        """Tell whether draws come from this machine's disk."""
        return self._local

    @property
    def reserved(self) -> frozenset[int]:
        return frozenset(self._control.reserved).union(*(member.reserved for member in self._members))

    @property
    def counters(self) -> Counters:
        return self._board.counters

    @property
    def asked_to_stop(self) -> bool:
        return self._asked_to_stop

    def stop(self) -> None:
        """Submit nothing new and finish draws under way; a second call waits for nothing that can be resumed.

        Any thread and a signal handler may call it.
        """
        if self._asked_to_stop:
            self._control.leave()
        self._asked_to_stop = True
        self._control.stop()
        for member in self._members:
            member.stop()

    def fail(self, error: BaseException) -> None:
        """Submit nothing new, finish draws under way, and end `draw` with `error`; any thread may call it."""
        self._given = error
        self._control.fail(error)
        for member in self._members:
            member.fail(error)

    def draw(self, tasks: Sequence[Task], first: int = 0) -> Generator[Outcome, None, None]:
        """Draw every task; yield outcomes as they arrive, roughly in the order of the tasks.

        The `first` so many end before another begins; whoever stops asking for outcomes then buys no more.
        """
        opened = self.open()
        if self._members:
            if self._shared is None and isinstance(opened, OpenCascade):
                self._board.start(0, *opened.spent_usd())
            for part in filter(None, (tasks[:first], tasks[first:])):
                yield from self._draw_of_members(opened, part)
            return
        assert not isinstance(opened, OpenCascade)
        if isinstance(opened, LocalDraws):
            yield from self._draw_here(opened, tasks)
            return
        if self._drawing:
            raise UsageError("another draw() of this sampler is not finished; finish or close it first")
        if self._asked_to_stop:
            raise IncompleteError("stopped before the next draw; what is paid is kept, and the same command resumes")
        self._drawing = True
        try:
            # Draws that an interruption left under way may be paid for: they must end and be recorded first.
            self._join()
            self._abandoned = False
            yield from self._draw(opened, list(tasks), first)
        finally:
            self._drawing = False

    def _draw_of_members(self, opened: "AnyRun | LocalDraws", tasks: Sequence[Task]) -> Iterator[Outcome]:
        # Each member is asked in turn; the first answer that suffices is delivered, or the last picture. A member that
        # refuses a picture passes it on; if the last one refuses, the earlier answer is delivered. Answers to tiles are
        # delivered on the earlier answer.
        waiting = [_Asked(task, self._adapter.sent(0, task.upload)) for task in tasks]
        for place in range(len(self._members)):
            # Pictures that have not ended, whatever ends the drawing.
            left, going_on = {(asked.task.upload.digest, asked.task.index): asked for asked in waiting}, list[_Asked]()
            try:
                for asked in self._drawn_by(opened, place, waiting):
                    del left[asked.task.upload.digest, asked.task.index]
                    ended = self._ended(asked, place)
                    if isinstance(ended, Outcome):
                        yield ended
                    else:
                        going_on.append(ended)
            except BlackboxConformalError as error:
                if error is self._given or not isinstance(error, (*UNAVAILABLE, VendorError)):
                    raise
                error.args = (f"{self._named(place)}: {error}",)
                if not (isinstance(error, tuple(UNAVAILABLE)) and self._may_fall_back(place)):
                    raise
                down = isinstance(error, VendorUnavailableError)
                for asked in left.values():
                    # A picture that the vendor failed on may have caused the outage.
                    by_picture = down and self._failed_on(opened, place, asked)
                    kind = next(word for failure, word in UNAVAILABLE.items() if isinstance(error, failure))
                    yield self._fallen_back(asked, FellBack(kind, str(error), by_picture))
                return
            waiting = going_on

    def _drawn_by(self, opened: "AnyRun | LocalDraws", place: int, waiting: Sequence[_Asked]) -> Iterator[_Asked]:
        # A picture is yielded once the member at `place` has answered every part.
        own, owners = dict[tuple[str, int], Task](), defaultdict[tuple[str, int], list[_Asked]](list)
        for asked in waiting:
            for digest, upload in {upload.digest: upload for upload in asked.uploads}.items():
                # Pictures may share a tile, which is bought once.
                task = sent_to(self._adapter, place, asked.task, upload)
                own[digest, task.index] = task
                owners[digest, task.index].append(asked)
        if not own:
            return
        with self._outage_of(opened, place, list(own.values())) as answered:
            for outcome in self._in_turn(self._members[place], list(own.values())):
                name = self._answered_by(place)
                name = name if outcome.model is None else f"{name}: {outcome.model}"
                told = replace(outcome, member=place, asked=place, model=name)
                if outcome.state in ("stored", "refused") and not outcome.cached:
                    answered()
                for asked in owners[outcome.task.upload.digest, outcome.task.index]:
                    asked.arrived[outcome.task.upload.digest] = told
                    if len(asked.arrived) == len({upload.digest for upload in asked.uploads}):
                        yield asked

    def _failed_on(self, opened: "AnyRun | LocalDraws", place: int, asked: _Asked) -> bool:
        # True if the member was asked for a part of the picture, and gave no usable answer.
        if not isinstance(opened, OpenCascade):
            return False
        identity = self._adapter.members[place].identity()
        sent = [sent_to(self._adapter, place, asked.task, upload) for upload in asked.uploads]
        rows = opened.ledger.rows(task_keys(identity, sent)).values()
        unusable = ("cancelled", "ambiguous", "failed", "expired", "invalid")
        return any(one.state in unusable for found in rows for one in found)

    def _may_fall_back(self, place: int) -> bool:
        return self._falls_back and 0 < place == len(self._members) - 1

    def _fallen_back(self, asked: _Asked, why: FellBack) -> Outcome:
        assert asked.before is not None
        return replace(asked.before, asked=len(self._members) - 1, fell_back=why)

    def _ended(self, asked: _Asked, place: int) -> Outcome | _Asked:
        # Returns the outcome to deliver, or the request to the next member.
        task, before, parts = asked.task, asked.before, tuple(asked.arrived.values())
        unusable = next((part for part in parts if part.state not in ("stored", "refused")), None)
        stored = [part for part in parts if part.state == "stored"]
        if unusable is not None and self._may_fall_back(place):
            reason = f"{self._named(place)}: its answer {ENDED[unusable.state]}: {unusable.error}"
            return self._fallen_back(asked, FellBack("unusable", reason, by_picture=True))
        if unusable is not None:
            return replace(unusable, task=task)
        if place < len(self._members) - 1:
            content = self._members[place].read(parts[0]) if stored else b""
            told = replace(parts[0], task=task)
            if not (sent := self._adapter.passed_on(place, task.upload, content)):
                return told
            return _Asked(task, sent, told if stored or before is None else before)
        refused = next((part for part in parts if part.state == "refused"), None)
        below = before if before is not None and before.state == "stored" else None
        if refused is not None and (below is None or not stored):
            return replace(refused, task=task) if below is None else replace(below, asked=place)
        if parts[0].task.upload.digest == task.upload.digest:
            return replace(parts[0], task=task)
        whole = replace(
            stored[0], task=task, parts=(*filter(None, [below]), *stored), cached=all(part.cached for part in parts)
        )
        cost = sum((part.cost_usd for part in whole.parts), Decimal(0))
        return replace(whole, digest=digest_bytes(self._pasted(whole)), cost_usd=cost)

    def _pasted(self, whole: Outcome) -> bytes:
        tiles = {
            part.task.upload.digest: self._members[part.member].read(part)
            for part in whole.parts
            if part.member == whole.member
        }
        first = whole.parts[0]
        below = self.read(first) if first.member < whole.member else None
        return self._adapter.pasted(whole.member, whole.task.upload, below, tiles)

    def _outage_of(
        self, opened: "AnyRun | LocalDraws", place: int, draws: Sequence[Task]
    ) -> AbstractContextManager[Callable[[], None]]:
        run = opened.members[place] if isinstance(opened, OpenCascade) else None
        return nullcontext(lambda: None) if run is None else run.outage.kept_from(run.to_buy(draws).calls)

    def _draw_here(self, opened: LocalDraws, tasks: Sequence[Task]) -> Iterator[Outcome]:
        self._board.start(len(tasks), Decimal(0), Decimal(0))
        for done, task in enumerate(tasks):
            if self._asked_to_stop:
                raise IncompleteError(f"stopped with {len(tasks) - done} of {len(tasks)} draws left")
            if self._control.error is not None:
                raise self._control.error
            outcome = opened.draw(task)
            self._tell(outcome)
            yield outcome

    def _draw(self, opened: OpenRun, tasks: list[Task], first: int) -> Iterator[Outcome]:
        processor = self._begin(opened)
        control, items = processor.control, processor.work_items(tasks)
        # Only before a purchase: reading a vendor's published facts costs a request.
        if any(isinstance(item.step, Submit) for item in items):
            opened.inspect()
        # Sets that share a vendor share one board, which must not start again for each.
        if self._shared is None:
            self._board.start(len(tasks), *opened.spent_usd())
        else:
            self._board.count(wanted=len(tasks))
        self._board.tell("started", f"{len(tasks)} draws wanted")
        done = 0
        for part in (items[:first], items[first:]):
            waiting = deque(part)
            while waiting:
                done += yield from self._carried_out(processor, waiting)
                waiting = deque(processor.last_items())
        # A failed ledger matters more than the remaining draws.
        if isinstance(control.error, LedgerError):
            raise control.error
        opened.flush()
        self._board.tell("finished", f"{done} of {len(tasks)} draws are done")
        ended = control.error
        if ended is None and done < len(tasks):
            ended = IncompleteError(
                f"stopped with {len(tasks) - done} of {len(tasks)} draws left; the same command resumes"
            )
        if ended is not None:
            raise processor.with_unanswered(ended, tasks)

    def _carried_out(self, processor: Processor, items: deque[WorkItem]) -> Generator[Outcome, None, int]:
        arrived: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=processor.work, args=(items, arrived), name=f"draw-{number}", daemon=True)
            for number in range(min(self._limits.most_workers, len(items)))
        ]
        done, living = 0, len(self._threads)
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
        except BaseException as error:
            processor.control.leave()
            # A person who interrupts twice does not wait for threads.
            self._abandoned = isinstance(error, (KeyboardInterrupt, SystemExit))
            raise
        finally:
            if not self._abandoned:
                self._join()
        return done

    def _begin(self, opened: OpenRun) -> Processor:
        self._control = RunControl()
        if self._asked_to_stop:
            self._control.stop()
        acceptance = self._new_acceptance(self._control, opened.first_model)
        self._processor = opened.begin(self._control, acceptance, self._limits.payer)
        return self._processor

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
        """Return the bytes of an outcome, hashed again; a damaged file is put aside and fetched again by its job."""
        if outcome.digest is None:
            raise PayloadError(f"a draw that is {outcome.state} has no bytes")
        opened = self.open()
        if self._members:
            if outcome.parts:
                return self._pasted(outcome)
            task = sent_to(self._adapter, outcome.member, outcome.task, outcome.task.upload)
            return self._members[outcome.member].read(replace(outcome, task=task))
        assert not isinstance(opened, OpenCascade)
        if isinstance(opened, LocalDraws):
            return opened.read(outcome)
        return (self._processor or self._begin(opened)).read(outcome)
