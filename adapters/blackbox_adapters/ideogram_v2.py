"""Ideogram's second interface: upscaling by megapixel, priced by a dry run, as asynchronous generations.

Source: the vendor's documentation pages of November 2026. The recipe `ideogram` uses its first interface.
"""

import io
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from PIL import Image
from pydantic import Field, model_validator

from blackbox_adapters._failures import MODERATION, UNFIT, Failures, Reasons
from blackbox_adapters._hosted import FromText, Hosted, JsonObject
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import fetched, money, peek, require, words
from blackbox_conformal.errors import PayloadError, RefusedError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Quote,
    Send,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

MICRO = Decimal("0.000001")
CREATIVE = ("topaz-bloom-2", "topaz-redefine")


class IdeogramV2(Hosted):
    """Ideogram's upscalers, which are mostly Topaz's.

    ``topaz-standard-2`` and ``topaz-text-refine`` stay with the picture; ``topaz-wonder-3-5`` and ``topaz-wonder-4``
    rebuild detail; ``topaz-bloom-2`` and ``topaz-redefine`` invent it. The vendor's ``auto`` is not offered: it may
    choose another model each time. `quote` asks the price with an empty picture of the same size. A picture that the
    safety review withholds is billed; a generation that fails is not.

    Seeds: none.
    """

    name = "ideogram-v2"
    auth_variable = "IDEOGRAM_API_KEY"
    auth_header = "api-key"
    auth_prefix = ""
    documentation = "https://developer.ideogram.ai/api-reference/images/upscale"
    failures = Failures(
        message=["error", "message", "detail"], code=["reject_reason"], request_id_header="x-request-id"
    )
    uncertain = (
        "prices go by the megapixel of the result and were not read: plan --quote asks, or give price-usd",
        "whether repeated calls differ is not documented",
        "the file format of results is not documented",
        "the largest upload is not documented",
    )

    url: str = Field(default="https://api.ideogram.ai", description="Address of the interface.")
    model: Literal[
        "topaz-standard-2", "topaz-text-refine", "topaz-wonder-3-5", "topaz-wonder-4", "topaz-bloom-2", "topaz-redefine"
    ] = Field(default="topaz-standard-2", description="Upscaler.")
    scale: Annotated[Literal[2, 4, 8], FromText] = Field(
        default=4, description="Magnification; topaz-wonder-4 up to 4."
    )
    prompt: str = Field(default="", description="Text that guides topaz-bloom-2 and topaz-redefine; empty = none.")
    settings: JsonObject = Field(
        default_factory=dict, description='Further fields of the form, such as {"enhancement_strength": "low"}.'
    )
    poll_seconds: float = Field(default=2.0, ge=0.1, description="Seconds between two polls of a generation.")

    @model_validator(mode="after")
    def _is_offered(self) -> Self:
        if self.model == "topaz-wonder-4" and self.scale == 8:
            raise ValueError("topaz-wonder-4 magnifies by 2 or 4; got scale=8")
        if self.prompt and self.model not in CREATIVE:
            raise ValueError(f"only {' and '.join(CREATIVE)} take a prompt; leave it out for {self.model}")
        return self

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            max_output_side=8192,
            max_concurrency=10,
            price=self.given_price,
            failures_billed=False,
            transient_known=True,
            lossless_output=False,
            result_hosts=self.hosts("ideogram.ai", ".ideogram.ai"),
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield self._request(upload.png, "submit", {"async": "true"})
        job = require(answer.json(), "generation_id", "a generation's id")
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        generation = PolledJob(
            "generation",
            job,
            done=("completed",),
            failed=("failed",),
            reason=("failure_reason",),
            reasons=Reasons(refused=(*UNFIT, *MODERATION), filtered=()),
        )
        poll = self.send("GET", f"/v2/generations/{quote(job, safe='')}", "poll")

        def made(answer: Answer) -> Any:
            state = answer.json()
            if words(state, "status") == "completed" and not peek(state, "data"):
                generation.miss_picture()
                return None
            return generation.result(state)

        state = yield from polled(poll, self.poll_seconds, made)
        yield Observed(cost_usd=money(peek(state, "usage_cost_usd_micros"), MICRO), request_id=job)
        if peek(state, "data.0.is_image_safe") is False:
            raise RefusedError(
                "the vendor's safety review withheld the picture", billed=True, request_id=job, code="is_image_safe"
            )
        return (yield from fetched(peek(state, "data.0.url"), "data.0.url"))

    def quote(self, upload: Upload) -> Quote:
        """Return the vendor's highest bill for a picture of this size."""
        answer = yield self._request(_blank(upload.width, upload.height), "quote", {}, {"dry_run": "true"})
        told = answer.json()
        micros = peek(told, "upper_bound_usd_micros")
        cost = money(peek(told, "usd_micros") if micros is None else micros, MICRO)
        if cost is None:
            raise PayloadError(f"expected usd_micros; got {words(told, '') or 'nothing'}")
        return cost

    def _request(
        self, png: bytes, purpose: Literal["submit", "quote"], more: dict[str, str], query: dict[str, str] | None = None
    ) -> Send:
        form = {name: str(value) for name, value in self.settings.items()}
        form |= {"upscale_factor": f"x{self.scale}", **more}
        if self.prompt:
            form["prompt"] = self.prompt
        return self.send(
            "POST",
            f"/v2/image/upscale/{self.model}",
            purpose,
            query=query or {},
            form=form,
            files=(Part("image", "input.png", png),),
        )


def _blank(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


ADAPTER = IdeogramV2

EXAMPLE = Example(
    parameters={"poll_seconds": 0.1},
    environment={"IDEOGRAM_API_KEY": "made-up-ideogram-key"},
    polls=1,
    answers=(
        says('{"generation_id":"xtdZiqPwRxqY1Y7NExFmzB","generation_kind":"sampling"}'),
        says('{"generation_id":"xtdZiqPwRxqY1Y7NExFmzB","status":"pending","created":"2026-11-26T00:00:00Z"}'),
        says(
            '{"generation_id":"xtdZiqPwRxqY1Y7NExFmzB","status":"completed","response_type":"url",'
            '"usage_cost_usd_micros":60000,"data":[{"url":"{address}/ephemeral/out.png","is_image_safe":true}]}'
        ),
        shows(),
    ),
    quotes=(
        says(
            '{"object":"price_quote","billing_identifier":"upscale","quantity":1,"usd_micros":60000,'
            '"credit_millis":6000,"qualifier":"estimate","upper_bound_usd_micros":80000}'
        ),
    ),
    cost_usd=Decimal("0.06"),
    failures=(
        (
            says('{"generation_id":"xtdZiqPwRxqY1Y7NExFmzC","generation_kind":"sampling"}'),
            says('{"generation_id":"xtdZiqPwRxqY1Y7NExFmzC","status":"failed","failure_reason":"internal"}'),
        ),
    ),
)
