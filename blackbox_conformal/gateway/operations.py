"""The gateway's own addresses: files of requests, health, metrics, its description."""

import asyncio
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blackbox_conformal.drawing.ledger.connection import Connection
from blackbox_conformal.drawing.ledger.money import Totals, to_usd
from blackbox_conformal.drawing.ledger.queries import ledger_sum, spent_by_procedure
from blackbox_conformal.drawing.task import UNAVAILABLE
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.gateway.book import counts
from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.gateway import RETRY_AFTER_S, Gateway
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer, refusal_answer
from blackbox_conformal.gateway.served_pictures import MEDIA_TYPES

# The description of the gateway (OpenAPI 3.1), made from the routes of its dialects.

_ALWAYS = {
    "400": "The request cannot be read.",
    "401": "A token is missing or wrong.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "421": "The host name is not the gateway's.",
    "429": "Too many requests wait.",
    "503": "The gateway is being stopped.",
}


def openapi(routes: Mapping[str, Iterable[Route]]) -> dict[str, Any]:
    """Describe `routes`, by dialect; "" for the gateway's own."""
    paths: dict[str, dict[str, Any]] = {}
    for dialect, its_routes in routes.items():
        for route in its_routes:
            answers = {**_ALWAYS, **{str(status): meaning for status, meaning in route.gives.items()}}
            operation: dict[str, Any] = {
                "summary": route.summary,
                "tags": [dialect or "gateway"],
                "responses": {status: {"description": meaning} for status, meaning in sorted(answers.items())},
            }
            names = re.findall(r"{(\w+)", route.path)
            if names:
                operation["parameters"] = [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
                ]
            if route.takes:
                content = {kind: {"schema": schema} for kind, schema in route.takes.items()}
                operation["requestBody"] = {"required": True, "content": content}
            paths.setdefault(route.path.replace(":path}", "}"), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "blackbox-conformal serve", "version": version("blackbox-conformal")},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


# Metrics for a Prometheus server (text format 0.0.4), all from the ledger and the book.

_PREFIX = "blackbox_conformal_"
_COUNTED = {
    "requests_accepted_total": ("counter", "Requests accepted."),
    "requests_ended_total": ("counter", "Requests that ended, by state."),
    "masks_total": ("counter", "Pictures answered with a mask."),
    "trusted_shares_total": ("counter", "Sum of the trusted shares of those masks."),
    "differing_total": ("counter", "Answers that differ from their inputs by more than is usual, masked or not."),
    "request_seconds": ("histogram", "From accepting a request to its end."),
}
Sample = tuple[str, float]


