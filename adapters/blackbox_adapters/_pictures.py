"""Encoded pictures in requests and answers: base64, data links, and links that are fetched."""

import base64
import binascii
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from blackbox_conformal.errors import PayloadError
from blackbox_conformal.vendor.adapter import Flow, Send


def base64_text(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def fits_as_base64(body_bytes: int, fields_bytes: int) -> int:
    """Bytes of the largest PNG that a JSON body of `body_bytes` holds in base64, besides `fields_bytes` of fields."""
    # Base64 makes four letters of three bytes.
    return (body_bytes - fields_bytes) // 4 * 3


def data_link(png: bytes) -> str:
    """`png` as a ``data:image/png;base64,…`` link."""
    return "data:image/png;base64," + base64_text(png)


def decoded(text: object, where: str) -> bytes:
    """Bytes of base64 text, with or without a ``data:`` prefix; anything else is a `PayloadError`."""
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
    """The picture in a value of an answer: behind a web link, or in base64 with or without ``data:``."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return (yield from fetched(value, where))
    return decoded(value, where)


def fetched(link: object, where: str, *, base: str = "") -> Flow:
    """The picture behind a data link or a web link that needs no key; a relative link starts at `base`."""
    if isinstance(link, str) and link.startswith("data:"):
        return decoded(link, where)
    if not isinstance(link, str) or not link:
        raise PayloadError(f"expected a link to the picture at {where}; got {type(link).__name__}")
    if base:
        link = urljoin(base.rstrip("/") + "/", link)
    if not link.startswith(("http://", "https://")):
        got = "another scheme" if urlsplit(link).scheme else "a relative one: give fetched the base that it starts at"
        raise PayloadError(f"expected an http(s) or data link to the picture at {where}; got {got}")
    # Public: the link needs no key, and none is sent there.
    picture = yield Send("GET", link, purpose="download", public=True)
    return picture.body
