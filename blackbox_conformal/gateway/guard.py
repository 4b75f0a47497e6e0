"""Checks every request before its body is read: host, origin, token. Writes log and spans."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from h11 import LocalProtocolError

from blackbox_conformal.gateway.logs import Tell, span
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.support.local_servers import is_loopback_name

LOG = logging.getLogger("blackbox_conformal.gateway.requests")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = ("/healthz", "/readyz", "/.well-known/jwks.json")
"""Addresses that need no token, for supervisors and receivers of webhooks; they tell no secret."""

_BY_LINK = ("GET", "HEAD", "PUT")  # A link to a file allows getting it, or sending an announced one.

_READ_OFF_BYTES, _READ_OFF_SECONDS = 1024 * 1024, 2.0
"""How much is read of a refused request's body."""


class Guard:
    """An ASGI application around another.

    `hosts`: Names of the gateway, beside loopback's if it listens there: another site may lead its name to this
      machine, but its pages are kept out.
    `loopback`: Whether the server listens on loopback.
    """

    def __init__(self, inner: Application, tokens: Tokens, hosts: Collection[str], *, loopback: bool) -> None:
        self._inner, self._tokens, self._loopback = inner, tokens, loopback
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer requests that may not pass, and log all."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        with span(scope["method"], "server", headers) as tell:
            await self._served(scope, headers, receive, send, tell)

    async def _served(
        self, scope: Message, headers: Mapping[str, str], receive: Receive, send: Send, tell: Tell
    ) -> None:
        started, status, answered = time.monotonic(), 500, False

        async def sending(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"default-src 'none'")]
                if status == 413:
                    # Otherwise the server would go on reading the body.
                    extra.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            if answered:
                return
            try:
                await send(message)
            except LocalProtocolError as error:
                # The server itself answers a body that breaks HTTP, and then sends nothing more.
                answered = "role=SERVER and state=" in str(error)
                if not answered:
                    raise
                status = 400

        refused = self._refused(scope, headers)
        try:
            if refused is None:
                await self._inner(scope, receive, sending)
            else:
                await read_off(receive)
                await _answer(sending, *refused)
        finally:
            method, route = scope["method"], scope.get("blackbox_conformal.route", "")
            attributes = {"http__request__method": method, "http__route": route, "http__response__status_code": status}
            tell(f"{method} {route}".strip(), **attributes)
            LOG.info(
                "%s %s %d",
                method,
                route or "-",
                status,
                extra={
                    "method": method,
                    "route": route,
                    "status": status,
                    "seconds": round(time.monotonic() - started, 4),
                    "owner": scope.get("blackbox_conformal.owner", ""),
                },
            )

    def _refused(self, scope: Message, headers: Mapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host_name(host)
        if not (name in self._hosts or (self._loopback and is_loopback_name(name))):
            return 421, "this gateway is not served under that host name; start it with --host-name NAME"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "requests from pages of another site are not served"
        authorization = headers.get("authorization", "")
        owner = ""
        if self._tokens.required:
            found = self._tokens.owner(authorization)
            # A link to a file is as good as a token, but a token that is shown has to be right.
            linked = scope["path"].startswith("/files/") and scope["method"] in _BY_LINK
            free = scope["path"] in OPEN or (linked and not authorization)
            if found is None and not free:
                return 401, "expected a token of this gateway in the header Authorization: Bearer TOKEN"
            owner = found or ""
        scope["blackbox_conformal.owner"] = owner
        return None


def host_name(host: str) -> str:
    """Return the name in a header ``Host``, without port; "" without one."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


async def read_off(receive: Receive) -> None:
    """Read a body and forget it, within limits: a client that is still sending would not see the answer."""
    size, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READ_OFF_SECONDS):
            while more and size < _READ_OFF_BYTES:
                message = await receive()
                size, more = size + len(message.get("body", b"")), message.get("more_body", False)


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", b"%d" % len(body)))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
