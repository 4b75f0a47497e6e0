"""Carries out one wanted draw, from its rows in the ledger to its outcome."""

import contextlib
import math
import random
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property, partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from blackbox_conformal.drawing.acceptance import STRANGERS, Acceptance
from blackbox_conformal.drawing.attempt import AttemptRunner, Carrier
from blackbox_conformal.drawing.attempt_record import OUTCOME_ERRORS, AttemptRecord
from blackbox_conformal.drawing.events import EventBoard
from blackbox_conformal.drawing.http.classify import GoneError
from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec
from blackbox_conformal.drawing.ledger.money import may_be_billed, to_nano
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import OTHER_MODEL, WHOLE, WITH_JOB
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.next_step import (
    FREE_REPEATS,
    Done,
    Elsewhere,
    Fetch,
    NextStep,
    Submit,
    failed_for_free,
    next_step,
    times_resampled,
)
from blackbox_conformal.drawing.pacing.concurrency import AdaptiveConcurrency
from blackbox_conformal.drawing.pacing.rate_limiter import TurnTaking
from blackbox_conformal.drawing.pacing.retry import Retrier, full_jitter
from blackbox_conformal.drawing.run_control import Clock, PutOffError, RunControl, StoppedError, TakenError
from blackbox_conformal.drawing.spending.reservations import Reservations
from blackbox_conformal.drawing.task import UNAVAILABLE, Outcome, OutcomeState, Task, idempotency_key, task_keys
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    BudgetError,
    LedgerError,
    ModelChangedError,
    NotSentError,
    PayloadError,
    RunRefusedError,
    TryLaterError,
    UsageError,
    VendorError,
)
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.text import clean
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.refusals import UnclearError


def failed_earlier(task: Task, attempt: Attempt) -> Outcome:
    """Return the outcome of a recorded attempt that gave no picture."""
    state: OutcomeState = next((state for state in OUTCOME_ERRORS if state == attempt.state), "ambiguous")
    error = OUTCOME_ERRORS[state](
        attempt.error or f"recorded as {attempt.state}", request_id=attempt.request_id, code=attempt.code
    )
    return earlier_outcome(task, state, attempt, error)


def earlier_outcome(task: Task, state: OutcomeState, attempt: Attempt, error: VendorError | None) -> Outcome:
    return Outcome(task, state, True, attempt.digest, attempt.cost_usd, attempt.model, error)


_STILL_HANDED_OUT: dict[type[NextStep], tuple[type[BlackboxConformalError], ...]] = {
    Done: tuple(UNAVAILABLE),
    Fetch: (BudgetError,),
}
"""Errors that end a run and leave such items to be handed out: a stored answer needs neither vendor nor money."""

_LOOK_AGAIN_S = 0.5
_LOOKED_AT_TOGETHER = 32


