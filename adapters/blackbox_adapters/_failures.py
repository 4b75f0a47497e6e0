"""What a failed answer says, and the error that it becomes."""

import re
import time
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from blackbox_adapters._reading import document, peek, seconds, words
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer, Purpose
from blackbox_conformal.vendor.refusals import ACCOUNT, NOT_FOUND, PUT_OFF, parse_retry_after, plain, refusal

# What the words mean with which a vendor says that there will be no picture.

MODERATION = (
    "nsfw",
    "flagged",
    "moderation",
    "moderated",
    "content policy",
    "sensitive content",
    "sensitive information",
    "inappropriate",
    "safety",
)
"""Words of content filters."""

UNFIT = (
    "image too large",
    "image is too large",
    "image too small",
    "image is too small",
    "is larger than",
    "is smaller than",
    "greater than the max",
    "exceeds the max",
    "unsupported image",
    "invalid image",
    "invalid encoded image",
    "cannot identify image",
)
"""Words that say of a picture that it can never be worked on."""


class Reasons(BaseModel):
    """Words that tell a vendor's reasons apart, looked for in the code and in the reason.

    Words have small letters and single spaces; the codes ``contentPolicy`` and ``CONTENT_POLICY`` hold "content
    policy". Without a known word the vendor has failed on its own: a picture refused by mistake costs the guarantee,
    and one that is asked for again costs a draw.

    `every`: no to what all pictures have in common. `refused`: no to this picture, before anything was generated.
    `filtered`: no to this picture after work on it, which is billed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: tuple[str, ...] = ()
    refused: tuple[str, ...] = UNFIT
    filtered: tuple[str, ...] = MODERATION

    def error(self, said: str, reason: str, *, code: str, request_id: str | None = None) -> VendorError:
        """The error that `reason` and `code` mean; `said` is its message."""
        text = plain(f"{code} {reason}")
        # What concerns every picture ends the run, whatever else the words hold.
        if any(word in text for word in self.every):
            return RunRefusedError(said, request_id=request_id, code=code)
        # Before the other refusals: a filter that has looked at the result is billed.
        if any(word in text for word in self.filtered):
            return RefusedError(said, billed=True, request_id=request_id, code=code)
        if any(word in text for word in self.refused):
            return RefusedError(said, request_id=request_id, code=code)
        # The careful reading of unknown words: see above.
        return VendorFailedError(said, request_id=request_id, code=code)


USUAL = Reasons()
"""What the words mean where a vendor has none of its own."""


class Failure(NamedTuple):
    """The vendor's message, its code (else the HTTP status), and its name for the request."""

    message: str
    code: str
    request_id: str | None


