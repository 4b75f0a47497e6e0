"""Which of a vendor's models may answer: those that were calibrated, else the one that answered first.

Stopping the run is the engine's part.
"""

import threading
from collections.abc import Collection

from blackbox_conformal.errors import ModelChangedError


class ExpectedModels:
    """The models that one set of tasks may be drawn from; used by all workers.

    Parameters
    ----------
    calibrated
        Names of the models that a calibration was made with; empty where there is none, or where it names none.
    """

    def __init__(self, calibrated: Collection[str] = ()) -> None:
        self.calibrated = tuple(sorted(calibrated))
        self._first: str | None = None
        self._lock = threading.Lock()

    def trouble(self, model: str | None, *, stored: bool = False) -> ModelChangedError | None:
        """What is wrong with a draw from `model`, None = unnamed; `stored` in an earlier session."""
        if model is None or model in self.calibrated:
            return None
        if self.calibrated:
            known = " or ".join(map(repr, self.calibrated))
            if stored:
                return ModelChangedError(
                    f"draws of these pictures that the run folder holds came from model {model!r}, and the calibration "
                    f"is of {known}: calibrate again if {model!r} is the vendor's model now, else give a new --run to "
                    "draw them again"
                )
            return ModelChangedError(
                f"the vendor replaced model {known}, which was calibrated, by {model!r}, and the guarantee does not "
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
