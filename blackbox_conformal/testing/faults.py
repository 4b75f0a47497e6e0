"""Every fault of the fault server: a function of an `Exchange`, which is one request while it is answered."""

import contextlib
import inspect
import json
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.catalog import parse
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.pictures import WRONG_PICTURES
from blackbox_conformal.testing.raw_http import AcceptedSocket, Head, PeerGoneError, Response


class Vendor(Protocol):
    """A vendor for the fault server to play when nothing goes wrong."""

    def purpose(self, head: Head) -> str:
        """Return `submit`, `poll`, `download`, `lookup`, `cancel`, or other text for requests that no fault meets."""

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        """Return and bill the regular answer. `marks` spoil a job for the rest of its life."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name, with its parameters; `ok` is none."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read ``name:key=value,key=value``."""
        name, parameters = parse(text)
        return cls(name, parameters)


class Exchange:
    """A request with its head read, from a `vendor`'s client: read the body, work, answer, or misbehave.

    `keep_alive`: the connection serves another request afterwards.
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
        """Return the request's whole body."""
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
        """Return the vendor's regular answer, made (and billed) once."""
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
        """Wait; end early, with an error, if the client leaves or the server stops."""
        # In short steps, so that a leaving client or a stopped server ends the wait.
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
    """Read a switch, a Python value or text."""
    return str(value).lower() in {"1", "true", "yes"}


def function_of(chosen: Fault) -> FaultFunction:
    function = FAULTS.get(chosen.name)
    if function is None:
        raise UsageError(f"expected a fault among {', '.join(sorted(FAULTS))}; got {chosen.name!r}")
    try:
        # Bound without a call: wrong parameters are refused before any request.
        inspect.signature(function).bind(None, **chosen.parameters)
    except TypeError as error:
        raise UsageError(f"expected {usage(chosen.name)}; got {chosen.name!r} with {error}") from None
    return function


def usage(name: str) -> str:
    """Show how to write a fault, with its parameters and their usual values."""
    _, *parameters = inspect.signature(FAULTS[name]).parameters.values()
    named = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    values = ["…" if each.default is inspect.Parameter.empty else str(each.default) for each in named]
    written = ",".join(f"{each.name}={value}" for each, value in zip(named, values, strict=True))
    return f"{name}:{written}" if written else name


def perform(chosen: Fault, exchange: Exchange) -> None:
    """Answer `exchange` by `chosen`; a fault that cannot be played raises as in `function_of`."""
    function = function_of(chosen)
    with contextlib.suppress(PeerGoneError):
        # Many faults are about a client that has gone.
        function(exchange, **chosen.parameters)
        return
    exchange.close()


# Faults of the connection: resets, half-closes, silence, and answers that come too slowly or not as HTTP.


@fault
def ok(exchange: Exchange) -> None:
    """Send the vendor's regular answer."""
    exchange.send(exchange.work())


@fault
def reset_before_body(exchange: Exchange) -> None:
    """Send RST after the head has arrived, before the body is read."""
    exchange.reset()


@fault
def reset_while_body(exchange: Exchange, after: Any = 16) -> None:
    """Send RST after the first `after` bytes of the body."""
    exchange.connection.body(exchange.head, at_most=int(after))
    exchange.reset()


@fault
def reset_after_body(exchange: Exchange, billed: Any = True) -> None:
    """Send RST after everything was read (and the work done)."""
    exchange.read(billed=billed)
    exchange.reset()


@fault
def close_without_answer(exchange: Exchange, billed: Any = True) -> None:
    """Send FIN after everything was read (and the work done)."""
    exchange.read(billed=billed)
    exchange.close()


