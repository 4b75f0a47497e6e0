"""Faults of the answer itself: statuses, texts, redirects, links that expire, jobs that misbehave, models that change.

The connection and the framing are always right.
"""

import json
from typing import Any

from blackbox_conformal.testing.exchange import Exchange, fault
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.raw_http import Response

CAPTIVE_PORTAL = (
    b"<!doctype html><html><head><title>Free Wi-Fi</title></head>"
    b"<body><form action='/login'>Accept the terms to go on.</form></body></html>"
)
HOSTILE_TEXT = (
    "<img src=x onerror=alert(1)><script>alert('vendor')</script> \x1b[2J\x1b[31mred\x1b]0;title\x07 "
    "[bold]markup[/bold] =cmd|'/c calc'!A1 \u202egnp.exe"
)
"""A vendor's message that attacks pages, terminals, rich markup, spreadsheets and readers at once."""


@fault
def status(
    exchange: Exchange,
    code: Any,
    message: Any = "the fault server says no",
    kind: Any = "application/json",
    billed: Any = False,
    after: Any = 0,
    **headers: Any,
) -> None:
    """Any status with a JSON (or other) message and more headers, `after` seconds; `billed`: the work was done."""
    exchange.read(billed=billed)
    if float(after):
        exchange.pause(float(after))
    text = json.dumps({"error": {"message": str(message)}}) if kind == "application/json" else str(message)
    response = Response(int(code), {"Content-Type": str(kind), "X-Request-Id": "fault-1"}, text.encode())
    exchange.send(response.with_headers(**{name: str(value) for name, value in headers.items()}))


@fault
def hostile_message(exchange: Exchange, code: Any = 422) -> None:
    """A refusal whose message is an attack on whatever shows it."""
    status(exchange, code, message=HOSTILE_TEXT)


@fault
def json_error(exchange: Exchange, message: Any = "model overloaded", billed: Any = False) -> None:
    """200 with an error object where the picture should be."""
    status(exchange, 200, message=message, billed=billed)


@fault
def captive_portal(exchange: Exchange) -> None:
    """200 with a login page; the vendor never saw the request."""
    exchange.body()
    exchange.send(Response(200, {"Content-Type": "text/html; charset=utf-8"}, CAPTIVE_PORTAL))


@fault
def redirect(exchange: Exchange, location: Any, code: Any = 302, billed: Any = False) -> None:
    """A redirect to `location`; ``{port}`` in it is this server's port."""
    exchange.read(billed=billed)
    exchange.send(Response(int(code), {"Location": str(location).replace("{port}", str(exchange.port))}))


@fault
def redirect_loop(exchange: Exchange, code: Any = 302) -> None:
    """A redirect to the same address."""
    exchange.body()
    exchange.send(Response(int(code), {"Location": exchange.head.target}))


@fault
def mark(exchange: Exchange, **marks: Any) -> None:
    """A regular answer that spoils the job for the rest of its life; `fault_vendor` lists the marks."""
    exchange.send(exchange.work(**marks))


@fault
def model(exchange: Exchange, name: Any = "fault-vendor-2") -> None:
    """A regular answer from another model; every later answer comes from it too."""
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.model = str(name)
    exchange.send(exchange.work())


@fault
def replayed_error(exchange: Exchange, code: Any = 500) -> None:
    """An error that the vendor stores under the idempotency key and replays for every later attempt."""
    body = json.dumps({"error": {"message": "the first attempt failed"}}).encode()
    response = Response(int(code), {"Content-Type": "application/json"}, body)
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.remember(exchange.head, response)
    exchange.body()
    exchange.send(response)


@fault
def expired_link(exchange: Exchange, code: Any = 403) -> None:
    """The link is dead from now on; reading the job again gives a new one."""
    if isinstance(exchange.vendor, FaultVendor):
        exchange.vendor.expire(exchange.head)
    exchange.body()
    exchange.send(Response(int(code), {"Content-Type": "application/xml"}, b"<Error>Request has expired</Error>"))
