"""The gateway's own addresses: files of requests, health, metrics, its description."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from blackbox_conformal import __version__
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.exposition import exposition
from blackbox_conformal.gateway.gateway import RETRY_AFTER_S, Gateway
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer, refusal_answer
from blackbox_conformal.gateway.openapi import openapi
from blackbox_conformal.gateway.served_pictures import MEDIA_TYPES

_NOT_FOUND = {404: "There is none."}


class Operations:
    """Routes that are there whatever dialects are spoken; `limits` are shown beside the metrics, by name."""

    def __init__(self, dialects: Mapping[str, Dialect], limits: Mapping[str, Decimal]) -> None:
        self._dialects = dialects
        self._limits = {name: float(value) for name, value in limits.items()}

    def routes(self) -> Sequence[Route]:
        """Every address."""
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
        if left := gateway.vendor_back_in_s:
            # Ready again once a request is let through to see: a balancer that sends none would wait for ever.
            why = "the vendor gives no usable answers"
            return json_answer({"ready": False, "why": why}, 503, {"Retry-After": str(math.ceil(left))})
        try:
            await asyncio.to_thread(gateway.book.check)
        except BlackboxConformalError:
            return json_answer({"ready": False, "why": "the book of requests cannot be read"}, 503)
        if gateway.disk_is_full:
            return json_answer({"ready": False, "why": "the disk is full"}, 503)
        return json_answer({"ready": True})

    async def _metrics(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        run = gateway.session.run
        text = await asyncio.to_thread(exposition, gateway, run, self._limits)
        return HttpAnswer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    async def _about(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        about = {"service": "blackbox-conformal", "version": __version__, "dialects": sorted(self._dialects)}
        return json_answer({**about, "description": "/openapi.json"})

    async def _description(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        routes = {name: dialect.routes() for name, dialect in self._dialects.items()}
        document = openapi({"": tuple(self.routes()), **routes})
        return HttpAnswer(200, json.dumps(document, indent=1).encode(), "application/json")
