"""Runs the application on a socket until SIGTERM; the only file that knows uvicorn."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from blackbox_conformal.errors import UsageError
from blackbox_conformal.serving.gateway import Gateway
from blackbox_conformal.serving.service import Service

_GRACE_S = 30
_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a certificate and its key, PEM."""

    certificate: Path
    key: Path | None


class Protocol(H11Protocol):
    """Takes little of a body at a time, so that of one that is too large hardly more than is allowed is read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        # What asyncio's own transports ask the system for at once; 256 KiB by default. Others go without.
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes; no more come until the application has taken them. By itself uvicorn keeps 64 KiB ready."""
        super().data_received(data)
        if self.cycle is not None and len(self.cycle.body) >= _READ_BYTES:
            self.flow.pause_reading()


class Server(uvicorn.Server):
    """Serves until it is told to end: then it finishes what runs, refuses what is new, and ends.

    Parameters
    ----------
    begun
        Gets the gateway when the application starts.
    on_start
        Called once requests are accepted.
    """

    def __init__(self, config: uvicorn.Config, begun: Sequence[Gateway], on_start: "Callable[[Server], None]") -> None:
        super().__init__(config)
        self._begun, self._on_start = begun, on_start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_start(self)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: told to, or a gateway can draw nothing more."""
        return await super().on_tick(counter) or any(gateway.runner.lost is not None for gateway in self._begun)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal; at the second send nothing more, and wait for what was sent."""
        if self._loop is None or not self._begun:
            raise KeyboardInterrupt
        # From the loop itself: raised here, it could end in whatever request is being answered, and be lost there.
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


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is a free one.

    Raises
    ------
    UsageError
        The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}. Give another --host or --port"
        ) from None


def run(service: Service, listening: socket.socket, tls: Tls | None, on_start: Callable[[Server], None]) -> None:
    """Serve until the process is told to end; `on_start` is called once requests are accepted.

    Raises
    ------
    BlackboxConformalError
        As `Service.opened`. LedgerError: it can draw nothing more; the next one goes on.
    """
    begun: list[Gateway] = []
    with service.opened(begun.append) as application:
        config = uvicorn.Config(
            application,
            http=Protocol,
            access_log=False,
            log_config=None,
            server_header=False,
            lifespan="on",
            # Other loops that uvicorn would take where they are installed read 256 KiB at a time.
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
