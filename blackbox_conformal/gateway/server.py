"""Runs the application on a socket until SIGTERM; no other file knows uvicorn."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.service import Service
from blackbox_conformal.support.descriptors import raise_descriptor_limit

# Connections of clients: how many may stand open, how long each may take, and which one makes room for another.

HEAD_S, BODY_S = 20.0, 300.0
"""Seconds that a request's head and body may take."""

STALL_S, LEAST_READ = 30.0, 4096
"""In this many seconds a client must read this many bytes of an answer."""

ACCEPTED_AT_ONCE = 32  # Connections accepted before others are closed to make room.
MOST = 4096  # Most open connections, however many descriptors there are.

_KEPT, _KEPT_A_DRAW = 128, 4
"""Descriptors kept for the book, the ledger and libraries; and for each draw's connection and files."""

_LEAST = 3 * ACCEPTED_AT_ONCE
_BACKLOG = 2048
_READ_BYTES = 16 * 1024
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def connections_within(descriptors: int, draws_at_once: int) -> int:
    """Return how many connections may be open with this many descriptors."""
    kept = _KEPT + _KEPT_A_DRAW * draws_at_once
    if descriptors < kept + _LEAST:
        raise UsageError(
            f"expected a limit of at least {kept + _LEAST} open files, of which {draws_at_once} draws at once need "
            f"{kept}; got {descriptors}. Raise it (ulimit -n {kept + _LEAST}, or LimitNOFILE), or lower --concurrency"
        )
    return min(MOST, descriptors - kept)


class Listening(socket.socket):
    """A listening socket that counts its connections, even before TLS.

    Beyond `most` open connections, it ends the one that has waited longest for a request.
    """

    most = MOST

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(fileno=listening.detach())
        self._waiting: dict[int, socket.socket] = {}
        self._busy: dict[int, socket.socket] = {}

    def listen(self, backlog: int = _BACKLOG, /) -> None:
        """Listen with a longer queue than asyncio's `backlog`, which also says how many it accepts at once."""
        super().listen(_BACKLOG)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and end another if needed."""
        try:
            connection, address = super().accept()
        except OSError as error:
            # Other code took the descriptors; where one gets free, asyncio need not stand still and log an error.
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._end_longest():
                raise BlockingIOError from None
            raise
        number = connection.fileno()
        self._busy.pop(number, None)
        self._waiting.pop(number, None)
        self._waiting[number] = connection
        if len(self._waiting) + len(self._busy) > self.most:
            self._waiting, self._busy = _open(self._waiting), _open(self._busy)
            # The newest one stays: if all others have requests, it can be answered 503.
            if len(self._waiting) + len(self._busy) > self.most and len(self._waiting) > 1:
                self._end_longest()
        return connection, address

    def _end_longest(self) -> bool:
        for number in self._waiting:
            with contextlib.suppress(OSError):
                self._waiting.pop(number).shutdown(socket.SHUT_RDWR)
            return True
        return False

    def begins(self, number: int) -> None:
        """Note that the connection of this descriptor has a request."""
        if number in self._waiting:
            self._busy[number] = self._waiting.pop(number)

    def waits(self, number: int) -> None:
        """Note that the connection of this descriptor waits for a request, or is being closed."""
        if number in self._busy:
            self._waiting[number] = self._busy.pop(number)


def _open(connections: dict[int, socket.socket]) -> dict[int, socket.socket]:
    return {number: connection for number, connection in connections.items() if connection.fileno() == number}


class Protocol(H11Protocol):
    """HTTP on one connection, which ends if the client is too slow.

    Takes little of a body at a time, so it reads hardly more of a large body than is allowed.
    """

    listening: ClassVar[Listening]  # The socket that accepted the connection; each server sets it in its own subclass.
    _number = -1
    _stage: type | None = None
    _clock: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Asyncio's own transports ask the system for 256 KiB at once by default. Other transports keep their size.
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        super().connection_made(transport)
        self._number = transport.get_extra_info("socket").fileno()
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._number = -1
        _cancel(self._clock, self._reading)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and no more until the application has them; uvicorn alone would keep 64 KiB ready."""
        super().data_received(data)
        if self.cycle is not None and len(self.cycle.body) >= _READ_BYTES:
            self.flow.pause_reading()

    def handle_events(self) -> None:
        """Handle the bytes that have come, of this request or the next."""
        super().handle_events()
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def _follow(self) -> None:
        # The clock limits how long the client may take to send its part.
        stage = h11.CLOSED if self.transport.is_closing() else self.conn.their_state
        if stage is self._stage:
            return
        self._stage = stage
        _cancel(self._clock)
        if stage in (h11.IDLE, h11.CLOSED):
            self.listening.waits(self._number)
        else:
            self.listening.begins(self._number)
        if stage is h11.IDLE:
            self._clock = self.loop.call_later(HEAD_S, self._end_slow)
        elif stage is h11.SEND_BODY:
            self._clock = self.loop.call_later(BODY_S, self._end_slow)

    def _end_slow(self) -> None:
        if self.flow.read_paused:
            # Bytes of the client wait for the gateway, so the client is not slow.
            self._clock = self.loop.call_later(BODY_S, self._end_slow)
            return
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and (self._stage is h11.SEND_BODY or self.conn.trailing_data[0]):
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def pause_writing(self) -> None:
        """Watch that the client goes on reading."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(STALL_S, self._end_stalled)

    def resume_writing(self) -> None:
        _cancel(self._reading)
        super().resume_writing()

    def _end_stalled(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._unsent - unsent < LEAST_READ:
            self.transport.abort()
            return
        self._unsent = unsent
        self._reading = self.loop.call_later(STALL_S, self._end_stalled)


def _cancel(*clocks: asyncio.TimerHandle | None) -> None:
    for clock in clocks:
        if clock is not None:
            clock.cancel()


_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a certificate and its key, PEM."""

    certificate: Path
    key: Path | None


