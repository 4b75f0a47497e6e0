"""Turn a vendor's failed answer into the right error."""

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

# Phrases with which vendors say that there will be no picture.

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
"""Phrases of content filters."""

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
"""Phrases which say that a picture can never be worked on."""


class Reasons(BaseModel):
    """Phrases that tell a vendor's reasons apart, looked for in the error's code and reason.

    Write phrases in small letters with single spaces: "content policy" also finds the codes ``contentPolicy`` and
    ``CONTENT_POLICY``. Without a known phrase the vendor failed on its own: a picture refused by mistake costs the
    guarantee, while a picture asked for again costs only a draw.

    `every`: no to something that all pictures share. `refused`: no to this picture, before anything was generated.
    `filtered`: no to this picture after work on it, which is billed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: tuple[str, ...] = ()
    refused: tuple[str, ...] = UNFIT
    filtered: tuple[str, ...] = MODERATION

    def error(self, said: str, reason: str, *, code: str, request_id: str | None = None) -> VendorError:
        """Return the error that `reason` and `code` mean, with the message `said`."""
        text = plain(f"{code} {reason}")
        # A reason that concerns every picture ends the run, whatever else the text says.
        if any(word in text for word in self.every):
            return RunRefusedError(said, request_id=request_id, code=code)
        # Filters come before other refusals: a filter that looked at the result is billed.
        if any(word in text for word in self.filtered):
            return RefusedError(said, billed=True, request_id=request_id, code=code)
        if any(word in text for word in self.refused):
            return RefusedError(said, request_id=request_id, code=code)
        # Unknown words count as the vendor's own failure, for the reason in the class docstring.
        return VendorFailedError(said, request_id=request_id, code=code)


USUAL = Reasons()  # The phrases for vendors that have none of their own.


class Failure(NamedTuple):
    """The vendor's message, its code (else the HTTP status) and its name for the request."""

    message: str
    code: str
    request_id: str | None


class Failures(BaseModel):
    """How to read a failed answer: where the vendor's own words are, and which statuses have an unusual meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Paths in the JSON of the answer; the first that holds anything counts.
    message: list[str] = []
    code: list[str] = []
    request_id: list[str] = []
    request_id_header: str = ""  # Header that names the request; it goes before `request_id`.
    # Statuses of requests up to the job that mean: no to this key or account; wait; no to this picture.
    account: list[int] = []
    later: list[int] = []
    refused: list[int] = []
    # Statuses of a submission at which the vendor has failed on its own if it says so in words, and the meanings of the
    # words. Without words a server in between answered, and nobody knows whether the submission arrived.
    failed: list[int] = []
    reasons: Reasons = USUAL
    wait: float | None = None  # Seconds to wait after a 429, or a status in `later`, that does not say how long.

    def read(self, answer: Answer) -> Failure:
        problem = document(answer)
        # The vendor's front sets the header, even where a server in between wrote the body.
        request = answer.headers.get(self.request_id_header.lower()) or words(problem, *self.request_id)
        return Failure(words(problem, *self.message), words(problem, *self.code) or str(answer.status), request or None)

    def error(self, answer: Answer, purpose: Purpose, failure: Failure | None = None) -> VendorError | None:
        """Return the error of a failed answer by its status, in the vendor's words; None leaves it to the sampler.

        The sampler judges downloads. It also judges statuses of 500 and above that are not in `failed`, since they
        carry no decision of the vendor unless a 503 says when to come back. `failure` replaces the result of `read`.
        """
        if purpose == "download":
            return None
        # Before there is a job, a no can only be about the key or the picture.
        status, begins = answer.status, purpose in ("submit", "lookup", "quote")
        message, code, request = failure or self.read(answer)
        said = f"HTTP {status}" + (f": {message}" if message else "")
        if begins and status in self.account:
            return AccountRefusedError(
                f"the vendor refused this key or account with {said}", request_id=request, code=code
            )
        if begins and status in self.refused:
            return RefusedError(f"the vendor refused this picture with {said}", request_id=request, code=code)
        # A vendor that names a time to come back has decided, even with a status that usually carries no decision.
        asked, special = retry_after(answer), begins and status in self.later
        # With words of its own the vendor failed; without them a server in between may have.
        own = purpose == "submit" and status in self.failed and bool(message)
        unavailable = status == 503 and (asked is not None or purpose != "submit")
        # A failed poll leaves the job as it is, so fewer statuses put it off.
        put_off = status in (PUT_OFF if purpose != "poll" else (425, 429)) and not own
        if special or unavailable or put_off:
            return TryLaterError(
                f"the vendor asked to wait with {said}",
                # A vendor that names no time gets the pause from its documentation.
                retry_after=self.wait if asked is None and (special or status == 429) else asked,
                request_id=request,
                code=code,
            )
        if own:
            return self.reasons.error(f"the vendor failed with {said}", message, code=code, request_id=request)
        # The vendor may have taken the request; the sampler judges whether it bills.
        if not 400 <= status < 500:
            return None
        # A refused poll says nothing about the picture: the job may be well.
        if purpose == "poll" and status not in ACCOUNT:
            return JobError(f"the vendor could not show the job: {said}", request_id=request, code=code)
        if status in NOT_FOUND:
            return not_found(Failure(said, code, request))
        return refusal(status, said, code=code, request_id=request)


def not_found(failure: Failure) -> NotFoundError:
    """Return the error that stops a run whose model or address the vendor does not have."""
    return NotFoundError(
        f"the vendor has no such model or address: {failure.message}; correct the adapter's parameters",
        request_id=failure.request_id,
        code=failure.code,
    )


def retry_after(answer: Answer) -> float | None:
    """Return the seconds that a vendor asks to wait, below a year or so; None when it does not say.

    A vendor says it in the header ``Retry-After``, in a JSON field ``retry_after``, in rate headers (see
    `parse_retry_after`), or in words such as "resets in ~10s".
    """
    problem, now = document(answer), time.time()
    exact = {name: text for name, text in answer.headers.items() if name.startswith("retry-after")}
    fields = [seconds(peek(problem, path)) for path in ("retry_after", "error.retry_after")]
    # The plainest statement goes first: rate headers tell when a window ends, which may be later than needed.
    told = [parse_retry_after(exact, now), *fields, parse_retry_after(answer.headers, now)]
    asked = next((each for each in told if each is not None and each < _YEAR_S), None)
    # In longer texts words about waiting are seldom about this request.
    if asked is not None or answer.status not in (429, 503) or len(answer.body) > _LONGEST_PROBLEM:
        return asked
    found = _WORDS.search(answer.body.decode("utf-8", "replace"))
    number = None if found is None else seconds(found[1])
    return None if found is None or number is None else number * _UNITS[found[2].lower()]


_YEAR_S = 4e7
_WORDS = re.compile(r"(?:resets?|retry|try again|available(?: again)?) (?:in|after) ~?([0-9.]+) ?(ms|s|m|h)", re.I)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_PROBLEM = 4096
