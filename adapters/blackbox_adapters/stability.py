"""Stability AI, v2beta upscaling: fast, conservative and creative, as the vendor's OpenAPI document describes them.

`bedrock` offers the same three over Amazon Bedrock.
"""

from dataclasses import replace
from datetime import date
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import Hosted, PriceList, flat, present
from blackbox_adapters._jobs import polled
from blackbox_adapters._reading import integer, require
from blackbox_conformal.errors import RefusedError, VendorError, VendorFailedError
from blackbox_conformal.vendor.adapter import (
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Purpose,
    Rate,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

# Stability AI's three upscalers, from Stability or from Amazon: their abilities and fields.

SEEDS = (1, 4294967294)
LEAST_CONSERVATIVE = 0.2


class StabilityModes(Hosted):
    """Fast magnifies by four; conservative and creative answer with about four megapixels and take a seed."""

    mode: Literal["fast", "conservative", "creative"] = Field(
        default="conservative", description="Which upscaler: fast (4x, no seed), conservative or creative (4 MP, seed)."
    )
    scale: int = Field(default=4, ge=2, le=16, description="Magnification that results are brought to; fast: 4 only.")
    prompt: str = Field(
        default="a photograph", min_length=1, max_length=10000, description="What the picture shows; fast ignores it."
    )
    negative_prompt: str = Field(default="", max_length=10000, description="What the picture must not show.")
    creativity: float | None = Field(
        default=None,
        ge=0.1,
        le=0.5,
        description="How much may be invented; conservative from 0.2 up; None = the vendor's default.",
    )
    style_preset: str | None = Field(default=None, description="Style of the creative upscaler; None = no style.")

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.mode == "fast" and self.scale != 4:
            raise ValueError(f"the fast upscaler magnifies by 4; got scale={self.scale}")
        if self.mode == "conservative" and self.creativity is not None and self.creativity < LEAST_CONSERVATIVE:
            raise ValueError(
                f"the conservative upscaler takes a creativity of at least {LEAST_CONSERVATIVE}; got {self.creativity}"
            )
        return self

    def mode_capabilities(self, *, max_upload_bytes: int | None = None, failures_billed: bool = True) -> Capabilities:
        """Return the chosen mode's limits, price and repeats."""
        fast = self.mode == "fast"
        return self.listed(
            Capabilities(
                scale_factors=(self.scale,),
                seed_range=None if fast else SEEDS,
                min_side=32 if fast else 64,
                max_side=1536 if fast else None,
                max_input_pixels=9_437_184 if self.mode == "conservative" else 1_048_576,
                max_aspect=2.5 if self.mode == "conservative" else None,
                max_upload_bytes=max_upload_bytes,
                failures_billed=failures_billed,
                transient_known=True,
                output_size="exact" if fast else "any",
            )
        )

    def mode_fields(self, draw: Draw) -> dict[str, Any]:
        if self.mode == "fast":
            return {"output_format": "png"}
        return present(
            output_format="png",
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            creativity=self.creativity,
            seed=draw.seed,
            style_preset=self.style_preset if self.mode == "creative" else None,
        )


CREDITS = {"fast": 2, "conservative": 40, "creative": 60}
LOCKED_OUT_S = 60.0


class Stability(StabilityModes):
    """Stability AI's upscalers.

    Fast answers at once with exactly four times the picture. Conservative answers at once and creative as a job, both
    with about four megapixels whatever came in, resampled to the nominal grid. More than 150 requests in 10 s lock an
    account out for 60 s. A filtered picture arrives blurred with HTTP 200 and ``finish-reason: CONTENT_FILTERED``: it
    was generated, so its price is booked. Failed generations are not charged (the vendor's OpenAPI document), and are
    asked for again.

    Seeds: conservative and creative take 1 to 4294967294 (0 would mean random); fast takes none.
    """

    name = "stability"
    version = 3
    auth_variable = "STABILITY_API_KEY"
    documentation = "https://platform.stability.ai/docs/api-reference"
    failures = Failures(
        message=["errors", "message", "name"],
        code=["name"],
        request_id=["id"],
        request_id_header="x-request-id",
        wait=LOCKED_OUT_S,
        failed=[500],
    )
    uncertain = (
        "whether fast answers equal requests equally is not documented",
        "creative results are read from /v2beta/results/{id}; results-path=… serves the older address",
    )
    transient = StabilityModes.transient | {"results_path"}

    url: str = Field(default="https://api.stability.ai", description="Address of the interface.")
    results_path: str = Field(
        default="v2beta/results/{id}", description="Where the results of creative jobs are read from."
    )
    poll_seconds: float = Field(
        default=10.0, ge=0.1, description="Seconds between two polls of a creative job; the vendor asks for 10 or more."
    )

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            self.mode_capabilities(max_upload_bytes=10 * 1024 * 1024, failures_billed=False), rates=(Rate(150, 10.0),)
        )

    @property
    def price_list(self) -> PriceList:
        """Return the price by mode; a credit is a cent."""
        price = f"{CREDITS[self.mode] / 100:.2f}"
        return flat(price, "stability.ai price update, effective 2025-08-01", date(2026, 11, 24))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        answer = yield self.send(
            "POST",
            f"/v2beta/stable-image/upscale/{self.mode}",
            "submit",
            {"accept": "application/json" if self.mode == "creative" else "image/*"},
            form={name: str(value) for name, value in self.mode_fields(draw).items()},
            files=(Part("image", "input.png", upload.png),),
        )
        if self.mode != "creative":
            yield _observed(answer)
            return _picture(answer)
        job = require(answer.json(), "id", "a creative job's id")
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        path = self.results_path.replace("{id}", quote(job, safe=""))
        poll = self.send("GET", f"/{path}", "poll", {"accept": "image/*"})
        answer = yield from polled(poll, self.poll_seconds, lambda answer: None if answer.status == 202 else answer)
        yield _observed(answer, job)
        return _picture(answer)

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read Stability's ``{id, name, errors}``; a 403 with content_moderation is about the picture, not the key."""
        failure = self.failures.read(answer)
        if failure.code == "content_moderation":
            return RefusedError(f"moderation: {failure.message}", request_id=failure.request_id, code=failure.code)
        return super().explain(answer, purpose)


