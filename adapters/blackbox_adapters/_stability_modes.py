"""Stability AI's three upscalers, from Stability or from Amazon: what they can do and which fields they take."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from blackbox_adapters._hosted import Hosted, present
from blackbox_conformal.vendor.adapter import Capabilities, Draw

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
    def _fast_is_fourfold(self) -> Self:
        if self.mode == "fast" and self.scale != 4:
            raise ValueError(f"the fast upscaler magnifies by 4; got scale={self.scale}")
        return self

    @model_validator(mode="after")
    def _conservative_invents_some(self) -> Self:
        if self.mode == "conservative" and self.creativity is not None and self.creativity < LEAST_CONSERVATIVE:
            raise ValueError(
                f"the conservative upscaler takes a creativity of at least {LEAST_CONSERVATIVE}; got {self.creativity}"
            )
        return self

    def mode_capabilities(self, *, max_upload_bytes: int | None = None, failures_billed: bool = True) -> Capabilities:
        """What the chosen mode takes, costs and repeats."""
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
        """Fields of a request besides the picture."""
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
