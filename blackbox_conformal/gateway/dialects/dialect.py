"""The contract of a dialect: the interface of one service, spoken to its unmodified clients. The mirror of an adapter.

A dialect knows a service's addresses, fields and answers. It knows nothing of the vendor, the calibration, threads,
money or the library that carries HTTP. A route reads like the service's documentation::

    async def create(self, gateway, http):
        body = http.json()
        order = Order(picture=body["image"], options=…, webhook=body.get("webhook"))
        request = await gateway.accept(http, "name", order)
        request = await gateway.ended(request, seconds=60)
        return json_answer(self.as_json(gateway, request))

Put unknown fields into `Order.options`: the gateway passes them on to the vendor, or refuses them by name.
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

_LARGEST_UNUSED = 64 * 1024  # Bytes of a body that nobody uses.


@dataclass(frozen=True, slots=True)
class Route:
    """One address that a dialect serves."""

    method: str
    path: str  # Open parts in braces: ``/v1/predictions/{id}``; one that may hold slashes: ``{model:path}``.
    handle: Handle
    summary: str  # One sentence on what the address does, for the description of the gateway.
    # JSON schema of the body by media type; ``*/*``: any type; empty: no body. A form or a body of any type may be as
    # large as the operator allows, another body less.
    takes: Mapping[str, Schema] = field(default_factory=dict)
    gives: Mapping[int, str] = field(default_factory=lambda: {200: "Done."})  # Status → its meaning.
    # Called with the request's head before its body is read; if it raises, the body is not read.
    before: Callable[[Gateway, HttpRequest], Awaitable[None]] | None = None

    def largest_body(self, most: int) -> int:
        """Return how many bytes the body may have, at most `most`."""
        # Files may be large, documents may not.
        if {"multipart/form-data", "*/*"} & self.takes.keys():
            return most
        return min(most, LARGEST_JSON if self.takes else _LARGEST_UNUSED)

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the open parts of a path that this route serves; None: it does not serve the path."""
        # A model's path may hold slashes, other parts may not.
        pattern = re.sub(r"{(\w+)(:path)?}", lambda part: f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


class Dialect(Plugin, ABC):
    """Base of every dialect; the file's name is the dialect's name."""

    documentation: ClassVar[str] = ""  # Where the service describes its interface.

    @abstractmethod
    def routes(self) -> tuple[Route, ...]:
        """Return every address that the dialect serves."""

    @abstractmethod
    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """Tell of a request as the service does, JSON-ready, whatever its state."""

    def refused(self, refusal: NotServedError) -> HttpAnswer:
        """Tell as the service does that a request is not served."""
        return refusal_answer(refusal)

    def message(self, gateway: Gateway, request: Request, event: str, number: str) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of a message to a webhook; `number` is the same for each try of one message."""
        return json.dumps(self.as_json(gateway, request)).encode(), {}
