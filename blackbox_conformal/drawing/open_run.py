"""Opens a vendor for draws into a run folder: connections, pace, prices and budget."""

import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from weakref import WeakSet

from blackbox_conformal.drawing.acceptance import Acceptance, FirstModel
from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.free_requests import inspect_vendor
from blackbox_conformal.drawing.http.transport import Resumption, Transport
from blackbox_conformal.drawing.ledger.money import NOBODY, Payer
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.owned_folder import OwnedFolder
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency, CircuitBreaker, Outage
from blackbox_conformal.drawing.pacing.rate_limiter import TurnTaking
from blackbox_conformal.drawing.pacing.retry import Retrier, RetryBudget
from blackbox_conformal.drawing.run_control import Clock, RunControl
from blackbox_conformal.drawing.spending.prices import Prices
from blackbox_conformal.drawing.spending.reservations import Reservations
from blackbox_conformal.drawing.task import Task, asked_of
from blackbox_conformal.drawing.work_item import Processor, ToBuy
from blackbox_conformal.errors import FunctionFailedError
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.descriptors import require_descriptors
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.rates import Rate


class InProcess:
    """A carrier to an adapter that answers requests itself, as `Transport` is to an address.

    Calls run in lasting threads, since a function may keep values for each thread; an overdue call is left alone.
    """

    def __init__(self, adapter: Adapter, seconds: float) -> None:
        self._adapter, self._seconds = adapter, seconds
        self._idle: list[SimpleQueue[tuple[Send, Future[Answer]] | None]] = []
        self._overdue: list[Future[Answer]] = []

    def send(self, step: Send, resumption: Resumption | None = None, seconds: float | None = None) -> Answer:
        if not all(call.done() for call in self._overdue):
            raise FunctionFailedError(f"an earlier call of {self._adapter.name} has not returned yet", permanent=True)
        asked, call = self._idle.pop() if self._idle else self._new_thread(), Future[Answer]()
        asked.put((step, call))
        if call not in wait([call], self._seconds).done:
            self._overdue.append(call)
            asked.put(None)
            raise FunctionFailedError(
                f"{self._adapter.name} did not answer within {self._seconds:g} s, and its call goes on. Give more, as"
                f" timeout={10 * self._seconds:g}",
                permanent=True,
            )
        self._idle.append(asked)
        return call.result()

    def _new_thread(self) -> "SimpleQueue[tuple[Send, Future[Answer]] | None]":
        asked: SimpleQueue[tuple[Send, Future[Answer]] | None] = SimpleQueue()
        threading.Thread(target=self._work, args=(asked,), name="function", daemon=True).start()
        return asked

    def _work(self, asked: "SimpleQueue[tuple[Send, Future[Answer]] | None]") -> None:
        while (given := asked.get()) is not None:
            step, call = given
            try:
                call.set_result(self._adapter.answer(step))
            except BaseException as error:  # noqa: BLE001 - raised in the thread that asked
                call.set_exception(error)

    def distrust(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        while self._idle:
            self._idle.pop().put(None)


class OpenRun:
    """Connections, pace, prices and budget of one vendor, for any number of sets of tasks at the same time.

    `member`: Place of the vendor in a cascade, from 0; None: there is one vendor.
    `first_model`: The model that answered first; all draws of every set must come from it.
    `outage`: For a service, which goes on with other pictures after the draws of one ended.
    """

    def __init__(
        self,
        adapter: Adapter,
        folder: OwnedFolder,
        limits: Limits,
        clock: Clock,
        board: EventBoard,
        member: int | None = None,
    ) -> None:
        require_descriptors(limits.most_workers)
        self._member = member
        self.board, self.first_model, self.outage = board, FirstModel(), Outage(clock.monotonic)
        self._identity, self._limits, self._clock = adapter.identity(), limits, clock
        self._ledger, self._store = folder.ledger, folder.store
        self._concurrency = AdaptiveConcurrency(limits.first_workers, limits.most_workers, clock.monotonic)
        self._retry_budget = RetryBudget(limits.most_workers)
        self._abandoned = self._inspected = False
        self._inspecting = threading.Lock()
        self._controls: WeakSet[RunControl] = WeakSet()
        self._beginning = threading.Lock()
        self._stopped = False
        with contextlib.ExitStack() as stack:
            self._adapter = adapter.open()
            stack.callback(self._adapter.close)
            capabilities = self._adapter.capabilities
            base, further = self._adapter.base_url, self._adapter.further_urls
            self._transport: Transport | InProcess = (
                Transport(base, capabilities.result_hosts, limits, further)
                if base
                else InProcess(self._adapter, limits.answer_timeout_s)
            )
            stack.callback(lambda: None if self._abandoned else self._transport.close())
            self._rate_limiter = folder.rate_limiter(
                self._adapter, limits.rates or (), clock, partial(board.tell, "pace")
            )
            stack.callback(self._rate_limiter.close)
            self._breaker = CircuitBreaker(
                clock.monotonic,
                probe_timeout_s=limits.answer_timeout_s + 30.0,
                announce=self._rate_limiter.announce_pause,
            )
            # In force before the first price is reserved.
            self._ledger.limit(limits.budget)
            if folder.remembered:
                board.tell("remembered", folder.remembered)
                folder.remembered = ""
            billed = self._ledger.billed(digest_json(self._identity))
            source = "" if capabilities.price is None else capabilities.price.source
            self._prices = Prices(billed, source, limited=self._ledger.limits_money(), board=board)
            self._stack = stack.pop_all()

    @property
    def outages(self) -> dict[str, Outage]:
        return {"": self.outage}

    @property
    def rates(self) -> tuple[Rate, ...]:
        return self._rate_limiter.rates

    @property
    def most_workers(self) -> int:
        """Return the largest number of draws under way at once."""
        return self._limits.most_workers

    def begin(self, control: RunControl, acceptance: Acceptance, payer: Payer = NOBODY) -> Processor:
        """Return the processor that draws one set of tasks on the account of `payer`."""
        with self._beginning:
            self._controls.add(control)
            if self._stopped:
                control.stop()
        limits = replace(self._limits, payer=payer)
        clock, board, concurrency = self._clock, self.board, self._concurrency
        turns = TurnTaking(self._breaker, self._rate_limiter, concurrency, limits, clock, board)
        reservations = Reservations(
            ledger=self._ledger,
            prices=self._prices,
            turns=turns,
            store=self._store,
            most_workers=limits.most_workers,
            control=control,
            clock=clock,
            board=board,
        )
        return Processor(
            adapter=self._adapter,
            identity=self._identity,
            limits=limits,
            ledger=self._ledger,
            store=self._store,
            transport=self._transport,
            reservations=reservations,
            turns=turns,
            concurrency=concurrency,
            retrier=Retrier(limits, clock, control, self._breaker, concurrency, self._retry_budget, board),
            acceptance=acceptance,
            control=control,
            clock=clock,
            board=board,
            member=self._member,
        )

    def stop(self, *, leave: bool = False) -> None:
        """Submit nothing new for any set of tasks; with `leave`, wait for nothing."""
        with self._beginning:
            self._stopped = True
            controls = list(self._controls)
        for control in controls:
            control.stop()
            if leave:
                control.leave()

    def to_buy(self, tasks: Sequence[Task], payer: Payer = NOBODY) -> ToBuy:
        """Return the calls and the price of the missing draws; only reads."""
        control = RunControl()
        return self.begin(control, Acceptance(None, None, (), True, Path(), control), payer).to_buy(tasks)

    def inspect(self) -> None:
        """Read the vendor's published facts, once."""
        # Sets that begin together share one look at the published facts.
        with self._inspecting:
            if self._inspected:
                return
            told = inspect_vendor(self._adapter, self._limits)
            self._inspected = True
        if told is not None:
            self.board.tell("inspected", told)

    def flush(self) -> None:
        """Make the names of all samples durable."""
        self._store.flush()

    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """Return US dollars spent and reserved in the budget's scope."""
        spent, reserved, _ = self._ledger.totals()
        return spent, reserved

    def abandon(self) -> None:
        """Leave the connections open on `close`: threads that nobody waits for may still use them."""
        self._abandoned = True

    def close(self) -> None:
        self._stack.close()


class OpenCascade:
    """The members of a cascade, each an `OpenRun` or None (local draws), with one budget for all.

    Each member has its own `outage`, so that one that is down keeps no picture from the others.
    """

    outage: None = None

    def __init__(self, adapter: Adapter, folder: OwnedFolder, limits: Limits, clock: Clock, board: EventBoard) -> None:
        self.board, self._adapter, self.ledger = board, adapter, folder.ledger
        with contextlib.ExitStack() as stack:
            self.members = tuple(
                None
                if member.capabilities.local
                else stack.enter_context(
                    contextlib.closing(
                        OpenRun(member, folder, limits.for_vendor(member.capabilities), clock, board, place)
                    )
                )
                for place, member in enumerate(adapter.members)
            )
            self._stack = stack.pop_all()

    @property
    def outages(self) -> dict[str, Outage]:
        """Return the outage of each paid member, by place from 1 and name: ``2 dear``."""
        named = zip(member_names(self._adapter), self.members, strict=True)
        return {name: member.outage for name, member in named if member is not None}

    @property
    def _open(self) -> list[OpenRun]:
        return [member for member in self.members if member is not None]

    @property
    def most_workers(self) -> int:
        return max((member.most_workers for member in self._open), default=1)

    def stop(self, *, leave: bool = False) -> None:
        for member in self._open:
            member.stop(leave=leave)

    def to_buy(self, tasks: Sequence[Task], payer: Payer = NOBODY) -> ToBuy:
        return ToBuy.together(self.members_to_buy(tasks, payer))

    def members_to_buy(self, tasks: Sequence[Task], payer: Payer) -> list[ToBuy]:
        return [
            ToBuy() if run is None else run.to_buy(own, payer)
            for run, (_, own) in zip(self.members, asked_of(self._adapter, tasks), strict=True)
        ]

    def spent_usd(self) -> tuple[Decimal, Decimal]:
        spent, reserved, _ = self.ledger.totals()
        return spent, reserved

    def flush(self) -> None:
        for member in self._open:
            member.flush()

    def abandon(self) -> None:
        for member in self._open:
            member.abandon()

    def close(self) -> None:
        self._stack.close()


AnyRun = OpenRun | OpenCascade


def member_names(adapter: Adapter) -> list[str]:
    """Name each member of a cascade by its place from 1 and its name: ``2 dear``."""
    return [f"{place} {vendor_title(member.identity())}" for place, member in enumerate(adapter.members, 1)]


def opened(adapter: Adapter, folder: OwnedFolder, limits: Limits, clock: Clock, board: EventBoard) -> AnyRun:
    """Open the vendor, with the adapter's own values for unset limits."""
    if adapter.members:
        return OpenCascade(adapter, folder, limits, clock, board)
    return OpenRun(adapter, folder, limits.for_vendor(adapter.capabilities), clock, board)