@fault
def half_close(exchange: Exchange, billed: Any = True, seconds: Any = 60.0) -> None:
    """Stop writing after the request was read, and go on reading: the connection stays half open."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    exchange.connection.shut_writing()
    exchange.pause(float(seconds))


@fault
def close_after_answer(exchange: Exchange) -> None:
    """Answer as if the connection were kept alive, then close it under the client."""
    exchange.send(exchange.work())
    exchange.close()


@fault
def reset_after_answer(exchange: Exchange, seconds: Any = 0.05) -> None:
    """Answer as if the connection were kept alive, then reset it while it idles."""
    exchange.send(exchange.work())
    exchange.pause(float(seconds))
    exchange.reset()


@fault
def slow_start(exchange: Exchange, seconds: Any = 1.0) -> None:
    """Send a right answer whose first byte comes late."""
    response = exchange.work()
    exchange.pause(float(seconds))
    exchange.send(response)


@fault
def never_answers(exchange: Exchange, billed: Any = True, seconds: Any = 3600.0) -> None:
    """Read everything, do the work, say nothing."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    exchange.pause(float(seconds))
    exchange.close()


@fault
def drip_headers(exchange: Exchange, interval: Any = 0.1) -> None:
    """Send a right answer whose status line and headers come byte by byte."""
    response = exchange.work()
    for byte in response.head():
        exchange.connection.send(bytes([byte]))
        exchange.pause(float(interval))
    exchange.connection.send(response.body)


@fault
def drip_body(exchange: Exchange, interval: Any = 0.1, size: Any = 1) -> None:
    """Send a right answer whose body comes in pieces of `size` bytes, each soon enough for a read timeout."""
    response = exchange.work()
    exchange.connection.send(response.head())
    step = int(size)
    for start in range(0, len(response.body), step):
        exchange.connection.send(response.body[start : start + step])
        exchange.pause(float(interval))


@fault
def half_head(exchange: Exchange, billed: Any = True) -> None:
    """Send half a status line, then FIN."""
    exchange.read(billed=billed)
    exchange.connection.send(b"HTTP/1.1 20")
    exchange.close()


@fault
def not_http(exchange: Exchange, billed: Any = True) -> None:
    """Send bytes of another protocol."""
    exchange.read(billed=billed)
    exchange.connection.send(b"220 mail.example ESMTP ready\r\n")
    exchange.close()


