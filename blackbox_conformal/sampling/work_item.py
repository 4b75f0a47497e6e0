"""One draw that is wanted, from what the ledger holds of it to its outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import (
    NotSentError,
    PayloadError,
    RunRefusedError,
    TryLaterError,
    UsageError,
    VendorError,
)
from blackbox_conformal.sampling.acceptance import Acceptance
from blackbox_conformal.sampling.attempt import AttemptRunner
from blackbox_conformal.sampling.attempt_record import OUTCOME_ERRORS, AttemptRecord
from blackbox_conformal.sampling.clock import Clock
from blackbox_conformal.sampling.http.classify import GoneError
from blackbox_conformal.sampling.ledger.attempt_ledger import Ledger
from blackbox_conformal.sampling.ledger.attempts import Attempt, AttemptSpec
from blackbox_conformal.sampling.ledger.sample_store import Store
from blackbox_conformal.sampling.ledger.states import WHOLE, WITH_JOB
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.next_step import Done, Fetch, NextStep, Submit, next_step
from blackbox_conformal.sampling.pacing.retry import Retrier
from blackbox_conformal.sampling.reservations import Reservations
from blackbox_conformal.sampling.run_control import RunControl, StoppedError
from blackbox_conformal.sampling.task import Outcome, OutcomeState, Task, idempotency_key, task_keys
from blackbox_conformal.text import clean


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A task and what is to be done for it first.

    Attributes
    ----------
    key
        The task's (see `task_key`).
    resampled
        How often the draw was bought again because its answer proved unusable.
    spec, planned
        The first submission and its row in the ledger; None where nothing is to be bought at first.
    """

    task: Task
    key: str
    step: NextStep
    resampled: int
    spec: AttemptSpec | None
    planned: int | None


