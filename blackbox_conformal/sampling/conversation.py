"""One attempt at one draw: its requests, and the ledger's row that goes before each paid one.

The generator is driven by `flow`; how an attempt ends is decided in `drawing`.
"""

import threading
from dataclasses import replace

from blackbox_conformal.adapter import Accepted, Answer, Observed, Send, Step, Wait
from blackbox_conformal.errors import (
    AdapterError,
    JobError,
    LedgerError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    TryLaterError,
    UsageError,
)
from blackbox_conformal.sampling.http.classify import GoneError, classify
from blackbox_conformal.sampling.http.resumption import Resumption
from blackbox_conformal.sampling.ledger.attempts import Attempt, AttemptSpec, VendorReport
from blackbox_conformal.sampling.ledger.states import WITH_JOB
from blackbox_conformal.sampling.money import to_nano
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.run_control import StoppedError
from blackbox_conformal.text import clean, cleaned

EMPTY = Answer(0, {}, b"")
_LONGEST_WAIT_S = 10.0


class DeadlineError(JobError):
    """A job that was accepted and did not finish in the time allowed."""


class Conversation:
    """Carries out an adapter's steps for one attempt.

    Attributes
    ----------
    attempt
        The ledger's row, once a price is reserved; None before and after a submission that came to nothing.
    on_paper
        State of that row.
    job
        The vendor's name of the job, once it is accepted.
    maybe_sent
        A submission may have reached the vendor and was never answered.
    answered
        A submission was answered as it should be.
    evidence
        Body of the last answer that should have held the picture.
    price_nanousd
        What is reserved for the submission, or booked for an earlier one.
    """

    def __init__(
        self, engine: RunContext, want: AttemptSpec, planned: int | None = None, earlier: Attempt | None = None
    ) -> None:
        self._engine = engine
        self.want = want
        self._planned = planned
        self.attempt: int | None = None
        self.job: str | None = None
        self.maybe_sent = False
        self.answered = False
        self.evidence: bytes | None = None
        self.seen = VendorReport()
        self.duplicate_of: Attempt | None = None
        self._closed = False
        self._holds = self._alone = False
        self.price_nanousd = engine.prices.nanousd if earlier is None else earlier.cost_nanousd
        self.on_paper = "new"
        self._deadline: float | None = None
        self._waited = 0.0
        if earlier is not None:
            self.attempt = earlier.id
            self.job = earlier.job
            self.on_paper = earlier.state
            self.maybe_sent = earlier.state == "ambiguous"
            if self.job is not None:
                self.answered = True
                self._start_clock()
            if earlier.state in WITH_JOB:
                self.duplicate_of = engine.ledger.namesake(earlier)

    @property
    def left_this_machine(self) -> bool:
        """Whether the ledger's row says that something was sent."""
        return self.on_paper not in ("new", "intent")

    def carry_out(self, step: Step) -> Answer:
        """Do one step; errors are those that the adapter may see."""
        if isinstance(step, Send):
            return self._submit(step) if step.purpose == "submit" else self._fetch(step)
        if isinstance(step, Wait):
            self._wait(step.seconds)
        elif isinstance(step, Accepted):
            self._accept(step.job)
        elif isinstance(step, Observed):
            self._observe(step)
        else:
            raise AdapterError(f"adapter {self.want.adapter} yielded {type(step).__name__}; expected a step")
        return EMPTY

    def cancel(self, step: Send) -> None:
        """Ask the vendor to drop the job: once, and whatever comes of it."""
        try:
            self._engine.transport.send(step)
        except (NotSentError, MaybeSentError, PayloadError):
            return

    def _submit(self, step: Send) -> Answer:
        if self._closed or self.job is not None:
            raise AdapterError(
                f"adapter {self.want.adapter} submits again after a submission that may be billed; that is the engine's"
                " to decide"
            )
        header = self._engine.idempotency_header
        if header is not None and header.lower() not in (name.lower() for name in step.headers):
            step = replace(step, headers={**step.headers, header: self.want.idempotency_key})
        try:
            answer = self._engine.retrier.submit(lambda: self._submit_once(step), header is not None)
        except BaseException:
            self._closed = True
            raise
        self.answered = True
        self.evidence = answer.body
        return answer

    def _submit_once(self, step: Send) -> Answer:
        engine = self._engine
        departed = False
        if self.attempt is None:
            engine.require_room()
            self.attempt, self.on_paper = self._reserve()
            self._holds, departed = True, self.on_paper == "sent"
        if not departed:
            engine.wait_turn(engine.control.stopping)
            departed = self.on_paper != "sent"
            if departed:
                engine.ledger.sent(self.attempt)
                if self.on_paper == "ambiguous":
                    self._hold()
                self.on_paper = "sent"
        if departed:
            engine.board.tell("submitted", "sent", self.want.upload_name, self.want.draw)
        try:
            answer = self._exchange(step)
        except MaybeSentError:
            self.maybe_sent = True
            raise
        except (NotSentError, TryLaterError) as error:
            if not self.maybe_sent:
                self.give_back("N" if isinstance(error, NotSentError) else "R", str(error))
            raise
        self.maybe_sent = False
        return answer

    def _reserve(self) -> tuple[int, str]:
        """Reserve the price; the ledger's row, and its state: ``sent`` when the sending is on disk with it."""
        engine = self._engine
        self._alone = engine.prices.enter(self.want.pixels, engine.control.stopping)
        planned, self._planned = self._planned, None
        self.price_nanousd = engine.prices.nanousd
        try:
            if planned is not None and engine.depart(self.want, planned, self.price_nanousd):
                return planned, "sent"
            return engine.reserve(self.want, planned, self.price_nanousd), "intent"
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        """Let others buy, too, if this draw went alone."""
        if self._alone:
            self._alone = False
            billed = self.seen.cost_nanousd is not None
            self._engine.prices.leave(self.want.pixels, answered=self.on_paper == "stored", billed=billed)

    def _hold(self) -> None:
        self._engine.hold(self.price_nanousd)
        self._holds = True

    def settle(self, cost_nanousd: int) -> None:
        """Tell the engine what became of the reserved price; at most once an attempt."""
        if self._holds:
            self._holds = False
            self._engine.settle(self.price_nanousd, cost_nanousd)
            self._leave()

    def give_back(self, error_class: str, error: str) -> None:
        """Close the row of a submission that was certainly not taken, and free its price."""
        if self.attempt is None:
            return
        self._engine.ledger.end(self.attempt, "cancelled", VendorReport(), error_class=error_class, error=error)
        self.settle(0)
        self.attempt = None
        self.on_paper = "new"

    def _exchange(self, step: Send, resumption: Resumption | None = None) -> Answer:
        """One request, its answer classed; errors come without the exceptions and addresses behind them."""
        engine = self._engine
        failure: NotSentError | MaybeSentError | PayloadError | None = None
        try:
            answer = engine.transport.send(step, resumption)
        except (NotSentError, MaybeSentError, PayloadError) as error:
            failure = error
        if failure is not None:
            engine.breaker.abandon_probe()
            raise cleaned(failure)
        told = classify(engine.adapter, step, answer, engine.clock.wall())
        if told is not None:
            if not isinstance(told, TryLaterError):
                engine.breaker.abandon_probe()
            raise cleaned(told)
        if not step.public:
            engine.answered(len(answer.body))
        return answer

    def _fetch(self, step: Send) -> Answer:
        engine = self._engine
        if step.purpose == "cancel":
            self.cancel(step)
            return EMPTY
        download = step.purpose == "download"
        if download and self.on_paper == "accepted" and self.attempt is not None:
            engine.ledger.ready(self.attempt)
            self.on_paper = "ready"
        wake = engine.control.stopping if self._deadline is None else engine.control.leaving
        resumption = Resumption() if download and step.method == "GET" else None

        def once() -> Answer:
            if step.url[:5].lower() != "data:":
                engine.wait_turn(wake, gated=not step.public)
            return self._exchange(step, resumption)

        failure: JobError | None = None
        try:
            answer = engine.retrier.fetch(once, self._deadline)
        except GoneError:
            raise
        except (NotSentError, MaybeSentError, JobError, TryLaterError) as error:
            if self._is_overdue():
                failure = self._overdue(str(error))
            elif engine.control.stopping.is_set() and (self._deadline is None or engine.control.error):
                raise StoppedError from None
            else:
                failure = JobError(str(error), code=error.code)
        if failure is not None:
            raise cleaned(failure)
        if download:
            self.evidence = answer.body
        return answer

    def _start_clock(self) -> None:
        self._deadline = self._engine.clock.monotonic() + self._engine.limits.job_deadline_s

    def _is_overdue(self) -> bool:
        return self._deadline is not None and self._engine.clock.monotonic() >= self._deadline

    def _overdue(self, last: str) -> DeadlineError:
        return DeadlineError(
            f"job {self.job} was not finished after {self._engine.limits.job_deadline_s:g} s and may still be billed"
            f" ({last}); run again to look once more"
        )

    def _wait(self, seconds: float) -> None:
        """Wait as asked; ever longer for a job that takes long, so that polls stay few."""
        engine = self._engine
        seconds = max(seconds, min(self._waited * 0.1, _LONGEST_WAIT_S))
        wake: threading.Event = engine.control.stopping
        if self._deadline is not None:
            wake = engine.control.leaving
            seconds = min(seconds, max(0.0, self._deadline - engine.clock.monotonic()))
        if seconds > 0 and engine.clock.sleep(seconds, wake):
            raise StoppedError
        self._waited += seconds
        if self._is_overdue():
            raise self._overdue("the vendor still works on it")

    def _accept(self, job: str) -> None:
        if job == self.job:
            return
        if self.attempt is None:
            raise AdapterError(f"adapter {self.want.adapter} accepts a job before anything was submitted")
        if self.job is not None:
            raise AdapterError(f"adapter {self.want.adapter} names a second job for one submission")
        self.job = job
        self.maybe_sent = False
        self.answered = True
        kept = self._keep_job(self.attempt, job)
        try:
            self.duplicate_of = self._engine.ledger.accepted(self.attempt, job, self.seen)
        except LedgerError as error:
            text = f"the vendor accepted job {job}, which could not be recorded"
            text += "; inbox/ holds it for the next run" if kept else " anywhere: only this line names what is paid for"
            self._engine.board.tell("ambiguous", text, self.want.upload_name, self.want.draw)
            raise type(error)(f"{error}; {clean(text)}") from None
        self._engine.store.forget_job(self.attempt)
        self.on_paper = "accepted"
        self._engine.board.tell("accepted", f"job {job}", self.want.upload_name, self.want.draw)
        self._start_clock()
        self.refuse_duplicate()

    def _keep_job(self, attempt: int, job: str) -> bool:
        """Write the job down beside the ledger, which may be locked or full; whether that worked."""
        try:
            self._engine.store.keep_job(attempt, job, self.seen)
        except OSError:
            return False
        return True

    def refuse_duplicate(self) -> None:
        """Raise `PayloadError` if another draw has the same job."""
        if self.duplicate_of is not None:
            text = (
                f"the vendor gave the same job {self.job} to two submissions (draw {self.duplicate_of.draw} of"
                f" {self.duplicate_of.upload_name} has it too); the draws are not independent"
            )
            self._engine.board.tell("duplicate-job", text, self.want.upload_name, self.want.draw)
            raise cleaned(PayloadError(text, code="duplicate-job"))

    def _observe(self, told: Observed) -> None:
        cost = self.seen.cost_nanousd
        if told.cost_usd is not None:
            try:
                cost = to_nano(told.cost_usd)
            except UsageError as error:
                # A bill that makes no sense must not cost the picture: what was reserved is booked.
                text = f"the vendor tells no price that can be booked: {error}"
                self._engine.board.tell("price-differs", text, self.want.upload_name, self.want.draw)
            else:
                self._engine.prices.billed(cost)
        self.seen = VendorReport(
            cost,
            clean(told.model) if told.model is not None else self.seen.model,
            clean(told.request_id) if told.request_id is not None else self.seen.request_id,
            told.seed if told.seed is not None else self.seen.vendor_seed,
        )
