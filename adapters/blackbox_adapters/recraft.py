"""Recraft: crisp and creative upscaling, as the vendor's OpenAPI document of August 2026 describes them.

Both answer at once; the picture is requested inside the answer, so that no link can expire.
"""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import Hosted, PriceList, flat, present
from blackbox_adapters._reading import data_link, decoded, money, peek, words
from blackbox_conformal.vendor.adapter import Capabilities, Draw, Flow, Observed, Upload
from blackbox_conformal.vendor.example import Example, says

USD_PER_UNIT = Decimal("0.001")


class Recraft(Hosted):
    """Recraft's upscalers.

    The vendor aims at 4 or 16 megapixels, whatever came in; the result is resampled to the nominal grid.

    Seeds: none. Creative differs from call to call; crisp is assumed to answer equal requests equally.
    """

    name = "recraft"
    auth_variable = "RECRAFT_API_KEY"
    documentation = "https://www.recraft.ai/docs/api-reference/tools/upscale"
    evidence = "openapi"
    failures = Failures(message=["message", "error.message", "error"], code=["code"], request_id_header="x-request-id")
    uncertain = ("whether crisp answers equal requests equally is not documented",)

    url: str = Field(default="https://external.api.recraft.ai/v1", description="Address of the interface.")
    mode: Literal["crisp", "creative"] = Field(
        default="creative", description="crisp: faithful, cheap; creative: invents detail and varies."
    )
    target: Literal["upscale4mp", "upscale16mp"] | None = Field(
        default=None, description="Size that the vendor aims at; None = its default."
    )
    scale: int = Field(default=4, ge=1, le=16, description="Magnification that results are brought to.")

    @property
    def capabilities(self) -> Capabilities:
        crisp = self.mode == "crisp"
        return self.listed(
            Capabilities(
                scale_factors=(self.scale,),
                min_side=32 if crisp else 256,
                max_side=4096,
                max_input_pixels=16_000_000,
                max_upload_bytes=10_000_000,
                output_size="resample",
                deterministic=crisp,
            )
        )

    @property
    def price_list(self) -> PriceList:
        return flat("0.004" if self.mode == "crisp" else "0.25", "recraft.ai API documentation", date(2026, 11, 26))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        body = present(
            image_url=data_link(upload.png), response_format="b64_json", image_format="png", upscale=self.target
        )
        answer = yield self.send("POST", f"/images/{self.mode}Upscale", "submit", json=body)
        result = answer.json()
        cost = money(peek(result, "credits"), USD_PER_UNIT)
        yield Observed(cost_usd=cost, request_id=words(result, "image.image_id") or None)
        return decoded(peek(result, "image.b64_json"), "image.b64_json")


ADAPTER = Recraft

EXAMPLE = Example(
    parameters={"mode": "creative"},
    environment={"RECRAFT_API_KEY": "made-up-recraft-key"},
    answers=(says('{"created":1764000000,"credits":250,"image":{"image_id":"b3a1","b64_json":"{picture-base64}"}}'),),
    cost_usd=Decimal("0.25"),
)
