"""What an error of the engine becomes for a client: a state, an HTTP status, and words without secrets."""

from blackbox_conformal.errors import (
    BlackboxConformalError,
    BudgetError,
    CalibrationError,
    CheckFailedError,
    FileFormatError,
    ImageError,
    RefusedError,
    RunRefusedError,
)
from blackbox_conformal.pipeline.stages.prepare import MisfitError
from blackbox_conformal.secrets import redact
from blackbox_conformal.serving.request import Outcome
from blackbox_conformal.text import printable

NOT_COVERED = (CheckFailedError, CalibrationError, FileFormatError)
"""The calibration does not speak of the picture, or not any more; or its watch was changed and cannot be believed."""

_LONGEST = 600


def words(error: BaseException) -> str:
    """An error in one line that may leave the machine."""
    if not isinstance(error, BlackboxConformalError):
        # A bug: what it says may be anything.
        return f"the gateway failed ({type(error).__name__}); its log says more"
    return printable(redact(str(error)), _LONGEST)


def outcome_of(error: BaseException) -> Outcome:
    """How a request ended that met this error."""
    return Outcome(
        state="refused" if status_of(error) in (409, 422) else "failed", status=status_of(error), error=words(error)
    )


def status_of(error: BaseException) -> int:
    """The HTTP status that fits: 422 the picture, 409 the calibration, 402 the budget, 502 the vendor, 500 a bug."""
    if isinstance(error, NOT_COVERED):
        return 409
    if isinstance(error, BudgetError):
        return 402
    if isinstance(error, RunRefusedError):
        # The vendor says no to the gateway's key or address, which is not the client's fault.
        return 502
    if isinstance(error, ImageError | MisfitError | RefusedError):
        return 422
    return 502 if isinstance(error, BlackboxConformalError) else 500
