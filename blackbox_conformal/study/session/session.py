"""Keep a vendor and its calibration open for a program: any number of pictures, from any thread, under one budget.

A session holds run folder and ledger, connections and pace, budget and compiled kernels. For each picture it does
what `mask` does: prepare, draw, evaluate, certify.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.money import NOBODY, Payer, PayerCheck
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.open_run import AnyRun, OpenCascade, member_names, opened
from blackbox_conformal.drawing.owned_folder import OwnedFolder
from blackbox_conformal.drawing.pacing.concurrency import Outage
from blackbox_conformal.drawing.run_control import Clock
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.reservations import Admission
from blackbox_conformal.drawing.task import ENDED
from blackbox_conformal.drawing.work_item import ToBuy
from blackbox_conformal.errors import BlackboxConformalError, IncompleteError, UnusableDrawsError, UsageError
from blackbox_conformal.method.images.encode import Given
from blackbox_conformal.study.from_keywords import named_keywords
from blackbox_conformal.study.job import Shared, Terms, warming
from blackbox_conformal.study.listeners import Progress, shown_progress
from blackbox_conformal.study.mask.mask_request import MaskRequest, masking_of
from blackbox_conformal.study.mask.masking import Receiver, mask_pictures
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.study.pictures_in_memory import photograph_paths
from blackbox_conformal.study.settings_table import MaskSettings, SessionSettings
from blackbox_conformal.study.stages.certify import format_reason
from blackbox_conformal.study.stages.draws import output_check, second_tasks
from blackbox_conformal.study.stages.memory import (
    MASK_PIXEL_BYTES,
    READING_BYTES,
    Room,
    evaluated_at_once,
    narrowed,
    size_by_header,
)
from blackbox_conformal.study.stages.prepare import (
    Input,
    Prepared,
    named_input,
    prepare_input,
    prepare_inputs,
    refuse_misfit,
)
from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.occupancy import Occupancy
from blackbox_conformal.support.text import name_of
from blackbox_conformal.vendor.adapter import Adapter

# Give results of many pictures as they come, and list the pictures without one.

Found = Result | BlackboxConformalError  # A picture's result, or the error that concerns it alone.
_NO_MORE = object()


def closed_before() -> IncompleteError:
    """Describe a picture that still waited when its session was closed."""
    return IncompleteError("the session was closed before this picture was begun; nothing was sent for it")


class MaskedStream:
    """Results in order of completion, for ``for`` and ``async for``, once.

    After an error that concerns every picture, such as a spent budget, no further one begins. The error is raised
    after the results under way.
    """

    failures: list[tuple[str, BlackboxConformalError]]  # Name of each picture so far without a result, and its error.

    def __init__(
        self,
        pictures: Iterable[Any],
        submit: Callable[[Any], Future[Found]],
        ahead: int,
        progress: bool | Progress | None = False,
    ) -> None:
        if ahead < 1:
            raise UsageError(f"expected ahead to be at least 1 picture; got {ahead}")
        self.failures = []
        self._pictures = enumerate(pictures)
        self._submit = submit
        self._ahead = ahead
        self._progress = progress
        self._begun, self._total = 0, len(pictures) if isinstance(pictures, Sized) else 0
        self._under_way: dict[Future[Found], str] = {}
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Result]:
        with self._going() as step:
            while self._fill(step):
                wait(self._under_way, return_when=FIRST_COMPLETED)
                yield from self._take()

    async def __aiter__(self) -> AsyncIterator[Result]:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        told: set[Future[Found]] = set()

        def tell(_: Future[Found]) -> None:
            with suppress(RuntimeError):  # The loop is closed, and no task waits any more.
                loop.call_soon_threadsafe(arrived.set)

        with self._going() as step:
            while self._fill(step):
                for future in self._under_way.keys() - told:
                    future.add_done_callback(tell)
                told = set(self._under_way)
                while not any(future.done() for future in told):
                    await arrived.wait()
                    arrived.clear()
                for result in self._take():
                    yield result

    @contextmanager
    def _going(self) -> Iterator[Progress]:
        with shown_progress(self._progress) as step:
            try:
                yield step
            finally:
                for future in self._under_way:
                    future.cancel()
        if self._error is not None:
            raise self._error

    def _fill(self, step: Progress) -> bool:
        while self._error is None and len(self._under_way) < self._ahead:
            number, picture = next(self._pictures, (0, _NO_MORE))
            if picture is _NO_MORE:
                break
            name = name_of(Path(picture)) if isinstance(picture, str | Path) else f"picture {number}"
            if isinstance(picture, tuple) and picture:
                name = str(picture[0])
            self._under_way[self._submit(picture)] = name
            self._begun += 1
        step("masking", self._begun - len(self._under_way), max(self._begun, self._total))
        return bool(self._under_way)

    def _take(self) -> Iterator[Result]:
        future = next(future for future in self._under_way if future.done())
        name = self._under_way.pop(future)
        error = closed_before() if future.cancelled() else future.exception()
        if error is not None:
            self._error = self._error or error
            return
        found = future.result()
        if isinstance(found, Result):
            yield found
        else:
            self.failures.append((name, found))


@dataclass(frozen=True, slots=True)
class Turns:
    """The order in which a session's pictures are read and drawn.

    Equal ones are drawn one after the other, each only with room for all its draws, and none while the vendor gives
    nothing usable.
    """

    admission: Admission
    reading: Room
    under_way: Occupancy[str] = field(default_factory=Occupancy)

    def reads(self, source: Path | bytes) -> AbstractContextManager[None]:
        """Hold memory to read a picture in the ``with`` block: a file of a few kB may hold a hundred megapixels."""
        width, height = size_by_header(source)
        return self.reading.taken((height, width))

    @contextmanager
    def taken(
        self, picture: Prepared, to_buy: Callable[[], ToBuy], vendor: AnyRun | None, payer: Payer
    ) -> Iterator[Callable[[], None]]:
        """Draw a picture in the ``with`` block; give a function to call once the picture has its answer.

        An equal picture at the same time waits, and finds what the first one paid. `vendor`: None for local draws.
        """
        key = picture.input_digest
        with self.under_way.taken(key, lambda keys: key not in keys), ExitStack() as stack:
            price, calls = to_buy()
            outage = None if vendor is None else vendor.outage
            answered = (lambda: None) if outage is None else stack.enter_context(outage.kept_from(calls))
            stack.enter_context(self.admission.room(price, calls, payer))
            yield answered


class PictureMasker:
    """A masker of a session's pictures by one calibration.

    `terms`: The session's terms, with what its pictures share.
    `on_drift`: See `Session`.
    """

    def __init__(
        self, terms: Terms, setup: Setup, request: MaskRequest, turns: Turns, on_drift: Callable[[str], None]
    ) -> None:
        self.setup = setup
        self._terms, self._request, self._turns = terms, request, turns
        self._on_drift = on_drift
        self.fallbacks: Counter[str] = Counter()

    def unlike(self, named: Input) -> str | None:
        """Say why the calibration does not cover a picture; errors as for `Session.unlike`."""
        request = self._request.now()
        picture = self._prepared(named, request)
        check = request.check(picture)
        reason = format_reason(request.calibration.procedure, picture.file_format)
        return reason if reason is not None or check is None else check.reason

    def masked(self, named: Input, payer: Payer = NOBODY) -> Found:
        """Return a picture's result, or an error about it alone; raise an error about every picture."""
        request, failures = self._request.now(), dict[int, BlackboxConformalError]()
        try:
            prepared = self._prepared(named, request)
        except BlackboxConformalError as error:
            return error
        receiver = Receiver(
            on_failure=failures.__setitem__,
            on_drift=lambda found: self._on_drift(found[0]),
            on_watch=self._on_drift,
            on_fell_back=lambda why: self.fallbacks.update([why.kind]),
        )
        terms = replace(self._terms, limits=replace(self._terms.limits, payer=payer))
        to_buy = partial(self._to_buy, prepared, payer)
        with self._turns.taken(prepared, to_buy, terms.shared.first, payer) as answered:
            results = mask_pictures(terms, self.setup, [named], {0: prepared}, request, receiver)
            if results:
                answered()
        if failures:
            return failures[0]
        return results[0]

    def _prepared(self, named: Input, request: MaskRequest) -> Prepared:
        failures = dict[int, BlackboxConformalError]()
        memory_bytes = self._terms.memory_bytes
        with self._turns.reads(named[1]):
            prepared = prepare_inputs([named], self.setup, request.calibration, failures, memory_bytes=memory_bytes)
        if failures:
            raise failures[0]
        return prepared[0]

    def _to_buy(self, picture: Prepared, payer: Payer) -> ToBuy:
        if self._request.fallback is not None and isinstance(self._terms.shared.first, OpenCascade):
            # Only draws sure to be wanted must have room: where the rest has none, there is a fallback.
            return self._terms.shared.first.members_to_buy(picture.tasks, payer)[0]
        shared, seconds = self._terms.shared, list(second_tasks(self.setup, [picture]).values())
        parts = [
            vendor.to_buy(tasks, payer)
            for vendor, tasks in ((shared.first, picture.tasks), (shared.second, seconds))
            if vendor is not None
        ]
        return ToBuy.together(parts)


