"""A recorded exchange of an adapter: how it is built, and its vendor's answers in order."""

import base64
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from blackbox_conformal.vendor.adapter import Adapter, Answer

PICTURE = b"{picture}"
"""Placeholder for the finished picture's bytes in an answer's body."""

PICTURE_BASE64 = b"{picture-base64}"
"""Placeholder for the finished picture in base64."""

ADDRESS = b"{address}"
"""Placeholder for the address of the server that replays the exchange, as in ``http://127.0.0.1:8000``."""


@dataclass(frozen=True, slots=True)
class Example:
    """One draw, as the vendor's documentation tells it.

    `parameters`, `address`: What the adapter is built with, and the parameter (left out there) for the vendor's
      address.
    `answers`: The vendor's answers to the requests of one draw, in order.
    `environment`: Environment variables that the draw reads, such as the key; the values are made up.
    `polls`: Index in `answers` of the first answer that `resume` of the accepted job asks for; None = no jobs.
    `again`: How many of the first `answers`, such as a token's, `resume` asks for once more before polling.
    `quotes`, `published`: Answers to the requests of `quote` (empty = it cannot be asked) and of `inspect` (missing
      ones: HTTP 404).
    `cost_usd`: US dollars that `answers` say the draw cost; None = they do not say.
    `failures`: Answers of further draws. Each draw ends by a failure of the vendor that its documents tell. Their jobs
      have names of their own.
    `pauses`: Answers to the submission that ask in words to wait, with the seconds (at most 2) of each; Retry-After
      needs none.
    `cancelled`: The answer to the request that cancels a job, which says that it did.
    """

    parameters: Mapping[str, Any]
    answers: tuple[Answer, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = "url"
    polls: int | None = None
    again: int = 0
    quotes: tuple[Answer, ...] = ()
    published: tuple[Answer, ...] = ()
    cost_usd: Decimal | None = None
    failures: tuple[tuple[Answer, ...], ...] = ()
    pauses: tuple[tuple[float, Answer], ...] = ()
    cancelled: Answer = field(default_factory=lambda: says("{}"))

    def of_resume(self, answers: Sequence[Answer]) -> tuple[Answer, ...]:
        """Return the part of a draw's `answers` that `resume` of its job asks for."""
        return (*answers[: self.again], *answers[self.polls :])

    def filled(self, picture: bytes, address: str, answers: Sequence[Answer] | None = None) -> tuple[Answer, ...]:
        """Return `answers` (by default the draw's) with `picture` (encoded PNG) and `address` in their placeholders."""
        encoded = base64.b64encode(picture)
        return tuple(
            replace(
                answer,
                headers={name: value.replace(ADDRESS.decode(), address) for name, value in answer.headers.items()},
                body=answer.body.replace(ADDRESS, address.encode())
                .replace(PICTURE_BASE64, encoded)
                .replace(PICTURE, picture),
            )
            for answer in (self.answers if answers is None else answers)
        )


def example_of(kind: type[Adapter]) -> Example | None:
    """Return the exchange that an adapter shows: `example` on the class, else `EXAMPLE` in its module."""
    shown = getattr(kind, "example", None) or getattr(importlib.import_module(kind.__module__), "EXAMPLE", None)
    return shown if isinstance(shown, Example) else None


def says(document: bytes | str, status: int = 200, **headers: str) -> Answer:
    """Build a JSON answer; underscores in header names read as dashes."""
    body = document.encode() if isinstance(document, str) else document
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "application/json", **named}, body)


def shows(status: int = 200, **headers: str) -> Answer:
    """Build an answer whose body is the picture itself."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "image/png", **named}, PICTURE)
