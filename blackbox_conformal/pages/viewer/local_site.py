"""Pages on a free port of this machine, at an address that is known only to the user who started them.

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
import ipaddress
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
from blackbox_conformal.gateway.guard import Application, Message, Receive, Send, host_name
from blackbox_conformal.gateway.server import listen
from blackbox_conformal.support.local_servers import is_loopback_name

# Checks of every request for a local page (host, token in the path), and headers that keep the page apart.

POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; worker-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A page's own scripts, styles and pictures, as files of this origin; nothing inline, nothing from elsewhere."""

_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class PageGuard:
    """An ASGI application around another, which sees paths without the token.

    The token is the first part of each path: a page's relative links carry it, and no cookie is needed. A browser would
    send a cookie to the servers of all ports.

    `names`: Hosts, beside loopback's, that a request may name: another site may lead its name to this machine, but its
      pages are kept out.
    `by_address`: Let a request also name any IP address, if the server listens at all addresses of the machine: a name
      that was led here is no IP address.
    `token`: The first part of each path.
    """

    def __init__(
        self, inner: Application, token: str, names: Collection[str] = (), *, by_address: bool = False
    ) -> None:
        self._inner, self.token, self._by_address = inner, token, by_address
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass; let others pass."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                own = [header for header in _HEADERS if header[0] not in given]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is None:
            path = scope["path"].removeprefix(f"/{self.token}")
            await self._inner({**scope, "path": path, "raw_path": path.encode()}, receive, sending)
            return
        body = refused[1].encode()
        kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await sending(
            {"type": "http.response.start", "status": refused[0], "headers": [*kind, (b"connection", b"close")]}
        )
        await sending({"type": "http.response.body", "body": body})

    def _refused(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host_name(host)
        if not (name in self._names or is_loopback_name(name) or (self._by_address and _is_address(name))):
            return 421, "This page is not served under that host name."
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"{scope['scheme']}://{host.lower()}":
            return 403, "Requests from pages of another site are not served."
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not (slash and secrets.compare_digest(token.encode(), self.token.encode())):
            return 404, "Open the whole address that the command printed: the part after the port is its key."
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


LARGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One address of a page."""

    method: str
    path: str  # Open parts in braces: ``/pictures/{id}``. The page's own address is ``/``; links in it are relative.
    handle: PageHandle  # Answers a request in a thread, or raises `NotServedError`.


def guarded(
    routes: Sequence[PageRoute], names: Collection[str], largest_body: int = LARGEST_BODY, *, by_address: bool = False
) -> PageGuard:
    """Return the routes as an application behind a new token, addressed by loopback and these names."""
    inner = pages([(route.method, route.path, route.handle) for route in routes], largest_body)
    return PageGuard(inner, secrets.token_urlsafe(24), names, by_address=by_address)


class LocalSite:
    """Routes on a port; listens as soon as it is made.

    `host`, `port`: Where to listen; port 0 is a free one.
    `beyond_loopback`: Listen also where other machines reach it. Everybody who knows the address then sees all,
      unencrypted.
    `names`: Hosts, beside loopback and `host`, by which it may be addressed.
    `largest_body`: Bytes of a request's body.
    `url`: Address of the page at ``/``, with its token.
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
        """Stop listening; a site that never runs needs this call."""
        self._listening.close()

    def run(self, on_start: Callable[[str], None] = lambda _: None) -> None:
        """Serve until Ctrl-C or SIGTERM; `on_start` gets the address once requests are answered."""
        _Server(self._config(), lambda: on_start(self.url)).run([self._listening])

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve in a thread during the ``with`` block, which gets the address."""
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
    """A server that ends at a signal without raising it again: a signal is the usual end of a local page."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; at the second signal at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
