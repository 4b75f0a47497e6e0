"""HTTP/1.1 on a bare socket: read requests, and write answers that may be wrong on purpose."""

import contextlib
import select
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024


class PeerGoneError(Exception):
    """The client closed or reset the connection."""


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers; header names are lower-case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """Return the target's path, without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Return the target's query; the last of equal names wins."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer before it is written: status, headers and body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def head(self, *, framing: Mapping[str, str] | None = None) -> bytes:
        """Return status line and headers; `framing` replaces the true Content-Length."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        fields = {**self.headers, **(framing if framing is not None else {"Content-Length": str(len(self.body))})}
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def bytes(self) -> bytes:
        """Return the whole answer, truthfully framed."""
        return self.head() + self.body

    def with_headers(self, **headers: str) -> "Response":
        """Return the same answer with more headers; underscores in names read as dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(self.status, {**self.headers, **more}, self.body)


class AcceptedSocket:
    """An accepted socket with a read buffer; every failure of the peer is a `PeerGoneError`."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = b""

    def receive(self) -> bytes:
        """Return the next bytes; empty at the end of the stream."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            return self.socket.recv(65536)
        except OSError as error:
            raise PeerGoneError(str(error)) from None

    def head(self) -> Head | None:
        """Return the next request's head; None if the client ends the connection between two requests."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.receive()
            if not more:
                return None
            data += more
            if len(data) > MAX_HEAD_BYTES and b"\r\n\r\n" not in data:
                raise PeerGoneError("request head too long")
        head, _, self._buffer = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3:
            raise PeerGoneError("not an HTTP request")
        pairs = (line.partition(":") for line in lines)
        return Head(parts[0], parts[1], {name.strip().lower(): value.strip() for name, _, value in pairs})

    def body(self, head: Head, *, at_most: int | None = None) -> bytes:
        """Return the request's body, or its first `at_most` bytes."""
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            return self._chunked()
        length = int(head.headers.get("content-length", "0") or 0)
        if length > MAX_BODY_BYTES:
            raise PeerGoneError("request body too long")
        return self._exactly(length if at_most is None else min(length, at_most))

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise PeerGoneError(str(error)) from None

    def shut_writing(self) -> None:
        """Half-close: the client sees the end of the stream, and may still write."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.socket.close()

    def close(self) -> None:
        """Close in both directions; this wakes a reading thread."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.socket.close()

    def left(self) -> bool:
        """Tell whether the client has ended the connection."""
        try:
            ready, _, _ = select.select([self.socket], [], [], 0)
            return bool(ready) and not self._buffer and not self.socket.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.receive()
            if not more:
                raise PeerGoneError("request body cut")
            data += more
        self._buffer = data[length:]
        return data[:length]

    def _line(self) -> bytes:
        data = b""
        while b"\r\n" not in data:
            more = self.receive()
            if not more:
                raise PeerGoneError("chunk line cut")
            data += more
        line, _, self._buffer = data.partition(b"\r\n")
        return line

    def _chunked(self) -> bytes:
        whole = b""
        while size := int(self._line().split(b";")[0], 16):
            whole += self._exactly(size + 2)[:-2]
            if len(whole) > MAX_BODY_BYTES:
                raise PeerGoneError("request body too long")
        self._line()
        return whole


def multipart(head: Head, body: bytes) -> dict[str, bytes]:
    """Read the fields of a ``multipart/form-data`` body, by name."""
    kind = head.headers.get("content-type", "")
    message = BytesParser().parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body)
    fields: dict[str, bytes] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload
    return fields
