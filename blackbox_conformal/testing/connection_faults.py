"""Faults of the connection: resets, half-closes, silence, and answers that come too slowly or not as HTTP."""

from typing import Any

from blackbox_conformal.testing.exchange import Exchange, fault


@fault
def ok(exchange: Exchange) -> None:
    """The vendor's regular answer."""
    exchange.send(exchange.work())


@fault
def reset_before_body(exchange: Exchange) -> None:
    """RST once the head has arrived, before the body is read."""
    exchange.reset()


@fault
def reset_while_body(exchange: Exchange, after: Any = 16) -> None:
    """RST after the first `after` bytes of the body."""
    exchange.connection.body(exchange.head, at_most=int(after))
    exchange.reset()


@fault
def reset_after_body(exchange: Exchange, billed: Any = True) -> None:
    """RST once everything was read (and the work done)."""
    exchange.read(billed=billed)
    exchange.reset()


@fault
def close_without_answer(exchange: Exchange, billed: Any = True) -> None:
    """FIN once everything was read (and the work done)."""
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
    """A right answer whose first byte comes late."""
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
    """A right answer whose status line and headers come byte by byte."""
    response = exchange.work()
    for byte in response.head():
        exchange.connection.send(bytes([byte]))
        exchange.pause(float(interval))
    exchange.connection.send(response.body)


@fault
def drip_body(exchange: Exchange, interval: Any = 0.1, size: Any = 1) -> None:
    """A right answer whose body comes in pieces of `size` bytes, each soon enough for a read timeout."""
    response = exchange.work()
    exchange.connection.send(response.head())
    step = int(size)
    for start in range(0, len(response.body), step):
        exchange.connection.send(response.body[start : start + step])
        exchange.pause(float(interval))


@fault
def half_head(exchange: Exchange, billed: Any = True) -> None:
    """Half a status line, then FIN."""
    exchange.read(billed=billed)
    exchange.connection.send(b"HTTP/1.1 20")
    exchange.close()


@fault
def not_http(exchange: Exchange, billed: Any = True) -> None:
    """Bytes of another protocol."""
    exchange.read(billed=billed)
    exchange.connection.send(b"220 mail.example ESMTP ready\r\n")
    exchange.close()


@fault
def endless_interim(exchange: Exchange, billed: Any = True) -> None:
    """``102 Processing`` for ever."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    while True:
        exchange.connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 64)
        exchange.pause(0.05)


@fault
def endless_headers(exchange: Exchange, billed: Any = True, limit: Any = 64 * 1024 * 1024) -> None:
    """A head that does not end."""
    exchange.read(billed=billed)
    exchange.keep_alive = False
    exchange.connection.send(b"HTTP/1.1 200 OK\r\n")
    line = b"X-Padding: " + b"x" * 4000 + b"\r\n"
    for _ in range(int(limit) // len(line)):
        exchange.connection.send(line)
    exchange.close()