class Processor:
    """Makes work items of tasks, and outcomes of work items; all workers share it.

    Parameters
    ----------
    identity
        The vendor procedure (see `Adapter.identity`).
    new_runner
        `AttemptRunner` with everything that is the same for all attempts.
    """

    def __init__(
        self,
        adapter: Adapter,
        identity: dict[str, Any],
        limits: Limits,
        *,
        ledger: Ledger,
        store: Store,
        reservations: Reservations,
        acceptance: Acceptance,
        retrier: Retrier,
        control: RunControl,
        clock: Clock,
        new_runner: Callable[..., AttemptRunner],
    ) -> None:
        self._adapter, self._identity, self._limits = adapter, identity, limits
        self._ledger, self._store, self._acceptance, self._retrier = ledger, store, acceptance, retrier
        self._control, self._clock, self._new_runner = control, clock, new_runner
        self._new_record = partial(AttemptRecord, ledger=ledger, store=store, reservations=reservations)
        self._identity_digest = digest_json(identity)

    def work_items(self, tasks: Sequence[Task]) -> list[WorkItem]:
        """A work item for each task, in order; what is to be bought has a row in the ledger.

        Raises
        ------
        UsageError
            One draw is asked for twice.
        ModelChangedError
            Stored draws came from a model that the run must not be mixed with, so that there is nothing to do.
        """
        keys = task_keys(self._identity, tasks)
        if len(set(keys)) != len(keys):
            raise UsageError("one draw is asked for twice; give each picture once, and each draw its own index")
        rows = self._ledger.rows(keys)
        on_disk = frozenset(digest for digest, _ in self._store.files())
        steps = [
            next_step(
                rows.get(key, ()),
                on_disk=on_disk,
                max_resample=self._limits.max_resample,
                retry_ambiguous=self._limits.retry_ambiguous,
                replayable=self._adapter.capabilities.idempotency_header is not None,
                now=self._clock.wall(),
            )
            for key in keys
        ]
        for task, step in zip(tasks, steps, strict=True):
            if isinstance(step, (Done, Fetch)) and step.attempt.state in (*WHOLE, *WITH_JOB):
                self._count_stored(task, step.attempt)
        # One after another: a name is made fit to be shown once for all draws of a picture.
        names = {name: clean(name) for name in {task.upload.name for task in tasks}}
        specs = [
            self._spec(task, key, step.generation, names[task.upload.name]) if isinstance(step, Submit) else None
            for task, key, step in zip(tasks, keys, steps, strict=True)
        ]
        planned = self._ledger.plan([spec for spec in specs if spec is not None])
        return [
            WorkItem(
                task,
                key,
                step,
                sum(attempt.state == "invalid" for attempt in rows.get(key, ())),
                spec,
                None if spec is None else planned[key, spec.generation],
            )
            for task, key, step, spec in zip(tasks, keys, steps, specs, strict=True)
        ]

    def _count_stored(self, task: Task, attempt: Attempt) -> None:
        """A draw of an earlier session counts as one of this run does, before anything is bought."""
        self._acceptance.require_stored_model(attempt.model)
        if attempt.state in WHOLE and attempt.digest is not None:
            self._acceptance.count(task, attempt.digest)

    def _spec(self, task: Task, key: str, generation: int, name: str | None = None) -> AttemptSpec:
        """What the ledger records of a submission; `name` is the picture's name made fit to be shown, if known."""
        upload = task.upload
        return AttemptSpec(
            task=key,
            generation=generation,
            identity=self._identity_digest,
            adapter=self._adapter.name,
            upload=upload.digest,
            upload_name=clean(upload.name) if name is None else name,
            draw=task.index,
            seed=task.seed,
            idempotency_key=idempotency_key(key, generation),
            pixels=upload.width * upload.height,
            priced=self._adapter.capabilities.price is not None,
        )

    def process(self, item: WorkItem) -> Outcome:
        """Do what is to be done for one task.

        Raises
        ------
        StoppedError
            The run was stopped before this task came to an end; the same command takes it up again.
        """
        limits, stopping = self._limits, self._control.stopping
        step, planned, resampled = item.step, item.planned, item.resampled
        repeats = deferrals = 0
        while True:
            if isinstance(step, Done):
                outcome = self._recorded(item.task, step.attempt)
                if outcome is not None:
                    return outcome
                step = Fetch(step.attempt)
            if isinstance(step, Fetch) and step.attempt.state == "validated":
                outcome = self._restored(item.task, step.attempt)
                lost = isinstance(outcome.error, (GoneError, PayloadError))
                if not lost or resampled >= limits.max_resample or stopping.is_set():
                    return outcome
                resampled += 1
                step = Submit(max(row.generation for row in self._ledger.rows([item.key])[item.key]) + 1)
            earlier = None if isinstance(step, Submit) else step.attempt
            generation = step.generation if isinstance(step, Submit) else step.attempt.generation
            spec = item.spec
            if spec is None or spec.generation != generation:
                spec = self._spec(item.task, item.key, generation)
            result = self._new_runner(item.task, self._new_record(spec, planned, earlier)).run()
            planned = None
            if isinstance(result, (NotSentError, TryLaterError)):
                deferrals += 1
                if not self._retrier.deferred(result, deferrals):
                    raise StoppedError
                continue
            if result.state == "invalid" and resampled < limits.max_resample:
                resampled += 1
            elif result.state == "ambiguous" and limits.retry_ambiguous and repeats + 1 < limits.max_attempts:
                repeats += 1
            else:
                return result
            if stopping.is_set():
                return result
            step = Submit(generation + 1)

    def _recorded(self, task: Task, attempt: Attempt) -> Outcome | None:
        """The outcome of an attempt that ended in an earlier session; None when it had better be fetched again."""
        if attempt.state not in WHOLE:
            return _failed_earlier(task, attempt)
        failure: PayloadError | None = None
        if attempt.state == "stored" and self._acceptance.check is not None:
            try:
                failure = self._acceptance.picture_error(self._store.read(attempt.digest or ""), task)
            except PayloadError as error:
                failure = error
            if failure is None:
                self._ledger.validated(attempt.id)
            elif attempt.job is not None:
                return None
            else:
                self._ledger.end(attempt.id, "invalid", attempt.seen, error_class="P", error=str(failure))
        elif self._store.locate(attempt.digest or "") is None:
            failure = PayloadError(
                f"the sample {attempt.digest} was paid for and its file is gone; restore it, or allow it to be bought"
                " again with --max-resample 1"
            )
        return _earlier_outcome(task, "stored" if failure is None else "invalid", attempt, failure)

    def _restored(self, task: Task, attempt: Attempt) -> Outcome:
        """The outcome of a stored draw whose file is gone, fetched again by its job."""
        try:
            self.restore(task, attempt)
        except RunRefusedError as error:
            self._control.fail(error)
            raise StoppedError from None
        except VendorError as error:
            return _earlier_outcome(task, "invalid", attempt, error)
        return _earlier_outcome(task, "stored", attempt, None)

    def restore(self, task: Task, attempt: Attempt) -> None:
        """Fetch the bytes of a stored draw again by its job, and put their file back.

        Raises
        ------
        PayloadError
            The vendor answers at once, so there is no job; or the job's result is not what was stored.
        VendorError
            The job cannot be fetched any more.
        StoppedError
            The run was stopped before it was fetched.
        """
        if attempt.job is None:
            raise PayloadError(
                f"the sample {attempt.digest} of draw {attempt.draw} is damaged or gone, and the vendor keeps no job to"
                " fetch it from; restore it, or allow it to be bought again with --max-resample 1"
            )
        spec = self._spec(task, attempt.task, attempt.generation)
        self._new_runner(task, self._new_record(spec, None, attempt), restore=True).run()


def _failed_earlier(task: Task, attempt: Attempt) -> Outcome:
    state: OutcomeState = next((state for state in OUTCOME_ERRORS if state == attempt.state), "ambiguous")
    error = OUTCOME_ERRORS[state](
        attempt.error or f"recorded as {attempt.state}", request_id=attempt.request_id, code=attempt.code
    )
    return _earlier_outcome(task, state, attempt, error)


def _earlier_outcome(task: Task, state: OutcomeState, attempt: Attempt, error: VendorError | None) -> Outcome:
    return Outcome(task, state, True, attempt.digest, attempt.cost_usd, attempt.model, error)
