"""Decides which answers count: pictures that pass the run's check, from a model that they may be mixed with."""

import math
import shlex
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from blackbox_conformal.drawing.ledger.states import OTHER_MODEL
from blackbox_conformal.drawing.run_control import RunControl
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    IncompleteError,
    LedgerError,
    ModelChangedError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    VendorError,
)
from blackbox_conformal.support.text import clean, printable
from blackbox_conformal.vendor.refusals import UnclearError, of_account, same_words, speaks_of_account

Check = Callable[[bytes, Task], None]

SAME_REFUSALS = 3  # Pictures refused in the same words that end a run: a setting or the account may be at fault.
STRANGERS = 3  # Answers of another model in a row that end a run; a service may have rerouted a few requests.


# A refusal whose words may be about money: since when it is known (monotonic), and its pictures.
@dataclass
class _Doubt:
    since: float
    pictures: set[str] = field(default_factory=set)


class FirstModel:
    """The vendor's model that answered first; any thread may call."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._lock = threading.Lock()

    def name(self, model: str) -> str:
        """Return the first model, which is `model` if none answered before."""
        with self._lock:
            self._name = self._name or model
            return self._name


class Acceptance:
    """Rules by which the draws of one set of tasks count; shared by all workers.

    `check`, `counted`: See `Sampler`.
    `accept_refusals`: See `Limits`.
    `calibrated`: Models of a calibration; empty: draws may come from the model that answers first. None: from any.
    `first_model`: Shared by all sets of tasks whose draws come from one model.
    `nothing_else`: Whether only pictures are left that were put off after an unclear refusal.
    """

    def __init__(
        self,
        check: Check | None,
        counted: Callable[[Task, str], None] | None,
        calibrated: Collection[str] | None,
        accept_refusals: bool,
        run: Path,
        control: RunControl,
        first_model: FirstModel | None = None,
    ) -> None:
        self.check = check
        self._counted = counted
        self.calibrated = None if calibrated is None else sorted(calibrated)
        self._accept_refusals = accept_refusals
        self._refused: dict[tuple[str | None, str], dict[str, str]] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._newest_answered = -math.inf
        self._strangers = 0
        self.nothing_else = False
        self._run = run
        self._lock = threading.Lock()
        self._control = control
        self._first_model = first_model or FirstModel()

    def picture_error(self, data: bytes, task: Task) -> PayloadError | None:
        """Check a picture by the run's rules; return the error, or None."""
        if not data:
            return PayloadError("expected a picture from the vendor; got no bytes")
        if self.check is None:
            return None
        try:
            self.check(data, task)
        # A failing ledger says nothing about the picture: it ends the run instead.
        except LedgerError:
            raise
        except BlackboxConformalError as error:
            text = clean(str(error))
        else:
            return None
        return PayloadError(text)

    def count(self, task: Task, digest: str) -> None:
        """Tell `counted` about a draw that counts; an error in `counted` ends the run."""
        if self._counted is None:
            return
        try:
            self._counted(task, digest)
        except BlackboxConformalError as error:
            self._control.fail(error)

    def count_answer(self, sent_at: float) -> None:
        """Note an answer to a request that was sent then (monotonic): nothing bars the account."""
        with self._lock:
            self._newest_answered = max(self._newest_answered, sent_at)

    def judged(self, task: Task, error: BlackboxConformalError, now: float) -> BlackboxConformalError:
        """Decide whether a refusal that may be about money or the key concerns the account; return the error to raise.

        If a later picture is answered, this picture was at fault; if two pictures are refused, the account is.
        """
        if not isinstance(error, RefusedError) or isinstance(error, AccountRefusedError) or error.billed:
            return error
        said = speaks_of_account(f"{error.code or ''} {error}")
        if said == "surely":
            return of_account(error)
        if not said or isinstance(error, RunRefusedError) or self._accept_refusals:
            return error
        with self._lock:
            doubt = self._doubts.setdefault(same_words(str(error)), _Doubt(now))
            doubt.pictures.add(task.picture or task.upload.digest)
            if self._newest_answered > doubt.since:
                return error
            if len(doubt.pictures) == 1 and not self.nothing_else:
                return UnclearError(str(error), request_id=error.request_id, code=error.code)
        return of_account(error, "If the pictures are meant, --accept-refusals counts them as refused and goes on")

    def stranger(self, model: str | None) -> PayloadError | None:
        """Return why a picture of another model is thrown away, or None; the third in a row ends the run."""
        changed = self.model_error(model)
        with self._lock:
            self._strangers = 0 if changed is None else self._strangers + 1
            ended = self._strangers >= STRANGERS
        if changed is None:
            return None
        if ended:
            self._control.fail(changed)
        return PayloadError(f"model {model!r} answered, which must not be mixed with the others", code=OTHER_MODEL)

    def count_refusal(self, task: Task, error: VendorError | None) -> None:
        """Count a refused picture; `SAME_REFUSALS` pictures in the same words end the run."""
        if self._accept_refusals or error is None:
            return
        # Counts pictures, not draws or tiles: one picture that is refused in every draw is itself at fault.
        with self._lock:
            alike = self._refused.setdefault((error.code, same_words(str(error))), {})
            alike[task.picture or task.upload.digest] = printable(task.upload.name)
            if len(alike) != SAME_REFUSALS:
                return
            names = ", ".join(alike.values())
        which = "--state refused" if error.code is None else f"--code {shlex.quote(error.code)}"
        again = f"blackbox-conformal ledger reopen {which} --run {shlex.quote(str(self._run))}"
        self._control.fail(
            IncompleteError(
                f"stopped: {SAME_REFUSALS} pictures ({names}) were refused in the same words:"
                f" {str(error).removesuffix('.')}. If the pictures are meant, the same command with --accept-refusals"
                " counts them as refused and goes on. If a setting or the account is meant, correct it, and"
                f" `{again}` has the same command ask for them again"
            )
        )

    def model_error(self, model: str | None, *, stored: bool = False) -> ModelChangedError | None:
        """Return the error in a draw from `model` (None = unnamed), or None; `stored`: in an earlier session."""
        # A vendor that names no model cannot be held to one.
        if model is None or self.calibrated is None or model in self.calibrated:
            return None
        if self.calibrated:
            names = " or ".join(map(repr, self.calibrated))
            if stored:
                return ModelChangedError(
                    f"draws of these pictures that the run folder holds came from model {model!r}, and the calibration "
                    f"is of {names}: calibrate again if {model!r} is the vendor's model now, else give a new --run to "
                    "draw them again"
                )
            return ModelChangedError(
                f"the vendor replaced model {names}, which was calibrated, by {model!r}, and the guarantee does not "
                "carry over: calibrate again"
            )
        first = self._first_model.name(model)
        if model == first:
            return None
        return ModelChangedError(
            f"the vendor replaced its model: draws came from {first!r} and from {model!r}, and must not be mixed. What "
            "was paid for is kept. If the service chooses among providers, name one where it lets you, and add "
            "--max-resample 1 to draw these again; else start again in a new run folder, with --run"
        )
