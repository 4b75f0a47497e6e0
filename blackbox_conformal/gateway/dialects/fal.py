"""fal's interface: its queue, direct runs, uploaded files, signed webhooks.

``FAL_RUN_HOST`` and ``FAL_QUEUE_RUN_HOST`` lead the Python client to another host, perhaps with a path; it speaks
https only. The JavaScript client takes a proxy: it sends every request there, with the real address in the header
``x-fal-target-url``.

The Python client repeats requests answered by 409, the JavaScript client those answered by 502. So final answers have
other statuses here: 422 if the calibration does not cover a picture, 500 if the vendor failed.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote

from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.request import NotServedError, Order, Request, picture_field
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.support.text import printable

NAME = "fal"
LOOK_S = 0.25  # Seconds between looks of a stream of statuses.

_HOSTS = {"queue.fal.run": "/fal/queue", "fal.run": "/fal/run", "rest.fal.ai": "/fal/rest"}
"""fal's hosts → where this gateway serves their addresses."""

_QUERY = {"fal_webhook"}
_STATUSES = {409: 422, 502: 500}
_TYPES = {
    499: "client_cancelled",
    500: "internal_error",
    502: "runner_server_error",
    503: "runner_scheduling_failure",
    504: "request_timeout",
}
"""fal's types of errors by the gateway's statuses."""

_INPUT = {
    "application/json": {
        "type": "object",
        "description": "The picture's link, in any field, and vendor parameters.",
        "additionalProperties": True,
    }
}
_FILE = {
    "application/json": {
        "type": "object",
        "required": ["content_type", "file_name"],
        "properties": {"content_type": {"type": "string"}, "file_name": {"type": "string"}},
    }
}
_ANY = {"*/*": {"type": "string", "format": "binary"}}
_RUN = {200: "The result.", 402: "The budget has no room.", 422: "A field is wrong.", 500: "The vendor failed."}


