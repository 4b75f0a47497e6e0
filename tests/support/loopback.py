"""Drives an adapter's steps over real sockets on loopback, with the standard library; waits are not waited for."""

import http.client
from urllib.parse import urlencode, urlsplit

from support.flow_driver import EMPTY, Exchange, StatusError, check

from blackbox_conformal.adapter import Accepted, Adapter, Answer, Draw, Flow, Observed, Send
from blackbox_conformal.secrets import Secret


def a_draw(index: int = 0, *, seed: int | None = None) -> Draw:
    """Draw `index`, with its own seed and key."""
    return Draw(index, 1000 + index if seed is None else seed, f"key-of-draw-{index}")


def ask(send: Send) -> Answer:
    """Send one request with a body of bytes; hand over what comes back."""
    parts = urlsplit(send.url)
    assert parts.hostname == "127.0.0.1", "tests speak to loopback only"

    def plain(value: str | Secret) -> str:
        return value.reveal() if isinstance(value, Secret) else value

    query = urlencode({name: plain(value) for name, value in send.query.items()})
    target = (parts.path or "/") + (f"?{query}" if query else "")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        headers = {name: plain(value) for name, value in send.headers.items()}
        connection.request(send.method, target, send.body, headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def drive_over_http(adapter: Adapter, flow: Flow) -> Exchange:
    """Run `flow` to its end against whatever serves its addresses."""
    exchange = Exchange()
    reply = EMPTY
    try:
        step = next(flow)
        while True:
            reply = EMPTY
            if isinstance(step, Send):
                check(step)
                exchange.sends.append(step)
                reply = ask(step)
                if not 200 <= reply.status < 300:
                    raise adapter.explain(reply, step.purpose) or StatusError(f"HTTP {reply.status}")
            elif isinstance(step, Observed):
                exchange.observed.append(step)
            elif isinstance(step, Accepted):
                exchange.jobs.append(step.job)
            else:
                exchange.waits.append(step.seconds)
            step = flow.send(reply)
    except StopIteration as end:
        exchange.picture = end.value
    return exchange
