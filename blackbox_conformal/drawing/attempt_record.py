"""Records one attempt in the ledger and on disk, with its states and the table of its endings."""

import contextlib
import time
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final, Literal

from blackbox_conformal.drawing.ledger.any_ledger import AnyLedger
from blackbox_conformal.drawing.ledger.attempts import Attempt, AttemptSpec, VendorReport
from blackbox_conformal.drawing.ledger.money import to_nano
from blackbox_conformal.drawing.ledger.receipts import Receipt
from blackbox_conformal.drawing.ledger.sample_store import Arrival, InboxFile, Store
from blackbox_conformal.drawing.ledger.states import WITH_JOB, AttemptState
from blackbox_conformal.drawing.run_control import StoppedError
from blackbox_conformal.drawing.spending.reservations import Reservation, Reservations
from blackbox_conformal.drawing.task import OutcomeState
from blackbox_conformal.errors import (
    AdapterError,
    BlackboxConformalError,
    DeadlineError,
    JobCancelledError,
    JobError,
    LedgerError,
    MaybeSentError,
    NotSentError,
    PayloadError,
    RedirectedError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.text import clean
from blackbox_conformal.vendor.adapter import Observed
from blackbox_conformal.vendor.refusals import UnclearError

State = Literal["unrecorded", "intent", "sent", "answered", "ambiguous", "accepted", "ready", "stored"]
"""States of a running attempt; all but two are states of the ledger.

``unrecorded``: the attempt has no row in the ledger. ``answered``: its row says ``sent``, and the vendor's answer to
the submission has arrived. While it is ``sent``, nobody knows whether the submission reached the vendor.
"""

ROW_STATES: Final[dict[State, AttemptState | None]] = {
    "unrecorded": None,
    "intent": "intent",
    "sent": "sent",
    "answered": "sent",
    "ambiguous": "ambiguous",
    "accepted": "accepted",
    "ready": "ready",
    "stored": "stored",
}
"""State of the ledger's row for each state; None = no row."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is recorded about an attempt's end, and the result for its draw."""

    # New state of the row; ``as it is`` keeps it and notes the error; None writes nothing.
    row: AttemptState | Literal["as it is"] | None
    error_class: str | None  # Class of the error in the row, as drawn in `errors`.
    # State of the outcome. ``deferred``: the same submission is made again. None: the run ends without an outcome.
    result: OutcomeState | Literal["deferred"] | None


# The vendor has the job, so its picture can be fetched without a second payment.
_JOB: tuple[State, ...] = ("accepted", "ready", "stored")
_ANSWERED: tuple[State, ...] = ("answered", *_JOB)
_RUN_ENDS = (RunRefusedError, BlackboxConformalError, StoppedError)

_ROWS: tuple[tuple[tuple[type, ...], tuple[State, ...], Ending], ...] = (
    # Columns: what happened; in which states; the row's new state, class of the error, result.
    ((bytes,), ("sent", "ambiguous", *_ANSWERED), Ending("stored", None, "stored")),
    # The submission has no answer: whatever fails then, it may be billed.
    ((VendorError,), ("sent",), Ending("ambiguous", "M", "ambiguous")),
    ((VendorError,), ("ambiguous",), Ending("as it is", "M", "ambiguous")),
    ((RefusedError,), ("unrecorded",), Ending(None, None, "refused")),
    ((RefusedError,), _ANSWERED, Ending("refused", "A", "refused")),
    # Other pictures must show first whether the account is meant.
    ((UnclearError,), ("unrecorded",), Ending(None, None, "deferred")),
    ((UnclearError,), ("answered",), Ending("cancelled", "A", "deferred")),
    ((VendorFailedError,), ("unrecorded",), Ending(None, None, "failed")),
    ((VendorFailedError,), _ANSWERED, Ending("failed", "V", "failed")),
    ((NotSentError, TryLaterError), ("unrecorded",), Ending(None, None, "deferred")),
    ((NotSentError,), ("answered",), Ending("cancelled", "N", "deferred")),
    ((TryLaterError,), ("answered",), Ending("cancelled", "R", "deferred")),
    # The vendor has the job, but its picture was not fetched. If it is only late, the next run looks again.
    ((NotSentError, TryLaterError, JobError), _JOB, Ending("expired", "J", "expired")),
    ((DeadlineError,), _JOB, Ending("as it is", "J", "expired")),
    ((JobCancelledError,), _JOB, Ending("expired", "J", "expired")),
    # Any other answer of a vendor is not the picture.
    ((VendorError,), ("unrecorded",), Ending(None, None, "invalid")),
    ((VendorError,), _ANSWERED, Ending("invalid", "P", "invalid")),
    # The run ends: the vendor refuses every picture, the adapter breaks its contract, or the user stops. A submission
    # without an answer may be billed; a job is left to the next run.
    (_RUN_ENDS, ("unrecorded", "ambiguous", *_JOB), Ending(None, None, None)),
    (_RUN_ENDS, ("intent",), Ending("cancelled", "N", None)),
    (_RUN_ENDS, ("sent",), Ending("ambiguous", "M", None)),
    ((RunRefusedError,), ("answered",), Ending("cancelled", "A", None)),
    # "Done, see there" is a redirection, too.
    ((RedirectedError,), ("answered",), Ending("ambiguous", "M", None)),
    ((BlackboxConformalError,), ("answered",), Ending("invalid", "P", None)),
    ((StoppedError,), ("answered",), Ending("ambiguous", "M", None)),
)

ENDINGS: Final[dict[tuple[State, type], Ending]] = {
    (state, kind): ending for kinds, states, ending in _ROWS for kind in kinds for state in states
}
"""Endings by the attempt's state and the class of what happened: a picture's bytes, or an error."""

OUTCOME_ERRORS: Final[dict[OutcomeState, type[VendorError]]] = {
    "refused": RefusedError,
    "failed": VendorFailedError,
    "ambiguous": MaybeSentError,
    "expired": JobError,
    "invalid": PayloadError,
}
"""Class of the error in each outcome."""


def ending(state: State, happened: type) -> Ending:
    """Return the table's row for a class, or for its nearest base class."""
    return next(ENDINGS[state, kind] for kind in happened.__mro__ if (state, kind) in ENDINGS)


def is_unbilled(rule: Ending, failure: BlackboxConformalError, failures_billed: bool) -> bool:
    """Tell whether the vendor bills nothing for such an end, unless it tells a cost."""
    if rule.row == "refused" and isinstance(failure, RefusedError):
        return not failure.billed
    return rule.row == "failed" and not failures_billed


@dataclass(eq=False)
class AttemptRecord:
    """The ledger's row and the files of one attempt; each method that writes is one step of its state."""

    spec: AttemptSpec
    # The attempt to go on with: its job is fetched, or its submission repeated. None: a new submission.
    earlier: Attempt | None
    _: KW_ONLY
    ledger: AnyLedger
    store: Store
    reservations: Reservations
    state: State = field(default="unrecorded", init=False)
    job: str | None = field(default=None, init=False)  # The vendor's name for the accepted job.
    same_job: Attempt | None = field(default=None, init=False)  # Another attempt with the same job.
    report: VendorReport = field(default=VendorReport(), init=False)  # What the vendor said besides the picture.
    # The vendor's last cost is 0, which is booked only without a picture.
    told_nothing: bool = field(default=False, init=False)
    answer: bytes | None = field(default=None, init=False)  # Body of the last answer that should have held the picture.
    digest: str | None = field(default=None, init=False)  # Digest of the picture, or of the bytes kept as evidence.
    _size: int | None = field(default=None, init=False)
    _row: int | None = field(default=None, init=False)
    _price_nanousd: int = field(default=0, init=False)
    _reservation: Reservation | None = field(default=None, init=False)
    _place: InboxFile | None = field(default=None, init=False)
    _arrival: Arrival | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        earlier = self.earlier
        if earlier is not None:
            # A state outside the table, such as ``validated``, means that the picture was stored once.
            self.state = next((state for state, row in ROW_STATES.items() if row == earlier.state), "stored")
            self.job, self._row, self._price_nanousd = earlier.job, earlier.id, earlier.cost_nanousd
            if earlier.state in WITH_JOB:
                self.same_job = self.ledger.earlier_with_same_job(earlier)

    @property
    def row(self) -> int:
        """Return the number of the ledger's row; raise `AdapterError` if nothing was submitted."""
        if self._row is None:
            raise AdapterError(f"adapter {self.spec.adapter} accepts a job before anything was submitted")
        return self._row

    @property
    def model(self) -> str | None:
        """Return the model that answered, if the vendor names it."""
        return self.report.model or (None if self.earlier is None else self.earlier.model)

    def cost_nanousd(self, unbilled: bool = False) -> int:
        """Return the booked cost: as told by the vendor, else the price unless `unbilled`; 0 without a row."""
        if self._row is None:
            return 0
        if self.report.cost_nanousd is not None:
            return self.report.cost_nanousd
        return 0 if unbilled else self._price_nanousd

    def reserve_place(self) -> None:
        """Make sure that there is a file with room for the answer."""
        if self._place is None:
            self._place = self.store.reserve(self.spec.idempotency_key)

    def _release_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self.store.release(place)

    def reserve(self) -> None:
        """Reserve the price of a new submission, which may mark it as sent."""
        self._reservation = self.reservations.reserve(self.spec)
        self._row, self._price_nanousd = self._reservation.attempt, self._reservation.price_nanousd
        self.state = "sent" if self._reservation.sent else "intent"

    def mark_sent(self) -> None:
        """Record that bytes are about to leave; return once the record is on disk."""
        self.ledger.sent(self.row)
        if self.earlier is not None and self.state == "ambiguous":
            # An ambiguous attempt is booked in full; a repetition holds that price again until it ends.
            self._reservation = self.reservations.resume(self.earlier)
        self.state = "sent"

    def require_hold(self) -> None:
        """Refuse to repeat a submission that another process may have settled."""
        self.ledger.require_hold(self.row)

    def accept(self, job: str) -> None:
        row, self.job = self.row, job
        # Two places for one job: if either survives, the next run fetches the picture instead of paying again.
        kept = True
        try:
            # Beside the ledger, which may be locked or full.
            self.store.keep_job(row, job, self.report)
        except OSError:
            kept = False
        try:
            self.same_job = self.ledger.accepted(row, job, self.report)
        except LedgerError as error:
            text = f"the vendor accepted job {job}, which could not be recorded"
            # The last way out: a person can read the job from the message.
            text += "; inbox/ holds it for the next run" if kept else " anywhere: only this line names what is paid for"
            raise type(error)(f"{error}; {clean(text)}") from None
        self.store.forget_job(row)
        self.state = "accepted"
        self._release_place()  # The vendor keeps the picture.

    def observe(self, observed: Observed, *, free_answers: bool = False) -> None:
        """Add the vendor's facts to the report, and reserve more from now on if the vendor bills more.

        A bill of 0 for a call with a price is kept aside, unless `free_answers`.
        """
        report = self.report
        self.report = replace(
            report,
            model=report.model if observed.model is None else clean(observed.model),
            request_id=report.request_id if observed.request_id is None else clean(observed.request_id),
            vendor_seed=report.vendor_seed if observed.seed is None else observed.seed,
        )
        if observed.cost_usd is not None:
            cost = to_nano(observed.cost_usd)
            # Pictures at a booked cost of 0 would let a run spend its budget without end; tries without a picture are
            # few.
            self.told_nothing = not cost and bool(self.spec.listed_nanousd) and not free_answers
            if self.told_nothing:
                return
            self.report = replace(self.report, cost_nanousd=cost)
            self.reservations.prices.billed(self.spec.listed_nanousd, cost)

    def mark_ready(self) -> None:
        """Note that the vendor has the picture of the job."""
        if self.state == "accepted":
            self.ledger.ready(self.row)
            self.state = "ready"

    def keep_picture(self, data: bytes) -> None:
        """Make a paid picture and its receipt durable; `mark_stored` tells the ledger."""
        if (self.state, bytes) not in ENDINGS:
            raise AdapterError(f"adapter {self.spec.adapter} returned a picture without having submitted anything")
        # A retry for the receipt alone does not write the picture again.
        self._arrival = self._arrival or self.store.receive(self.row, data, self.report, self._place)
        self._release_place()
        self.digest, self._size = self._arrival.digest, self._arrival.size
        # Receipt first: it tells a ledger restored from an older copy that the picture exists.
        self.store.keep_receipt(self._receipt("stored", self.report))

    def mark_stored(self, *, valid: bool) -> None:
        """Record the kept picture; `valid`: it passed the run's check."""
        arrival, self._arrival = self._arrival, None
        assert arrival is not None
        self.ledger.stored(self.row, self.report, arrival.digest, arrival.size, valid=valid)
        with contextlib.suppress(OSError):  # It stays in the inbox, where this run and the next session find it.
            self.store.settle(arrival)
        self.state = "stored"
        self.settle()

    def restore_picture(self, data: bytes) -> None:
        """Put the file of a stored picture back."""
        arrival = self.store.receive(self.row, data)
        if self.earlier is not None and arrival.digest != self.earlier.digest:
            raise PayloadError(
                f"job {self.job} was fetched again and gives other bytes than {self.earlier.digest}, which were"
                " stored first"
            )
        self.store.settle(arrival)
        self.digest = arrival.digest

    def ending(self, happened: type) -> Ending:
        """Return the table's ending for this class of error now."""
        return ending(self.state, happened)

    def end(self, rule: Ending, text: str, code: str | None = None, *, unbilled: bool = False) -> None:
        """Record how the attempt ends, with the error's `text` and `code`; `unbilled` as for `cost_nanousd`."""
        if rule.row is None:
            return
        if self.told_nothing and rule.row in ("failed", "refused", "cancelled"):
            # Without a picture, a charge at the submission is given back.
            self.report = replace(self.report, cost_nanousd=0)
        if rule.row == "as it is":
            self.ledger.note(self.row, rule.error_class or "", text)
        else:
            if rule.row == "invalid" and self.digest is None:
                self._keep_evidence()
            # A price that the vendor did not take is given back, unless the vendor says that it bills it.
            given_back = rule.row == "cancelled" and not self.report.cost_nanousd
            report = VendorReport() if given_back else self._report_with_cost(unbilled)
            self.ledger.end(
                self.row,
                rule.row,
                report,
                digest=self.digest,
                size=self._size,
                error_class=rule.error_class,
                error=text,
                code=code,
            )
            # A stored picture has its receipt, and the process that records it anew checks it again.
            if rule.row != "cancelled" and self.state != "stored":
                with contextlib.suppress(OSError):
                    self.store.keep_receipt(self._receipt(rule.row, report, rule.error_class, text, code))
        if rule.row == "cancelled":
            self._settle(self.report.cost_nanousd or 0)
            # The same draw may be submitted again, in a new row.
            self.state, self._row, self.report = "unrecorded", None, VendorReport()
        else:
            self._settle(self.cost_nanousd(unbilled))
            self.state = "ambiguous" if rule.row == "ambiguous" else self.state

    def _report_with_cost(self, unbilled: bool) -> VendorReport:
        # An unknown price stays unknown.
        cost = self.cost_nanousd(unbilled)
        return replace(self.report, cost_nanousd=cost) if cost or unbilled else self.report

    def _receipt(self, state: AttemptState, report: VendorReport, *error: str | None) -> Receipt:
        found = (self.job, self.digest, self._size)
        return Receipt(self.spec, state, time.time(), self._price_nanousd, report, *found, *error)

    def _keep_evidence(self) -> None:
        if self.answer:
            with contextlib.suppress(OSError):
                arrival = self.store.receive(self.row, self.answer, self.report, self._place)
                self.store.settle(arrival)
                self.digest, self._size = arrival.digest, arrival.size

    def leave(self) -> None:
        """Let other processes go on with an attempt that this process did not finish."""
        if self._row is not None and (self.earlier is not None or self.state in ("accepted", "ready")):
            with contextlib.suppress(LedgerError):  # Then others wait until this process ends.
                self.ledger.leave(self._row)

    def settle(self) -> None:
        """Give up the place, and book a price that is still held."""
        self._release_place()
        self._settle(self.cost_nanousd())

    def _settle(self, cost_nanousd: int) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            stored, told = self.state == "stored", self.report.cost_nanousd
            # The cost of a failure says nothing about the price of a picture.
            billed = bool(told) or (stored and told is not None)
            self.reservations.settle(reservation, cost_nanousd, answered=stored, billed=billed)
