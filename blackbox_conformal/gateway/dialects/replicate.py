"""Replicate's HTTP interface: predictions that are waited for or polled, uploaded files, signed webhooks.

Its clients drop unknown keys except those in ``metrics``, so results are told there. They turn an output into a file
only if its link begins with ``https:`` or ``data:``, so over plain HTTP the picture itself is a ``data:`` link.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from blackbox_conformal.gateway.book import KeptUpload
from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.http_exchange import FormFile, HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.request import NotServedError, Order, Request, State, picture_field

NAME = "replicate"
USUAL_WAIT_S = 60.0  # Meaning of ``Prefer: wait`` without a number.

_STATUS: Mapping[State, str] = {
    "accepted": "starting",
    "running": "processing",
    "done": "succeeded",
    "refused": "failed",
    "failed": "failed",
    "cancelled": "canceled",
}
_EVENTS = ("start", "output", "logs", "completed")
_TOP = {"input", "webhook", "webhook_events_filter", "version", "stream"}
_BODY = {
    "application/json": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {"type": "object", "description": "The picture's link, in any field, and vendor parameters."},
            "version": {"type": "string"},
            "webhook": {"type": "string", "format": "uri"},
            "webhook_events_filter": {"type": "array", "items": {"enum": list(_EVENTS)}},
            "stream": {"type": "boolean", "enum": [False]},
        },
        "additionalProperties": False,
    }
}
_FILE = {
    "multipart/form-data": {
        "type": "object",
        "required": ["content"],
        "properties": {"content": {"type": "string", "format": "binary"}, "metadata": {"type": "string"}},
    }
}
_CREATED = {201: "The prediction.", 402: "The budget has no room.", 409: "Not calibrated.", 422: "A field is wrong."}
_FOUND = {200: "The prediction.", 404: "There is none of this id."}


class ReplicateDialect(Dialect):
    """Predictions of one calibrated vendor, whatever model a client names."""

    documentation = "https://replicate.com/docs/reference/http"

    def routes(self) -> tuple[Route, ...]:
        one, models = "/v1/predictions/{id}", "/v1/models/{owner}/{name}"
        uploaded = {201: "The file."}
        return (
            Route("POST", "/v1/predictions", self._create, "Begin a prediction of a version.", _BODY, _CREATED),
            Route("POST", f"{models}/predictions", self._create, "Begin a prediction of a model.", _BODY, _CREATED),
            Route("GET", "/v1/predictions", self._list, "The newest predictions.", {}, {200: "Predictions."}),
            Route("GET", one, self._find, "A prediction.", {}, _FOUND),
            Route("PUT", one, self._put, "A prediction under an id of the client's, begun once.", _BODY, _CREATED),
            Route("PUT", "/predictions/{id}", self._put, "The same at Cog's address.", _BODY, _CREATED),
            Route("POST", f"{one}/cancel", self._cancel, "Cancel a prediction.", {}, _FOUND),
            Route("GET", models, self._model, "The model that is served.", {}, {200: "The model."}),
            Route("GET", models + "/versions/{version}", self._version, "Its version.", {}, {200: "The version."}),
            Route("POST", "/v1/files", self._upload, "Upload a picture.", _FILE, uploaded),
            Route("GET", "/v1/files/{id}", self._file, "A file that was uploaded.", {}, {200: "The file."}),
            Route("DELETE", "/v1/files/{id}", self._forget, "Delete an uploaded file.", {}, {204: "Deleted."}),
            Route("GET", "/v1/webhooks/default/secret", self._secret, "The signing secret.", {}, {200: "The secret."}),
        )

    async def _create(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        wait = http.preferences.get("wait")
        if wait and (not re.fullmatch("[0-9]{1,4}", wait) or not 1 <= int(wait) <= USUAL_WAIT_S):
            raise NotServedError(422, f"expected Prefer: wait=SECONDS with 1 to {USUAL_WAIT_S:.0f} seconds")
        seconds = 0.0 if wait is None else float(wait or USUAL_WAIT_S)
        return await self._begun(gateway, http, _order(http), seconds)

    async def _put(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        # Like Cog: a request sent again finds the prediction, and waits for it unless told not to.
        order, number = _order(http), http.parameters["id"]
        # The id in the address is the key: sending it again begins nothing new.
        order = replace(order, idempotency_key=number, echo={**order.echo, "id": number})
        return await self._begun(gateway, http, order, 0.0 if "respond-async" in http.preferences else None)

    async def _begun(self, gateway: Gateway, http: HttpRequest, order: Order, seconds: float | None) -> HttpAnswer:
        request = await gateway.accept(http, NAME, order)
        request = request if seconds == 0.0 else await gateway.ended(request, seconds)
        told = await asyncio.to_thread(self.as_json, gateway, request)
        if not request.has_ended:
            # The JavaScript client repeats a request that is "starting", but takes one that is "processing" for done.
            told["status"] = "starting"
        return json_answer(told, 201, gateway.headers(request))

    async def _find(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.find(http, NAME, http.parameters["id"])
        return json_answer(await asyncio.to_thread(self.as_json, gateway, request), 200, gateway.headers(request))

    async def _list(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        latest = await asyncio.to_thread(gateway.book.latest, http.owner, NAME, 100)
        # Only links: a hundred pictures in one answer would be too much.
        found = [self._told(gateway, request, gateway.links(request).get("picture")) for request in latest]
        return json_answer({"previous": None, "next": None, "results": found})

    async def _cancel(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.cancel(http, NAME, http.parameters["id"])
        return json_answer(self.as_json(gateway, request), 200)

    async def _model(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        owner, name = http.parameters["owner"], http.parameters["name"]
        return json_answer({"owner": owner, "name": name, "url": http.base, "visibility": "private", "run_count": 0})

    async def _version(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        schema = {"components": {"schemas": {"Output": {"type": "string", "format": "uri"}}}}
        version = {"id": http.parameters["version"], "created_at": _iso(0.0), "cog_version": "0.9.0"}
        return json_answer({**version, "openapi_schema": schema})

    async def _upload(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        form = dict(http.form or ())
        file, metadata = form.pop("content", None), form.pop("metadata", "{}")
        if not isinstance(file, FormFile) or form:
            raise NotServedError(422, "expected a form with one file in the field content, and perhaps metadata")
        try:
            # The JavaScript client sends it as a file.
            value = json.loads(metadata if isinstance(metadata, str) else metadata.content)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise NotServedError(422, "expected metadata to be a JSON object")
        upload = await gateway.keep_upload(http, file.content, file.name, file.type, json.dumps(value))
        return json_answer(_file_told(http, upload), 201)

    async def _file(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        upload, _ = await gateway.uploaded(http, http.parameters["id"])
        return json_answer(_file_told(http, upload))

    async def _forget(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        if not gateway.book.forget_upload(http.parameters["id"], http.owner):
            raise NotServedError(404, "there is no file of this id")
        return HttpAnswer(204, b"", "application/json")

    async def _secret(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        secret = base64.b64encode(gateway.webhook_secret(http.owner)).decode()
        return json_answer({"key": f"whsec_{secret}"})

    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """Return the prediction; reads its picture from disk."""
        return self._told(gateway, request, _output(gateway, request))

    def _told(self, gateway: Gateway, request: Request, output: str | None) -> dict[str, Any]:
        outcome, url = request.outcome, f"{request.base}/v1/predictions/{request.id}"
        metrics = {f"blackbox_conformal_{name}": value for name, value in gateway.facts(request).items()}
        # Times are told only if both are known.
        if request.started is not None and request.ended is not None:
            metrics["predict_time"] = round(request.ended - request.started, 3)
        return {
            "id": request.echo.get("id", request.id),
            "model": request.echo["model"],
            "version": request.echo["version"],
            "input": request.echo["input"],
            "logs": "",
            "output": output,
            "data_removed": False,
            "error": outcome.error,
            "source": "api",
            "status": _STATUS[outcome.state],
            "created_at": _iso(request.created),
            "started_at": None if request.started is None else _iso(request.started),
            "completed_at": None if request.ended is None else _iso(request.ended),
            "metrics": metrics,
            "urls": {"get": url, "cancel": f"{url}/cancel"},
        }

    def refused(self, refusal: NotServedError) -> HttpAnswer:
        title = HTTPStatus(refusal.status).phrase
        told = {"title": title, "detail": refusal.message, "status": refusal.status}
        return json_answer(told, refusal.status, refusal.headers)

    def message(self, gateway: Gateway, request: Request, event: str, number: str) -> tuple[bytes, dict[str, str]]:
        """Return the prediction, signed as Replicate signs: HMAC-SHA256 over id, time and body."""
        body, now = json.dumps(self.as_json(gateway, request)).encode(), str(int(time.time()))
        signed = b".".join((number.encode(), now.encode(), body))
        signature = hmac.new(gateway.webhook_secret(request.owner), signed, hashlib.sha256).digest()
        return body, {
            "webhook-id": number,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }


def _order(http: HttpRequest) -> Order:
    body = http.json()
    unknown = sorted(body.keys() - _TOP)
    given = body.get("input")
    if unknown:
        raise NotServedError(422, f"there is no field {unknown[0]!r} of a prediction; it has {', '.join(sorted(_TOP))}")
    if body.get("stream"):
        raise NotServedError(422, "expected stream to be false: the answer is one picture. Leave it out")
    if not isinstance(given, dict):
        raise NotServedError(422, "expected the field input, an object with the picture's link")
    events = body.get("webhook_events_filter", None)
    events = ["start", "completed"] if events is None else events
    if not isinstance(events, list) or not all(event in _EVENTS for event in events):
        raise NotServedError(422, f"expected webhook_events_filter to be a list of {', '.join(_EVENTS)}")
    picture = picture_field(given)
    link = given[picture]
    # A picture inside a link would be stored a second time, and be sent back with each answer.
    shown = f"{link.partition(',')[0]},…" if link.startswith("data:") else link
    owner, version = http.parameters.get("owner"), _text(body, "version")
    model = version if owner is None else f"{owner}/{http.parameters['name']}"
    echo = {"model": model, "version": version or "hidden", "input": {**given, picture: shown}}
    return Order(
        picture=link,
        options={name: value for name, value in given.items() if name != picture},
        # The client chooses owner and name before the colon; the version is calibrated.
        model=model if version is None else version.rpartition(":")[2],
        idempotency_key=http.headers.get("idempotency-key"),
        webhook=_text(body, "webhook"),
        # Clients ask for all events; some of them this gateway cannot send.
        events=tuple(event for event in ("start", "completed") if event in events),
        echo=echo,
    )


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if not isinstance(value, str | None):
        raise NotServedError(422, f"expected {name} to be a text")
    return value


def _output(gateway: Gateway, request: Request) -> str | None:
    if request.outcome.state != "done":
        return None
    if request.base.startswith("https:"):
        return gateway.links(request)["picture"]
    content = base64.b64encode(gateway.content(request, "picture")).decode()
    return f"data:{request.outcome.files['picture'].type};base64,{content}"


def _file_told(http: HttpRequest, upload: KeptUpload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "name": upload.name,
        "content_type": upload.type,
        "size": upload.size,
        "etag": upload.digest.removeprefix("sha256:"),
        "checksums": {"sha256": upload.digest.removeprefix("sha256:")},
        "metadata": json.loads(upload.metadata),
        "created_at": _iso(upload.created),
        "expires_at": None,
        "urls": {"get": f"{http.base}/v1/files/{upload.id}"},
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


PLUGIN = ReplicateDialect