class FalDialect(Dialect):
    """The calibrated vendor, whatever application a client names."""

    documentation = "https://fal.ai/docs/api-reference/inference-api"

    def routes(self) -> tuple[Route, ...]:
        model, number = "/fal/queue/{model:path}", "/fal/queue/{model:path}/requests/{id}"
        status = {200: "The request has ended.", 202: "It has not.", 404: "There is none of this id."}
        stream = {200: "Statuses as server-sent events, until the request has ended.", 404: "There is none."}
        result = {**_RUN, 400: "The request has not ended.", 404: "There is none of this id."}
        proxied = [
            Route(way, "/fal/proxy", self._proxied, "Any of these, named in x-fal-target-url.", _ANY)
            for way in ("GET", "POST", "PUT")
        ]
        cancelled = {202: "It is cancelled.", 400: "It has ended.", 404: "There is none of this id."}
        return (
            Route("GET", f"{number}/status/stream", self._stream, "The statuses of a request.", {}, stream),
            Route("GET", f"{number}/status", self._find, "The status of a request.", {}, status),
            Route("GET", number, self._result, "The result of a request.", {}, result),
            Route("PUT", f"{number}/cancel", self._cancel, "Cancel a request.", {}, cancelled),
            Route("POST", model, self._submit, "Put a request into the queue.", _INPUT, {200: "It is queued."}),
            Route("POST", "/fal/run/{model:path}", self._run, "Run a model and wait.", _INPUT, _RUN),
            Route("POST", "/fal/rest/storage/upload/initiate", self._initiate, "Begin to upload a file.", _FILE),
            Route("PUT", "/files/{id}", self._upload, "Upload a file, whatever its type.", _ANY, before=self._expected),
            Route("GET", "/.well-known/jwks.json", self._keys, "The key that webhooks are signed with."),
            *proxied,
        )

    async def _submit(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.accept(http, NAME, _order(http))
        # No queue is shown: its length would tell of other owners' requests.
        return self._answer({**_links(request), "queue_position": 0, "status": "IN_QUEUE"}, request)

    async def _run(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.ended(await gateway.accept(http, NAME, _order(http)))
        if not request.has_ended:
            raise NotServedError(504, "the vendor takes longer than a connection is kept; use the queue")
        return await self._ended(gateway, request)

    async def _result(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.find(http, NAME, http.parameters["id"])
        if not request.has_ended:
            raise NotServedError(400, "the request is still in progress; ask for its status")
        return await self._ended(gateway, request)

    async def _find(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.find(http, NAME, http.parameters["id"])
        return self._answer(_status(request, logs=_logs(http)), request, 200 if request.has_ended else 202)

    async def _stream(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.find(http, NAME, http.parameters["id"])
        events = _statuses(gateway, request, logs=_logs(http))
        return HttpAnswer(200, events, "text/event-stream", {"x-fal-request-id": request.id})

    async def _cancel(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.find(http, NAME, http.parameters["id"])
        if request.has_ended:
            return self._answer({"status": "ALREADY_COMPLETED"}, request, 400)
        await gateway.cancel(http, NAME, request.id)
        return self._answer({"status": "CANCELLATION_REQUESTED"}, request, 202)

    async def _initiate(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        body = http.json()
        name, kind = (_text(body, name) for name in ("file_name", "content_type"))
        _refuse_settings(http)
        upload = await gateway.expect_upload(http, name, kind)
        link = f"{http.base}/files/{upload.id}"
        return json_answer({"upload_url": link, "file_url": link})

    async def _expected(self, gateway: Gateway, http: HttpRequest) -> None:
        await gateway.refuse_unexpected(http.parameters["id"])

    async def _upload(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        await gateway.fill_upload(http.parameters["id"], http.body)
        return json_answer({})

    async def _keys(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        public = base64.urlsafe_b64encode(gateway.signing_key(NAME).public).rstrip(b"=").decode()
        return json_answer({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "use": "sig", "alg": "EdDSA"}]})

    async def _proxied(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        # The JavaScript client sends requests for any of fal's hosts here.
        named = http.headers.get("x-fal-target-url", "")
        scheme, _, rest = named.partition("://")
        host, _, rest = rest.partition("/")
        path, _, query = rest.partition("?")
        if scheme == "https" and host in _HOSTS:
            path = f"{_HOSTS[host]}/{path}"
            for route in self.routes():
                parameters = route.parameters(path)
                if parameters is not None and route.method == http.method:
                    further = replace(http, path=path, parameters=parameters, query=dict(parse_qsl(query)))
                    # A route is called directly: no second request goes out.
                    return await route.handle(gateway, further)
        raise NotServedError(
            404, f"expected x-fal-target-url to be an address of fal; got {printable(named) or 'none'}"
        )

    def _answer(self, told: Mapping[str, Any], request: Request, status: int = 200) -> HttpAnswer:
        return json_answer(told, status, {"x-fal-request-id": request.id})

    async def _ended(self, gateway: Gateway, request: Request) -> HttpAnswer:
        headers = {**gateway.headers(request), "x-fal-request-id": request.id}
        if request.outcome.state == "done":
            return json_answer(await asyncio.to_thread(self.as_json, gateway, request), 200, headers)
        return self.refused(_failure(request, headers))

    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """Return the result: the picture as ``image``, as most models name it, and as the only one of ``images``."""
        if request.outcome.state != "done":
            return _problem(_failure(request))
        content, kind = gateway.content(request, "picture"), request.outcome.files["picture"].type
        link, size = gateway.links(request)["picture"], inspect(content)
        picture = {
            "url": link,
            "content_type": kind,
            "file_name": link.rpartition("/")[2],
            "file_size": len(content),
            "width": size.width,
            "height": size.height,
        }
        return {"image": picture, "images": [picture], "blackbox_conformal": gateway.facts(request)}

    def refused(self, refusal: NotServedError) -> HttpAnswer:
        """Answer like fal: a list of problems for 422, a type for other statuses."""
        told = _problem(refusal)
        headers = dict(refusal.headers)
        if "error_type" in told:
            # fal's clients read the kind of error from this header.
            headers["x-fal-error-type"] = told["error_type"]
        return json_answer(told, _status_code(refusal), headers)

    def message(self, gateway: Gateway, request: Request, event: str, number: str) -> tuple[bytes, dict[str, str]]:
        """Return the result or error, signed as fal signs: Ed25519 over id, user, time and digest of the body."""
        told: dict[str, Any] = {"request_id": request.id, "gateway_request_id": request.id, "status": "OK"}
        if request.outcome.state != "done":
            code = _status_code(_failure(request))
            told |= {"status": "ERROR", "error": f"Invalid status code: {code}"}
        body = json.dumps({**told, "payload": self.as_json(gateway, request)}).encode()
        now, user = str(int(time.time())), request.owner or "anonymous"
        # fal's clients check the parts in this order.
        signed = "\n".join((request.id, user, now, hashlib.sha256(body).hexdigest()))
        return body, {
            "X-Fal-Webhook-Request-Id": request.id,
            "X-Fal-Webhook-User-Id": user,
            "X-Fal-Webhook-Timestamp": now,
            "X-Fal-Webhook-Signature": gateway.signing_key(NAME).sign(signed.encode()).hex(),
        }


def _order(http: HttpRequest) -> Order:
    unknown = sorted(http.query.keys() - _QUERY)
    if unknown:
        raise NotServedError(422, f"there is no {printable(unknown[0])} in the address of a request; leave it out")
    _refuse_settings(http)
    given = http.json()
    picture = picture_field(given)
    return Order(
        picture=given[picture],
        options={name: value for name, value in given.items() if name != picture},
        model=http.parameters["model"],
        idempotency_key=http.headers.get("idempotency-key"),
        webhook=http.query.get("fal_webhook"),
        echo={"model": http.parameters["model"]},
    )


def _refuse_settings(http: HttpRequest) -> None:
    for name in ("x-fal-object-lifecycle-preference", "x-fal-object-lifecycle"):
        if name in http.headers:
            raise NotServedError(422, f"{name}: this gateway deletes no files by itself; leave the setting out")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise NotServedError(422, f"expected the field {name}, a text")
    return value


def _links(request: Request) -> dict[str, str]:
    link = f"{request.base}/fal/queue/{quote(request.echo['model'])}/requests/{request.id}"
    return {
        "request_id": request.id,
        "response_url": link,
        "status_url": f"{link}/status",
        "cancel_url": f"{link}/cancel",
    }


def _logs(http: HttpRequest) -> bool:
    return http.query.get("logs", "").lower() in ("1", "true")


def _status(request: Request, *, logs: bool) -> dict[str, Any]:
    # fal has no status for a failure: such a request is completed, with an error.
    told: dict[str, Any] = {**_links(request), "logs": [] if logs else None}
    # Links repeat the client's own words, so that it finds them again.
    if not request.has_ended:
        queued = request.started is None
        return {**told, **({"status": "IN_QUEUE", "queue_position": 0} if queued else {"status": "IN_PROGRESS"})}
    told |= {"status": "COMPLETED", "metrics": {}}
    if request.started is not None and request.ended is not None:
        told["metrics"] = {"inference_time": round(request.ended - request.started, 3)}
    if request.outcome.state != "done":
        told |= {"error": request.outcome.error, "error_type": _kind(_failure(request))}
    return told


async def _statuses(gateway: Gateway, request: Request, *, logs: bool) -> AsyncIterator[bytes]:
    last = b""
    while True:
        event = f"data: {json.dumps(_status(request, logs=logs))}\n\n".encode()
        if event != last:
            yield event
        if request.has_ended or gateway.runner.draining:
            return
        last = event
        # Looking again at once would keep the processor busy while nothing changes.
        request, _ = await asyncio.gather(gateway.ended(request, LOOK_S), asyncio.sleep(LOOK_S / 5))


def _failure(request: Request, headers: Mapping[str, str] | None = None) -> NotServedError:
    outcome = request.outcome
    # fal has no status for a cancelled request, so it gets the one of a client that has gone.
    status = 499 if outcome.state == "cancelled" else outcome.status
    return NotServedError(status, outcome.error or outcome.state, headers)


def _status_code(refusal: NotServedError) -> int:
    return _STATUSES.get(refusal.status, refusal.status)


def _kind(refusal: NotServedError) -> str:
    return _TYPES.get(refusal.status, "bad_request")


def _problem(refusal: NotServedError) -> dict[str, Any]:
    if _status_code(refusal) == 422:
        return {"detail": [{"loc": ["body"], "msg": refusal.message, "type": "value_error"}]}
    return {"detail": refusal.message, "error_type": _kind(refusal)}


PLUGIN = FalDialect
