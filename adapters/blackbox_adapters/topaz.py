"""Topaz Labs' Image API: submit, poll the status, ask for the download link, fetch it.

Source: the vendor's OpenAPI document of December 2025.
"""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import Hosted, JsonObject, PriceList, blocks
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import document, fetched, money, peek, require, words
from blackbox_conformal.errors import PayloadError, TryLaterError, VendorError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Purpose,
    Quote,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

JSON = {"accept": "application/json"}


class TopazTask(NamedTuple):
    """A kind of Topaz's models: its name in addresses, the damage it undoes, and its default model."""

    kind: str
    degradation: str
    model: str


TASKS = {
    "upscale": TopazTask("enhance", "bicubic", "Standard V2"),
    "denoise": TopazTask("denoise", "noise:15", "Normal"),
    "deblur": TopazTask("sharpen", "blur:2", "Lens Blur V2"),
    "colourise": TopazTask("lighting", "grey", "Colorize"),
}
GENERATIVE = ("redefine", "recover", "wonder", "standard max", "bloom", "reimagine", "super focus")
BLOOM_SEEDS = (1, 2000)
BLOCKS = {
    "recover": (4, 4),
    "bloom": (2, 2),
    "wonder 4": (8, 8),
    "wonder": (8, 4),
    "standard max": (8, 4),
    "redefine": (8, 4),
}
"""First words of a model's name → most and fewest output megapixels of a credit.

Restoring models take a credit for 24 megapixels and Recover one for 4, by the vendor's model pages; Bloom for 2 and
Wonder 4 for 8, by the price lists of fal and Runware. Other generative models take one for 4 to 8, by a reseller. A
model that is missing here has the range of all models.
"""

LONGEST_S = {False: 10800.0, True: 3600.0}
"""Whether a model is generative → seconds that its three attempts may take, by the vendor's FAQ of 2026."""


