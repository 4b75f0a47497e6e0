"""One HTTP exchange as dialects see it, whatever library carries it."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.support.canonical import strict_json

LARGEST_JSON = 32 * 1024 * 1024  # Bytes, enough for a picture of 24 MB as a ``data:`` link.

MOST_MEMBERS = 10_000
"""Most commas and opening brackets in JSON: real bodies have dozens; each of millions would take a hundred bytes."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a form: the client's name and type, and the bytes."""

    name: str
    type: str
    content: bytes = field(repr=False)


Field = str | FormFile


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A client's request, read whole."""

    method: str
    path: str  # Percent-decoded, without the query.
    parameters: Mapping[str, str]  # The open parts of the route's path.
    query: Mapping[str, str]
    headers: Mapping[str, str]  # By names in small letters.
    owner: str  # Holder of the token; "" if none is needed.
    base: str  # Scheme and host by which the client reached the gateway, without a trailing slash.
    body: bytes = field(default=b"", repr=False)
    # Names and values of a form, in order; None: the body is no form.
    form: tuple[tuple[str, Field], ...] | None = None

    def json(self) -> dict[str, Any]:
        """Read the body as a JSON object."""
        if len(self.body) > LARGEST_JSON:
            raise NotServedError(413, f"expected at most {LARGEST_JSON} bytes of JSON; send the picture as a file")
        if sum(self.body.count(mark) for mark in (b",", b"[", b"{")) > MOST_MEMBERS:
            raise NotServedError(413, f"expected at most {MOST_MEMBERS} members of objects and lists in the body")
        try:
            value = strict_json(self.body)
            # Half of a surrogate pair is valid JSON, but no text that can be kept or sent.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError, FileFormatError):
            raise NotServedError(400, "expected a body of JSON, in UTF-8") from None
        if not isinstance(value, dict):
            raise NotServedError(400, f"expected a JSON object as body; got {type(value).__name__}")
        return value

    @property
    def preferences(self) -> dict[str, str]:
        """Read the header ``Prefer`` (RFC 7240): preference → value, "" without one."""
        parts = (part.strip().partition("=") for part in self.headers.get("prefer", "").split(","))
        return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts if name.strip()}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of the gateway; a body that comes bit by bit is sent as it comes."""

    status: int
    body: bytes | AsyncIterator[bytes] = field(repr=False)
    type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """Answer with this value as JSON."""
    return HttpAnswer(status, json.dumps(value).encode(), "application/json", headers or {})


def refusal_answer(refusal: NotServedError) -> HttpAnswer:
    """Answer as JSON that a request is not served."""
    return json_answer({"detail": refusal.message}, refusal.status, refusal.headers)
