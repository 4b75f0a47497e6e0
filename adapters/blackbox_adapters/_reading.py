"""Reading a vendor's JSON: values by path, its own words for a failure, and the error class of a status.

What the words mean for one vendor is the adapter's business.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from blackbox_conformal.adapter import Answer, Purpose
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    PayloadError,
    RefusedError,
    TryLaterError,
    VendorError,
)

LONGEST_MESSAGE = 500
MOST_DOLLARS = 1_000_000
"""A draw that is said to cost more than this is a misprint."""


def document(answer: Answer) -> Any:
    """The body as JSON, or None when it is anything else (an error page is no reason to fail again)."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def peek(value: Any, path: str) -> Any:
    """The value at a dotted path such as ``data.0.url``; None where the path leads nowhere."""
    for step in filter(None, path.split(".")):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def require(value: Any, path: str, what: str) -> str:
    """The non-empty text or number at `path`, as text; its absence is a `PayloadError`."""
    found = peek(value, path)
    if isinstance(found, str | int | float) and not isinstance(found, bool) and str(found):
        return str(found)
    raise PayloadError(
        f"expected {what} at {path or 'the top'!r} of the vendor's answer; got {shorten(found)}. "
        "Read the vendor's changelog, or report it to the adapter's author"
    )


def shorten(value: Any) -> str:
    """`value` on one line, without control characters, at most `LONGEST_MESSAGE` long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def words(value: Any, *paths: str) -> str:
    """What the vendor says at the first of `paths` that holds anything, on one line; "" where none does."""
    for path in paths:
        found = peek(value, path)
        if found not in (None, "", [], {}):
            return shorten(found)
    return ""


def money(units: Any, usd_per_unit: Decimal = Decimal(1)) -> Decimal | None:
    """Dollars that a vendor's number or text of units stands for; None for nonsense."""
    if isinstance(units, bool) or not isinstance(units, int | float | str):
        return None
    try:
        dollars = Decimal(str(units)) * usd_per_unit
    except ArithmeticError:
        return None
    return dollars if dollars.is_finite() and 0 <= dollars < MOST_DOLLARS else None


def whole(value: Any) -> int | None:
    """A vendor's seed or count as a whole number of sane length, from a number or a text; else None."""
    text = "" if isinstance(value, bool) or not isinstance(value, int | str) else str(value)[:25]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 25 else None


def seconds(value: Any) -> float | None:
    """Seconds from a number or a plain decimal text, below a year or so; else None."""
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    plain = text.replace(".", "", 1)
    return float(text) if plain.isascii() and plain.isdigit() and len(plain) < 25 and float(text) < 4e7 else None


def retry_after(answer: Answer) -> float | None:
    """Seconds that the ``Retry-After`` header asks for; None when it is absent or unreadable."""
    text = answer.headers.get("retry-after", "").strip()
    given = seconds(text)
    if given is not None:
        return given
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def not_found(said: str, *, request_id: str | None = None, code: str | None = None) -> NotFoundError:
    """The error that stops a run whose model or address the vendor does not have."""
    return NotFoundError(
        f"the vendor has no such model or address: {said}; correct the adapter's parameters",
        request_id=request_id,
        code=code,
    )


def classed(
    answer: Answer,
    purpose: Purpose,
    message: str,
    *,
    request_id: str | None = None,
    code: str | None = None,
    wait: float | None = None,
) -> VendorError | None:
    """The error of a failed answer by its status, in the vendor's words; None leaves it to the engine.

    Answers of a download and statuses of 500 and above carry no decision of the vendor, so they are left alone:
    whether such a request was billed is for the engine to judge. A 503 that says when to come back is a decision.
    `wait` is what the vendor documents for a 429 that does not say how long.
    """
    if purpose == "download":
        return None
    code = code or str(answer.status)
    said = f"HTTP {answer.status}" + (f": {message}" if message else "")
    if answer.status in (401, 402, 403):
        return AccountRefusedError(
            f"the vendor refused this key or account with {said}", request_id=request_id, code=code
        )
    asked = retry_after(answer)
    conflict = answer.status == 409 and purpose != "poll"
    if conflict or answer.status in (425, 429) or (answer.status == 503 and (asked is not None or purpose != "submit")):
        return TryLaterError(
            f"the vendor asked to wait with {said}",
            retry_after=wait if asked is None and answer.status == 429 else asked,
            request_id=request_id,
            code=code,
        )
    if 400 <= answer.status < 500:
        if purpose == "poll":
            return JobError(f"the vendor could not show the job: {said}", request_id=request_id, code=code)
        if answer.status in (404, 405, 410):
            return not_found(said, request_id=request_id, code=code)
        return RefusedError(f"the vendor refused this picture with {said}", request_id=request_id, code=code)
    return None