def exposition(gateway: Gateway, run: Path, limits: dict[str, float]) -> str:
    """Write every metric as text; `limits` are the gateway's, by name."""
    lines: list[str] = []
    with gateway.book.snapshot() as asked:
        for name, kind, about, samples in _metrics(asked, gateway, run, limits):
            lines += [f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines += [f"{_PREFIX}{sample} {_number(value)}" for sample, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(
    asked: Connection, gateway: Gateway, run: Path, limits: dict[str, float]
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    book, runner = gateway.book, gateway.runner
    counted = counts(asked, book.trusted_share)
    for row in asked.execute("SELECT sample, value FROM deleted"):
        counted[row["sample"]] = counted.get(row["sample"], 0) + row["value"]
    for name, (kind, about) in _COUNTED.items():
        yield name, kind, about, [(sample, value) for sample, value in counted.items() if sample.startswith(name)]
    undelivered = asked.execute("SELECT COUNT(*) AS n FROM notice WHERE delivered IS NULL AND tries > 0").fetchone()
    sums = ledger_sum(run)
    single: tuple[tuple[str, str, str, float], ...] = (
        ("requests_running", "gauge", "Requests that are worked on.", runner.running),
        ("requests_waiting", "gauge", "Requests that are accepted and not begun.", runner.waiting),
        ("webhooks_undelivered", "gauge", "Messages to webhooks that failed at least once.", undelivered["n"]),
        ("vendor_calls_total", "counter", "Submissions to the vendor.", float(sums["attempts"])),
        ("spent_usd_total", "counter", "US dollars booked in the ledger.", float(sums["cost_usd"])),
        ("reserved_usd", "gauge", "US dollars held for submissions under way.", float(sums["reserved_usd"])),
        *((name, "gauge", "A limit that the gateway was started with.", value) for name, value in limits.items()),
    )
    for name, kind, about, value in single:
        yield name, kind, about, [(name, value)]
    down = [(_sample("vendor_down", "vendor", name), float(is_down)) for name, is_down in gateway.vendors_down.items()]
    yield "vendor_down", "gauge", "1 while the vendor, or that one of a cascade, gives no usable answers.", down
    yield from _of_cascade(gateway, run)
    owners, before = gateway.session.ledger.payers(), book.spent_before()
    owners = {name: owners.get(name, Totals()).plus(before.get(name, Totals())) for name in sorted({*owners, *before})}
    spent = [(f'token_spent_usd_total{{token="{name}"}}', float(to_usd(sums.spent))) for name, sums in owners.items()]
    yield "token_spent_usd_total", "counter", "US dollars booked for requests, by the name of their token.", spent
    calls = [(f'token_calls_total{{token="{name}"}}', float(sums.calls)) for name, sums in owners.items()]
    yield "token_calls_total", "counter", "Submissions to the vendor for requests, by the name of their token.", calls


def _of_cascade(gateway: Gateway, run: Path) -> Iterator[tuple[str, str, str, list[Sample]]]:
    if not (members := gateway.session.members):
        return
    spent = spent_by_procedure(run)
    name = "vendor_spent_usd_total"
    samples = [(_sample(name, "vendor", member), float(spent.get(digest, 0))) for member, digest in members.items()]
    yield name, "counter", "US dollars booked in the ledger, by vendor of the cascade.", samples
    name, fallbacks = "fallbacks_total", gateway.session.fallbacks
    samples = [(_sample(name, "reason", why), fallbacks[why]) for why in (*UNAVAILABLE.values(), "unusable")]
    yield name, "counter", "Pictures answered without the last vendor since the start, by reason.", samples


def _sample(name: str, label: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}{{{label}="{escaped}"}}' if value else name


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


_NOT_FOUND = {404: "There is none."}


class Operations:
    """Routes that exist with any dialects; `limits` are shown with the metrics, by name."""

    def __init__(self, dialects: Mapping[str, Dialect], limits: Mapping[str, Decimal]) -> None:
        self._dialects = dialects
        self._limits = {name: float(value) for name, value in limits.items()}

    def routes(self) -> Sequence[Route]:
        """Return every address."""
        files = {200: "The file.", **_NOT_FOUND}
        ready = {200: "It serves.", 503: "It does not."}
        return (
            Route("GET", "/files/{id}/{name}", self._file, "A file of a request: picture, mask, ….", {}, files),
            Route("GET", "/requests/{id}", self._find, "A request of any dialect.", {}, {200: "It.", **_NOT_FOUND}),
            Route("GET", "/healthz", self._healthy, "Whether the process lives.", {}, {200: "It does."}),
            Route("GET", "/readyz", self._ready, "Whether requests are accepted.", {}, ready),
            Route("GET", "/metrics", self._metrics, "Metrics for Prometheus.", {}, {200: "Metrics."}),
            Route("GET", "/", self._about, "What serves here.", {}, {200: "Its name, version and addresses."}),
            Route("GET", "/openapi.json", self._description, "This description.", {}, {200: "The document."}),
        )

    refused = staticmethod(refusal_answer)

    async def _file(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        product = await gateway.file(http, http.parameters["id"], http.parameters["name"])
        caching = {"Cache-Control": "private, max-age=31536000, immutable"}
        return HttpAnswer(200, product.content, MEDIA_TYPES[product.ending], caching)

    async def _find(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        return json_answer(gateway.as_json(await gateway.find(http, None, http.parameters["id"])))

    async def _healthy(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        return json_answer({"alive": True})

    async def _ready(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        if gateway.runner.draining:
            return json_answer({"ready": False, "why": "stopping"}, 503, {"Retry-After": str(RETRY_AFTER_S)})
        down = [name for name, is_down in gateway.vendors_down.items() if is_down and name]
        if left := gateway.vendor_back_in_s:
            # Ready again once one request may try the vendor: a balancer that sends none would wait for ever.
            why = f"the vendor {' '.join(down[:1])}".strip() + " gives no usable answers"
            return json_answer({"ready": False, "why": why}, 503, {"Retry-After": str(math.ceil(left))})
        try:
            await asyncio.to_thread(gateway.book.check)
        except BlackboxConformalError:
            return json_answer({"ready": False, "why": "the book of requests cannot be read"}, 503)
        if gateway.disk_is_full:
            return json_answer({"ready": False, "why": "the disk is full"}, 503)
        # Pictures that end before a later vendor of a cascade are answered; others only if there is a fallback.
        unmasked = {} if gateway.runner.unmasked is None else {"unmasked": gateway.runner.unmasked}
        return json_answer({"ready": True, **({"vendors_down": down} if down else {}), **unmasked})

    async def _metrics(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        run = gateway.session.run
        text = await asyncio.to_thread(exposition, gateway, run, self._limits)
        return HttpAnswer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def _about(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        about = {
            "service": "blackbox-conformal",
            "version": version("blackbox-conformal"),
            "dialects": sorted(self._dialects),
        }
        return json_answer({**about, "description": "/openapi.json"})

    async def _description(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        routes = {name: dialect.routes() for name, dialect in self._dialects.items()}
        document = openapi({"": tuple(self.routes()), **routes})
        return HttpAnswer(200, json.dumps(document, indent=1).encode(), "application/json")
