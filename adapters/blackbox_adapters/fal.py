"""fal: its queue, as its official clients and its documentation of 2026 describe it.

The model decides which inputs take the picture, the magnification and the seed: see `MODELS`.
"""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import PriceList, flat, per_megapixel, tiers
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, Names, fit, result_schema
from blackbox_adapters._reading import data_link, document, fetched, integer, money, peek, require, words
from blackbox_conformal.errors import JobError, NotFoundError, RefusedError, VendorError, VendorFailedError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Purpose,
    Send,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

# Inputs of fal's endpoints that upscale or restore, from the types in its official client.

_FACTOR = "upscale_factor"
_OUT = "image.url"
_OPEN = {"enable_safety_checker": False}
_OPEN_CREATIVE = {"enable_safety_checks": False}
_PAGE = ("the model's page at fal", date(2026, 11, 26))
_REPORTED = ("the model's page at fal, as a third party read it", date(2026, 9, 9))
_TOPAZ = ("the model's page at fal for both ends, Topaz's prices at Comfy between them", date(2026, 11, 26))


def _restorer(degradation: str, price: PriceList | None = None) -> Names:
    """Return a network that answers at the size of the input; it accepts a seed and ignores it."""
    return Names(
        image="image_url",
        scale=None,
        scales=(1,),
        seed="seed",
        deterministic=True,
        output=_OUT,
        price=price,
        degradation=degradation,
    )


MODELS: dict[str, Names] = {
    "fal-ai/clarity-upscaler": Names(
        image="image_url", scale=_FACTOR, seed="seed", fixed=_OPEN, output=_OUT, price=per_megapixel("0.03", *_PAGE)
    ),
    "fal-ai/ccsr": Names(image="image_url", seed="seed", output=_OUT),
    "fal-ai/seedvr/upscale/image": Names(
        image="image_url",
        scale=_FACTOR,
        seed="seed",
        fixed={"upscale_mode": "factor", "output_format": "png"},
        output=_OUT,
        price=per_megapixel("0.001", *_REPORTED),
        exact=False,
    ),
    "fal-ai/aura-sr": Names(image="image_url", scale=_FACTOR, scales=(4,), output=_OUT),
    "fal-ai/esrgan": Names(image="image_url", fixed={"output_format": "png"}, deterministic=True, output=_OUT),
    "fal-ai/topaz/upscale/image": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(1, 2, 3, 4),
        fixed={"output_format": "png"},
        output=_OUT,
        price=tiers(((24, "0.08"), (48, "0.16"), (96, "0.32"), (512, "1.36")), *_TOPAZ),
    ),
    "fal-ai/creative-upscaler": Names(image="image_url", seed="seed", fixed=_OPEN_CREATIVE, output=_OUT),
    "fal-ai/flux-vision-upscaler": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(1, 2, 3, 4),
        seed="seed",
        fixed=_OPEN,
        output=_OUT,
        price=per_megapixel("0.1", *_PAGE),
    ),
    "fal-ai/recraft/upscale/crisp": Names(
        image="image_url",
        scale=None,
        fixed=_OPEN,
        deterministic=True,
        output=_OUT,
        exact=False,
        price=flat("0.004", *_REPORTED),
    ),
    "fal-ai/recraft/upscale/creative": Names(
        image="image_url", scale=None, fixed=_OPEN, output=_OUT, exact=False, price=flat("0.25", *_REPORTED)
    ),
    "fal-ai/drct-super-resolution": Names(
        image="image_url",
        scale=_FACTOR,
        scales=(4,),
        deterministic=True,
        output=_OUT,
        price=per_megapixel("0.0045", *_REPORTED),
    ),
    "fal-ai/ideogram/upscale": Names(
        image="image_url", scale=None, seed="seed", output="images.0.url", exact=False, price=flat("0.06", *_REPORTED)
    ),
    "clarityai/crystal-upscaler": Names(
        image="image_url",
        scale="scale_factor",
        output="images.0.url",
        price=per_megapixel("0.016", *_REPORTED),
        # Its page names no format; fal's types of 2026-08-02 name one, which is JPEG unless told otherwise.
        lossless=False,
    ),
    "bria/upscale/creative": Names(image="image_url", scale=None, seed="seed", hazard=True, output=_OUT, exact=False),
    "fal-ai/nafnet/denoise": _restorer("noise:15", price=per_megapixel("0.0225", *_PAGE)),
    "fal-ai/nafnet/deblur": _restorer("blur:2"),
    "fal-ai/ddcolor": _restorer("grey"),
    "bria/fibo-edit/colorize": Names(
        image="image_url",
        scale=None,
        scales=(1,),
        fixed={"color": "contemporary color"},
        output=_OUT,
        exact=False,
        degradation="grey",
    ),
}
"""Endpoint → inputs. The safety checker, which replaces pictures by black ones, is off wherever fal allows.

SeedVR was seen to round sides to multiples of 16, so its pictures are resampled.
"""

