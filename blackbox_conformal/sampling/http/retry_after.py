"""How long a vendor asks to wait, read from its headers without trusting them."""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?")
FAR = 10.0 * 365 * 86400


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait from `now` (seconds since 1970), in 0..ten years; None when the vendor did not say.

    ``retry-after-ms`` goes before ``retry-after``, which may hold seconds, fractions of them, or an HTTP date. A date
    in the past or a negative number is 0; what cannot be read counts as not said.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(max(milliseconds / 1000.0, 0.0), FAR)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        seconds = _date(text, now)
    return None if seconds is None else min(max(seconds, 0.0), FAR)


def clock_difference(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds by which the vendor's clock (its Date header) is ahead of `now`; None when it does not tell."""
    return _date(headers.get("date", ""), now)


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
