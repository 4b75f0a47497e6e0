"""Amazon Bedrock: Stability AI's fast, conservative and creative upscalers through InvokeModel.

Unlike Stability's own interface every one of them answers at once, and a filtered picture is an HTTP 200.
"""

import json
from datetime import date
from typing import Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from blackbox_adapters._aws_keys import aws_keys
from blackbox_adapters._failures import Failures, not_found
from blackbox_adapters._pictures import base64_text, decoded, fits_as_base64
from blackbox_adapters._price_list import PriceList, flat
from blackbox_adapters._reading import document, integer, peek, words
from blackbox_adapters._reasons import Reasons
from blackbox_adapters._sigv4 import signed_headers
from blackbox_adapters._stability_modes import StabilityModes
from blackbox_conformal.errors import (
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Purpose, Send, Upload
from blackbox_conformal.vendor.example import Example, says

PRICES = {"fast": "0.03", "conservative": "0.40", "creative": "0.60"}

BODY_BYTES = 25_000_000
"""What InvokeModel takes as a body."""

FIELDS_BYTES = 150_000
"""Of it, what the longest prompts may take."""


PROFILE_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
"""Regions from which the inference profiles can be called: Amazon Bedrock user guide, "Supported Regions and models for
inference profiles"."""


class Bedrock(StabilityModes):
    """Stability AI's upscalers on Amazon Bedrock.

    Keys: with ``auth=signature`` the usual AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys,
    AWS_SESSION_TOKEN, or else those of the profile AWS_PROFILE in AWS_SHARED_CREDENTIALS_FILE (``default`` in
    ~/.aws/credentials); with ``auth=bearer`` a Bedrock API key in AWS_BEARER_TOKEN_BEDROCK. Of single sign-on or a
    role, ``aws configure export-credentials --format env`` makes such variables.

    These models are called through an inference profile, of which AWS lists one: that of the United States. Another
    region than its own therefore needs a `model-id`.

    Seeds: conservative and creative take one (0 would mean random) and answer with the seed used; fast takes none.
    """

    name = "bedrock"
    version = 3
    auth_variable = "AWS_SECRET_ACCESS_KEY"
    documentation = "https://docs.aws.amazon.com/bedrock/latest/userguide/stable-image-services.html"
    evidence = "client"
    failures = Failures(message=["message", "Message"], request_id_header="x-amzn-requestid")
    uncertain = (
        "prices are a third party's copy of the AWS list of 2026",
        "limits of size are those of Stability's own interface",
    )
    transient = StabilityModes.transient | {"auth", "region"}

    url: str = Field(default="", description="Address of the interface; empty = bedrock-runtime in `region`.")
    region: str = Field(default="us-west-2", pattern=r"^[a-z0-9-]+$", description="AWS region.")
    model_id: str | None = Field(
        default=None,
        pattern=r"^[\w.:/-]+$",
        description="Model or inference profile; None = us.stability.stable-MODE-upscale-v1:0, in regions of the US.",
    )
    auth: Literal["signature", "bearer"] = Field(
        default="signature", description="signature: AWS access keys; bearer: a Bedrock API key."
    )

    @model_validator(mode="after")
    def _has_a_profile(self) -> Self:
        if self.model_id is None and not self.url and self.region not in PROFILE_REGIONS:
            raise UsageError(
                f"expected a region from which {self.model} can be called ({', '.join(PROFILE_REGIONS)}); got "
                f"{self.region!r}. Give one with -p region={PROFILE_REGIONS[-1]}, or the id of a model or inference "
                "profile of your region with -p model-id=…"
            )
        return self

    @property
    def model(self) -> str:
        """The model or inference profile that is called."""
        return self.model_id or f"us.stability.stable-{self.mode}-upscale-v1:0"

    @property
    def base_url(self) -> str:
        """The regional address, unless another was given."""
        return self.url.rstrip("/") or f"https://bedrock-runtime.{self.region}.amazonaws.com"

    @property
    def key_variable(self) -> str | None:
        """By the kind of key; a signature is made with the secret one."""
        return "AWS_BEARER_TOKEN_BEDROCK" if self.auth == "bearer" else self.auth_variable

    @property
    def capabilities(self) -> Capabilities:
        """By mode."""
        return self.mode_capabilities(max_upload_bytes=fits_as_base64(BODY_BYTES, FIELDS_BYTES))

    @property
    def price_list(self) -> PriceList:
        """By mode."""
        return flat(PRICES[self.mode], "third-party copy of the AWS price list, 2026", date(2026, 11, 24))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """One InvokeModel call."""
        body = {"image": base64_text(upload.png), **self.mode_fields(draw)}
        link = f"{self.base_url}/model/{quote(self.model, safe='')}/invoke"
        content = json.dumps(body, separators=(",", ":")).encode()
        answer = yield Send("POST", link, purpose="submit", headers=self._headers(link, content), body=content)
        result = answer.json()
        request = answer.headers.get("x-amzn-requestid")
        reason = words(result, "finish_reasons.0")
        if reason:
            raise _REASONS.error(
                f"the model finished with {reason!r}", reason, code="finish_reason", request_id=request
            )
        picture = peek(result, "images.0")
        if picture is None:
            raise PayloadError(f"expected images in Bedrock's answer; got {words(result, '') or 'none'}")
        yield Observed(model=self.model, request_id=request, seed=integer(peek(result, "seeds.0")))
        return decoded(picture, "images.0")

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """AWS exceptions: the name in ``x-amzn-ErrorType``, the text in ``message``; an unknown model is a 400."""
        failure = self.failures.read(answer)
        problem = document(answer)
        kind = answer.headers.get("x-amzn-errortype", "").split(":")[0] or words(problem, "__type").split("#")[-1]
        message = ": ".join(filter(None, (kind, failure.message)))
        failure = failure._replace(message=message, code=kind or failure.code)
        if kind in _LATER:
            return TryLaterError(f"HTTP {answer.status}: {message}", request_id=failure.request_id, code=kind)
        if kind in _FAILED:
            return VendorFailedError(f"HTTP {answer.status}: {message}", request_id=failure.request_id, code=kind)
        if kind == "ValidationException" and "model identifier" in message:
            return not_found(failure)
        return self.failures.error(answer, purpose, failure)

    def credential(self) -> Secret:
        """The Bedrock API key, or the secret one of the access keys."""
        return super().credential() if self.auth == "bearer" else aws_keys(self.name).secret_key

    def _headers(self, link: str, content: bytes) -> dict[str, str | Secret]:
        plain = {"content-type": "application/json", "accept": "application/json"}
        if self.auth == "bearer":
            return {**plain, **self.key()}
        keys = aws_keys(self.name)
        return signed_headers(
            "POST",
            link,
            content,
            region=self.region,
            service="bedrock",
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            session_token=keys.session_token,
            headers=plain,
        )


_REASONS = Reasons(filtered=("filter reason",))
"""A filter is booked at the price of a draw: whether AWS bills it is not documented."""

_LATER = (
    "ThrottlingException",
    "ModelNotReadyException",
    "ServiceUnavailableException",
    "ServiceQuotaExceededException",
)
_FAILED = ("ModelErrorException", "ModelTimeoutException", "InternalServerException")


ADAPTER = Bedrock

EXAMPLE = Example(
    parameters={"mode": "conservative", "auth": "bearer"},
    environment={"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-made-up"},
    answers=(
        says(
            '{"images":["{picture-base64}"],"seeds":[1000],"finish_reasons":[null]}',
            x_amzn_requestid="5b2f2a0c-0000-4000-8000-000000000000",
        ),
    ),
    failures=(
        (says('{"message":"The model could not be run."}', 424, x_amzn_errortype="ModelErrorException"),),
        (says('{"images":[""],"seeds":[1000],"finish_reasons":["Inference error"]}'),),
    ),
)