UNKNOWN = Names(image="image_url", scale=_FACTOR, output=_OUT)

OWN_QUEUE = "https://queue.fal.run"
SCHEMAS = "https://fal.ai/api/openapi/queue/openapi.json"


class Fal(NamedInputs):
    """Any endpoint of fal that upscales or restores, through the queue.

    Use the links that the vendor returned, since they leave out the model's sub-path. A request that failed is
    ``COMPLETED`` too: it says ``error``, or its result answers with the error. Errors of the vendor's machines have a
    type such as ``runner_disconnected`` and a status of 500 or above; the vendor does not bill them (docs.fal.ai,
    reliability, 2026), and they are asked for again. A result that answers 4xx is a refusal, and is booked at its
    price.

    Seeds: a fresh one each draw where the model has one (Bria's creative upscaler answers from 5555 unless told);
    AuraSR draws its own noise and takes none.
    """

    name = "fal"
    version = 4
    auth_variable = "FAL_KEY"
    documentation = "https://docs.fal.ai/model-apis/model-endpoints/queue"
    evidence = "client"
    auth_prefix = "Key "
    transient = NamedInputs.transient | {"usd_per_unit", "schema_url"}
    failures = Failures(message=["detail.0.msg", "detail", "error", "message"], request_id_header="x-fal-request-id")
    uncertain = (
        "prices of ESRGAN, AuraSR, CCSR, the creative upscaler and Bria's are not published for a draw: give price-usd",
        "the price of the units in which Topaz is billed is not documented: with usd-per-unit its bill is read",
        "sizes of recraft, ideogram and bria results are not documented, and SeedVR rounds its own; they are resampled",
    )

    url: str = Field(default=OWN_QUEUE, description="Address of the queue.")
    schema_url: str = Field(
        default="", description="Where schemas of endpoints are published; empty = at fal, for its own queue only."
    )
    model: str = Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)+$", description="Endpoint, such as fal-ai/clarity-upscaler.")
    usd_per_unit: Decimal | None = Field(
        default=None,
        gt=0,
        description="US dollars of one billable unit, which results count; None = by model: a megapixel or a picture.",
    )
    poll_seconds: float = Field(default=1.0, ge=0.1, description="Seconds between two polls of a request.")

    @property
    def capabilities(self) -> Capabilities:
        return self.listed(
            self.model_capabilities(
                price=None,
                result_hosts=self.hosts("fal.media", ".fal.media", "fal.ai"),
                failures_billed=False,
                transient_known=True,
                cancels=True,
            )
        )

    @property
    def price_list(self) -> PriceList | None:
        return self.names().price

    def table(self) -> Names:
        return MODELS.get(self.model, UNKNOWN)

    def inspect(self) -> Inspection | None:
        """Read the endpoint's inputs and output, which fal publishes beside its queue; only there unless told where."""
        address = self.schema_url or (SCHEMAS if self.base_url == OWN_QUEUE else "")
        return self._inspect(address) if address else None

    def _inspect(self, address: str) -> Inspection:
        query = {"endpoint_id": self.model}
        try:
            published = yield Send("GET", address, purpose="lookup", query=query, public=True)
            document = published.json()
        except VendorError:
            # The schema comes from another server than the queue, and models in the table can do without it.
            if self.model in MODELS:
                return None
            raise
        name = self.names().output.partition(".")[0]
        output = result_schema(document, f"/{self.model}/requests/{{request_id}}")
        if output is not None and name not in output.inputs:
            near = {"images": "images.0.url", "image": "image.url"}
            path = next((path for other, path in near.items() if other in output.inputs), "…")
            raise NotFoundError(
                f"{self.model_name} answers with {', '.join(output.inputs)}, and not with {name}; add -p "
                f"output-path={path}"
            )
        return fit(self, ModelSchema.of_request(document, f"/{self.model}"))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        inputs = self.model_inputs(data_link(upload.png), draw)
        answer = yield self.send("POST", f"/{self.model}", "submit", json=inputs)
        queued = answer.json()
        request = require(queued, "request_id", "a request id")
        owner, application = self.model.split("/")[:2]
        link = f"{self.base_url}/{owner}/{application}/requests/{request}"
        job = json.dumps(
            {
                "request_id": request,
                "status_url": peek(queued, "status_url") or f"{link}/status",
                "response_url": peek(queued, "response_url") or link,
            }
        )
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        try:
            kept: Any = json.loads(job)
            links = {name: str(kept[name]) for name in ("request_id", "status_url", "response_url")}
        except (ValueError, KeyError, TypeError):
            raise JobError(f"expected a stored fal request with its three links; got {job[:80]!r}") from None
        name, path = links["request_id"], self.names().output
        request = PolledJob("request", name, done=("COMPLETED",))
        poll = Send("GET", links["status_url"], purpose="poll", headers=self.key())
        cancel = replace(poll, method="PUT", url=f"{links['response_url']}/cancel", purpose="cancel")
        status = yield from polled(poll, self.poll_seconds, lambda answer: request.result(answer.json()), cancel=cancel)
        reason, kind = words(status, "error"), words(status, "error_type")
        if kind:
            raise request.failure(reason, kind)
        response = PolledJob("request", name, picture=path)

        def made(answer: Answer) -> Answer | None:
            if answer.status >= 500:
                raise request.failure(reason, str(answer.status))
            result = answer.json()
            flags = peek(result, "has_nsfw_concepts")
            if flags is True or (isinstance(flags, list) and True in flags):
                raise response.failure(
                    "the safety checker flagged the picture and blackened it", "content_policy_violation"
                )
            return answer if response.result(result) else None

        # The result of a failed request tells whether it is a refusal.
        fetch = replace(poll, url=links["response_url"], accept=_ENDED if reason else None)
        answer = yield from polled(fetch, self.poll_seconds, made)
        result = answer.json()
        unit = self.usd_per_unit or (None if self.price_list is None else self.price_list.unit)
        cost = None if unit is None else money(answer.headers.get("x-fal-billable-units"), unit)
        yield Observed(cost_usd=cost, request_id=name, seed=integer(peek(result, "seed")))
        return (yield from fetched(peek(result, path), path))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read fal's ``detail``: a text, or a list of problems with a type; an error with a type ends its request."""
        failure = self.failures.read(answer)
        kind = words(document(answer), "detail.0.type", "error_type") or answer.headers.get("x-fal-error-type", "")
        failure = failure._replace(code=kind or failure.code)
        if purpose != "poll":
            return self.failures.error(answer, purpose, failure)
        message = f"the request failed with {failure.code}: {failure.message}"
        retryable = answer.headers.get("x-fal-retryable", "").lower() == "true" or kind in _AGAIN
        if kind and (answer.status >= 499 or retryable):
            return VendorFailedError(message, request_id=failure.request_id, code=kind)
        if answer.status in (400, 413, 422):
            return RefusedError(message, billed=True, request_id=failure.request_id, code=failure.code)
        return self.failures.error(answer, purpose, failure)


