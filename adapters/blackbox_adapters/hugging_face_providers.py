"""Hugging Face Inference Providers: image-to-image models run by fal, Replicate or WaveSpeed, paid with one token.

Source: huggingface_hub 2.4.0, whose requests to a server on loopback were compared with these. `hugging_face` serves
models on Hugging Face's own machines.
"""

from collections.abc import Generator
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from blackbox_adapters._failures import USUAL, Failures
from blackbox_adapters._hosted import Hosted, JsonObject, present
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._named_inputs import SEEDS
from blackbox_adapters._reading import data_link, fetched, peek, require, words
from blackbox_conformal.errors import NotFoundError, VendorError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Purpose,
    Send,
    Step,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows


class Provider(NamedTuple):
    """How to read one provider's jobs: paths of a submission's name and link, states, and path of the picture."""

    id: str
    link: str
    status: str
    done: tuple[str, ...]
    failed: tuple[str, ...]
    picture: str
    reason: str


PROVIDERS = {
    "fal-ai": Provider("request_id", "response_url", "status", ("COMPLETED",), (), "images.0.url", "error"),
    "replicate": Provider(
        "id", "urls.get", "status", ("succeeded",), ("failed", "canceled", "aborted"), "output", "error"
    ),
    "wavespeed": Provider(
        "data.id", "data.urls.get", "data.status", ("completed",), ("failed",), "data.outputs.0", "data.error"
    ),
}
HOSTS = (
    "fal.media",
    ".fal.media",
    "replicate.delivery",
    ".replicate.delivery",
    ".wavespeed.ai",
    "d1q70pf5vjeyhc.cloudfront.net",
)
QUEUE = {"_subdomain": "queue"}


