"""What every request of a local page passes: which host it names, the token in its path, headers that keep it apart."""

import ipaddress
import secrets
from collections.abc import Collection

from blackbox_conformal.gateway.guard import Application, Message, Receive, Send, host_name
from blackbox_conformal.support.local_servers import is_loopback_name

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

    The token is the first part of each path, so that a page's relative links carry it and no cookie is needed: a
    browser would send a cookie to the servers of all ports.

    Parameters
    ----------
    names
        Hosts, beside those of loopback, that a request may name. A page of another site, whose name was led to this
        machine, is so kept out.
    by_address
        Let a request also name any IP address, where the server listens at all addresses of the machine: a name that
        was led here is none.

    Attributes
    ----------
    token
        The first part of each path.
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