class ToBuy(NamedTuple):
    """Highest price of the missing draws, and their number."""

    price_nanousd: int = 0
    calls: int = 0

    @classmethod
    def together(cls, parts: "Sequence[ToBuy]") -> "ToBuy":
        return cls(sum(part.price_nanousd for part in parts), sum(part.calls for part in parts))


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A task, the key of its draw, and the first step to take for it."""

    task: Task
    key: str
    name: str  # The picture's name, fit to be shown.
    step: NextStep
    resampled: int  # How often the draw was bought again after an unusable answer.
    looked_at: float = -math.inf  # When a shared ledger was last asked about it (monotonic).
    reopened: int = 0  # See `Outcome`.


@dataclass(kw_only=True, eq=False)
class Processor:
    """A maker of work items from tasks, and of outcomes from work items; all workers share one."""

    adapter: Adapter
    identity: dict[str, Any]  # The vendor procedure (see `Adapter.identity`).
    limits: Limits
    ledger: AnyLedger
    store: Store
    transport: Carrier
    reservations: Reservations
    turns: TurnTaking
    concurrency: AdaptiveConcurrency
    retrier: Retrier
    acceptance: Acceptance
    control: RunControl
    clock: Clock
    board: EventBoard
    member: int | None = None  # Place of the vendor in a cascade, from 0; None: there is one vendor.
    _looking: threading.Lock = field(default_factory=threading.Lock, init=False)
    _put_off: list[Task] = field(default_factory=list, init=False)

    @cached_property
    def _procedure(self) -> str:
        return digest_json(self.identity)

    def work_items(self, tasks: Sequence[Task]) -> list[WorkItem]:
        """Return a work item for each task, in order; the ledger gets a row for each purchase."""
        keys = task_keys(self.identity, tasks)
        # Two equal tasks would be one draw in the ledger, counted twice.
        if len(set(keys)) != len(keys):
            raise UsageError("one draw is asked for twice; give each picture once, and each draw its own index")
        rows = self._attempts(keys)
        steps = self._steps(keys, rows)
        names = {name: clean(name) for name in {task.upload.name for task in tasks}}
        items = []
        for task, key, step in zip(tasks, keys, steps, strict=True):
            # Paid draws count before anything is bought, so that a wrong model ends the run at no cost.
            if isinstance(step, (Done, Fetch)) and step.attempt.state in (*WHOLE, *WITH_JOB):
                self._count_stored(task, step.attempt)
            elif isinstance(step, Done) and step.attempt.state == "refused":
                self.acceptance.count_refusal(task, failed_earlier(task, step.attempt).error)
            attempts = rows.get(key, ())
            reopened = sum(attempt.reopened for attempt in attempts)
            item = WorkItem(task, key, names[task.upload.name], step, times_resampled(attempts), reopened=reopened)
            items.append(item)
        self._refuse_astray([attempt for attempts in rows.values() for attempt in attempts])
        self.reservations.plan(
            [
                self._spec(item.task, item.key, item.name, item.step.generation)
                for item in items
                if isinstance(item.step, Submit)
            ]
        )
        if self.ledger.has_company():
            # Processes that want the same draws start at different ones, so that they rarely wait for each other.
            start = random.randrange(len(items) or 1)
            items = items[start:] + items[:start]
        return items

    def _attempts(self, keys: Sequence[str]) -> Mapping[str, Sequence[Attempt]]:
        # If any model may answer, a picture of another model counts as well.
        rows = self.ledger.rows(keys)
        if self.acceptance.calibrated is not None:
            return rows
        return {
            key: [replace(one, state="validated") if one.code == OTHER_MODEL else one for one in attempts]
            for key, attempts in rows.items()
        }

    def _refuse_astray(self, attempts: Sequence[Attempt]) -> None:
        # Without the user's word nothing is bought if the last answers all came from another model.
        newest = max((attempt.id for attempt in attempts if attempt.state in WHOLE), default=-1)
        last = [one for one in attempts if one.id > newest and one.code == OTHER_MODEL]
        changed = self.acceptance.model_error(last[-1].model, stored=True) if len(last) >= STRANGERS else None
        if changed is not None and not self.limits.max_resample:
            raise ModelChangedError(f"{changed}. If {last[-1].model!r} answered for a while only, add --max-resample 1")

    def last_items(self) -> list[WorkItem]:
        """Return the draws that were put off, once all others have ended; none if the run is stopped."""
        tasks, self._put_off = self._put_off, []
        if not tasks or self.control.stopping.is_set():
            return []
        self.acceptance.nothing_else = True
        return self.work_items(tasks)

    def _steps(self, keys: Sequence[str], rows: Mapping[str, Sequence[Attempt]]) -> list[NextStep]:
        wanted = {attempt.digest for attempts in rows.values() for attempt in attempts if attempt.state in WHOLE}
        on_disk = self.store.among({digest for digest in wanted if digest is not None})
        replayable, now = self.adapter.capabilities.idempotency_header is not None, self.clock.wall()
        if replayable:  # Only then does the age of a submission matter, and a shared ledger must be asked for the time.
            now = self.ledger.now(now)
        return [
            next_step(rows.get(key, ()), self.limits, on_disk=on_disk, replayable=replayable, now=now) for key in keys
        ]

    def to_buy(self, tasks: Sequence[Task]) -> "ToBuy":
        """Return the price and number of the missing draws; only reads."""
        keys = task_keys(self.identity, tasks)
        steps = zip(tasks, keys, self._steps(keys, self._attempts(keys)), strict=True)
        specs = [self._spec(task, key, "", step.generation) for task, key, step in steps if isinstance(step, Submit)]
        return ToBuy(sum(map(self.reservations.prices.nanousd, specs)), len(specs))

    def with_unanswered(self, error: BaseException, tasks: Sequence[Task]) -> BaseException:
        """Add to an error that ends the run which of these draws may have been billed."""
        if isinstance(error, AccountRefusedError):
            error.key_variable = self.adapter.key_variable
        rows = self.ledger.rows(task_keys(self.identity, tasks)).values()
        costs = [one.known_cost_usd for attempts in rows for one in attempts if one.state == "ambiguous"]
        if costs and isinstance(error, BlackboxConformalError):
            error.args = (f"{str(error).removesuffix('.')}. {may_be_billed(costs)}", *error.args[1:])
        return error

    def _count_stored(self, task: Task, attempt: Attempt) -> None:
        error = self.acceptance.model_error(attempt.model, stored=True)
        if error is not None:
            raise error
        if attempt.state in WHOLE and attempt.digest is not None:
            self.acceptance.count(task, attempt.digest)

    def _spec(self, task: Task, key: str, name: str, generation: int) -> AttemptSpec:
        price = self.adapter.price_for(task.upload.width, task.upload.height)
        return AttemptSpec(
            task=key,
            generation=generation,
            identity=self._procedure,
            adapter=self.adapter.name,
            upload=task.upload.digest,
            upload_name=name,
            draw=task.index,
            seed=task.seed,
            idempotency_key=idempotency_key(key, generation),
            pixels=task.upload.width * task.upload.height,
            listed_nanousd=None if price is None else to_nano(price.high_usd),
            priced=price is not None,
            payer=self.limits.payer.name,
            request=self.limits.payer.request,
            member=self.member,
        )

    def work(self, items: deque[WorkItem], arrived: "SimpleQueue[Outcome | None]") -> None:
        """Work items off in order, until none is left or the run is stopped; put None at the end."""
        try:
            while True:
                try:
                    # One worker at a time looks at the ledger, for all waiting items.
                    with self._looking:
                        item = items.popleft()
                        if self.ledger.shared and self._is_stale(item) and not self._is_given_up():
                            self._look_again(items, item)
                            continue
                except IndexError:
                    return
                if isinstance(item.step, Elsewhere) and not self._is_given_up():
                    items.append(item)
                    self.clock.sleep(_LOOK_AGAIN_S, self.control.stopping)
                    continue
                given_up = partial(self._is_given_up, *_STILL_HANDED_OUT.get(type(item.step), ()))
                asks_vendor = not isinstance(item.step, Done)
                if given_up() or (asks_vendor and not self.concurrency.acquire(given_up)):
                    continue
                try:
                    arrived.put(replace(self.process(item), reopened=item.reopened))
                except TakenError:
                    items.append(replace(item, step=Elsewhere(), looked_at=self.clock.monotonic()))
                except PutOffError:
                    self._put_off.append(item.task)
                except StoppedError:
                    continue
                finally:
                    if asks_vendor:
                        self.concurrency.release()
        # A worker that dies in silence would leave the caller waiting for its outcome.
        except BaseException as error:  # noqa: BLE001 - raised by `Sampler.draw` in the caller's thread
            self.control.fail(error)
            self.control.leave()
        finally:
            arrived.put(None)

    def _is_stale(self, item: WorkItem) -> bool:
        # Other processes may have begun or made this draw since the last look.
        return isinstance(item.step, (Submit, Elsewhere)) and self.clock.monotonic() > item.looked_at + _LOOK_AGAIN_S

    def _look_again(self, items: deque[WorkItem], first: WorkItem) -> None:
        # One look at the ledger serves several items.
        stale = [first]
        with contextlib.suppress(IndexError):
            while len(stale) < _LOOKED_AT_TOGETHER:
                stale.append(items.popleft())
        keys = [item.key for item in stale]
        rows = self._attempts(keys)
        now = self.clock.monotonic()
        for item, step in reversed(list(zip(stale, self._steps(keys, rows), strict=True))):
            if isinstance(step, Done) and not isinstance(item.step, Done):
                self._count_stored(item.task, step.attempt)
            resampled = times_resampled(rows.get(item.key, ()))
            items.appendleft(replace(item, step=step, resampled=resampled, looked_at=now))

    def _is_given_up(self, *harmless: type[BlackboxConformalError]) -> bool:
        """Tell whether nothing is begun any more; errors of the `harmless` kinds do not count."""
        stopped = self.control.stopping.is_set() and not isinstance(self.control.error, harmless)
        return stopped or self.control.leaving.is_set()

    def process(self, item: WorkItem) -> Outcome:
        limits, stopping = self.limits, self.control.stopping
        step, resampled = item.step, item.resampled
        repeats = deferrals = failures = astray = 0
        spent = Decimal(0)
        while True:
            if isinstance(step, Done):
                outcome = self._recorded(item.task, step.attempt)
                if outcome is not None:
                    return outcome
                # The record does not do: its file is gone, or is not the picture.
                step = Fetch(step.attempt)
            if isinstance(step, Fetch) and step.attempt.state == "validated":
                outcome = self._restored(item.task, step.attempt)
                lost = isinstance(outcome.error, (GoneError, PayloadError))
                # Buying a lost file again costs money, which only `--max-resample` allows.
                if not lost or resampled >= limits.max_resample or stopping.is_set():
                    return outcome
                resampled += 1
                step = Submit(max(row.generation for row in self._rows(item)) + 1)
            if isinstance(step, Elsewhere):
                raise TakenError
            earlier = None if isinstance(step, Submit) else step.attempt
            generation = step.generation if isinstance(step, Submit) else step.attempt.generation
            spec = self._spec(item.task, item.key, item.name, generation)
            # The ledger gives away only attempts without a process; otherwise two processes would fetch one job.
            if earlier is not None and not self.ledger.take(earlier):
                raise TakenError
            runner = self._runner(item.task, spec, earlier)
            try:
                result = runner.run()
            finally:
                runner.record.leave()
            if isinstance(result, UnclearError):
                raise PutOffError
            if isinstance(result, (NotSentError, TryLaterError)):
                deferrals += 1
                if not self.retrier.deferred(result, deferrals):
                    raise StoppedError
                continue
            spent += result.cost_usd
            result = replace(result, cost_usd=spent)
            if result.state == "failed" and failures < FREE_REPEATS and failed_for_free(self._rows(item)[-1]):
                failures += 1
                if self.clock.sleep(full_jitter(failures), stopping):
                    return result
            elif result.error is not None and result.error.code == OTHER_MODEL and astray < FREE_REPEATS:
                astray += 1
            elif result.state in ("invalid", "failed") and resampled < limits.max_resample:
                resampled += 1
            elif result.state == "ambiguous" and limits.retry_ambiguous and repeats + 1 < limits.max_attempts:
                repeats += 1
            else:
                return result
            if stopping.is_set():
                return result
            step = Submit(generation + 1)

    def _rows(self, item: WorkItem) -> Sequence[Attempt]:
        return self._attempts([item.key])[item.key]

    def _runner(self, task: Task, spec: AttemptSpec, earlier: Attempt | None, restore: bool = False) -> AttemptRunner:
        return AttemptRunner(
            task,
            AttemptRecord(spec, earlier, ledger=self.ledger, store=self.store, reservations=self.reservations),
            restore,
            adapter=self.adapter,
            transport=self.transport,
            turns=self.turns,
            retrier=self.retrier,
            acceptance=self.acceptance,
            control=self.control,
            clock=self.clock,
            board=self.board,
            job_deadline_s=self.limits.job_timeout_s,
        )

    def _recorded(self, task: Task, attempt: Attempt) -> Outcome | None:
        # None means that the picture had better be fetched again.
        if attempt.state not in WHOLE:
            return failed_earlier(task, attempt)
        failure: PayloadError | None = None
        if attempt.state == "stored" and self.acceptance.check is not None:
            try:
                failure = self.acceptance.picture_error(self.store.read(attempt.digest or ""), task)
            except PayloadError as error:
                failure = error
            if failure is None:
                self.ledger.validated(attempt.id)
            elif attempt.job is not None:
                return None
            else:
                # The bytes are kept as evidence, under the state that fits them.
                self.ledger.end(attempt.id, "invalid", attempt.report, error_class="P", error=str(failure))
        elif not self.store.among({attempt.digest or ""}):
            failure = PayloadError(
                f"the sample {attempt.digest} was paid for and its file is gone; restore it, or allow it to be bought"
                " again with --max-resample 1"
            )
        return earlier_outcome(task, "stored" if failure is None else "invalid", attempt, failure)

    def read(self, outcome: Outcome) -> bytes:
        task, digest = outcome.task, outcome.digest or ""
        try:
            return self.store.read(digest)
        except PayloadError as error:
            problem = str(error)
        (key,) = task_keys(self.identity, [task])
        # Only attempts with these very bytes: another generation has another picture.
        attempts = [attempt for attempt in self._attempts([key]).get(key, ()) if attempt.digest == digest]
        if not attempts:
            raise LedgerError(f"{problem}; the ledger holds no draw with these bytes")
        self.board.tell("damaged", problem, task.upload.name, task.index)
        try:
            self._restore(task, attempts[-1])
        except StoppedError:
            raise PayloadError(f"{problem}; it could not be fetched again: the run was stopped") from None
        return self.store.read(digest)

    def _restored(self, task: Task, attempt: Attempt) -> Outcome:
        error: VendorError | None = None
        try:
            self._restore(task, attempt)
        except RunRefusedError as refusal:
            self.control.fail(refusal)
            raise StoppedError from None
        except VendorError as failure:
            error = failure
        return earlier_outcome(task, "stored" if error is None else "invalid", attempt, error)

    def _restore(self, task: Task, attempt: Attempt) -> None:
        if attempt.job is None:
            raise PayloadError(
                f"the sample {attempt.digest} of draw {attempt.draw} is damaged or gone, and the vendor keeps no job to"
                " fetch it from; restore it, or allow it to be bought again with --max-resample 1"
            )
        spec = self._spec(task, attempt.task, attempt.upload_name, attempt.generation)
        self._runner(task, spec, attempt, restore=True).run()
