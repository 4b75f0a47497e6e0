"""Poll a job until it is over, with patience for a late picture."""

from collections.abc import Callable, Collection, Generator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

from blackbox_adapters._failures import USUAL, Reasons
from blackbox_adapters._reading import document, peek, words
from blackbox_conformal.errors import DeadlineError, JobCancelledError, PayloadError, VendorError
from blackbox_conformal.vendor.adapter import Answer, Send, Step, Wait

Result = TypeVar("Result")


def polled(
    poll: Send,
    seconds: float,
    read: Callable[[Answer], Result | None],
    answer: Answer | None = None,
    cancel: Send | None = None,
    cancelled: Callable[[Any], bool] | None = None,
) -> Generator[Step, Answer, Result]:
    """Send `poll` every `seconds` until `read` returns something, and return that; a given `answer` is read first.

    `cancel` is sent when the job's time is over, never after a failed poll, since the job may be finished. `cancelled`
    tells from an answer of HTTP 2xx whether cancelling worked; without it, cancelling worked unless the answer calls
    the job finished.
    """
    while True:
        result = read(answer or (yield poll))
        if result:
            return result
        answer = None
        try:
            yield Wait(seconds)
        except DeadlineError:
            if cancel is not None:
                answer = yield cancel
                said = document(answer)
                # Some vendors answer a cancellation with the state of a job that finished meanwhile.
                finished = words(said, "status").lower() in ("succeeded", "completed", "complete", "done")
                if answer.status // 100 == 2 and (not finished if cancelled is None else cancelled(said)):
                    raise JobCancelledError("the vendor has cancelled it") from None
            raise


@dataclass
class PolledJob:
    """One job of a vendor: how to read its answers, and how many more polls may miss the picture."""

    # The vendor's word for such a job, such as ``task``, and the name of this one.
    kind: str
    id: str
    _: KW_ONLY
    status: Collection[str] = ("status",)  # Paths of the state.
    # States that end the job; at any other it is polled again. Without `done`, every answer is a finished job's.
    done: Collection[str] = ()
    failed: Collection[str] = ()
    picture: str = ""  # Path to the result of a finished job; empty: the whole answer.
    # Paths at which a failed job says why, and the meanings of the words there.
    reason: Collection[str] = ("error", "message")
    code: Collection[str] = ()
    reasons: Reasons = USUAL
    _polls_left: int = field(default=2, init=False)

    @property
    def _name(self) -> str:
        return f"{self.kind} {self.id}"

    def result(self, answer: Any) -> Any:
        """Return a finished job's picture, or whatever is at its path; None: poll again.

        Vendors sometimes publish the state before the output, so a finished job without a picture is polled just twice
        more.
        """
        state = words(answer, *self.status)
        if state in self.failed:
            raise self.failure(words(answer, *self.reason), words(answer, *self.code) or state, state)
        if self.done and state not in self.done:
            return None
        picture = peek(answer, self.picture)
        if picture:
            return picture
        self.miss_picture()
        return None

    def miss_picture(self) -> None:
        """Count one poll of a finished job that has no picture; the third raises an error."""
        if self._polls_left == 0:
            raise PayloadError(
                f"{self._name} finished without a picture; ask the vendor about it by that name", request_id=self.id
            )
        self._polls_left -= 1

    def failure(self, reason: str, code: str, state: str = "failed") -> VendorError:
        said = f"{self._name} {state}: {reason or 'no reason given'}"
        return self.reasons.error(said, reason, code=code, request_id=self.id)
