"""Faults of an answer's body and framing: lengths that lie, bodies cut or without end, encodings that explode.

The head is always well-formed.
"""

import zlib
from typing import Any

from blackbox_conformal.testing.exchange import Exchange, fault
from blackbox_conformal.testing.pictures import WRONG_PICTURES
from blackbox_conformal.testing.raw_http import Head, Response


def _framed(exchange: Exchange, response: Response, body: bytes, framing: dict[str, str]) -> None:
    exchange.connection.send(response.head(framing=framing) + body)


@fault
def cut_length(exchange: Exchange, share: Any = 0.5) -> None:
    """A true Content-Length, and only a share of the body before FIN."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, kept, {"Content-Length": str(len(response.body))})
    exchange.close()


@fault
def length_too_long(exchange: Exchange, by: Any = 100) -> None:
    """The whole body under a Content-Length that promises more, then FIN."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(len(response.body) + int(by))})
    exchange.close()


@fault
def length_too_short(exchange: Exchange, by: Any = 100) -> None:
    """The whole body under a Content-Length that promises less."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(max(0, len(response.body) - int(by)))})
    exchange.close()


@fault
def declared_huge(exchange: Exchange, length: Any = 10 * 1000**3) -> None:
    """A Content-Length of 10 GB, and a stream that would deliver it."""
    response = exchange.work()
    exchange.keep_alive = False
    _framed(exchange, response, b"", {"Content-Length": str(length)})
    block = bytes(65536)
    for _ in range(int(length) // len(block)):
        exchange.connection.send(block)


@fault
def length_nonsense(exchange: Exchange, value: Any = "-1") -> None:
    """A Content-Length that is no length."""
    response = exchange.work()
    _framed(exchange, response, response.body, {"Content-Length": str(value)})
    exchange.close()


@fault
def chunked(exchange: Exchange, size: Any = 1000) -> None:
    """A right answer in chunks."""
    response = exchange.work()
    step = int(size)
    parts = [response.body[start : start + step] for start in range(0, len(response.body), step)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    _framed(exchange, response, body, {"Transfer-Encoding": "chunked"})


@fault
def cut_chunked(exchange: Exchange, share: Any = 0.5) -> None:
    """Chunks for a share of the body, then FIN without the last chunk."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, b"%x\r\n%b\r\n" % (len(kept), kept), {"Transfer-Encoding": "chunked"})
    exchange.close()


@fault
def endless_body(exchange: Exchange, limit: Any = 1024**3) -> None:
    """Chunks without end (until `limit` bytes were taken, so that a broken client fails instead of hanging)."""
    response = exchange.work()
    exchange.keep_alive = False
    _framed(exchange, response, b"", {"Transfer-Encoding": "chunked"})
    block = b"%x\r\n%b\r\n" % (65536, bytes(65536))
    for _ in range(int(limit) // 65536):
        exchange.connection.send(block)
    exchange.close()


@fault
def unframed_body(exchange: Exchange, share: Any = 1.0) -> None:
    """No length at all: the body (or a share of it) ends with the connection."""
    response = exchange.work()
    kept = response.body[: int(len(response.body) * float(share))]
    _framed(exchange, response, kept, {"Connection": "close"})
    exchange.close()


@fault
def gzip_bomb(exchange: Exchange, size: Any = 512 * 1024 * 1024) -> None:
    """`size` zero bytes, gzipped a thousandfold, as Content-Encoding, though the client did not ask for it."""
    response = exchange.work()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    body = b"".join(packer.compress(block) for _ in range(int(size) // len(block))) + packer.flush()
    exchange.send(Response(200, {**response.headers, "Content-Encoding": "gzip"}, body))


@fault
def stacked_encodings(exchange: Exchange, times: Any = 10) -> None:
    """The right body, gzipped `times` times over."""
    response = exchange.work()
    body = response.body
    for _ in range(int(times)):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
    encodings = ", ".join(["gzip"] * int(times))
    exchange.send(Response(200, {**response.headers, "Content-Encoding": encodings}, body))


@fault
def picture(exchange: Exchange, kind: Any) -> None:
    """A wrong picture: in the answer when the answer is a picture, else as the result of the job for ever."""
    response = exchange.work(picture=str(kind))
    if response.headers.get("Content-Type", "").startswith("image/"):
        response = Response(response.status, response.headers, WRONG_PICTURES[str(kind)](response.body))
    exchange.send(response)


def _without_range(exchange: Exchange) -> Response:
    """The whole answer to a request for a part."""
    head = exchange.head
    headers = {name: value for name, value in head.headers.items() if name not in ("range", "if-match")}
    return exchange.vendor.respond(Head(head.method, head.target, headers), exchange.body(), exchange.port, {})


@fault
def range_ignored(exchange: Exchange) -> None:
    """A request for a part, answered by the whole as if no range were known."""
    exchange.send(_without_range(exchange))


@fault
def range_of_another_version(exchange: Exchange, tag: Any = '"another"') -> None:
    """A part of the right place and length, of other bytes under another ETag."""
    part = exchange.work()
    exchange.send(Response(part.status, {**part.headers, "ETag": str(tag)}, bytes(len(part.body))))


@fault
def range_shifted(exchange: Exchange, by: Any = 1) -> None:
    """A part that begins elsewhere than it was asked for, and says so."""
    whole, shift = _without_range(exchange), int(by)
    start = int(exchange.head.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0]) - shift
    size = len(whole.body)
    headers = {**whole.headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
    exchange.send(Response(206, headers, whole.body[start:]))


@fault
def version_gone(exchange: Exchange) -> None:
    """412: the version that the client has the beginning of is no longer there."""
    exchange.body()
    exchange.send(Response(412))