def _observed(answer: Answer, job: str | None = None) -> Observed:
    return Observed(request_id=answer.headers.get("x-request-id") or job, seed=integer(answer.headers.get("seed")))


def _picture(answer: Answer) -> bytes:
    reason, request = answer.headers.get("finish-reason", "SUCCESS").upper(), answer.headers.get("x-request-id")
    if reason == "CONTENT_FILTERED":
        raise RefusedError(
            f"finish-reason {reason}: the vendor blurred what it generated",
            billed=True,
            request_id=request,
            code=reason,
        )
    if reason != "SUCCESS":
        raise VendorFailedError(f"finish-reason {reason}: the generation failed", request_id=request, code=reason)
    return answer.body


ADAPTER = Stability

EXAMPLE = Example(
    parameters={"mode": "creative", "poll_seconds": 0.1},
    environment={"STABILITY_API_KEY": "sk-made-up-for-this-example"},
    polls=1,
    answers=(
        says('{"id":"f26e2f9ee0ca2e64bf3b5b48f1b3ab6f"}'),
        says('{"id":"f26e2f9ee0ca2e64bf3b5b48f1b3ab6f","status":"in-progress"}', 202),
        shows(finish_reason="SUCCESS", seed="1000"),
    ),
    failures=(
        (says('{"id":"f26e2f9ee0ca2e64bf3b5b48f1b3ab70"}'), shows(finish_reason="ERROR")),
        (says('{"id":"req-1","name":"internal_error","errors":["An unexpected server error has occurred."]}', 500),),
    ),
)