class Failures(BaseModel):
    """Where the vendor's own words are in a failed answer, and statuses that mean something else than usual.

    Attributes
    ----------
    message, code, request_id
        Paths in the JSON of the answer; the first that holds anything counts.
    request_id_header
        Header that names the request; it goes before `request_id`.
    account, later, refused
        Statuses of requests up to the job that mean: no to this key or account; wait; no to this picture.
    failed, reasons
        Statuses of a submission at which the vendor has failed on its own, if it says so in words, and what the words
        mean. Without words a server in between answered, and whether the submission arrived is not known.
    wait
        Seconds to wait after a 429, or a status in `later`, that does not say how long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: list[str] = []
    code: list[str] = []
    request_id: list[str] = []
    request_id_header: str = ""
    account: list[int] = []
    later: list[int] = []
    refused: list[int] = []
    failed: list[int] = []
    reasons: Reasons = USUAL
    wait: float | None = None

    def read(self, answer: Answer) -> Failure:
        problem = document(answer)
        # The vendor's front sets the header, even where a server in between wrote the body.
        request = answer.headers.get(self.request_id_header.lower()) or words(problem, *self.request_id)
        return Failure(words(problem, *self.message), words(problem, *self.code) or str(answer.status), request or None)

    def error(self, answer: Answer, purpose: Purpose, failure: Failure | None = None) -> VendorError | None:
        """The error of a failed answer by its status, in the vendor's words; None leaves it to the sampler.

        The sampler judges downloads, and statuses of 500 and above that are not in `failed`: they carry no decision of
        the vendor, unless a 503 says when to come back. `failure` replaces what `read` finds.
        """
        if purpose == "download":
            return None
        # Requests before there is a job: a no to them is a no to the key or the picture.
        status, begins = answer.status, purpose in ("submit", "lookup", "quote")
        message, code, request = failure or self.read(answer)
        said = f"HTTP {status}" + (f": {message}" if message else "")
        if begins and status in self.account:
            return AccountRefusedError(
                f"the vendor refused this key or account with {said}", request_id=request, code=code
            )
        if begins and status in self.refused:
            return RefusedError(f"the vendor refused this picture with {said}", request_id=request, code=code)
        # An answer that names a time to come back is a decision, even with a status that usually is none.
        asked, special = retry_after(answer), begins and status in self.later
        # With the vendor's own words it is the vendor that failed; without them it may be a server in between.
        own = purpose == "submit" and status in self.failed and bool(message)
        unavailable = status == 503 and (asked is not None or purpose != "submit")
        # A failed poll leaves the job as it is, so fewer statuses put it off.
        put_off = status in (PUT_OFF if purpose != "poll" else (425, 429)) and not own
        if special or unavailable or put_off:
            return TryLaterError(
                f"the vendor asked to wait with {said}",
                # A vendor that says nothing of the time gets the pause that its documentation names.
                retry_after=self.wait if asked is None and (special or status == 429) else asked,
                request_id=request,
                code=code,
            )
        if own:
            return self.reasons.error(f"the vendor failed with {said}", message, code=code, request_id=request)
        # It may have taken the request: whether it bills it, the sampler judges.
        if not 400 <= status < 500:
            return None
        # A poll that is refused says nothing of the picture: the job may be well.
        if purpose == "poll" and status not in ACCOUNT:
            return JobError(f"the vendor could not show the job: {said}", request_id=request, code=code)
        if status in NOT_FOUND:
            return not_found(Failure(said, code, request))
        return refusal(status, said, code=code, request_id=request)


def not_found(failure: Failure) -> NotFoundError:
    """The error that stops a run whose model or address the vendor does not have."""
    return NotFoundError(
        f"the vendor has no such model or address: {failure.message}; correct the adapter's parameters",
        request_id=failure.request_id,
        code=failure.code,
    )


def retry_after(answer: Answer) -> float | None:
    """Seconds that a vendor asks to wait, below a year or so; None when it does not say.

    It says so in the header ``Retry-After``, in a field ``retry_after`` of its JSON, in the headers of a rate (see
    `parse_retry_after`), or in words such as "resets in ~10s".
    """
    problem, now = document(answer), time.time()
    exact = {name: text for name, text in answer.headers.items() if name.startswith("retry-after")}
    fields = [seconds(peek(problem, path)) for path in ("retry_after", "error.retry_after")]
    # The plainest statement first; headers of a rate say when a window ends, which may be later than needed.
    told = [parse_retry_after(exact, now), *fields, parse_retry_after(answer.headers, now)]
    asked = next((each for each in told if each is not None and each < _YEAR_S), None)
    return _in_words(answer) if asked is None else asked


_YEAR_S = 4e7
_WORDS = re.compile(r"(?:resets?|retry|try again|available(?: again)?) (?:in|after) ~?([0-9.]+) ?(ms|s|m|h)", re.I)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_PROBLEM = 4096


def _in_words(answer: Answer) -> float | None:
    # In longer texts such words are seldom about this request.
    if answer.status not in (429, 503) or len(answer.body) > _LONGEST_PROBLEM:
        return None
    found = _WORDS.search(answer.body.decode("utf-8", "replace"))
    number = None if found is None else seconds(found[1])
    return None if found is None or number is None else number * _UNITS[found[2].lower()]