@fault
def endless_interim(exchange: Exchange, billed: Any = True) -> None:
    """Send ``102 Processing`` for ever."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    while True:
        exchange.connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 64)
        exchange.pause(0.05)


@fault
def endless_headers(exchange: Exchange, billed: Any = True, limit: Any = 64 * 1024 * 1024) -> None:
    """Send a head that does not end."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    exchange.connection.send(b"HTTP/1.1 200 OK\r\n")
    line = b"X-Padding: " + b"x" * 4000 + b"\r\n"
    for _ in range(int(limit) // len(line)):
        exchange.connection.send(line)
    exchange.close()


# Faults of an answer's body and framing: lengths that lie, bodies cut or without end, encodings that explode.


def _framed(exchange: Exchange, response: Response, body: bytes, framing: dict[str, str]) -> None:
    exchange.connection.send(response.head(framing=framing) + body)


@fault
def cut_length(exchange: Exchange, share: Any = 0.5) -> None:
    """Send a true Content-Length, and only a share of the body before FIN."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, kept, {"Content-Length": str(len(response.body))})
    exchange.close()


@fault
def length_too_long(exchange: Exchange, by: Any = 100) -> None:
    """Send the whole body under a Content-Length that promises more, then FIN."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(len(response.body) + int(by))})
    exchange.close()


@fault
def length_too_short(exchange: Exchange, by: Any = 100) -> None:
    """Send the whole body under a Content-Length that promises less."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(max(0, len(response.body) - int(by)))})
    exchange.close()


@fault
def declared_huge(exchange: Exchange, length: Any = 10 * 1000**3) -> None:
    """Send a Content-Length of 10 GB, and a stream that would deliver it."""
    response = exchange.work()
    exchange.keep_alive = False
    _framed(exchange, response, b"", {"Content-Length": str(length)})
    block = bytes(65536)
    # Enough for any client to give up; memory never holds a body.
    for _ in range(int(length) // len(block)):
        exchange.connection.send(block)


@fault
def length_nonsense(exchange: Exchange, value: Any = "-1") -> None:
    """Send a Content-Length that is no length."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(value)})
    exchange.close()


@fault
def chunked(exchange: Exchange, size: Any = 1000) -> None:
    """Send a right answer in chunks."""
    response = exchange.work()
    step = int(size)
    parts = [response.body[start : start + step] for start in range(0, len(response.body), step)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    _framed(exchange, response, body, {"Transfer-Encoding": "chunked"})


@fault
def cut_chunked(exchange: Exchange, share: Any = 0.5) -> None:
    """Send chunks for a share of the body, then FIN without the last chunk."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, b"%x\r\n%b\r\n" % (len(kept), kept), {"Transfer-Encoding": "chunked"})
    exchange.close()


@fault
def endless_body(exchange: Exchange, limit: Any = 1024**3) -> None:
    """Send chunks without end (up to `limit` bytes, so that a broken client fails instead of hanging)."""
    response = exchange.work()
    exchange.keep_alive = False
    _framed(exchange, response, b"", {"Transfer-Encoding": "chunked"})
    block = b"%x\r\n%b\r\n" % (65536, bytes(65536))
    for _ in range(int(limit) // 65536):
        exchange.connection.send(block)
    exchange.close()


@fault
def unframed_body(exchange: Exchange, share: Any = 1.0) -> None:
    """Send no length: the body (or a share) ends with the connection."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, kept, {"Connection": "close"})
    exchange.close()


@fault
def gzip_bomb(exchange: Exchange, size: Any = 512 * 1024 * 1024) -> None:
    """Send `size` zero bytes, gzipped a thousandfold, as Content-Encoding, although the client did not ask for it."""
    response = exchange.work()
    # 31 asks for a gzip header, as Content-Encoding has it.
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    body = b"".join(packer.compress(block) for _ in range(int(size) // len(block))) + packer.flush()
    exchange.send(Response(200, {**response.headers, "Content-Encoding": "gzip"}, body))


@fault
def stacked_encodings(exchange: Exchange, times: Any = 10) -> None:
    """Send the right body, gzipped `times` times over."""
    response = exchange.work()
    body = response.body
    for _ in range(int(times)):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
    encodings = ", ".join(["gzip"] * int(times))
    exchange.send(Response(200, {**response.headers, "Content-Encoding": encodings}, body))


@fault
def picture(exchange: Exchange, kind: Any) -> None:
    """Send a wrong picture: as the answer if that is a picture, else as the job's result for ever."""
    response = exchange.work(picture=str(kind))
    if response.headers.get("Content-Type", "").startswith("image/"):
        response = Response(response.status, response.headers, WRONG_PICTURES[str(kind)](response.body))
    exchange.send(response)


def _without_range(exchange: Exchange) -> Response:
    head = exchange.head
    headers = {name: value for name, value in head.headers.items() if name not in ("range", "if-match")}
    return exchange.vendor.respond(Head(head.method, head.target, headers), exchange.body(), exchange.port, {})


@fault
def range_ignored(exchange: Exchange) -> None:
    """Answer a request for a part by the whole, as if no range were known."""
    exchange.send(_without_range(exchange))


@fault
def range_of_another_version(exchange: Exchange, tag: Any = '"another"') -> None:
    """Send a part of the right place and length, but of other bytes under another ETag."""
    part = exchange.work()
    # As many bytes, all zero: only the ETag tells of another version.
    exchange.send(Response(part.status, {**part.headers, "ETag": str(tag)}, bytes(len(part.body))))


@fault
def range_shifted(exchange: Exchange, by: Any = 1) -> None:
    """Send a part that begins elsewhere than asked, and says so."""
    whole, shift = _without_range(exchange), int(by)
    start = int(exchange.head.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0]) - shift
    size = len(whole.body)
    headers = {**whole.headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
    exchange.send(Response(206, headers, whole.body[start:]))


@fault
def version_gone(exchange: Exchange) -> None:
    """Send 412: the version of the client's first part is gone."""
    exchange.body()
    exchange.send(Response(412))


# Faults of the answer itself: statuses, texts, redirects, links that expire, jobs that misbehave, models that change.

CAPTIVE_PORTAL = (
    b"<!doctype html><html><head><title>Free Wi-Fi</title></head>"
    b"<body><form action='/login'>Accept the terms to go on.</form></body></html>"
)
HOSTILE_TEXT = (
    "<img src=x onerror=alert(1)><script>alert('vendor')</script> \x1b[2J\x1b[31mred\x1b]0;title\x07 "
    "[bold]markup[/bold] =cmd|'/c calc'!A1 \u202egnp.exe"
)
"""A vendor's message that attacks pages, terminals, rich markup, spreadsheets and readers at once."""


@fault
def status(
    exchange: Exchange,
    code: Any,
    message: Any = "the fault server says no",
    kind: Any = "application/json",
    billed: Any = False,
    after: Any = 0,
    **headers: Any,
) -> None:
    """Send any status with a JSON (or other) message and more headers, `after` seconds; `billed`: the work was done."""
    exchange.read(billed=billed)
    if float(after):
        exchange.pause(float(after))
    text = json.dumps({"error": {"message": str(message)}}) if kind == "application/json" else str(message)
    response = Response(int(code), {"Content-Type": str(kind), "X-Request-Id": "fault-1"}, text.encode())
    exchange.send(response.with_headers(**{name: str(value) for name, value in headers.items()}))


@fault
def hostile_message(exchange: Exchange, code: Any = 422) -> None:
    """Send a refusal whose message attacks the program that shows it."""
    status(exchange, code, message=HOSTILE_TEXT)


@fault
def json_error(exchange: Exchange, message: Any = "model overloaded", billed: Any = False) -> None:
    """Send 200 with an error object in place of the picture."""
    status(exchange, 200, message=message, billed=billed)


@fault
def captive_portal(exchange: Exchange) -> None:
    """Send 200 with a login page; the vendor never saw the request."""
    exchange.body()
    exchange.send(Response(200, {"Content-Type": "text/html; charset=utf-8"}, CAPTIVE_PORTAL))


@fault
def redirect(exchange: Exchange, location: Any, code: Any = 302, billed: Any = False) -> None:
    """Send a redirect to `location`; ``{port}`` in it is this server's port."""
    exchange.read(billed=billed)
    exchange.send(Response(int(code), {"Location": str(location).replace("{port}", str(exchange.port))}))


@fault
def redirect_loop(exchange: Exchange, code: Any = 302) -> None:
    """Send a redirect to the same address."""
    exchange.body()
    exchange.send(Response(int(code), {"Location": exchange.head.target}))


@fault
def mark(exchange: Exchange, **marks: Any) -> None:
    """Send a regular answer that spoils the job for the rest of its life; `fault_vendor` lists the marks."""
    exchange.send(exchange.work(**marks))


@fault
def model(exchange: Exchange, name: Any = "fault-vendor-2") -> None:
    """Send a regular answer from another model; every later answer comes from it too."""
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.model = str(name)
    exchange.send(exchange.work())


@fault
def replayed_error(exchange: Exchange, code: Any = 500) -> None:
    """Send an error that the vendor stores under the idempotency key and replays for every later attempt."""
    body = json.dumps({"error": {"message": "the first attempt failed"}}).encode()
    response = Response(int(code), {"Content-Type": "application/json"}, body)
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.remember(exchange.head, response)
    exchange.body()
    exchange.send(response)


@fault
def expired_link(exchange: Exchange, code: Any = 403) -> None:
    """Let the link die; reading the job again gives a new one."""
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.expire(exchange.head)
    exchange.body()
    exchange.send(Response(int(code), {"Content-Type": "application/xml"}, b"<Error>Request has expired</Error>"))
