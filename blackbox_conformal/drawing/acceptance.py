"""Which answers count: pictures that pass the run's check, from a model that they may be mixed with."""

import shlex
import threading
from collections.abc import Callable, Collection

from blackbox_conformal.drawing.run_control import RunControl
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import (
    BlackboxConformalError,
    IncompleteError,
    LedgerError,
    ModelChangedError,
    PayloadError,
    VendorError,
)
from blackbox_conformal.support.text import clean, printable
from blackbox_conformal.vendor.refusals import same_words

Check = Callable[[bytes, Task], None]

SAME_REFUSALS = 3
"""Pictures that are refused in the same words, with which a run ends: that is rarely about the pictures."""


class FirstModel:
    """The model of a vendor that answered first; asked from any thread."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._lock = threading.Lock()

    def name(self, model: str) -> str:
        """Its name: `model`, which has just answered, where no other one did before."""
        with self._lock:
            # The first answer decides for all threads; later ones are compared with it.
            self._name = self._name or model
            return self._name


class Acceptance:
    """The rules by which the draws of one set of tasks count; used by all workers.

    Parameters
    ----------
    check, counted
        See `Sampler`.
    accept_refusals
        See `Limits`.
    calibrated
        Names of the models that a calibration was made with; empty where there is none, or where it names none: draws
        may come from the model that answers first. None: from any.
    control
        Ends the run with an error that `counted` raises.
    first_model
        Shared by all sets of tasks whose draws are of one model.
    """

    def __init__(
        self,
        check: Check | None,
        counted: Callable[[Task, str], None] | None,
        calibrated: Collection[str] | None,
        accept_refusals: bool,
        control: RunControl,
        first_model: FirstModel | None = None,
    ) -> None:
        self.check = check
        self._counted = counted
        self.calibrated = None if calibrated is None else sorted(calibrated)
        self._accept_refusals = accept_refusals
        self._refused: dict[tuple[str | None, str], dict[str, str]] = {}
        self._lock = threading.Lock()
        self._control = control
        self._first_model = first_model or FirstModel()

    def picture_error(self, data: bytes, task: Task) -> PayloadError | None:
        """What is wrong with a picture by the rules of the run; None if it may be used."""
        if not data:
            return PayloadError("expected a picture from the vendor; got no bytes")
        if self.check is None:
            return None
        try:
            self.check(data, task)
        # A ledger that fails says nothing about the picture: it ends the run instead.
        except LedgerError:
            raise
        except BlackboxConformalError as error:
            text = clean(str(error))
        else:
            return None
        return PayloadError(text)

    def count(self, task: Task, digest: str) -> None:
        """Tell of a draw that counts, and the digest of its file; an error that is raised then ends the run."""
        if self._counted is None:
            return
        try:
            self._counted(task, digest)
        except BlackboxConformalError as error:
            self._control.fail(error)

    def count_refusal(self, task: Task, error: VendorError | None) -> None:
        """Tell of a picture that the vendor refused, now or earlier; `SAME_REFUSALS` in the same words end the run."""
        if self._accept_refusals or error is None:
            return
        # Pictures and not draws or tiles are counted: one picture refused in every draw is about that picture.
        with self._lock:
            alike = self._refused.setdefault((error.code, same_words(str(error))), {})
            alike[task.picture or task.upload.digest] = printable(task.upload.name)
            # Exactly that many, so that the run is ended once.
            if len(alike) != SAME_REFUSALS:
                return
            names = ", ".join(alike.values())
        which = "--state refused" if error.code is None else f"--code {shlex.quote(error.code)}"
        self._control.fail(
            IncompleteError(
                f"stopped: {SAME_REFUSALS} pictures ({names}) were refused in the same words, which is rarely about the"
                f" pictures: {str(error).removesuffix('.')}. If a setting or the account is meant, correct it, and"
                f" `blackbox-conformal ledger reopen {which}` has the same command ask for them again. If the pictures"
                " are meant, the same command with --accept-refusals counts them as refused and goes on"
            )
        )

    def model_error(self, model: str | None, *, stored: bool = False) -> ModelChangedError | None:
        """What is wrong with a draw from `model`, None = unnamed; `stored` in an earlier session."""
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
            f"the vendor replaced its model: draws came from {first!r} and from {model!r}, and must not be mixed, so "
            "that this cannot be completed. What was paid for is kept; start again in a new run folder, with --run"
        )
