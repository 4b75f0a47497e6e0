"""The course of one attempt: its flow, further looks at what came, and the record of how it ended.

Requests are made in `conversation`; whether there will be another attempt is decided in `drawing`.
"""

from blackbox_conformal.adapter import Draw, Flow
from blackbox_conformal.errors import (
    AdapterError,
    BlackboxConformalError,
    IncompleteError,
    JobError,
    LedgerError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
)
from blackbox_conformal.sampling.conversation import Conversation, DeadlineError
from blackbox_conformal.sampling.flow import drive
from blackbox_conformal.sampling.ledger.attempts import Attempt
from blackbox_conformal.sampling.ledger.sample_store import Arrival
from blackbox_conformal.sampling.money import to_usd
from blackbox_conformal.sampling.run_context import RunContext
from blackbox_conformal.sampling.run_control import StoppedError
from blackbox_conformal.sampling.task import Outcome, OutcomeState, Task
from blackbox_conformal.text import clean

FURTHER_LOOKS = 2
_LOOK_AGAIN_S = 0.3
_DISK_TRIES = 3
_DISK_WAIT_S = 1.0


class DeferredError(Exception):
    """The vendor said "later" inside a successful answer; the attempt is closed, and another is to be made."""

    def __init__(self, reason: NotSentError | TryLaterError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def inspect(engine: RunContext, data: bytes, task: Task) -> PayloadError | None:
    """What is wrong with a picture by the rules of the run; None if it may be used."""
    if not data:
        return PayloadError("expected a picture from the vendor; got no bytes")
    if engine.check is None:
        return None
    try:
        engine.check(data, task)
    except LedgerError:
        raise
    except BlackboxConformalError as error:
        text = clean(str(error))
    else:
        return None
    return PayloadError(text)


class Course:
    """One attempt from its first step, or from its job, to its outcome."""

    def __init__(self, engine: RunContext, task: Task, talk: Conversation, earlier: Attempt | None) -> None:
        self._engine = engine
        self._task = task
        self._talk = talk
        self._earlier = earlier
        self._draw = Draw(task.index, task.seed, talk.want.idempotency_key)
        self._arrival: Arrival | None = None

    def run(self) -> Outcome:
        """Run the attempt.

        Raises
        ------
        StoppedError
            The run was stopped; what can be resumed is recorded so.
        DeferredError
            Nothing was taken, and the same submission is to be made again.
        """
        try:
            return self._run()
        finally:
            # However it ended: nobody may go on waiting for what this attempt might give back.
            self._talk.settle(self._cost())

    def _run(self) -> Outcome:
        looks = 0
        while True:
            failure = self._look()
            if failure is None:
                return self._stored()
            if not self._may_look_again(failure) or looks >= FURTHER_LOOKS:
                return self._failed(failure)
            looks += 1
            self._engine.board.tell("retry", f"looking again: {failure}", self._task.upload.name, self._task.index)
            if self._engine.clock.sleep(_LOOK_AGAIN_S * looks, self._engine.control.leaving):
                raise StoppedError

    def _flow(self) -> Flow:
        adapter, talk = self._engine.adapter, self._talk
        if talk.job is None:
            return adapter.draw(self._task.upload, self._draw)
        return adapter.resume(self._task.upload, self._draw, talk.job)

    def _look(self) -> BlackboxConformalError | None:
        """Run the flow once; None when it ended with a picture that is stored and fit for use."""
        try:
            self._talk.refuse_duplicate()
            data = drive(self._flow(), self._talk)
        except StoppedError:
            self._unwind()
            raise
        except LedgerError:
            raise
        except BlackboxConformalError as error:
            return error
        self._arrival = self._receive(data)
        failure = inspect(self._engine, data, self._task)
        if failure is None and self._engine.check is not None:
            self._engine.ledger.validated(self._arrival.attempt)
        if failure is None:
            self._engine.count(self._task, self._arrival.digest)
        return failure

    def _may_look_again(self, failure: BlackboxConformalError) -> bool:
        if self._talk.job is None or self._talk.duplicate_of is not None or isinstance(failure, DeadlineError):
            return False
        return isinstance(failure, (PayloadError, JobError, TryLaterError))

    def _unwind(self) -> None:
        """Leave a row that the next session can go on from."""
        talk = self._talk
        if talk.attempt is None:
            return
        if not talk.left_this_machine:
            talk.give_back("N", "the run was stopped before sending")
        elif talk.job is None and talk.on_paper == "sent":
            self._end("ambiguous", "M", "the run was stopped while the vendor's answer was missing")

    def _receive(self, data: bytes) -> Arrival:
        """Make the bytes durable, then say so in the ledger."""
        engine, talk = self._engine, self._talk
        number = talk.attempt
        if number is None:
            raise AdapterError(f"adapter {talk.want.adapter} returned a picture without having submitted anything")
        for left in reversed(range(_DISK_TRIES)):
            try:
                arrival = engine.store.receive(number, data, talk.seen)
                break
            except OSError as error:
                problem = f"cannot write a paid answer to the run folder ({error.strerror or type(error).__name__})"
            engine.control.fail(IncompleteError(f"{problem}; make room and run again"))
            if talk.job is not None:
                raise StoppedError
            if left == 0:
                self._end("ambiguous", "M", f"answered, but {problem}")
                raise StoppedError
            engine.clock.sleep(_DISK_WAIT_S, engine.control.leaving)
        # Not waited for: should the process die before the commit, the inbox tells the next one whose bytes these are.
        engine.ledger.stored(
            number,
            talk.seen,
            arrival.digest,
            arrival.size,
            before=engine.store.sync_names,
            after=lambda: engine.store.settle_later(arrival),
        )
        if self._cost() > talk.price_nanousd:
            # More than was reserved: it counts before anybody submits again.
            engine.ledger.flush()
        talk.on_paper = "stored"
        talk.settle(self._cost())
        return arrival

    def _cost(self) -> int:
        """What the attempt is booked at, in nano-dollars, once it is paid."""
        if self._talk.seen.cost_nanousd is not None:
            return self._talk.seen.cost_nanousd
        return self._talk.price_nanousd

    def _end(self, state: str, error_class: str, error: str, code: str | None = None) -> None:
        talk = self._talk
        if talk.attempt is None:
            return
        digest, size = (self._arrival.digest, self._arrival.size) if self._arrival else (None, None)
        if state == "invalid" and self._arrival is None and talk.evidence:
            digest, size = self._keep_evidence(talk.attempt, talk.evidence)
        self._engine.ledger.end(
            talk.attempt, state, talk.seen, digest=digest, size=size, error_class=error_class, error=error, code=code
        )
        talk.settle((talk.seen.cost_nanousd or 0) if state == "refused" else self._cost())

    def _keep_evidence(self, attempt: int, data: bytes) -> tuple[str | None, int | None]:
        try:
            arrival = self._engine.store.receive(attempt, data, self._talk.seen)
            self._engine.store.settle(arrival)
        except OSError:
            return None, None
        return arrival.digest, arrival.size

    def _stored(self) -> Outcome:
        self._engine.concurrency.record_success()
        self._engine.retrier.record_success()
        digest = None if self._arrival is None else self._arrival.digest
        return self._outcome("stored", None, digest)

    def _outcome(self, state: OutcomeState, error: VendorError | None, digest: str | None = None) -> Outcome:
        seen = self._talk.seen
        billed = self._cost() if self._talk.attempt is not None else 0
        if state == "refused":
            billed = seen.cost_nanousd or 0
        model = seen.model or (None if self._earlier is None else self._earlier.model)
        self._engine.admit(model)
        return Outcome(self._task, state, False, digest, to_usd(billed), model, error)

    def _failed(self, failure: BlackboxConformalError) -> Outcome:
        """Record how the attempt ended; errors that concern everybody stop the run instead."""
        talk, engine = self._talk, self._engine
        text = clean(str(failure))
        code = failure.code if isinstance(failure, VendorError) else None
        if isinstance(failure, RunRefusedError) or not isinstance(failure, VendorError):
            engine.control.fail(failure)
            self._leave_open(failure, text)
            raise StoppedError
        if talk.maybe_sent and talk.job is None:
            self._end("ambiguous", "M", text, code)
            return self._outcome("ambiguous", _as(MaybeSentError, failure))
        if isinstance(failure, RefusedError):
            self._end("refused", "A", text, code)
            return self._outcome("refused", failure)
        if isinstance(failure, (NotSentError, TryLaterError)) and talk.job is None:
            return self._put_off(failure, text)
        if isinstance(failure, DeadlineError) and talk.attempt is not None:
            engine.ledger.note(talk.attempt, "J", text)
            talk.settle(self._cost())
            return self._outcome("expired", failure)
        if isinstance(failure, (JobError, TryLaterError, NotSentError)) and talk.job is not None:
            price = to_usd(self._cost())
            known = JobError(f"{text}; the job {talk.job} is booked at {price} USD", code=code)
            self._end("expired", "J", clean(str(known)), code)
            return self._outcome("expired", known)
        self._end("invalid", "P", text, code)
        error = _as(PayloadError, failure)
        engine.retrier.record_unusable(error)
        attempt = None if talk.attempt is None else engine.ledger.attempt(talk.attempt)
        return self._outcome("invalid", error, None if attempt is None else attempt.digest)

    def _leave_open(self, failure: BlackboxConformalError, text: str) -> None:
        """What becomes of the row when the whole run ends: a job stays open, an answered submission is evidence."""
        talk = self._talk
        if talk.attempt is None or talk.job is not None:
            return
        if talk.on_paper == "ambiguous":
            return
        if not talk.left_this_machine:
            talk.give_back("N", text)
        elif talk.maybe_sent:
            self._end("ambiguous", "M", text)
        elif isinstance(failure, RunRefusedError):
            talk.give_back("A", text)
        else:
            self._end("invalid", "P", text)

    def _put_off(self, failure: NotSentError | TryLaterError, text: str) -> Outcome:
        """Nothing was taken. Raised by a request: the run is ending. Raised by the adapter on reading: go again."""
        self._talk.give_back("R" if isinstance(failure, TryLaterError) else "N", text)
        if self._engine.control.error is None:
            raise DeferredError(failure)
        raise StoppedError


def _as(kind: type[VendorError], error: VendorError) -> VendorError:
    """`error` as an error of class `kind`."""
    if isinstance(error, kind):
        return error
    return kind(str(error), request_id=error.request_id, code=error.code)