class Topaz(Hosted):
    """Topaz Labs' models that enhance to an exact output size, denoise, sharpen or colourise.

    Restoring models (Standard V2 and its kin) go to ``/enhance/async``, generative ones (Redefine, Recovery, Wonder,
    Standard MAX, Bloom, Reimagine) to ``/enhance-gen/async``. Unknown fields are ignored without a word, so check the
    spelling of `settings`.

    The other tasks keep the size and need ``scale=1``: ``denoise`` (Normal, Strong, Extreme) goes to
    ``/denoise/async``, ``deblur`` (Lens Blur V2, Motion Blur, Refocus, …) to ``/sharpen/async`` or, for the generative
    Super Focus V2, ``/sharpen-gen/async``, and ``colourise`` (Colorize) to ``/lighting/async``.

    A finished process tells its credits, an estimate tells them beforehand (``plan --quote``), and `usd-per-credit`
    says what one costs in your plan. The vendor refunds what fails on its side (developer.topazlabs.com, error
    handling, 2026), so a failed process is asked for again.

    Seeds: only Bloom 2 documents one, 1 to 2000, and answers from seed 2 unless told; restoring models answer equal
    requests equally.
    """

    name = "topaz"
    version = 2
    auth_variable = "TOPAZ_API_KEY"
    documentation = "https://developer.topazlabs.com/image-api"
    evidence = "openapi"
    auth_header = "x-api-key"
    auth_prefix = ""
    failures = Failures(message=["message", "error", "detail"], code=["code"], request_id_header="x-process-id")
    transient = Hosted.transient | {"usd_per_credit"}
    uncertain = (
        "Wonder and Wonder 2 are deprecated, and retired from 2027-01-01 at the earliest: the vendor names Wonder 3.5",
        "the seed is absent from the OpenAPI document; Bloom 2's is described by a third party's node",
        "the host of download links is not documented; name it in result-hosts if it is refused",
        "what a credit buys of Standard MAX, Redefine, Reimagine and models before Wonder 4 is known as a range",
        "a credit is resold at 0.08 to 0.10 US dollars, by third-party readings of 2026: put what yours cost into "
        "usd-per-credit; the credits of each request are the vendor's own",
    )

    url: str = Field(default="https://api.topazlabs.com/image/v1", description="Address of the interface.")
    model: str = Field(default="Standard V2", description="Model, spelled as in the documentation.")
    task: Literal["upscale", "denoise", "deblur", "colourise"] = Field(
        default="upscale", description="What the model is for; all but upscale need scale=1 and a model of their kind."
    )
    generative: bool | None = Field(default=None, description="Send to /enhance-gen; None = by the model's name.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification; the output size is asked for in pixels.")
    settings: JsonObject = Field(
        default_factory=dict, description='Settings of the model as a JSON object, such as {"sharpen": 0.5}.'
    )
    seed_field: str | None = Field(
        default=None, description="Field that takes a seed; None = seed for Bloom 2, none for others."
    )
    usd_per_credit: Decimal = Field(
        default=Decimal("0.10"),
        gt=0,
        description="US dollars that one of your credits costs; by default the dearer of third-party readings of 2026.",
    )
    poll_seconds: float = Field(default=5.0, ge=1.0, description="Seconds between two polls of a process.")

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        if self.task != "upscale" and (self.scale, self.model == TASKS["upscale"].model) != (1, False):
            raise ValueError(
                f"expected scale=1 and a model of its own with task={self.task}; got scale={self.scale} and "
                f"model={self.model}: add -p scale=1 -p 'model={TASKS[self.task].model}'"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Return the usual identity; upscaling is not told, so that draws older than the choice are found."""
        identity = super().identity()
        if self.task == "upscale":
            del identity["parameters"]["task"]
        return identity

    @property
    def capabilities(self) -> Capabilities:
        seeded = self._seed_field() is not None
        return self.listed(
            Capabilities(
                scale_factors=(self.scale,),
                seed_range=BLOOM_SEEDS if seeded else None,
                default_seed_hazard=seeded,
                max_side=32000 // self.scale,
                max_output_pixels=512_000_000,
                max_upload_bytes=500_000_000,
                deterministic=not self._is_generative(),
                degradation=TASKS[self.task].degradation,
                failures_billed=False,
                transient_known=True,
                cancels=True,
                job_timeout_s=LONGEST_S[self._is_generative()],
                result_hosts=self.hosts(".topazlabs.com", ".amazonaws.com"),
            )
        )

    @property
    def price_list(self) -> PriceList:
        """Return prices by started blocks of output megapixels, each of which takes a credit."""
        others = (24, 2) if self._is_generative() else (24, 24)
        large, small = next((sizes for kind, sizes in BLOCKS.items() if self.model.lower().startswith(kind)), others)
        several = f"{large}" if large == small else f"{small} to {large}"
        return PriceList(
            lambda size: (blocks(size, large) * self.usd_per_credit, blocks(size, small) * self.usd_per_credit),
            f"by output megapixels: a credit of {self.usd_per_credit} USD for every {several} that are begun",
            "Topaz's model pages and its resellers' price lists",
            date(2026, 11, 26),
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        form = {name: str(value) for name, value in self._wanted(upload).items()}
        seed_field = self._seed_field()
        if seed_field is not None and draw.seed is not None:
            form[seed_field] = str(draw.seed)
        picture = Part("image", "input.png", upload.png)
        answer = yield self.send(
            "POST", f"/{TASKS[self.task].kind}{self._kind()}/async", "submit", JSON, form=form, files=(picture,)
        )
        process = require(answer.json(), "process_id", "a process id")
        yield Accepted(process)
        return (yield from self.resume(upload, draw, process))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        process = quote(job, safe="")
        work = PolledJob(
            "process", job, done=("Completed",), failed=("Failed", "Cancelled"), reason=("message", "error")
        )
        poll = self.send("GET", f"/status/{process}", "poll", JSON)
        cancel = self.send("DELETE", f"/cancel/{process}", "cancel")
        status = yield from polled(poll, self.poll_seconds, lambda answer: work.result(answer.json()), cancel=cancel)
        yield Observed(
            cost_usd=money(peek(status, "credits"), self.usd_per_credit),
            model=words(status, "model") or None,
            request_id=job,
        )
        output = PolledJob("process", job, picture="download_url")
        poll = replace(poll, url=f"{self.base_url}/download/{process}", accept=frozenset({200, 409}))
        link = yield from polled(
            poll, self.poll_seconds, lambda answer: output.result(document(answer) if answer.status == 200 else None)
        )
        return (yield from fetched(link, "download_url"))

    def quote(self, upload: Upload) -> Quote:
        """Return the vendor's estimate, in credits."""
        wanted = self._wanted(upload) | {"input_width": upload.width, "input_height": upload.height}
        if self.task != "upscale":
            wanted["category"] = TASKS[self.task].kind.capitalize()
        answer = yield self.send("POST", f"/estimate{self._kind()}", "quote", JSON, json=wanted)
        cost = money(peek(answer.json(), "credits"), self.usd_per_credit)
        if cost is None:
            raise PayloadError(f"expected the credits of a picture; got {words(answer.json(), '') or 'nothing'}")
        return cost

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read Topaz's ``{code, message}``; 425 = credits are being topped up."""
        if answer.status == 425:
            message, _, request = self.failures.read(answer)
            return TryLaterError(f"HTTP 425: {message}", retry_after=5.0, request_id=request, code="425")
        return super().explain(answer, purpose)

    def _wanted(self, upload: Upload) -> dict[str, str | int]:
        """Return model, size and settings for submission and estimate; only a model that upscales takes a size."""
        upscaled = {"output_width": upload.width * self.scale, "output_height": upload.height * self.scale}
        return {
            **{name: str(value) for name, value in self.settings.items()},
            "model": self.model,
            **(upscaled if self.task == "upscale" else {}),
            "output_format": "png",
        }

    def _kind(self) -> str:
        return "-gen" if self._is_generative() else ""

    def _is_generative(self) -> bool:
        if self.generative is not None:
            return self.generative
        return self.model.lower().startswith(GENERATIVE)

    def _seed_field(self) -> str | None:
        if self.seed_field is not None:
            return self.seed_field or None
        return "seed" if self.model.lower() == "bloom 2" else None


ADAPTER = Topaz

EXAMPLE = Example(
    parameters={"model": "Bloom 2", "scale": 4, "poll_seconds": 1.0},
    environment={"TOPAZ_API_KEY": "made-up-topaz-key"},
    polls=1,
    answers=(
        says('{"process_id":"9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0001","source_id":"s-1","eta":1764000000}'),
        says('{"process_id":"9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0001","status":"Processing","progress":40,"credits":1}'),
        says('{"process_id":"9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0001","status":"Completed","progress":100,"credits":1}'),
        says('{"download_url":"{address}/signed/out.png","head_url":"{address}/signed/head","expiry":1764003600}'),
        shows(),
    ),
    quotes=(says('{"duration":30,"credits":2}'),),
    cost_usd=Decimal("0.10"),
    failures=(
        (
            says('{"process_id":"9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0002","source_id":"s-2","eta":1764000000}'),
            says('{"process_id":"9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0002","status":"Failed","message":"decoding failed"}'),
        ),
    ),
)
