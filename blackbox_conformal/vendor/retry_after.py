"""How long a vendor asks to wait, read from its headers without trusting them."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?")
_RESET = re.compile(r"\b(x-)?([a-z]+-)?rate-?limit-(\w+-)?reset\b")
_SPAN = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_SINCE_1970 = 1e9
"""Seconds above this are a moment, and below it a span."""
_MILLISECONDS = 1e11
FAR = 10.0 * 365 * 86400


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait from `now` (seconds since 1970), in 0..ten years; None when the vendor did not say.

    ``retry-after-ms`` goes before ``retry-after``, which may hold seconds, fractions of them, or an HTTP date, and that
    goes before the end of the window of a rate (see `_window_end`). A date in the past or a negative number is 0; what
    cannot be read counts as not said.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(max(milliseconds / 1000.0, 0.0), FAR)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        seconds = _date(text, now)
    if seconds is None:
        seconds = _window_end(headers, now)
    return None if seconds is None else min(max(seconds, 0.0), FAR)


def clock_difference(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds by which the vendor's clock (its Date header) is ahead of `now`; None when it does not tell."""
    return _date(headers.get("date", ""), now)


def _window_end(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the last window of a rate ends that is used up; None when the vendor does not say.

    Vendors say it in ``RateLimit-Reset``, in ``RateLimit: …;r=0;t=30`` (both IETF drafts of "RateLimit header fields
    for HTTP"), or in ``X-RateLimit-Reset`` and its kin: as seconds, a date of HTTP or ISO 8601, seconds or milliseconds
    since 1970, or a span such as ``6m0s``. A window in which requests remain is not waited for.
    """
    ends: list[float | None] = []
    for name, text in headers.items():
        if _RESET.search(name) and not _remain(headers.get(name.replace("reset", "remaining"), "")):
            ends.append(_moment(text.strip(), now))
    for item in headers.get("ratelimit", "").split(","):
        fields: dict[str, str] = dict(re.findall(r"\b(r|remaining|t|reset)=([0-9]{1,10})\b", item))
        if not _remain(fields.get("r") or fields.get("remaining", "")):
            ends.append(_number(fields.get("t") or fields.get("reset", "")))
    return max((end for end in ends if end is not None), default=None)


def _remain(text: str) -> bool:
    return (_number(text) or 0.0) > 0.0


def _moment(text: str, now: float) -> float | None:
    """Seconds from `now` to what a vendor calls the end of a window."""
    number = _number(text)
    if number is not None:
        since_1970 = number / 1000.0 if number > _MILLISECONDS else number
        return since_1970 - now if number > _SINCE_1970 else number
    span = _SPAN.fullmatch(text)
    if text and span:
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in span.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds + milliseconds / 1000.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _date(text, now)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def _number(text: str) -> float | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return math.inf if re.fullmatch(r"[0-9]{21,}", text) else None
    return float(text)


def _date(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError, TypeError):
        return FAR if re.fullmatch(r"\w{3}, [0-9]{2} \w{3} [0-9]{5,9} [0-9:]{8} GMT", text) else None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.timestamp() - now
    except (ValueError, OverflowError):
        return None
