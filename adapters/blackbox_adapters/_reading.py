"""Read a vendor's JSON: values by path, as text, money, whole numbers and seconds."""

import base64
import binascii
import json
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from blackbox_conformal.errors import PayloadError
from blackbox_conformal.vendor.adapter import Answer, Flow, Send

# Encoded pictures in requests and answers: base64, data links, and links that are fetched.


def base64_text(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def fits_as_base64(body_bytes: int, fields_bytes: int) -> int:
    """Return the size of the largest PNG that fits in base64 into `body_bytes`, besides `fields_bytes` of other
    fields."""
    # Base64 turns three bytes into four letters.
    return (body_bytes - fields_bytes) // 4 * 3


def data_link(png: bytes) -> str:
    return "data:image/png;base64," + base64_text(png)


def decoded(text: object, where: str) -> bytes:
    """Decode base64 text, with or without a ``data:`` prefix; anything else is a `PayloadError`."""
    if not isinstance(text, str) or not text:
        raise PayloadError(f"expected a picture in base64 at {where}; got {type(text).__name__}")
    head, comma, tail = text.partition(",")
    if head.startswith("data:"):
        if not comma:
            raise PayloadError(f"expected a whole data link at {where}; it has no comma")
        if not head.endswith(";base64"):
            return unquote_to_bytes(tail)
        text = tail
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise PayloadError(f"expected a picture in base64 at {where}; got text that is not base64") from None


def received(value: object, where: str) -> Flow:
    """Yield the picture in a value of an answer: behind a web link, or in base64 with or without ``data:``."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return (yield from fetched(value, where))
    return decoded(value, where)


def fetched(link: object, where: str, *, base: str = "") -> Flow:
    """Yield the picture behind a data link or a web link that needs no key; a relative link starts at `base`."""
    if isinstance(link, str) and link.startswith("data:"):
        return decoded(link, where)
    if not isinstance(link, str) or not link:
        raise PayloadError(f"expected a link to the picture at {where}; got {type(link).__name__}")
    if base:
        link = urljoin(base.rstrip("/") + "/", link)
    if not link.startswith(("http://", "https://")):
        got = "another scheme" if urlsplit(link).scheme else "a relative one: give fetched the base that it starts at"
        raise PayloadError(f"expected an http(s) or data link to the picture at {where}; got {got}")
    # The link needs no key, and a public request carries none.
    picture = yield Send("GET", link, purpose="download", public=True)
    return picture.body


LONGEST_MESSAGE = 500
MOST_DOLLARS = 1_000_000  # A higher reported cost of one draw is a misprint.


def document(answer: Answer) -> Any:
    """Return the body as JSON, else None (an error page is no reason to fail again)."""
    return _json(answer.body)


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def peek(value: Any, path: str) -> Any:
    """Return the value at a dotted path such as ``data.0.url``, also into JSON in a text; None where it leads
    nowhere."""
    for step in filter(None, path.split(".")):
        # Some vendors put JSON into a text of their JSON.
        if isinstance(value, str):
            value = _json(value)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def require(value: Any, path: str, what: str) -> str:
    """Return the non-empty text or number at `path` as text; without one, raise a `PayloadError`."""
    part = peek(value, path)
    # Python counts a boolean as a number; vendors do not.
    if isinstance(part, str | int | float) and not isinstance(part, bool) and str(part):
        return str(part)
    raise PayloadError(
        f"expected {what} at {path or 'the top'!r} of the vendor's answer; got {shorten(part)}. "
        "Read the vendor's changelog, or report it to the adapter's author"
    )


def shorten(value: Any) -> str:
    """Return `value` on one line, without control characters, at most `LONGEST_MESSAGE` long."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def words(value: Any, *paths: str) -> str:
    """Return the vendor's words at the first of `paths` that holds anything, on one line; "" where none does."""
    for path in paths:
        part = peek(value, path)
        if part not in (None, "", [], {}):
            return shorten(part)
    return ""


def money(units: Any, usd_per_unit: Decimal = Decimal(1)) -> Decimal | None:
    """Return the dollars for a vendor's number or text of units; None for nonsense."""
    if isinstance(units, bool) or not isinstance(units, int | float | str):
        return None
    try:
        dollars = Decimal(str(units)) * usd_per_unit
    except ArithmeticError:
        return None
    # A cost below 0, or too high for any draw, is a misprint: then the reserved price is booked.
    return dollars if dollars.is_finite() and 0 <= dollars < MOST_DOLLARS else None


def integer(value: Any) -> int | None:
    """Return a vendor's seed or count from a number or a text as a whole number of sane length; else None."""
    # Cut first, so that no endless text is converted.
    text = "" if isinstance(value, bool) or not isinstance(value, int | str) else str(value)[:25]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 25 else None


def seconds(value: Any) -> float | None:
    """Return seconds from a number or a plain decimal text, below a year or so; else None."""
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    plain = text.replace(".", "", 1)
    return float(text) if plain.isascii() and plain.isdigit() and len(plain) < 25 and float(text) < 4e7 else None
