"""Makes one attempt at a draw, from its first step, or from its job, to its outcome.

`attempt_record` holds its state and the table of endings; `work_item` decides whether another attempt follows.
"""

import contextlib
import errno
import math
import threading
from collections.abc import Callable, Generator
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Protocol

from blackbox_conformal.drawing.acceptance import Acceptance
from blackbox_conformal.drawing.attempt_record import OUTCOME_ERRORS, AttemptRecord, is_unbilled
from blackbox_conformal.drawing.events import EventBoard, EventKind
from blackbox_conformal.drawing.http.classify import GoneError, classify
from blackbox_conformal.drawing.http.transport import Resumption
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.money import to_usd
from blackbox_conformal.drawing.ledger.states import OTHER_MODEL
from blackbox_conformal.drawing.pacing.rate_limiter import TurnTaking
from blackbox_conformal.drawing.pacing.retry import Retrier
from blackbox_conformal.drawing.run_control import Clock, RunControl, StoppedError
from blackbox_conformal.drawing.task import Outcome, OutcomeState, Task
from blackbox_conformal.errors import (
    AdapterError,
    BlackboxConformalError,
    DeadlineError,
    IncompleteError,
    JobCancelledError,
    JobError,
    LedgerError,
    MaybeSentError,
    MemoryShortError,
    ModelChangedError,
    NotSentError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.text import clean, cleaned
from blackbox_conformal.vendor.adapter import (
    EMPTY_ANSWER,
    Accepted,
    Adapter,
    Answer,
    Draw,
    Flow,
    Observed,
    Send,
    Step,
    Wait,
)
from blackbox_conformal.vendor.refusals import UnclearError


def adapter_steps(adapter: Adapter, task: Task, spec: AttemptSpec, job: str | None) -> Flow:
    """Yield the adapter's steps of a draw, or from its accepted job on; return the picture."""
    draw = Draw(task.index, task.seed, spec.idempotency_key)
    failure: BlackboxConformalError
    try:
        steps = adapter.draw(task.upload, draw) if job is None else adapter.resume(task.upload, draw, job)
        data: object = yield from steps
    except BlackboxConformalError as error:
        failure = cleaned(error)
    except Exception as error:  # noqa: BLE001 - see `adapter_bug`
        failure = adapter_bug(adapter, error)
    else:
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        failure = AdapterError(f"expected adapter {adapter.name} to return bytes; got {type(data).__name__}")
    raise failure


def adapter_bug(adapter: Adapter, error: Exception) -> AdapterError:
    """Wrap an error of the adapter's code as one of this package."""
    if isinstance(error, MemoryError):
        return MemoryShortError(
            f"there is too little memory to read an answer of adapter {adapter.name}. Free some or allow more (ulimit "
            "-v), or give --memory AMOUNT or a smaller --concurrency, and run the same command again"
        )
    text = f"{type(error).__name__}: {clean(str(error))}"
    return AdapterError(f"adapter {adapter.name} failed while reading an answer: {text}")


FURTHER_LOOKS = 2
_LOOK_AGAIN_S = 0.3
_LONGEST_WAIT_S = 10.0
_WRITE_AGAIN_S = 1.0
_TELL_AGAIN_S = 60.0


class Carrier(Protocol):
    """A carrier of requests to the vendor: `Transport`, or a part of this program."""

    def send(self, step: Send, resumption: Resumption | None = None, seconds: float | None = None) -> Answer:
        """Make one exchange; see `Transport.send`."""

    def distrust(self) -> None:
        """See `Transport.distrust`."""


@dataclass(eq=False)
class AttemptRunner:
    """A runner of an adapter's steps for one attempt, which records paid steps before and after."""

    task: Task
    record: AttemptRecord
    # The attempt was stored but its file is gone: its job is fetched again, and nothing is recorded.
    restore: bool = False
    _: KW_ONLY
    adapter: Adapter
    transport: Carrier
    turns: TurnTaking
    retrier: Retrier
    acceptance: Acceptance
    control: RunControl
    clock: Clock
    board: EventBoard
    job_deadline_s: float  # Seconds to wait for an accepted job.
    _deadline: float | None = field(default=None, init=False)
    _submitted: bool = field(default=False, init=False)
    _sent_at: float | None = field(default=None, init=False)
    _waited_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.record.job is not None:
            self._deadline = self.clock.monotonic() + self.job_deadline_s

    def run(self) -> Outcome | NotSentError | TryLaterError | UnclearError:
        """Carry out the steps and record how they end; return an error if the vendor took nothing.

        An error of a request is raised inside the adapter's generator, which may look the job up, or cancel an overdue
        job.
        """
        steps, replayable = self._steps(), self.adapter.capabilities.idempotency_header is not None
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Send) and step.purpose == "submit":
                        answer = self.retrier.submit(self._submission(step), replayable)
                    else:
                        answer = self._carry_out(step)
                except DeadlineError as overdue:
                    raise self._given_up(steps, overdue) from None
                except VendorError as error:
                    step = steps.throw(error)
                except (BlackboxConformalError, StoppedError):
                    raise
                except Exception as error:  # noqa: BLE001 - see `adapter_bug`
                    raise adapter_bug(self.adapter, error) from None
                else:
                    step = steps.send(answer)
        except StopIteration:
            self.retrier.record_success()
            if self.record.told_nothing:
                text = "the vendor says that a picture with a price costs 0, which counts only with free_answers = true"
                self._tell("price-differs", f"{text} in its recipe or adapter; the price is booked")
            return self._outcome("stored", None)
        except StoppedError:
            # A sent request without an answer may be billed; an unsent one cannot be.
            when = "before sending" if self.record.state == "intent" else "while the vendor's answer was missing"
            self.record.end(self.record.ending(StoppedError), f"the run was stopped {when}")
            raise
        except LedgerError:
            raise
        except BlackboxConformalError as error:
            if self.restore:
                raise cleaned(error) from None
            # The vendor had taken the request of an accepted job, so the account cannot be at fault.
            judged = self.record.job is None
            told = self.acceptance.judged(self.task, error, self.clock.monotonic()) if judged else error
            return self._ended(cleaned(told))
        finally:
            # The adapter's generator may raise while it is closed, which must not hide how the attempt ended.
            with contextlib.suppress(Exception):
                steps.close()
            # In any case place and price are given up, since other draws wait for them.
            self.record.settle()

    def _steps(self) -> Generator[Step, Answer, None]:
        # A job may give a usable picture at a further look.
        looks = 0
        while True:
            failure: VendorError | None = None
            try:
                self._refuse_same_job()
                data = yield from adapter_steps(self.adapter, self.task, self.record.spec, self.record.job)
                if self.restore:
                    self.record.restore_picture(data)
                else:
                    failure = self._receive(data)
            except VendorError as error:
                failure = error
            if failure is None:
                return
            if isinstance(failure, PayloadError):
                self.transport.distrust()
            # A picture without a job exists once, in that answer: there is nowhere to look again.
            if looks == FURTHER_LOOKS or not self._may_look_again(failure):
                raise failure
            looks += 1
            self._tell("retry", f"looking again: {failure}")
            self._sleep(_LOOK_AGAIN_S * looks, self.control.leaving)

    def _may_look_again(self, failure: VendorError) -> bool:
        if self.restore or self.record.job is None or self.record.same_job is not None:
            return False
        if failure.code == OTHER_MODEL:
            return False
        return isinstance(failure, (PayloadError, JobError, TryLaterError)) and not isinstance(failure, DeadlineError)

    def _submission(self, step: Send) -> Callable[[], Answer]:
        # A second submission would be a second purchase under one row of the ledger.
        if self._submitted or self.record.job is not None:
            raise AdapterError(
                f"adapter {self.record.spec.adapter} submits again after a submission that may be billed; expected one"
                " submission a draw, which is repeated for it where that is safe"
            )
        self._submitted = True
        header = self.adapter.capabilities.idempotency_header
        if header is not None and header.lower() not in (name.lower() for name in step.headers):
            step = replace(step, headers={**step.headers, header: self.record.spec.idempotency_key})
        return partial(self._send_once, step, self.control.stopping)

    def _send_once(self, step: Send, wake: threading.Event, resumption: Resumption | None = None) -> Answer:
        # Errors raised here show neither addresses nor keys.
        record, paid = self.record, step.purpose == "submit"
        # If an earlier try of this submission may have reached the vendor, no error of this try says that it did not.
        unanswered = record.state in ("sent", "ambiguous")
        if paid:
            self._prepare_to_pay()
            self._sent_at = self.clock.monotonic()
        # Public links and data links ask the vendor nothing, so they need no turn of its rate.
        elif not step.public and step.url[:5].lower() != "data:":
            waited = self.turns.wait(wake, step.purpose)
            if self._deadline is not None:
                # Waiting for turns must not shorten the job's time.
                self._deadline += waited
        failure: VendorError | None
        try:
            # An answer that is told once must arrive in the time left, or it is lost with the exchange.
            answer = self.transport.send(step, resumption, self._left() if step.once else None)
        except (NotSentError, MaybeSentError, PayloadError) as error:
            overdue = self._left() == 0.0
            lost_for_good = step.once and not paid and not overdue and isinstance(error, MaybeSentError)
            failure = VendorFailedError(f"{error}; what is told once is lost with it") if lost_for_good else error
        else:
            # An answer says whether a submission arrived only if no earlier try was left unanswered.
            if paid and not unanswered:
                record.state = "answered"
            failure = classify(self.adapter, step, answer, self.clock.wall())
            # Some vendors bill failures; the answer that reports one may tell the cost.
            if paid and failure is not None and (told := self.adapter.observe(answer)) is not None:
                self._observe(told)
        # A failing file host says nothing about the vendor's pace.
        if failure is not None or not step.public:
            self.turns.record(failure)
        if paid:
            lost = isinstance(failure, MaybeSentError) or (unanswered and failure is not None)
            record.state = "sent" if lost else "answered"
            # Settled here and not after the wait, so that other draws may use its price meanwhile.
            if not lost and isinstance(failure, (NotSentError, TryLaterError)):
                record.end(record.ending(type(failure)), str(failure))
        if failure is not None:
            raise cleaned(failure)
        # Kept as evidence, should it prove to be no picture.
        if paid or step.purpose == "download":
            record.answer = answer.body
        return answer

    def _prepare_to_pay(self) -> None:
        # ``sent`` is on disk before the first byte leaves.
        record, repeated = self.record, self.record.state == "sent"
        try:
            record.reserve_place()
        except OSError as error:
            self.control.fail(IncompleteError(f"{_unwritten(error)}, so nothing was sent; then run again"))
            raise StoppedError from None
        if record.state == "unrecorded":
            record.reserve()
        if record.state != "sent" or repeated:
            # A row that was marked as sent in its reservation has had its turn; a repetition needs another.
            self.turns.wait(self.control.stopping, "submit")
        if record.state != "sent":
            record.mark_sent()
        elif repeated:
            record.require_hold()
        if not repeated:
            self._tell("submitted", "sent")

    def _carry_out(self, step: Step) -> Answer:
        if isinstance(step, Send):
            return self._cancel(step) if step.purpose == "cancel" else self._fetch(step)
        if isinstance(step, Wait):
            self._wait(step.seconds)
        elif isinstance(step, Accepted):
            self._accept(step.job)
        elif isinstance(step, Observed):
            self._observe(step)
        else:
            raise AdapterError(f"adapter {self.record.spec.adapter} yielded {type(step).__name__}; expected a step")
        return EMPTY_ANSWER

    def _given_up(self, steps: Generator[Step, Answer, None], overdue: DeadlineError) -> DeadlineError:
        # The adapter may cancel an overdue job once.
        try:
            step = steps.throw(overdue)
            # A picture that is only fetched again comes from a finished job: there is nothing to cancel.
            if isinstance(step, Send) and step.purpose == "cancel" and not self.restore:
                steps.send(self._cancel(step))
        except JobCancelledError:
            return JobCancelledError(
                f"job {self.record.job} was not finished after {self.job_deadline_s:g} s and is cancelled;"
                " --retry-ambiguous buys the draw again, and --job-timeout allows it more time"
            )
        return overdue

    def _cancel(self, step: Send) -> Answer:
        with contextlib.suppress(NotSentError, MaybeSentError, PayloadError):
            return self.transport.send(step)
        return EMPTY_ANSWER

    def _fetch(self, step: Send) -> Answer:
        download = step.purpose == "download"
        if download:
            self.record.mark_ready()
        resumption = Resumption() if download and step.method == "GET" else None
        try:
            return self.retrier.fetch(
                partial(self._send_once, step, self._patience, resumption), lambda: self._deadline
            )
        except GoneError:
            raise
        except (NotSentError, MaybeSentError, JobError, TryLaterError) as error:
            failure = self._overdue(str(error)) or JobError(str(error), code=error.code)
            # A first stop still leaves a job its time; an error that ended the run does not.
            stopped = self.control.stopping.is_set() and (self._deadline is None or self.control.error)
            if stopped and not isinstance(failure, DeadlineError):
                raise StoppedError from None
        raise cleaned(failure)

    @property
    def _patience(self) -> threading.Event:
        # With a job, only a user who wants to leave ends a wait.
        return self.control.stopping if self._deadline is None else self.control.leaving

    def _sleep(self, seconds: float, wake: threading.Event) -> None:
        if seconds > 0 and self.clock.sleep(seconds, wake):
            raise StoppedError

    def _wait(self, seconds: float) -> None:
        # A slow job is polled less often than the adapter asks.
        seconds = max(seconds, min(self._waited_s * 0.1, _LONGEST_WAIT_S))
        left = self._left()
        self._sleep(seconds if left is None else min(seconds, left), self._patience)
        self._waited_s += seconds
        if (overdue := self._overdue("the vendor still works on it")) is not None:
            raise overdue

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self.clock.monotonic())

    def _overdue(self, last: str) -> DeadlineError | None:
        if self._deadline is None or self.clock.monotonic() < self._deadline:
            return None
        return DeadlineError(
            f"job {self.record.job} was not finished after {self.job_deadline_s:g} s and may still be billed"
            f" ({last}); run again to look once more"
        )

    def _accept(self, job: str) -> None:
        if job == self.record.job:
            return
        if self.record.job is not None:
            raise AdapterError(f"adapter {self.record.spec.adapter} names a second job for one submission")
        try:
            self.record.accept(job)
        except LedgerError as error:
            self._tell("ambiguous", str(error))
            raise
        self._tell("accepted", f"job {job}")
        self._deadline = self.clock.monotonic() + self.job_deadline_s
        # Two submissions with one job would count one picture as two independent draws.
        self._refuse_same_job()

    def _refuse_same_job(self) -> None:
        if (other := self.record.same_job) is not None:
            text = (
                f"the vendor gave the same job {self.record.job} to two submissions (draw {other.draw} of"
                f" {other.upload_name} has it too); the draws are not independent"
            )
            self._tell("duplicate-job", text)
            raise cleaned(PayloadError(text, code="duplicate-job"))

    def _observe(self, observed: Observed) -> None:
        try:
            self.record.observe(observed, free_answers=self.adapter.capabilities.free_answers)
        except UsageError as error:
            # A bill that makes no sense must not cost the picture: the reserved price is booked.
            self._tell("price-differs", f"the vendor tells no price that can be booked: {error}")

    def _tell(self, kind: EventKind, text: str) -> None:
        self.board.tell(kind, text, self.record.spec.upload_name, self.record.spec.draw)

    def _receive(self, data: bytes) -> PayloadError | None:
        # Kept before the check: a paid picture is stored, whatever is wrong with it.
        self._keep(data)
        valid = False
        try:
            failure = self.acceptance.picture_error(data, self.task) or self.acceptance.stranger(self.record.model)
            valid = failure is None and self.acceptance.check is not None
        finally:
            self.record.mark_stored(valid=valid)
        if failure is None:
            self.acceptance.count(self.task, self.record.digest or "")
            if self._sent_at is not None:
                self.acceptance.count_answer(self._sent_at)
        return failure

    def _keep(self, data: bytes) -> None:
        # A picture without a job exists only here, so writing is tried as long as the process lives.
        tell_at = -math.inf
        while True:
            try:
                return self.record.keep_picture(data)
            except OSError as error:
                problem = _unwritten(error)
            self.control.fail(IncompleteError(f"{problem}, so nothing more was sent; then run again"))
            # The vendor keeps the picture of a job, so the next run fetches it again.
            if self.record.job is not None:
                raise StoppedError
            if self.clock.monotonic() >= tell_at:
                tell_at = self.clock.monotonic() + _TELL_AGAIN_S
                self._tell("unwritten", f"{problem}: this process holds the only copy, and tries again until it can")
            # An event that nothing sets: not even a stop may give up the only copy.
            self.clock.sleep(_WRITE_AGAIN_S, threading.Event())

    def _ended(self, failure: BlackboxConformalError) -> Outcome | NotSentError | TryLaterError | UnclearError:
        # Errors that concern every draw stop the run.
        record, rule = self.record, self.record.ending(type(failure))
        unbilled = is_unbilled(rule, failure, self.adapter.capabilities.failures_billed)
        request_id, code = (failure.request_id, failure.code) if isinstance(failure, VendorError) else (None, None)
        if rule.result is None:
            self.control.fail(failure)
        elif rule.row == "expired":
            price = to_usd(record.cost_nanousd())
            failure = JobError(f"{failure}; the job {record.job} is booked at {price} USD", code=code)
        record.end(rule, clean(str(failure)), code, unbilled=unbilled)
        # A request's error has already ended the run; the adapter's error on reading an answer has not.
        deferrals = (NotSentError, TryLaterError, UnclearError)
        if rule.result == "deferred" and isinstance(failure, deferrals) and not self.control.error:
            return failure
        if rule.result is None or rule.result == "deferred":
            raise StoppedError
        kind = OUTCOME_ERRORS[rule.result]
        error = failure if isinstance(failure, kind) else kind(str(failure), request_id=request_id, code=code)
        if rule.result == "refused":
            self.acceptance.count_refusal(self.task, error)
        if rule.result in ("invalid", "failed"):
            self.retrier.record_unusable(error)
        return self._outcome(rule.result, error, unbilled)

    def _outcome(self, state: OutcomeState, error: VendorError | None, unbilled: bool = False) -> Outcome:
        record = self.record
        # A draw of another model must not be mixed with the others; a draw without a picture cannot be.
        mixed = state not in ("invalid", "failed") or isinstance(self.control.error, ModelChangedError)
        if mixed and not self.restore and (changed := self.acceptance.model_error(record.model)) is not None:
            self.board.tell("model-changed", str(changed))
            self.control.fail(changed)
            raise StoppedError
        cost = to_usd(record.cost_nanousd(unbilled))
        return Outcome(self.task, state, self.restore, record.digest, cost, record.model, error)


def _unwritten(error: OSError) -> str:
    out = error.errno in (errno.EMFILE, errno.ENFILE)
    remedy = "close files or connections, or allow more (ulimit -n)" if out else "make room"
    return f"a paid answer cannot be written to the run folder ({error.strerror or type(error).__name__}); {remedy}"
