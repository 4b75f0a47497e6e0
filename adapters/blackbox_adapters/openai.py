"""OpenAI's image models as editors, through /v1/images/edits.

Sources: the vendor's Python SDK (openai 3.57.0: its request was captured, and its types tell each model's inputs) and
its model pages of 2026.
"""

import math
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from pydantic import Field

from blackbox_adapters._failures import Failures, not_found
from blackbox_adapters._hosted import MILLION, REPAINTS, Editor, present, tokens
from blackbox_adapters._reading import decoded, document, peek, words
from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError, RunRefusedError, VendorError
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Part, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says


class OpenAIRates(NamedTuple):
    """US dollars per million tokens of text sent, pictures sent, and output made."""

    text: Decimal
    picture: Decimal
    made: Decimal


SECOND = OpenAIRates(Decimal(5), Decimal(8), Decimal(30))
RATES = {
    "gpt-image-2": SECOND,
    "gpt-image-2.5-sunburst": SECOND,
    "gpt-image-2.5-flare": SECOND,
    "gpt-image-2.6-sunburst": SECOND,
}

RETIRED = {
    "gpt-image-1": "2026-10-23",
    **dict.fromkeys(
        ("gpt-image-1-mini", "gpt-image-1.5", "gpt-image-1.5-2025-12-16", "chatgpt-image-latest"), "2026-12-01"
    ),
}
"""Model → the day from which the vendor no longer answers it, by its page of deprecations."""

STEP, LONGEST = 16, 3840
LEAST, MOST = 655_360, 3840 * 2160
"""Pixels that gpt-image-2 and its successors make."""

PARAMETERS = ("model", "prompt", "size", "quality", "input_fidelity", "output_format")
EMPTY = ("insufficient_quota", "billing_hard_limit_reached")


class OpenAI(Editor):
    """OpenAI's image models, told to restore.

    An editor, not an upscaler: it paints the picture anew and may move or change what it shows. It is asked for the
    wanted size in steps of 16 px, and resampled. Models before gpt-image-2 are retired.

    Seeds: none; draws differ.
    """

    name = "openai"
    auth_variable = "OPENAI_API_KEY"
    documentation = "https://developers.openai.com/api/reference/resources/images/methods/edit"
    evidence = "client"
    failures = Failures(
        message=["error.message"],
        code=["error.code", "error.type"],
        request_id_header="x-request-id",
        later=[503],
        failed=[500],
    )
    uncertain = (
        REPAINTS,
        "the cost of a draw is its tokens at the list prices of the vendor's model pages of 2026, read in public "
        "copies, for the models that are priced here; what a picture takes in tokens is not published by size, so no "
        "price is known beforehand: give price-usd to limit the cost",
        "whether a picture that moderation blocks is billed is not documented; it is booked unless the answer says "
        "that the input was blocked",
        "the fewest pixels that a model makes are from third-party pages",
    )

    url: str = Field(default="https://api.openai.com", description="Address of the interface.")
    model: str = Field(default="gpt-image-2.5-sunburst", pattern=r"^[a-z0-9][a-z0-9.-]*$", description="Model.")
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] = Field(
        default="high", description="Effort of rendering; xhigh and max with gpt-image-2.5 and 2.6 only."
    )
    input_fidelity: Literal["", "low", "high"] = Field(
        default="", description="How closely the model keeps to the input, where it takes that; empty = not sent."
    )

    @property
    def capabilities(self) -> Capabilities:
        day = RETIRED.get(self.model)
        return Capabilities(
            scale_factors=(self.scale,),
            max_upload_bytes=50_000_000,
            max_aspect=3.0,
            price=self.given_price,
            transient_known=True,
            output_size="any",
            retired="" if day is None else f"{day}, developers.openai.com/api/docs/deprecations: {self.model}",
        )

    @property
    def unpriced(self) -> str:
        """Say the rates of tokens; the vendor does not publish how many a picture takes."""
        rates = RATES.get(self.model)
        if rates is None or self.given_price is not None:
            return ""
        return (
            f"by tokens: {rates.text} USD a million of text sent, {rates.picture} of pictures sent, {rates.made} of"
            " what is made; the first draw tells how many; give -p price-usd=… with the most that one may cost"
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        width, height = self.size(upload.width * self.scale, upload.height * self.scale)
        answer = yield self.send(
            "POST",
            "/v1/images/edits",
            "submit",
            form=present(
                model=self.model,
                prompt=self.prompt,
                size=f"{width}x{height}",
                quality=self.quality,
                input_fidelity=self.input_fidelity,
                output_format="png",
            ),
            files=(Part("image", "input.png", upload.png),),
        )
        result = answer.json()
        yield Observed(cost_usd=self._cost(result), request_id=answer.headers.get("x-request-id"))
        made = peek(result, "data.0.b64_json")
        if not made:
            raise PayloadError(f"expected data.0.b64_json; got {words(result, '') or 'nothing'}")
        return decoded(made, "data.0.b64_json")

    def size(self, width: int, height: int) -> tuple[int, int]:
        pixels = width * height
        factor = math.sqrt(min(max(pixels, LEAST), MOST) / pixels)
        factor = min(factor, LONGEST / max(width, height))
        rounded = math.ceil if pixels * factor**2 <= LEAST * 1.01 else math.floor
        return max(STEP, rounded(width * factor / STEP) * STEP), max(STEP, rounded(height * factor / STEP) * STEP)

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        message, code, request = failure = self.failures.read(answer)
        said = f"HTTP {answer.status}: {message}"
        problem = peek(document(answer), "error")
        if code in EMPTY:
            return AccountRefusedError(f"the account has no money left: {said}", request_id=request, code=code)
        if code == "moderation_blocked":
            stage = words(problem, "moderation_details.moderation_stage", "moderation_stage")
            return RefusedError(f"moderation: {said}", billed=stage != "input", request_id=request, code=code)
        if answer.status == 400 and code == "model_not_found":
            return not_found(failure)
        if answer.status == 400 and words(problem, "param") in PARAMETERS:
            return RunRefusedError(f"the vendor refused the parameters with {said}", request_id=request, code=code)
        return super().explain(answer, purpose)

    def _cost(self, result: Any) -> Decimal | None:
        rates, usage = RATES.get(self.model), peek(result, "usage")
        if rates is None or usage is None:
            return None
        pictures = tokens(usage, "input_tokens_details.image_tokens")
        text = max(0, tokens(usage, "input_tokens") - pictures)
        made = tokens(usage, "output_tokens")
        return (text * rates.text + pictures * rates.picture + made * rates.made) / MILLION


ADAPTER = OpenAI

EXAMPLE = Example(
    parameters={},
    environment={"OPENAI_API_KEY": "sk-made-up-for-this-example"},
    answers=(
        says(
            '{"created":1764150000,"data":[{"b64_json":"{picture-base64}"}],"output_format":"png","quality":"high",'
            '"size":"1024x640","usage":{"input_tokens":1300,"input_tokens_details":{"image_tokens":1200,'
            '"text_tokens":100},"output_tokens":4000,"total_tokens":5300}}',
            x_request_id="req_made_up",
        ),
    ),
    cost_usd=Decimal("0.1301"),
    failures=(
        (
            says(
                '{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}',
                500,
                x_request_id="req_made_up_failure",
            ),
        ),
    ),
)
