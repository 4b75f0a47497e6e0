"""The contract of a dialect: the interface of one service, spoken to its unmodified clients. The mirror of an adapter.

A dialect knows a service's addresses, fields and answers, and nothing of the vendor, the calibration, threads, money or
the library that carries HTTP. A route reads like the service's documentation::

    async def create(self, gateway, http):
        body = http.json()
        order = Order(picture=body["image"], options=…, webhook=body.get("webhook"))
        request = await gateway.accept(http, "name", order)
        request = await gateway.ended(request, seconds=60)
        return json_answer(self.as_json(gateway, request))

Fields that it does not know go into `Order.options`: the gateway passes them on to the vendor or refuses them by name.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.http_exchange import LARGEST_JSON, HttpAnswer, HttpRequest, refusal_answer
from blackbox_conformal.gateway.request import NotServedError, Request
from blackbox_conformal.support.catalog import Plugin

Handle = Callable[[Gateway, HttpRequest], Awaitable[HttpAnswer]]
Schema = Mapping[str, Any]

_LARGEST_UNUSED = 64 * 1024
"""Bytes of a body that nothing is made of."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address that a dialect serves.

    Attributes
    ----------
    path
        Open parts in braces: ``/v1/predictions/{id}``; one that may hold slashes: ``{model:path}``.
    summary
        What it does, one sentence, for the description of the gateway.
    takes
        JSON schema of the body by media type; ``*/*`` is any; empty: it takes none. A body of a form, or of any type,
        may be as large as the gateway was told, others less.
    before
        Called with the head of the request before its body is read, which it spares where it raises.
    gives
        What each status means.
    """

    method: str
    path: str
    handle: Handle
    summary: str
    takes: Mapping[str, Schema] = field(default_factory=dict)
    gives: Mapping[int, str] = field(default_factory=lambda: {200: "Done."})
    before: Callable[[Gateway, HttpRequest], Awaitable[None]] | None = None

    def largest_body(self, most: int) -> int:
        """Bytes that the body may have, at most `most`."""
        # Files may be large, documents may not.
        if {"multipart/form-data", "*/*"} & self.takes.keys():
            return most
        return min(most, LARGEST_JSON if self.takes else _LARGEST_UNUSED)

    def parameters(self, path: str) -> dict[str, str] | None:
        """The open parts of a path that this route serves; None where it does not."""
        # The path of a model may hold slashes, other parts may not.
        pattern = re.sub(r"{(\w+)(:path)?}", lambda part: f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


class Dialect(Plugin, ABC):
    """Base of every dialect; the file's name is the dialect's name."""

    documentation: ClassVar[str] = ""
    """Where the service describes its interface."""

    @abstractmethod
    def routes(self) -> tuple[Route, ...]:
        """Every address that it serves."""

    @abstractmethod
    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """A request as the service tells of it, JSON-ready, whatever its state."""

    def refused(self, refusal: NotServedError) -> HttpAnswer:
        """A request that is not served, as the service says it."""
        return refusal_answer(refusal)

    def message(self, gateway: Gateway, request: Request, event: str, number: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a message to a webhook; `number` is the same for each try of one message."""
        return json.dumps(self.as_json(gateway, request)).encode(), {}