@dataclass(frozen=True, slots=True)
class Unmasked:
    """The vendor's file as received, and the model that the vendor named; None: it named none."""

    name: str
    vendor: bytes
    model: str | None


MOST_OTHERS = 16  # Most sets of other parameters of the vendor that may be open, since each keeps connections.
Value = TypeVar("Value")

Picture = Given | tuple[str, Given]  # A picture in any form that `mask` takes, or its name and itself.


class Session:
    """A calibrated vendor, open for any number of pictures at the same time.

    Any thread may use it, and any task of an asyncio loop. It owns its run folder until `close`; meanwhile every other
    process or session that wants the folder is refused. Equal pictures at the same time are drawn once, and later ones
    are answered from the run folder.

    Parameters
    ----------
    calibration
        A calibration, or the path of its file. The session notices an alarm of the watch beside the file before each
        picture.
    vendor
        From `load_adapter`.
    alpha
        The level: the risk that is accepted.
    on_drift
        Called, from any thread, with a sentence when inputs, or the answers to a picture or to 32 pictures in a row,
        are not like the calibration's. The certificates that follow say it, too.
    check_payer
        For programs with clients of their own: what each `Payer` may spend, asked whenever a price is reserved.
    max_cost, max_calls
        Limit what the session adds to the ledger in its life (`max_cost`: US dollars), whatever the number of threads:
        a new session begins at 0. With `service` they limit all that the ledger holds, over restarts.
    settings
        ``Session.__init__`` describes further keywords.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`. `LedgerError`: the run folder is in use.

    Examples
    --------
    >>> with bc.Session(calibration, vendor, alpha=0.9, max_cost=1) as session:
    ...     session.mask("input.png")
    <Result input: …×… pixels, …% trusted at alpha=0.9, expected, if like calibration>
    """

    @named_keywords
    def __init__(
        self,
        calibration: Calibration | str | Path,
        vendor: Adapter,
        alpha: float,
        *,
        on_drift: Callable[[str], None] | None = None,
        check_payer: PayerCheck | None = None,
        **settings: Unpack[SessionSettings],
    ) -> None:
        terms, self._setup, request = masking_of(vendor, calibration, alpha, settings)
        terms.refuse_unlimited(vendor)
        self._on_drift = on_drift or (lambda _: None)
        self._service = bool(settings.get("service"))
        self._spent_usd: Decimal | None = None
        with ExitStack() as stack:
            self._folder = OwnedFolder(terms.folder)
            stack.callback(self._folder.close)
            self._folder.ledger.check_payer = check_payer
            # Nothing that the folder holds already counts: the budget is for what the session adds.
            limits = replace(terms.limits, scope=frozenset())
            self._limits = replace(limits, scope=None) if self._service else limits
            self._board = EventBoard(Clock(), terms.listeners.listener, limits.max_cost_usd)
            self._vendors: list[AnyRun] = []
            self._opening, self._others = threading.Lock(), dict[str, AnyRun | None]()
            vendors = (self._setup.adapter, self._setup.second)
            first, second = (None if adapter is None else self._open(adapter, stack) for adapter in vendors)
            room = Room(narrowed(terms.memory_bytes, MASK_PIXEL_BYTES))
            self._terms = replace(terms, limits=limits, shared=Shared(first, second, room.taken))
            reading = Room(min(terms.memory_bytes or READING_BYTES, READING_BYTES))
            self._turns = Turns(Admission(self._folder.ledger), reading)
            self._masker = PictureMasker(self._terms, self._setup, request, self._turns, self._on_drift)
            self._at_once = max((vendor.most_workers for vendor in self._vendors), default=evaluated_at_once())
            stack.enter_context(warming(self._setup, truths=False))
            self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="session")
            self._stack = stack.pop_all()

    def _open(self, adapter: Adapter, stack: ExitStack) -> AnyRun | None:
        if adapter.capabilities.local:
            return None
        run = stack.enter_context(closing(opened(adapter, self._folder, self._limits, Clock(), self._board)))
        self._vendors.append(run)
        return run

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(stop=error is not None)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close, stop=error is not None)

    @property
    def run(self) -> Path:
        """Return the run folder."""
        return self._terms.folder

    @property
    def ledger(self) -> AnyLedger:
        """Return the ledger that it draws with."""
        return self._folder.ledger

    @property
    def samples(self) -> Store:
        """Return the stored answers."""
        return self._folder.store

    @property
    def outages(self) -> dict[str, Outage]:
        """Return the calibrated vendor's `Outage`, or each one in a cascade by name; empty for vendors on a disk."""
        first = self._terms.shared.first
        return {} if first is None else first.outages

    @property
    def outage(self) -> Outage | None:
        """Return the outage of the vendor that every picture needs: the calibrated one, or the first of a cascade."""
        return next(iter(self.outages.values()), None)

    @property
    def fallbacks(self) -> Counter[str]:
        """Count pictures that a cascade answered without its last vendor, by the reason in a word."""
        return self._masker.fallbacks

    @property
    def members(self) -> dict[str, str]:
        """Return a cascade's vendors by name, with the digests that the ledger knows them by."""
        adapter = self._setup.adapter
        digests = (digest_json(member.identity()) for member in adapter.members)
        return dict(zip(member_names(adapter), digests, strict=True))

    @property
    def at_once(self) -> int:
        """Return the most pictures that are worked on at once; others wait."""
        return self._at_once

    @property
    def spent_usd(self) -> Decimal:
        """Return the budget's US dollars: all that the session, or for a service anybody, added to the ledger.

        Prices of draws under way are left out.
        """
        return self._folder.ledger.totals()[0] if self._spent_usd is None else self._spent_usd

    def mask(self, picture: Picture) -> Result:
        """Have a picture super-resolved or restored, as `blackbox_conformal.mask` does; from any thread.

        Parameters
        ----------
        picture
            A path, the bytes of a file, an open file, (H, W, 3) uint8 sRGB pixels, a Pillow image, or a pair of name
            and one of these. Do not change it before the result is there.

        Raises
        ------
        BudgetError
            There is no room for the picture in the budget; nothing was sent for it.
        RefusedError
            The vendor says no to the picture.
        IncompleteError
            A draw is missing, or the session was closed. The same call asks again; nothing is paid twice.
        BlackboxConformalError
            See `blackbox_conformal.errors`. The session stays open whatever is raised.
        """
        future = self._submit(picture)
        try:
            found = future.result()
        except CancelledError:
            raise closed_before() from None
        except BaseException:
            # A picture that has begun goes on in its thread, so that its answer is kept.
            future.cancel()
            raise
        return _result(found)

    async def amask(self, picture: Picture, by: PictureMasker | None = None, payer: Payer = NOBODY) -> Result:
        """Mask a picture for asyncio, with the errors of `mask`; the loop is not blocked.

        A cancelled task takes its picture back only where nothing was sent for it. `by` is another calibration than the
        session's, from `also`. `payer` pays for the draws.
        """
        future = self._submit(picture, by, payer)
        try:
            found = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and (task is None or not task.cancelling()):
                raise closed_before() from None
            raise
        return _result(found)

    def mask_many(
        self,
        pictures: str | Path | Iterable[Picture],
        *,
        ahead: int | None = None,
        progress: bool | Progress | None = None,
    ) -> MaskedStream:
        """Mask a folder, or pictures from an iterator; give results as they come, for ``for`` and ``async for``.

        Parameters
        ----------
        pictures
            A folder, a file, or pictures, each as `mask` takes it. The session asks an iterator for the next picture
            only when there is room for it.
        ahead
            The most pictures that are held at once, under way or done and not yet taken; by default as many as draws
            may be under way.
        progress
            As for `calibrate`: by default a bar in a notebook and where stderr is a terminal. An iterator's bar counts
            the pictures that it gave so far.

        Returns
        -------
        MaskedStream
            Gives each `Result`, which knows its name; its `failures` are the pictures that have none.

        Raises
        ------
        UsageError
            The folder holds no picture.
        """
        listed = photograph_paths(pictures) if isinstance(pictures, str | Path) else pictures
        return MaskedStream(listed, self._submit, self._at_once if ahead is None else ahead, progress)

    def close(self) -> None:
        """Finish every picture that was asked for, and give the run folder up; a second call does nothing.

        A ``with`` block that ends by an error, Ctrl-C among them, sends nothing more, but waits for requests under way
        and keeps their answers. A second Ctrl-C waits for nothing that can be resumed.
        """
        self._close(stop=False)

    def _close(self, *, stop: bool) -> None:
        if stop:
            self._stop()
        try:
            self._pool.shutdown(cancel_futures=stop)
        except BaseException:
            self._stop(leave=True)
            try:
                self._pool.shutdown(cancel_futures=True)
            except BaseException:
                # Threads that are not waited for use the connections.
                for vendor in self._vendors:
                    vendor.abandon()
                raise
            raise
        finally:
            self._spent_usd = self.spent_usd
            self._stack.close()

    def _stop(self, *, leave: bool = False) -> None:
        for vendor in self._vendors:
            vendor.stop(leave=leave)

    def unlike(self, picture: Picture) -> str | None:
        """Say why the calibration does not cover a picture; None where it does. Sends nothing.

        Raises
        ------
        SuspendedError
            The calibration's watch raised an alarm.
        CalibrationError
            Calibration has seen the picture.
        ImageError
            It is no picture, or not one that the vendor takes.
        """
        return self._masker.unlike(named_input(picture, numbers=self._setup.bands is not None))

    def refuse_misfit(self, picture: Picture) -> None:
        """Refuse, by the file's header alone, a picture too large or small for the vendor, or too large for memory.

        Raises
        ------
        UsageError
            It is such a picture. One without a readable size passes.
        """
        name, source = named_input(picture, numbers=self._setup.bands is not None)
        refuse_misfit(source, name, self._setup, memory_bytes=self._terms.memory_bytes)

    def also(
        self, calibration: Calibration | str | Path, alpha: float, **settings: Unpack[MaskSettings]
    ) -> PictureMasker:
        """Open another calibration of the same vendor for `amask`, such as one of more draws.

        It shares draws and budget.

        Raises
        ------
        BlackboxConformalError
            As for `Session`. UsageError: its score compares with a second vendor, which the session does not have open.
        """
        given: dict[str, Any] = {**settings, "limits": self._limits, "service": self._service}
        _, setup, request = masking_of(self._setup.adapter, calibration, alpha, given)
        if setup.second is not None and self._setup.second is None:
            raise UsageError(
                "expected a calibration that needs no second vendor beside one that needs none; calibrate with another "
                "--score"
            )
        self._stack.enter_context(warming(setup, truths=False))
        return PictureMasker(self._terms, setup, request, self._turns, self._on_drift)

    async def adraw(self, picture: Picture, vendor: Adapter | None = None, payer: Payer = NOBODY) -> Unmasked:
        """Return the vendor's answer without a mask, for pictures that the calibration does not cover.

        Parameters
        ----------
        vendor
            The calibrated vendor with other parameters; None: as calibrated. One draw, under the session's budget.
        payer
            As for `amask`.

        Raises
        ------
        BlackboxConformalError
            As for `mask`. UsageError: the session has too many sets of parameters open.
        """
        return await asyncio.wrap_future(self._begin(self._unmasked, picture, vendor, payer))

    def _unmasked(self, picture: Picture, vendor: Adapter | None, payer: Payer) -> Unmasked:
        name, source = named_input(picture, numbers=self._setup.bands is not None)
        setup = self._setup if vendor is None else set_up(vendor, draws=1)
        run = self._terms.shared.first
        if vendor is not None:
            identity = digest_json(vendor.identity())
            with self._opening:
                if identity not in self._others:
                    if len(self._others) >= MOST_OTHERS:
                        raise UsageError(
                            f"expected at most {MOST_OTHERS} sets of other parameters in the life of a session; this "
                            "is one more. Calibrate it, or ask the vendor for it yourself"
                        )
                    self._others[identity] = self._open(vendor, self._stack)
                run = self._others[identity]
        with self._turns.reads(source):
            prepared = prepare_input(source, name, setup, memory_bytes=self._terms.memory_bytes)

        def to_buy() -> ToBuy:
            return ToBuy() if run is None else run.to_buy(prepared.tasks[:1], payer)

        limits, check = replace(self._terms.limits, payer=payer), output_check(setup)
        with self._turns.taken(prepared, to_buy, run, payer) as answered:
            # Any model of the vendor may answer; a stored draw is not bought again.
            with Sampler(setup.adapter, self.run, limits, models=None, check=check, shared=run) as sampler:
                (outcome,) = list(sampler.draw(prepared.tasks[:1]))
                if outcome.error is not None and outcome.state == "refused":
                    raise outcome.error
                if outcome.state != "stored":
                    why = "" if outcome.error is None else f": {outcome.error}"
                    raise UnusableDrawsError(f"the draw of {name} {ENDED[outcome.state]}{why}")
                drawn = Unmasked(name, sampler.read(outcome), outcome.model)
            answered()
            return drawn

    def _submit(self, picture: Picture, by: PictureMasker | None = None, payer: Payer = NOBODY) -> Future[Found]:
        masker = by or self._masker

        def masked() -> Found:
            try:
                named = named_input(picture, numbers=self._setup.bands is not None)
            except BlackboxConformalError as error:
                return error
            return masker.masked(named, payer)

        return self._begin(masked)

    def _begin(self, work: Callable[..., Value], *given: object) -> Future[Value]:
        try:
            return self._pool.submit(work, *given)
        except RuntimeError:
            raise UsageError("the session is closed; open another one with Session(…)") from None


def _result(found: Found) -> Result:
    if isinstance(found, BlackboxConformalError):
        raise found
    return found
