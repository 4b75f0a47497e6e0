"""The gateway's own dialect, for curl and plain HTTP clients: a form with a picture goes, a picture comes."""

from typing import Any

from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.gateway import Gateway
from blackbox_conformal.gateway.http_exchange import FormFile, HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.request import NotServedError, Order, Request, renamed

NAME = "multipart"

_FORM = {
    "multipart/form-data": {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "The picture."},
            "webhook": {"type": "string", "format": "uri", "description": "Is told when the request has ended."},
        },
        "additionalProperties": {"type": "string", "description": "A parameter of the vendor."},
    }
}
_GIVES = {
    200: "The vendor's picture, marked as a model's; with `Accept: application/json`, links to it and to the mask.",
    202: "Accepted and not done yet; `Location` says where to ask.",
    402: "The budget has no room.",
    409: "Strict: the calibration does not speak of the picture.",
    422: "The picture, or a field, cannot be used.",
    502: "The vendor failed.",
}


class Multipart(Dialect):
    """``POST /pictures``: a form with the field ``image``. ``Prefer: wait=SECONDS`` limits the wait."""

    def routes(self) -> tuple[Route, ...]:
        sent = Route("POST", "/pictures", self._create, "Send a picture and wait for the vendor's.", _FORM, _GIVES)
        found = Route(
            "GET", "/pictures/{id}", self._find, "A picture that was sent.", {}, {**_GIVES, 404: "No such id."}
        )
        return sent, found

    async def _create(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        request = await gateway.accept(http, NAME, _order(http))
        wait = http.preferences.get("wait")
        if "respond-async" not in http.preferences and wait and not wait.isdecimal():
            raise NotServedError(400, "expected Prefer: wait=SECONDS with a whole number of seconds")
        seconds = 0.0 if "respond-async" in http.preferences else float(wait) if wait else None
        return await self._answer(gateway, http, await gateway.ended(request, seconds))

    async def _find(self, gateway: Gateway, http: HttpRequest) -> HttpAnswer:
        return await self._answer(gateway, http, await gateway.find(http, NAME, http.parameters["id"]))

    async def _answer(self, gateway: Gateway, http: HttpRequest, request: Request) -> HttpAnswer:
        headers = gateway.headers(request)
        if not request.has_ended:
            location = {"Location": f"{request.base}/pictures/{request.id}", "Retry-After": "1"}
            return json_answer(self.as_json(gateway, request), 202, {**headers, **location})
        outcome = request.outcome
        if outcome.state != "done" or "application/json" in http.headers.get("accept", ""):
            return json_answer(self.as_json(gateway, request), outcome.status, headers)
        product = await gateway.file(http, request.id, "picture")
        return HttpAnswer(200, product.content, outcome.files["picture"].type, headers)

    def as_json(self, gateway: Gateway, request: Request) -> dict[str, Any]:
        """Return id, state and error, and the result's facts under ``blackbox_conformal``."""
        return gateway.as_json(request)


def _order(http: HttpRequest) -> Order:
    if http.form is None:
        raise NotServedError(415, "expected a form with the field image, as curl -F image=@in.png sends it")
    pictures = [value for name, value in http.form if name == "image" and isinstance(value, FormFile)]
    texts = [(name, value) for name, value in http.form if isinstance(value, str)]
    # A second file, or a file in another field, would be dropped without a word.
    if len(pictures) != 1 or len(pictures) + len(texts) != len(http.form):
        raise NotServedError(422, "expected one file, in the field image; send each picture by itself")
    options = dict(texts)
    if len(options) != len(texts):
        raise NotServedError(422, "expected each field once; a field stands twice in the form")
    webhook = options.pop("webhook", None)
    key = http.headers.get("idempotency-key")
    order = Order(picture=pictures[0].content, options=options, idempotency_key=key, webhook=webhook)
    return renamed(order, pictures[0].name)


PLUGIN = Multipart
