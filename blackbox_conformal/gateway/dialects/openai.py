"""OpenAI's interface for edited pictures: ``POST /v1/images/edits``, a form, answered once the picture is there.

Its clients keep unknown keys of an answer, so results are told under ``blackbox_conformal``. They repeat requests
answered by 409, 429 or from 500 on, unless the header ``x-should-retry`` says ``false``; it does so wherever the same
answer would come again.
"""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.gateway import RETRY_AFTER_S, Gateway
from blackbox_conformal.gateway.http_exchange import FormFile, HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.request import NotServedError, Order, Request, renamed
from blackbox_conformal.support.text import printable

NAME = "openai"
PATH = "/v1/images/edits"

_PICTURES = ("image", "image[]")
_FIXED = {"n": ("1",), "stream": ("false",), "partial_images": ("0",)}
"""Fields with one possible value: the answer is one whole picture."""

_FORMATS = ("b64_json", "url")
_STATUSES = {402: 429, 422: 400}
"""OpenAI's statuses where the budget has no room, and where a picture or field cannot be used."""

_TYPES = {402: "insufficient_quota", 429: "rate_limit_error"}
_CODES = {
    402: "insufficient_quota",
    404: "model_not_found",
    409: "not_calibrated",
    429: "rate_limit_exceeded",
    504: "timeout",
}
_FORM = {
    "multipart/form-data": {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "The picture; image[] is the same."},
            "model": {"type": "string"},
            "n": {"type": "string", "enum": ["1"]},
            "prompt": {"type": "string", "description": "Empty, or what the vendor takes as prompt."},
            "response_format": {"type": "string", "enum": list(_FORMATS)},
        },
        "additionalProperties": {"type": "string", "description": "A parameter of the vendor."},
    }
}
_GIVES = {
    200: "The vendor's picture, marked as a model's, and links to the mask.",
    400: "The picture, or a field, cannot be used.",
    404: "There is no such model.",
    409: "Strict: the calibration does not speak of the picture.",
    429: "The budget has no room.",
    502: "The vendor failed.",
}


class OpenAIDialect(Dialect):
    """Edits of one whole picture, without a mask of places to edit: a calibrated vendor restores the whole picture."""

    documentation = "https://platform.openai.com/docs/api-reference/images/createEdit"

    def routes(self) -> tuple[Route, ...]:
        edit = Route("POST", PATH, self._edit, "Send a picture and wait for the vendor's.", _FORM, _GIVES)
        return edit, Route("GET", "/v1/models", self._models, "The models that are served.", {}, {200: "Models."})

    async def _edit(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        if http.form is None:
            raise NotServedError(415, "expected a form with the picture in the field image")
        files = [(name, value) for name, value in http.form if isinstance(value, FormFile)]
        fields = {name: value for name, value in http.form if isinstance(value, str)}
        for name, _ in files:
            if name not in _PICTURES:
                raise NotServedError(422, f"there is no file {printable(name)} that the vendor takes; leave it out")
        if len(files) != 1:
            raise NotServedError(
                422, f"expected one picture, in the field image; got {len(files)}. Send each by itself"
            )
        if len(files) + len(fields) != len(http.form):
            raise NotServedError(422, "expected each field once; a field stands twice in the form")
        for name, values in _FIXED.items():
            value = fields.pop(name, values[0])
            if value not in values:
                raise NotServedError(422, f"expected {name} to be {values[0]}; got {printable(value)}. Leave it out")
        form = fields.pop("response_format", _FORMATS[0])
        if form not in _FORMATS:
            raise NotServedError(422, f"expected response_format to be {' or '.join(_FORMATS)}; got {printable(form)}")
        if not fields.get("prompt", "x"):
            # The client insists on a prompt; an empty one asks for nothing.
            del fields["prompt"]
        ((_, file),) = files
        order = Order(
            picture=file.content,
            model=fields.pop("model", None),
            options=fields,
            idempotency_key=http.headers.get("idempotency-key"),
            echo={"response_format": form},
        )
        request = await gateway.ended(await gateway.accept(http, NAME, renamed(order, file.name)))
        if not request.has_ended:
            later = {"Retry-After": str(RETRY_AFTER_S)}
            raise NotServedError(504, "the vendor takes longer than a connection is kept; ask again", later)
        if request.outcome.state != "done":
            raise _failure(request, gateway.headers(request))
        told = await asyncio.to_thread(self.as_json, gateway, request)
        return json_answer(told, 200, gateway.headers(request))

    async def _models(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "vendor"} for name in gateway.offer.models]
        return json_answer({"object": "list", "data": listed})

    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """Return the picture, and its facts under ``blackbox_conformal``."""
        if request.outcome.state != "done":
            return _error(_failure(request))
        if request.echo["response_format"] == "url":
            picture = {"url": gateway.links(request)["picture"]}
        else:
            picture = {"b64_json": base64.b64encode(gateway.content(request, "picture")).decode()}
        form = request.outcome.files["picture"].type.rpartition("/")[2]
        told = {"created": int(request.created), "data": [picture], "output_format": form}
        return {**told, "blackbox_conformal": gateway.facts(request)}

    def refused(self, refusal: NotServedError) -> HttpAnswer:
        """Answer by OpenAI's error object; its clients choose their class of error by the status."""
        status = _STATUSES.get(refusal.status, refusal.status)
        again = "true" if "Retry-After" in refusal.headers else "false"
        # Its clients repeat by themselves, unless told that the same answer would come again.
        return json_answer(_error(refusal), status, {"x-should-retry": again, **refusal.headers})


def _error(refusal: NotServedError) -> dict[str, Any]:
    kind = _TYPES.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "server_error")
    error = {"message": refusal.message, "type": kind, "param": None, "code": _CODES.get(refusal.status)}
    return {"error": error}


def _failure(request: Request, headers: Mapping[str, str] | None = None) -> NotServedError:
    return NotServedError(request.outcome.status, request.outcome.error or request.outcome.state, headers)


PLUGIN = OpenAIDialect
