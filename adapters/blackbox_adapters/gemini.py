"""Gemini's image models as editors, through generateContent.

Sources: the vendor's Python SDK (google-genai 3.6.1, whose request was captured) and its documentation of 2026.
"""

from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from pydantic import Field

from blackbox_adapters._failures import Failures, not_found
from blackbox_adapters._hosted import MILLION, REPAINTS, Editor, present, tokens
from blackbox_adapters._reading import base64_text, decoded, document, peek, seconds, words
from blackbox_conformal.errors import (
    AccountRefusedError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Price, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says


class GeminiRates(NamedTuple):
    """US dollars per million tokens of input, of pictures made, of words and thoughts made; and pictures by size."""

    input: Decimal
    picture: Decimal
    words: Decimal
    sizes: dict[str, str]


RATES = {
    "gemini-3.1-flash-image": GeminiRates(
        Decimal("0.50"),
        Decimal(60),
        Decimal(3),
        {"512": "0.045", "": "0.067", "1K": "0.067", "2K": "0.101", "4K": "0.151"},
    ),
    "gemini-3-pro-image": GeminiRates(
        Decimal(2), Decimal(120), Decimal(12), {"": "0.134", "1K": "0.134", "2K": "0.134", "4K": "0.24"}
    ),
    "gemini-2.5-flash-image": GeminiRates(Decimal("0.30"), Decimal(30), Decimal("2.50"), {"": "0.039"}),
}
ALLOWANCE = Decimal("0.01")  # Dollars reserved beside the picture for the prompt and the model's thoughts.
# Reasons that the model stopped without a picture which say nothing about the picture sent.
UNFINISHED = ("OTHER", "IMAGE_OTHER", "NO_IMAGE", "MAX_TOKENS", "MALFORMED_RESPONSE", "FINISH_REASON_UNSPECIFIED")


class Gemini(Editor):
    """Google's image models (Nano Banana), told to restore.

    An editor, not an upscaler: it paints the picture anew and may move or change what it shows. The answer holds the
    picture, at about one megapixel unless `image_size` says otherwise, in the input's proportions; it is resampled. A
    picture that the vendor will not touch is an HTTP 200 with a reason.

    Seeds: none; draws differ.
    """

    name = "gemini"
    auth_variable = "GEMINI_API_KEY"
    auth_header = "x-goog-api-key"
    auth_prefix = ""
    documentation = "https://ai.google.dev/gemini-api/docs/image-generation"
    evidence = "client"
    failures = Failures(message=["error.message"], code=["error.status"], later=[503], failed=[500, 504])
    uncertain = (
        REPAINTS,
        "the cost of a draw is its tokens at list prices; prices are a third party's readings of the vendor's page, "
        "and gemini-2.5-flash-image was to be shut down from October 2026",
        "whether a seed has an effect on pictures is not documented, so none is sent",
        "the format of the picture is the vendor's choice",
        "every picture carries the vendor's invisible watermark",
    )

    url: str = Field(default="https://generativelanguage.googleapis.com", description="Address of the interface.")
    model: str = Field(default="gemini-3.1-flash-image", pattern=r"^[a-z0-9][a-z0-9.-]*$", description="Model.")
    image_size: Literal["", "512", "1K", "2K", "4K"] = Field(
        default="", description="Size that is asked for; empty = the model's default, about one megapixel."
    )

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            max_upload_bytes=14_000_000,
            price=self._price(),
            transient_known=True,
            lossless_output=False,
            output_size="any",
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        picture = {"mimeType": "image/png", "data": base64_text(upload.png)}
        settings: dict[str, Any] = {"responseModalities": ["IMAGE"]}
        settings |= present(imageConfig=present(imageSize=self.image_size))
        answer = yield self.send(
            "POST",
            f"/v1beta/models/{self.model}:generateContent",
            "submit",
            json={
                "contents": [{"role": "user", "parts": [{"text": self.prompt}, {"inlineData": picture}]}],
                "generationConfig": settings,
            },
        )
        result = answer.json()
        request = words(result, "responseId") or None
        yield Observed(cost_usd=self._cost(result), model=words(result, "modelVersion") or None, request_id=request)
        parts = peek(result, "candidates.0.content.parts")
        for part in reversed(parts if isinstance(parts, list) else []):
            made = peek(part, "inlineData.data")
            if peek(part, "thought") is not True and isinstance(made, str) and made:
                return decoded(made, "candidates.0.content.parts.inlineData.data")
        blocked = words(result, "promptFeedback.blockReason")
        if blocked:
            raise RefusedError(f"the vendor refused the request: {blocked}", request_id=request, code=blocked)
        reason = words(result, "candidates.0.finishReason") or "FINISH_REASON_UNSPECIFIED"
        said = words(result, "candidates.0.finishMessage", "candidates.0.content.parts.0.text") or "it gave no reason"
        if reason in UNFINISHED:
            raise VendorFailedError(f"the model made no picture ({reason}): {said}", request_id=request, code=reason)
        raise RefusedError(f"the model refused ({reason}): {said}", billed=True, request_id=request, code=reason)

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read Google's ``{error: {code, message, status, details}}``."""
        message, code, request = failure = self.failures.read(answer)
        said = f"HTTP {answer.status}: {message}"
        details = peek(document(answer), "error.details")
        details = details if isinstance(details, list) else []
        if answer.status == 400 and (code == "FAILED_PRECONDITION" or "api key" in message.lower()):
            return AccountRefusedError(f"the vendor refused this key or account with {said}", code=code)
        if answer.status == 400 and "not supported" in message.lower() and "model" in message.lower():
            return not_found(failure)
        if answer.status == 400 and any(peek(detail, "fieldViolations") for detail in details):
            return RunRefusedError(f"the vendor refused the parameters with {said}; correct them", code=code)
        if answer.status == 429:
            if "limit: 0" in message:
                return AccountRefusedError(f"the vendor gives this account none of this model: {said}", code=code)
            asked = [seconds(words(detail, "retryDelay").removesuffix("s")) for detail in details]
            wait = max((each for each in asked if each is not None), default=None)
            if wait is not None:
                return TryLaterError(
                    f"the vendor asked to wait with {said}", retry_after=wait, request_id=request, code=code
                )
        return super().explain(answer, purpose)

    def _price(self) -> Price | None:
        rates = RATES.get(self.model)
        size = None if rates is None else rates.sizes.get(self.image_size)
        high = None if size is None else str(Decimal(size) + ALLOWANCE)
        source = "third-party readings of Google's list, 2026; a cent is for the prompt"
        return self.priced(size, high, source, date(2026, 11, 26))

    def _cost(self, result: Any) -> Decimal | None:
        rates, usage = RATES.get(self.model), peek(result, "usageMetadata")
        if rates is None or usage is None:
            return None
        by_kind = peek(usage, "candidatesTokensDetails")
        kinds = by_kind if isinstance(by_kind, list) else []
        pictures = sum(tokens(kind, "tokenCount") for kind in kinds if words(kind, "modality") == "IMAGE")
        texts = max(0, tokens(usage, "candidatesTokenCount") - pictures) + tokens(usage, "thoughtsTokenCount")
        asked = tokens(usage, "promptTokenCount")
        return (asked * rates.input + pictures * rates.picture + texts * rates.words) / MILLION


ADAPTER = Gemini

EXAMPLE = Example(
    environment={"GEMINI_API_KEY": "AIza-made-up-for-this-example"},
    parameters={},
    answers=(
        says(
            '{"candidates":[{"content":{"role":"model","parts":[{"inlineData":{"mimeType":"image/png",'
            '"data":"{picture-base64}"}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1400,'
            '"candidatesTokenCount":1120,"totalTokenCount":2520,"candidatesTokensDetails":[{"modality":"IMAGE",'
            '"tokenCount":1120}]},"modelVersion":"gemini-3.1-flash-image","responseId":"made-up-response"}'
        ),
    ),
    cost_usd=Decimal("0.0679"),
    failures=(
        (says('{"candidates":[{"finishReason":"NO_IMAGE","index":0}],"responseId":"made-up-failure"}'),),
        (says('{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}', 500),),
    ),
    pauses=(
        (
            1.0,
            says(
                '{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED",'
                '"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}',
                429,
            ),
        ),
    ),
)
