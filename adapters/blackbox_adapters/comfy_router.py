"""Comfy Router: models of many vendors behind one key, through its queue.

Source: the vendor's OpenAPI document of 2026 for the router, and its pages of single models.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import Failure, Failures, not_found, retry_after
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, Names, fit
from blackbox_adapters._reading import base64_text, data_link, document, money, peek, received, require, words
from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Purpose,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

USD_PER_CREDIT = 1 / Decimal(211)
PNG = {"output_format": "png"}
MODELS = {
    "fal/crystal-upscaler": Names(image="image_url", scale="scale_factor", fixed=PNG, output="images.0.url"),
    "bria/image-edit-increase-resolution": Names(
        scale="desired_increase", scales=(2, 4), deterministic=True, output="result.image_url"
    ),
    "freepik/ai-image-upscaler-precision-v2": Names(
        scale="scale_factor", scales=(2, 4, 8, 16), output="data.generated.0", exact=False
    ),
}
UNKNOWN = Names(image="image_url", scale="scale_factor", output="images.0.url")
BARE = ("bria", "freepik", "bfl")  # Providers whose models take a picture in base64 without ``data:``.
ACCOUNT = ("insufficient_credits", "unauthorized", "forbidden", "not_enabled")
LATER = ("concurrency_limit_exceeded", "rate_limited", "queue_backlog_full", "service_unavailable")
FAILED = ("provider_error", "provider_timeout", "deadline_exceeded", "queue_timeout", "cancelled")


class ComfyRouter(NamedInputs):
    """Other vendors' models on one Comfy key.

    A run is queued, polled until it is ``COMPLETED`` and collected; the router forwards the model's inputs and answer
    unchanged. An idempotency key finds a submission whose answer was lost. Every failure has a type, in the header
    X-Comfy-Error-Type.

    Seeds: where `seed-input` names an input.
    """

    name = "comfy-router"
    auth_variable = "COMFY_API_KEY"
    auth_header = "x-api-key"
    auth_prefix = ""
    documentation = "https://docs.comfy.org/development/comfy-router/reference"
    failures = Failures(
        message=["upstream_detail", "detail.0.msg", "detail"],
        code=["error_type"],
        request_id_header="x-comfy-request-id",
    )
    uncertain = (
        "some of the vendor's pages call the router not generally available and say that it answers 404; a key without "
        "access to it is answered not_enabled",
        "prices are not told, and the vendor's document has no estimate: give price-usd; credits that an answer tells "
        "are booked at 211 to the dollar, as clients say, and not every answer tells them",
        "whether a refusal by a content filter is billed depends on the provider; it is booked",
        "outputs of Bria's and Freepik's models are those of their own interfaces: the router's pages show none",
        "the hosts of results are not listed; they may be any",
    )

    url: str = Field(default="https://api.comfy.org", description="Address of the interface.")
    model: str = Field(
        pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*/[a-z0-9]+([._-][a-z0-9]+)*$",
        description="provider/model, such as fal/crystal-upscaler.",
    )
    image_form: Literal["", "link", "base64"] = Field(
        default="", description="How the input takes the picture: a data link or bare base64; empty = by provider."
    )
    poll_seconds: float = Field(default=2.0, ge=0.1, description="Seconds between two polls of a request.")

    @property
    def capabilities(self) -> Capabilities:
        known = self.model_capabilities(
            price=self.given_price, result_hosts=self.hosts(), transient_known=True, cancels=True
        )
        return replace(known, idempotency_header="Idempotency-Key")

    def table(self) -> Names:
        return MODELS.get(self.model, UNKNOWN)

    def inspect(self) -> Inspection:
        path, wanted = f"/v2/models/{self.model}/openapi.json", frozenset({200, 404})
        answer = yield self.send("GET", path, "lookup", accept=wanted)
        if answer.status != 200:
            failure = self.failures.read(answer)
            if failure.code == "model_not_found":
                raise not_found(failure)
            return None
        document = answer.json()
        paths = peek(document, "paths")
        runs = [path for path, methods in paths.items() if peek(methods, "post")] if isinstance(paths, dict) else []
        return fit(self, ModelSchema.of_request(document, runs[0]) if len(runs) == 1 else None)

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        bare = self.image_form == "base64" or (not self.image_form and self.model.split("/")[0] in BARE)
        picture = base64_text(upload.png) if bare else data_link(upload.png)
        inputs = self.model_inputs(picture, draw)
        key = {"idempotency-key": draw.idempotency_key}
        answer = yield self.send("POST", f"/v2/models/{self.model}/requests", "submit", key, json=inputs)
        job = require(answer.json(), "request_id", "a request's id")
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        place = f"/v2/models/{self.model}/requests/{quote(job, safe='')}"
        request = PolledJob("request", job, done=("COMPLETED",))
        poll = self.send("GET", f"{place}/status", "poll")
        cancel = self.send("PUT", f"{place}/cancel", "cancel")
        yield from polled(poll, self.poll_seconds, lambda answer: request.result(answer.json()), cancel=cancel)
        # Collecting a failed run tells why it failed.
        collect = self.send("GET", place, "poll")
        answer = yield from polled(collect, self.poll_seconds, lambda got: None if got.status == 202 else got)
        cost = money(answer.headers.get("x-comfy-credits-used"), USD_PER_CREDIT)
        yield Observed(cost_usd=cost, request_id=answer.headers.get("x-comfy-request-id") or job)
        if answer.headers.get("content-type", "").startswith("image/"):
            return answer.body
        path = self.names().output
        picture = peek(answer.json(), path)
        if not picture:
            raise PayloadError(f"expected a picture at {path!r} of the model's output; name it with output-path")
        return (yield from received(picture, path))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Judge by the router's type of error, which is in a header and mostly in the body."""
        failure = self.failures.read(answer)
        kind = answer.headers.get("x-comfy-error-type") or failure.code
        failure = failure._replace(code=kind)
        said, request = f"{kind}: {failure.message}", failure.request_id
        if kind in ACCOUNT:
            return AccountRefusedError(
                f"the vendor refused this key or account with {said}", request_id=request, code=kind
            )
        if kind == "model_not_found":
            return not_found(failure)
        if kind in LATER:
            return TryLaterError(f"the vendor asked to wait: {said}", retry_after=retry_after(answer), code=kind)
        if kind == "content_policy_violation":
            side = words(document(answer), "refusal_subject")
            return RefusedError(f"a content filter refused ({side or 'side unknown'}): {said}", billed=True, code=kind)
        if kind in FAILED and purpose == "poll":
            return VendorFailedError(f"the run failed with {said}", request_id=request, code=kind)
        if kind == "invalid_input":
            return self._invalid(answer, f"the vendor refused the request with {said}", failure)
        return self.failures.error(answer, purpose, failure)

    def _invalid(self, answer: Answer, said: str, failure: Failure) -> VendorError:
        request, code = failure.request_id, failure.code
        if answer.status == 409:
            # The key belongs to a run whose answer cannot be fetched again; another attempt has another key.
            return VendorFailedError(said, request_id=request, code=code)
        places = peek(document(answer), "detail")
        fields = [words(place, "loc") for place in places] if isinstance(places, list) else []
        if fields and not any(self.names().image in field for field in fields):
            return RunRefusedError(
                f"{said}; correct inputs, image-input, scale-input or seed-input", request_id=request, code=code
            )
        return RefusedError(said, request_id=request, code=code)


ADAPTER = ComfyRouter

EXAMPLE = Example(
    parameters={"model": "fal/crystal-upscaler", "poll_seconds": 0.1},
    environment={"COMFY_API_KEY": "comfyui-made-up-for-this-example"},
    polls=1,
    answers=(
        says('{"request_id":"6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21","status":"IN_QUEUE","queue_position":0}', 201),
        says('{"request_id":"6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21","status":"IN_PROGRESS"}'),
        says('{"request_id":"6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21","status":"COMPLETED"}'),
        says(
            '{"images":[{"url":"{address}/files/upscaled.png","content_type":"image/png"}]}',
            x_comfy_request_id="made-up-request",
            x_comfy_credits_used="21.1",
        ),
        shows(),
    ),
    cost_usd=Decimal("0.1"),
    failures=(
        (
            says('{"request_id":"6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c22","status":"IN_QUEUE","queue_position":0}', 201),
            says('{"request_id":"6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c22","status":"COMPLETED"}'),
            says('{"detail":"The provider failed.","error_type":"provider_error"}', 502),
        ),
    ),
)