class Server(uvicorn.Server):
    """A server that runs until told to end; then it finishes running requests and refuses new ones.

    `begun`: Gets the gateway when the application starts.
    `on_start`: Called once requests are accepted.
    """

    def __init__(self, config: uvicorn.Config, begun: Sequence[Gateway], on_start: "Callable[[Server], None]") -> None:
        super().__init__(config)
        self._begun, self._on_start = begun, on_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_start(self)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: told to, or a gateway can draw nothing more."""
        return await super().on_tick(counter) or any(gateway.runner.lost is not None for gateway in self._begun)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal; at the second send nothing more, and wait for draws already sent."""
        if self._loop is None or not self._begun:
            raise KeyboardInterrupt
        # The loop raises the interrupt: raised here, it could land in a request that is being answered, and be lost.
        self._loop.call_soon_threadsafe(_interrupt if self._asked else self._drain)
        self._asked = True

    def _drain(self) -> None:
        self._draining = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        for gateway in self._begun:
            await gateway.runner.drain()
        self.should_exit = True


def _interrupt() -> None:
    raise KeyboardInterrupt


def listen(host: str, port: int) -> Listening:
    """Open a listening socket; port 0 is a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return Listening(socket.create_server((host, port), family=family))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}. Give another --host or --port"
        ) from None


def run(service: Service, listening: Listening, tls: Tls | None, on_start: Callable[[Server], None]) -> None:
    """Serve until the process is told to end; `on_start` is called once requests are accepted."""
    begun: list[Gateway] = []
    descriptors = raise_descriptor_limit()
    with service.opened(begun.append) as (application, draws_at_once):
        most = connections_within(descriptors, draws_at_once)
        # Idle connections make room before all are busy and uvicorn answers 503.
        listening.most = most * 2 // 3
        config = uvicorn.Config(
            application,
            http=type("Protocol", (Protocol,), {"listening": listening}),
            limit_concurrency=most,
            backlog=ACCEPTED_AT_ONCE,
            # Whom an address belongs to decides nothing here, and behind a proxy links begin with --public-url.
            proxy_headers=False,
            access_log=False,
            log_config=None,
            server_header=False,
            lifespan="on",
            # Other installed loops that uvicorn would take read 256 KiB at a time.
            loop="asyncio",
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=None if tls is None else str(tls.certificate),
            ssl_keyfile=None if tls is None or tls.key is None else str(tls.key),
        )
        Server(config, begun, on_start).run([listening])
        for gateway in begun:
            if gateway.runner.lost is not None:
                raise gateway.runner.lost
