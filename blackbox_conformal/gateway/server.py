"""Runs the application on a socket until SIGTERM; with `connections` alone in knowing uvicorn."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.connections import ACCEPTED_AT_ONCE, Listening, Protocol, connections_within
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.service import Service
from blackbox_conformal.support.descriptors import raise_descriptor_limit

_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a certificate and its key, PEM."""

    certificate: Path
    key: Path | None


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


def listen(host: str, port: int) -> Listening:
    """A socket that listens; port 0 is a free one.

    Raises
    ------
    UsageError
        The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return Listening(socket.create_server((host, port), family=family))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}. Give another --host or --port"
        ) from None


def run(service: Service, listening: Listening, tls: Tls | None, on_start: Callable[[Server], None]) -> None:
    """Serve until the process is told to end; `on_start` is called once requests are accepted.

    Raises
    ------
    BlackboxConformalError
        As `Service.opened`. LedgerError: it can draw nothing more; the next one goes on. UsageError: the process may
        have too few files and connections open.
    """
    begun: list[Gateway] = []
    descriptors = raise_descriptor_limit()
    with service.opened(begun.append) as (application, draws_at_once):
        most = connections_within(descriptors, draws_at_once)
        # Those that wait for a request make room for others before all are busy, and uvicorn answers 503.
        listening.most = most * 2 // 3
        config = uvicorn.Config(
            application,
            http=type("Protocol", (Protocol,), {"listening": listening}),
            limit_concurrency=most,
            backlog=ACCEPTED_AT_ONCE,
            # Whom an address belongs to decides nothing here, and links begin with --public-url where a proxy stands.
            proxy_headers=False,
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
