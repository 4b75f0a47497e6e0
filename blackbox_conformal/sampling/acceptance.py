"""Which answers count: pictures that pass the run's checks, from a model that they may be mixed with."""

import threading
from collections.abc import Callable, Collection

from blackbox_conformal.errors import BlackboxConformalError, LedgerError, ModelChangedError, PayloadError
from blackbox_conformal.sampling.events import EventBoard
from blackbox_conformal.sampling.run_control import RunControl, StoppedError
from blackbox_conformal.sampling.task import Task
from blackbox_conformal.text import clean

Check = Callable[[bytes, Task], None]
"""Raises an error of this package when the bytes are not the picture that the task asks for."""


def picture_error(data: bytes, task: Task, check: Check | None) -> PayloadError | None:
    """What is wrong with a picture by the rules of the run; None if it may be used."""
    if not data:
        return PayloadError("expected a picture from the vendor; got no bytes")
    if check is None:
        return None
    try:
        check(data, task)
    except LedgerError:
        raise
    except BlackboxConformalError as error:
        text = clean(str(error))
    else:
        return None
    return PayloadError(text)


class ExpectedModels:
    """The models that one set of tasks may be drawn from: those that were calibrated, else the one that answers first.

    Parameters
    ----------
    calibrated
        Names of the models that a calibration was made with; empty where there is none, or where it names none.
    """

    def __init__(self, calibrated: Collection[str] = ()) -> None:
        self.calibrated = tuple(sorted(calibrated))
        self._first: str | None = None
        self._lock = threading.Lock()

    def error(self, model: str | None, *, stored: bool = False) -> ModelChangedError | None:
        """What is wrong with a draw from `model`, None = unnamed; `stored` in an earlier session."""
        if model is None or model in self.calibrated:
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
        with self._lock:
            if self._first is None:
                self._first = model
            first = self._first
        if model == first:
            return None
        return ModelChangedError(
            f"the vendor replaced its model: draws came from {first!r} and from {model!r}, and must not be mixed, so "
            "that this cannot be completed. What was paid for is kept; start again in a new run folder, with --run"
        )


class Acceptance:
    """The rules by which the draws of one set of tasks count; used by all workers.

    Parameters
    ----------
    check, counted, models
        See `Sampler`.
    """

    def __init__(
        self,
        check: Check | None,
        counted: Callable[[Task, str], None] | None,
        models: Collection[str],
        control: RunControl,
        board: EventBoard,
    ) -> None:
        self.check = check
        self._counted = counted
        self._models = ExpectedModels(models)
        self._control = control
        self._board = board

    def picture_error(self, data: bytes, task: Task) -> PayloadError | None:
        """As the function `picture_error`."""
        return picture_error(data, task, self.check)

    def count(self, task: Task, digest: str) -> None:
        """Tell of a draw that counts, the digest of whose file this is; an error that is raised then ends the run."""
        if self._counted is None:
            return
        try:
            self._counted(task, digest)
        except BlackboxConformalError as error:
            self._control.fail(error)

    def require_stored_model(self, model: str | None) -> None:
        """Refuse to begin when a draw of an earlier session came from a model that this run must not be mixed with.

        Raises
        ------
        ModelChangedError
            It did.
        """
        error = self._models.error(model, stored=True)
        if error is not None:
            raise error

    def require_model(self, model: str | None) -> None:
        """Stop the run when a draw came from a model that it must not be mixed with; that draw does not count.

        Raises
        ------
        StoppedError
            It did.
        """
        error = self._models.error(model)
        if error is not None:
            self._board.tell("model-changed", str(error))
            self._control.fail(error)
            raise StoppedError