class HuggingFaceProviders(Hosted):
    """A model of the Hugging Face Hub on a partner's machines, through Hugging Face's router.

    Before each draw the Hub says, free of charge, what the provider calls `model`. The token needs the permission to
    call Inference Providers; the account is billed at the provider's price.

    Seeds: only where `seed-field` names a parameter of the model, as in ``seed-field=seed``.
    """

    name = "hugging-face-providers"
    auth_variable = "HF_TOKEN"
    seeds_by_model = True
    documentation = "https://huggingface.co/docs/inference-providers/tasks/image-to-image"
    evidence = "client"
    failures = Failures(
        message=["error.message", "error", "message", "detail.0.msg", "detail"],
        code=["error.type", "detail.0.type"],
        request_id_header="x-request-id",
    )
    uncertain = (
        "prices are the provider's and are not told: give price-usd",
        "the router passes a provider's failures on as they come; what it bills of them is not documented",
        "the vendor's own client gives up a Replicate prediction after 60 s; this adapter asks the router for it, and "
        "whether the router knows such a question is not documented",
        "which inputs a model takes is not told; Replicate gets the picture under the four names that the client uses",
        "hosts of results are from clients; name others in result-hosts if one is refused",
    )

    url: str = Field(default="https://router.huggingface.co", description="Address of the router.")
    model: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name of the model on the Hub.")
    provider: Literal["fal-ai", "replicate", "wavespeed"] = Field(
        default="fal-ai", description="On whose machines it runs."
    )
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the model.")
    prompt: str = Field(default="", description="What an editing model is told; empty = not sent.")
    settings: JsonObject = Field(default_factory=dict, description="Further parameters of the model.")
    seed_field: str = Field(default="", description="Name of the parameter that takes a seed; empty = none.")
    resample: bool = Field(default=False, description="Resample a result that is not exactly scale times the input.")
    poll_seconds: float = Field(default=1.0, ge=0.1, description="Seconds between two polls of a job.")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=SEEDS if self.seed_field else None,
            price=self.given_price,
            lossless_output=False,
            output_size="resample" if self.resample else "exact",
            result_hosts=self.hosts(*HOSTS),
            transient_known=True,
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        # The Hub is asked without a key, so a missing key must be reported here, before anything is sent.
        self.credential()
        known = yield from self._mapped()
        parameters = present(**self.settings, prompt=self.prompt)
        if self.seed_field and draw.seed is not None:
            parameters[self.seed_field] = draw.seed
        yield Observed(model=f"{self.provider}:{known}")
        answer = yield self._submission(known, data_link(upload.png), parameters)
        job, shape = answer.json(), PROVIDERS[self.provider]
        name = require(job, shape.id, "a job's id")
        link = require(job, shape.link, "the job's address")
        # Only the path is kept: the key goes to the router, never to the provider's address.
        kept = f"{name} {urlsplit(link).path}"
        yield Accepted(kept)
        return (yield from self.resume(upload, draw, kept, answer if self.provider == "replicate" else None))

    def resume(self, upload: Upload, draw: Draw, job: str, answer: Answer | None = None) -> Flow:
        name, _, path = job.partition(" ")
        shape, fal = PROVIDERS[self.provider], self.provider == "fal-ai"
        work = PolledJob(
            "job",
            name,
            status=(shape.status,),
            done=shape.done,
            failed=shape.failed,
            picture="" if fal else shape.picture,
            reason=(shape.reason,),
            code=("data.code", "code", "error_type"),
        )
        place, query = f"/{self.provider}{path}", QUEUE if fal else {}
        poll = self.send("GET", f"{place}/status" if fal else place, "poll", query=query)
        over = yield from polled(poll, self.poll_seconds, lambda answer: work.result(answer.json()), answer)
        if fal:
            reason = words(over, "error")
            if reason:
                raise work.failure(reason, words(over, "error_type") or "error")
            result = yield self.send("GET", place, "poll", query=query)
            over = peek(result.json(), shape.picture)
        yield Observed(request_id=name)
        return (yield from fetched(over[0] if isinstance(over, list) else over, shape.picture))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read the router's ``{error}``, or the provider's own words; a failed result holds its reason."""
        failure = self.failures.read(answer)
        told = answer.headers.get("x-fal-error-type", "")
        if purpose == "poll" and (told or answer.status in (400, 422)):
            code = told or failure.code
            said = f"the job failed with HTTP {answer.status}: {failure.message}"
            return USUAL.error(said, failure.message, code=code, request_id=failure.request_id)
        if answer.status == 400 and "not supported" in failure.message:
            return NotFoundError(f"{failure.message}; choose another provider or model", code=failure.code)
        return self.failures.error(answer, purpose, failure)

    def _mapped(self) -> Generator[Step, Answer, str]:
        hub = self.base_url.replace("://router.", "://", 1)
        link = f"{hub}/api/models/{self.model}"
        query = {"expand": "inferenceProviderMapping"}
        wanted = frozenset({200, 401, 404})
        answer = yield Send("GET", link, "lookup", query=query, accept=wanted, public=True)
        if answer.status != 200:
            raise NotFoundError(f"the Hub shows no model {self.model} to everybody; correct model=", code="model")
        mapping = peek(answer.json(), "inferenceProviderMapping")
        offers = mapping if isinstance(mapping, dict) else {}
        mine = offers.get(self.provider)
        if words(mine, "task") != "image-to-image" or words(mine, "adapterWeightsPath"):
            others = [name for name in offers if name in PROVIDERS and name != self.provider]
            able = [name for name in others if words(offers[name], "task") == "image-to-image"]
            raise NotFoundError(
                f"{self.provider} does not run {self.model} from image to image as it is; "
                + (f"give provider={able[0]}" if able else "choose another model"),
                code="provider",
            )
        return require(mine, "providerId", "the provider's name of the model")

    def _submission(self, known: str, picture: str, parameters: dict[str, Any]) -> Send:
        if self.provider == "fal-ai":
            body = {"image_url": picture, "image_urls": [picture], **parameters}
            return self.send("POST", f"/fal-ai/{known}", "submit", query=QUEUE, json=body)
        if self.provider == "wavespeed":
            body = {"image": picture, **parameters}
            return self.send("POST", f"/wavespeed/api/v3/{known}", "submit", json=body)
        inputs = {"image": picture, "images": [picture], "input_image": picture, "input_images": [picture]}
        name, _, version = known.partition(":")
        path = "/v1/predictions" if version else f"/v1/models/{name}/predictions"
        body = {"input": {**inputs, **parameters}, **present(version=version)}
        return self.send("POST", f"/replicate{path}", "submit", {"prefer": "wait"}, json=body)


ADAPTER = HuggingFaceProviders

EXAMPLE = Example(
    parameters={"model": "fal/AuraSR", "seed_field": "seed", "poll_seconds": 0.1},
    environment={"HF_TOKEN": "hf_made_up_for_this_example"},
    polls=2,
    answers=(
        says(
            '{"id":"fal/AuraSR","inferenceProviderMapping":{"fal-ai":{"status":"live","providerId":"fal-ai/aura-sr",'
            '"task":"image-to-image"}}}'
        ),
        says(
            '{"request_id":"r-1","status":"IN_QUEUE",'
            '"response_url":"https://queue.fal.run/fal-ai/aura-sr/requests/r-1"}'
        ),
        says('{"status":"IN_PROGRESS","request_id":"r-1"}'),
        says('{"status":"COMPLETED","request_id":"r-1"}'),
        says('{"images":[{"url":"{address}/files/out.png"}]}'),
        shows(),
    ),
    failures=(
        (
            says(
                '{"id":"fal/AuraSR","inferenceProviderMapping":{"fal-ai":{"status":"live","providerId":"fal-ai/aura-sr",'
                '"task":"image-to-image"}}}'
            ),
            says(
                '{"request_id":"r-2","status":"IN_QUEUE",'
                '"response_url":"https://queue.fal.run/fal-ai/aura-sr/requests/r-2"}'
            ),
            says('{"status":"COMPLETED","request_id":"r-2","error":"lost","error_type":"runner_disconnected"}'),
        ),
    ),
)