_ENDED = frozenset({*range(200, 300), 500, 502, 503, 504})
_AGAIN = ("internal_server_error", "generation_timeout", "downstream_service_error", "downstream_service_unavailable")
"""Types of model errors that the vendor calls worth repeating, whatever their status."""

ADAPTER = Fal

EXAMPLE = Example(
    parameters={"model": "fal-ai/clarity-upscaler", "scale": 2, "poll_seconds": 0.1},
    environment={"FAL_KEY": "made-up-id:made-up-secret"},
    polls=1,
    answers=(
        says(
            '{"status":"IN_QUEUE","request_id":"764cabcf-b745-4b3e-ae38-1200304cf45b","queue_position":0,'
            '"response_url":"{address}/fal-ai/clarity-upscaler/requests/764cabcf-b745-4b3e-ae38-1200304cf45b",'
            '"status_url":"{address}/fal-ai/clarity-upscaler/requests/764cabcf-b745-4b3e-ae38-1200304cf45b/status"}'
        ),
        says('{"status":"IN_PROGRESS","logs":null}', 202),
        says('{"status":"COMPLETED","logs":null,"metrics":{"inference_time":3.1}}'),
        says(
            '{"image":{"url":"{address}/files/out.png","content_type":"image/png","width":64,"height":64},'
            '"seed":42,"timings":{"inference":3.1}}'
        ),
        shows(),
    ),
    failures=(
        (
            says('{"status":"IN_QUEUE","request_id":"764cabcf-b745-4b3e-ae38-1200304cf45c","queue_position":0}'),
            says('{"status":"COMPLETED","error":"Runner died","error_type":"runner_error"}'),
        ),
        (
            says('{"status":"IN_QUEUE","request_id":"764cabcf-b745-4b3e-ae38-1200304cf45d","queue_position":0}'),
            says('{"status":"COMPLETED","logs":null}'),
            says('{"detail":"The runner disconnected.","error_type":"runner_disconnected"}', 503),
        ),
    ),
)
