"""One draw from what the ledger knows of it to its outcome: nothing, resume, replay or buy, and buy again.

The course of one attempt lives in `course`; which draw is next is `sampler`'s business.
"""

from dataclasses import dataclass

from blackbox_conformal.adapter import Draw
from blackbox_conformal.errors import (
    JobError,
    MaybeSentError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    VendorError,
)
from blackbox_conformal.sampling.conversation import Conversation
from blackbox_conformal.sampling.course import Course, DeferredError, inspect
from blackbox_conformal.sampling.flow import drive
from blackbox_conformal.sampling.http.classify import GoneError
from blackbox_conformal.sampling.ledger.attempts import Attempt, AttemptSpec
from blackbox_conformal.sampling.next_step import Decision, Done, Fetch, Submit
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.run_control import StoppedError
from blackbox_conformal.sampling.task import Outcome, OutcomeState, Task, idempotency_key
from blackbox_conformal.text import clean


@dataclass(frozen=True, slots=True)
class Job:
    """A task with its key, what is to be done for it, how often it was bought again, and a submission planned for it.

    `want` and `planned`, the submission and its row, are None where nothing is to be bought at first.
    """

    task: Task
    key: str
    decision: Decision
    resampled: int
    want: AttemptSpec | None
    planned: int | None


def wanted(engine: RunContext, task: Task, key: str, generation: int, name: str | None = None) -> AttemptSpec:
    """What the ledger records of a submission; `name` is the picture's name made fit to be shown, if known."""
    upload = task.upload
    return AttemptSpec(
        task=key,
        generation=generation,
        identity=engine.identity,
        adapter=engine.adapter.name,
        upload=upload.digest,
        upload_name=clean(upload.name) if name is None else name,
        draw=task.index,
        seed=task.seed,
        idempotency_key=idempotency_key(key, generation),
        pixels=upload.width * upload.height,
        priced=engine.adapter.capabilities.price is not None,
    )


def make(engine: RunContext, job: Job) -> Outcome:
    """Do what is to be done for one task.

    Raises
    ------
    StoppedError
        The run was stopped before this task came to an end; the same command takes it up again.
    """
    decision, planned, resampled = job.decision, job.planned, job.resampled
    repeats = put_offs = 0
    while True:
        if isinstance(decision, Done):
            outcome = _recorded(engine, job.task, decision.attempt)
            if outcome is not None:
                return outcome
            decision = Fetch(decision.attempt)
        if isinstance(decision, Fetch) and _is_whole(decision.attempt):
            outcome = _restored(engine, job.task, decision.attempt)
            lost = isinstance(outcome.error, (GoneError, PayloadError))
            if not lost or resampled >= engine.limits.max_resample or engine.control.stopping.is_set():
                return outcome
            resampled += 1
            rows = engine.ledger.rows([job.key])[job.key]
            decision = Submit(max(row.generation for row in rows) + 1)
        earlier = None if isinstance(decision, Submit) else decision.attempt
        generation = decision.generation if isinstance(decision, Submit) else decision.attempt.generation
        want = job.want
        if want is None or want.generation != generation:
            want = wanted(engine, job.task, job.key, generation)
        talk = Conversation(engine, want, planned, earlier)
        planned = None
        try:
            outcome = Course(engine, job.task, talk, earlier).run()
        except DeferredError as put_off:
            put_offs += 1
            if engine.retrier.deferred(put_off.reason, put_offs):
                continue
            raise StoppedError from None
        if outcome.state == "invalid" and resampled < engine.limits.max_resample:
            resampled += 1
        elif (
            outcome.state == "ambiguous" and engine.limits.retry_ambiguous and repeats + 1 < engine.limits.max_attempts
        ):
            repeats += 1
        else:
            return outcome
        if engine.control.stopping.is_set():
            return outcome
        decision = Submit(generation + 1)


def _is_whole(attempt: Attempt) -> bool:
    return attempt.state == "validated"


def _recorded(engine: RunContext, task: Task, attempt: Attempt) -> Outcome | None:
    """The outcome of an attempt that ended in an earlier session; None when it had better be fetched again."""
    if attempt.state not in ("stored", "validated"):
        return _told(task, attempt)
    failure: PayloadError | None = None
    if attempt.state == "stored" and engine.check is not None:
        try:
            failure = inspect(engine, engine.store.read(attempt.digest or ""), task)
        except PayloadError as error:
            failure = error
        if failure is None:
            engine.ledger.validated(attempt.id)
        elif attempt.job is not None:
            return None
        else:
            engine.ledger.end(attempt.id, "invalid", attempt.seen, error_class="P", error=str(failure))
    elif engine.store.locate(attempt.digest or "") is None:
        failure = PayloadError(
            f"the sample {attempt.digest} was paid for and its file is gone; restore it, or allow it to be bought again"
            " with --max-resample 1"
        )
    if failure is not None:
        return _outcome(task, "invalid", attempt, failure)
    return _outcome(task, "stored", attempt, None)


def _told(task: Task, attempt: Attempt) -> Outcome:
    kinds: dict[str, tuple[OutcomeState, type[VendorError]]] = {
        "refused": ("refused", RefusedError),
        "expired": ("expired", JobError),
        "invalid": ("invalid", PayloadError),
    }
    state, kind = kinds.get(attempt.state, ("ambiguous", MaybeSentError))
    text = attempt.error or f"recorded as {attempt.state}"
    return _outcome(task, state, attempt, kind(text, request_id=attempt.request_id, code=attempt.code))


def _outcome(task: Task, state: OutcomeState, attempt: Attempt, error: VendorError | None) -> Outcome:
    return Outcome(task, state, True, attempt.digest, attempt.cost_usd, attempt.model, error)


def _restored(engine: RunContext, task: Task, attempt: Attempt) -> Outcome:
    """The outcome of a stored draw whose file is gone, fetched again by its job."""
    try:
        refetch(engine, task, attempt)
    except RunRefusedError as error:
        engine.control.fail(error)
        raise StoppedError from None
    except VendorError as error:
        return _outcome(task, "invalid", attempt, error)
    return _outcome(task, "stored", attempt, None)


def refetch(engine: RunContext, task: Task, attempt: Attempt) -> bytes:
    """Fetch the bytes of a stored draw again by its job id, and put them back.

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
    want = wanted(engine, task, attempt.task, attempt.generation)
    talk = Conversation(engine, want, earlier=attempt)
    flow = engine.adapter.resume(task.upload, Draw(task.index, task.seed, want.idempotency_key), attempt.job)
    data = drive(flow, talk)
    arrival = engine.store.receive(attempt.id, data)
    if arrival.digest != attempt.digest:
        raise PayloadError(
            f"job {attempt.job} was fetched again and gives other bytes than {attempt.digest}, which were stored first"
        )
    engine.store.settle(arrival)
    return data
