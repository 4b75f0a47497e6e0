"""What a draw of an earlier session came to, by its row in the ledger."""

from blackbox_conformal.drawing.attempt_record import OUTCOME_ERRORS
from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.task import Outcome, OutcomeState, Task
from blackbox_conformal.errors import VendorError


def failed_earlier(task: Task, attempt: Attempt) -> Outcome:
    """The outcome of an attempt that gave no picture."""
    state: OutcomeState = next((state for state in OUTCOME_ERRORS if state == attempt.state), "ambiguous")
    error = OUTCOME_ERRORS[state](
        attempt.error or f"recorded as {attempt.state}", request_id=attempt.request_id, code=attempt.code
    )
    return earlier_outcome(task, state, attempt, error)


def earlier_outcome(task: Task, state: OutcomeState, attempt: Attempt, error: VendorError | None) -> Outcome:
    """The outcome `state` of an attempt that ended before this session."""
    return Outcome(task, state, True, attempt.digest, attempt.cost_usd, attempt.model, error)
