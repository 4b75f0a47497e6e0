"""Pages on a free port of this machine, under an address that only who started them knows.

A page names its routes and never sees the web framework::

    routes = [
        Route("GET", "/", lambda http: page("view", ...)),
        Route("GET", "/pictures/{id}", pictures.answer),
        *asset_routes("blackbox_conformal.pages.viewer", "view.css", "view.js"),
    ]
    site = LocalSite(routes)
    site.run(lambda url: print(url))       # until Ctrl-C
    with site.running() as url: ...        # in a thread, for tests
"""

import contextlib
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Self

import uvicorn

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.application import PageHandle, pages
from blackbox_conformal.gateway.server import listen
from blackbox_conformal.pages.viewer.page_guard import PageGuard
from blackbox_conformal.support.local_servers import is_loopback_name

LARGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One address of a page.

    Attributes
    ----------
    path
        Open parts in braces: ``/pictures/{id}``. The page's own address is ``/``; links in it are relative.
    handle
        Answers a request, in a thread. What is not served it says by `NotServedError`.
    """

    method: str
    path: str
    handle: PageHandle


def guarded(
    routes: Sequence[PageRoute], names: Collection[str], largest_body: int = LARGEST_BODY, *, by_address: bool = False
) -> PageGuard:
    """The routes as an application behind a new token, which may be addressed by loopback and these names."""
    inner = pages([(route.method, route.path, route.handle) for route in routes], largest_body)
    return PageGuard(inner, secrets.token_urlsafe(24), names, by_address=by_address)


class LocalSite:
    """Routes on a port; listens as soon as it is made.

    Parameters
    ----------
    host, port
        Where to listen; port 0 is a free one.
    beyond_loopback
        Listen also where other machines reach it. Everybody who knows the address then sees all, unencrypted.
    names
        Hosts, beside loopback and `host`, by which it may be addressed.
    largest_body
        Bytes of a request's body.

    Attributes
    ----------
    url
        Address of the page at ``/``, with its token.

    Raises
    ------
    UsageError
        The address cannot be had, or other machines would reach it.
    """

    def __init__(
        self,
        routes: Sequence[PageRoute],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        beyond_loopback: bool = False,
        names: Collection[str] = (),
        largest_body: int = LARGEST_BODY,
    ) -> None:
        if not (beyond_loopback or is_loopback_name(host)):
            raise UsageError(
                f"expected an address of this machine alone, such as 127.0.0.1; got {host}, which other machines "
                "reach. Use ssh -L to look from elsewhere, or add --beyond-loopback"
            )
        self._listening = listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self._application = guarded(routes, [host, *names], largest_body, by_address=host in ("0.0.0.0", "::"))
        self.url = f"http://{shown}:{self._listening.getsockname()[1]}/{self._application.token}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more; needed where it is not served."""
        self._listening.close()

    def run(self, on_start: Callable[[str], None] = lambda _: None) -> None:
        """Serve until Ctrl-C or SIGTERM; `on_start` gets the address once requests are answered."""
        _Server(self._config(), lambda: on_start(self.url)).run([self._listening])

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve in a thread, for the ``with`` block, which gets the address."""
        started = threading.Event()
        server = _Server(self._config(), started.set)
        thread = threading.Thread(target=server.run, args=([self._listening],), name="local site", daemon=True)
        thread.start()
        try:
            if not started.wait(30):
                raise RuntimeError("the local site did not start")
            yield self.url
        finally:
            server.should_exit = True
            thread.join(30)

    def _config(self) -> uvicorn.Config:
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        return uvicorn.Config(
            self._application,
            access_log=False,
            log_config=None,
            server_header=False,
            lifespan="off",
            loop="asyncio",
            http="h11",
            ws="none",
            timeout_graceful_shutdown=2,
        )


class _Server(uvicorn.Server):
    """Ends at a signal without raising it again: who ends a local page ends it well."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; at the second signal at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
