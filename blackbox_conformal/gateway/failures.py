"""What an error of the engine becomes for a client: a state, an HTTP status, and words without secrets."""

import re

from blackbox_conformal.errors import (
    BlackboxConformalError,
    BudgetError,
    CalibrationError,
    CheckFailedError,
    FileFormatError,
    ImageError,
    RefusedError,
    RunRefusedError,
    UnusableDrawsError,
    VendorUnavailableError,
)
from blackbox_conformal.gateway.request import RequestOutcome
from blackbox_conformal.study.stages.prepare import MisfitError
from blackbox_conformal.support.secrets import redact
from blackbox_conformal.support.text import printable

NOT_COVERED = (CheckFailedError, CalibrationError, FileFormatError)
"""The calibration does not speak of the picture, or not any more; or its watch was changed and cannot be believed."""

AGAIN = "Prefer: pay-again"

_LONGEST = 600
_OPERATORS = re.compile(r"--\w|`|\bin Python\b|-p [\w-]+=|\bcommand\b|\brun again\b|\brun folder\b", re.ASCII)
"""What only the operator of the gateway can follow."""

_ADVICE: tuple[tuple[type[BlackboxConformalError], str], ...] = (
    (BudgetError, "ask the operator of this gateway for more"),
    (RunRefusedError, "the operator of this gateway has to look at it"),
    (UnusableDrawsError, f"the header {AGAIN} has the vendor asked once more, which may be billed again"),
)


def words(error: BaseException) -> str:
    """An error in one line for a client: what happened, without what only the gateway's operator can do."""
    if not isinstance(error, BlackboxConformalError):
        # A bug: what it says may be anything.
        return f"the gateway failed ({type(error).__name__}); its log says more"
    if isinstance(error, VendorUnavailableError):
        when = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
        return f"the vendor gives no usable answers now; ask again {when}"
    # Split where a sentence or clause ends, so that what remains reads as a sentence.
    clauses = re.split(r"(?<=[.;]) ", printable(redact(str(error)), _LONGEST))
    said = " ".join(clause for clause in clauses if not _OPERATORS.search(clause)).rstrip(".;")
    advice = [advice for kind, advice in _ADVICE if isinstance(error, kind)]
    return "; ".join([said or "the gateway cannot serve this now, and its log says why", *advice])


def operators_words(error: BaseException) -> str:
    """An error in one line for the log; a gateway goes on where a command is stopped."""
    said = error.why if isinstance(error, VendorUnavailableError) else str(error)
    return printable(redact(said), _LONGEST) or type(error).__name__


def outcome_of(error: BaseException) -> RequestOutcome:
    """How a request ended that met this error."""
    return RequestOutcome(
        state="refused" if status_of(error) in (409, 422) else "failed", status=status_of(error), error=words(error)
    )


def status_of(error: BaseException) -> int:
    """The HTTP status that fits.

    422 the picture, 409 the calibration, 402 the budget, 503 a vendor that is down, 502 one that failed, 500 a bug.
    """
    if isinstance(error, NOT_COVERED):
        return 409
    if isinstance(error, BudgetError):
        return 402
    if isinstance(error, VendorUnavailableError):
        return 503
    if isinstance(error, RunRefusedError):
        # The vendor says no to the gateway's key or address, which is not the client's fault.
        return 502
    if isinstance(error, ImageError | MisfitError | RefusedError):
        return 422
    return 502 if isinstance(error, BlackboxConformalError) else 500
