"""One request at the fault server while it is being answered, and the register of faults that may answer it.

Each fault is a function of an `Exchange` in a `*_faults` module.
"""

import contextlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.member_text import parse
from blackbox_conformal.testing.raw_http import AcceptedSocket, Head, PeerGoneError, Response


class Vendor(Protocol):
    """What the fault server plays when nothing goes wrong."""

    def purpose(self, head: Head) -> str:
        """`submit`, `poll`, `download`, `lookup`, `cancel`, or anything else for requests that no fault meets."""

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """The regular answer; bills what the vendor would bill. `marks` spoil a job for the rest of its life."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name, with its parameters; `ok` is none."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """From ``name:key=value,key=value``."""
        name, parameters = parse(text)
        return cls(name, parameters)


class Exchange:
    """A request whose head has arrived: read its body, do the work, answer, or misbehave.

    Attributes
    ----------
    vendor
        The vendor that is being played.
    keep_alive
        Whether the connection serves another request afterwards.
    """

    def __init__(
        self, connection: AcceptedSocket, head: Head, purpose: str, vendor: Vendor, port: int, stopping: threading.Event
    ) -> None:
        self.connection = connection
        self.head = head
        self.purpose = purpose
        self.port = port
        self.keep_alive = head.headers.get("connection", "").lower() != "close"
        self.vendor = vendor
        self._stopping = stopping
        self._body: bytes | None = None
        self._response: Response | None = None

    def body(self) -> bytes:
        """The request's whole body."""
        if self._body is None:
            self._body = self.connection.body(self.head)
        return self._body

    def read(self, *, billed: Any) -> None:
        """Read the whole request and, if it is to be billed, do the work."""
        if yes(billed):
            self.work()
        else:
            self.body()

    def work(self, **marks: Any) -> Response:
        """The vendor's regular answer, made (and billed) once."""
        if self._response is None:
            self._response = self.vendor.respond(self.head, self.body(), self.port, marks)
        return self._response

    def send(self, response: Response) -> None:
        """Write a whole, truthful answer."""
        self.connection.send(response.bytes())

    def close(self) -> None:
        """End the connection with a FIN."""
        self.keep_alive = False
        self.connection.close()

    def reset(self) -> None:
        """End the connection with a RST."""
        self.keep_alive = False
        self.connection.reset()

    def pause(self, seconds: float) -> None:
        """Wait; ends early, with an error, when the client leaves or the server stops."""
        for _ in range(max(1, round(seconds / 0.05))):
            if self._stopping.wait(min(seconds, 0.05)) or self.connection.left():
                raise PeerGoneError("the client does not wait any more")


FaultFunction = Callable[..., None]
FAULTS: dict[str, FaultFunction] = {}
"""Every fault by name: called with the exchange, and with its parameters as keywords."""


def fault(function: FaultFunction) -> FaultFunction:
    """Register a fault under its function's name, with dashes."""
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def yes(value: Any) -> bool:
    """A switch as Python or as text."""
    return str(value).lower() in {"1", "true", "yes"}


def function_of(chosen: Fault) -> FaultFunction:
    """What plays `chosen`.

    Raises
    ------
    UsageError
        There is no such fault, it has no such parameter, or it needs one that is missing.
    """
    function = FAULTS.get(chosen.name)
    if function is None:
        raise UsageError(f"expected a fault among {', '.join(sorted(FAULTS))}; got {chosen.name!r}")
    try:
        inspect.signature(function).bind(None, **chosen.parameters)
    except TypeError as error:
        raise UsageError(f"expected {usage(chosen.name)}; got {chosen.name!r} with {error}") from None
    return function


def usage(name: str) -> str:
    """How a fault is written, with its parameters and their usual values."""
    _, *parameters = inspect.signature(FAULTS[name]).parameters.values()
    named = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    values = ["…" if each.default is inspect.Parameter.empty else str(each.default) for each in named]
    written = ",".join(f"{each.name}={value}" for each, value in zip(named, values, strict=True))
    return f"{name}:{written}" if written else name


def perform(chosen: Fault, exchange: Exchange) -> None:
    """Answer `exchange` by `chosen`; a fault that cannot be played raises as in `function_of`."""
    function = function_of(chosen)
    with contextlib.suppress(PeerGoneError):
        function(exchange, **chosen.parameters)
        return
    exchange.close()
