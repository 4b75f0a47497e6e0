"""Amazon Bedrock: Stability AI's fast, conservative and creative upscalers through InvokeModel.

Unlike Stability's own interface, each answers at once, and a filtered picture is an HTTP 200.
"""

import configparser
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, NamedTuple, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, model_validator

from blackbox_adapters._failures import Failures, Reasons, not_found
from blackbox_adapters._hosted import PriceList, flat
from blackbox_adapters._reading import base64_text, decoded, document, fits_as_base64, integer, peek, words
from blackbox_adapters.stability import StabilityModes
from blackbox_conformal.errors import (
    CredentialMissingError,
    PayloadError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.secrets import Secret, checked_secret, read_credential, revealed
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Purpose, Send, Upload
from blackbox_conformal.vendor.example import Example, says

# AWS Signature Version 4 for one request with a whole body, by the standard library's hmac and hashlib.


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    *,
    region: str,
    service: str,
    access_key: Secret,
    secret_key: Secret,
    session_token: Secret | None = None,
    headers: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> dict[str, str | Secret]:
    """Return headers that sign the request; the host is signed too but left for the client to send.

    `url` has no query; its percent-encoded path is encoded once more, as every service except S3 asks. `headers` (names
    in lower case) are signed too. `at` is the moment of signing, None = now; a signature is good for minutes around it.
    """
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    signed: dict[str, str | Secret] = {"host": parts.netloc, "x-amz-date": moment, **(headers or {})}
    if session_token is not None:
        signed["x-amz-security-token"] = session_token
    names = ";".join(sorted(signed))
    lines = [f"{name}:{str(revealed(signed[name])).strip()}" for name in sorted(signed)]
    path = quote(parts.path or "/", safe="/-_.~")
    request = "\n".join([method, path, "", *lines, "", names, hashlib.sha256(body).hexdigest()])

    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + secret_key.reveal()).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()

    credential = f"{access_key.reveal()}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    del signed["host"]
    return {**signed, "authorization": Secret(authorization, lasting=False)}


# AWS access keys, found where the vendor's own tools look first: the environment, then the credentials file.


class AwsKeys(NamedTuple):
    """One access key with its secret; only temporary keys have a token."""

    access_key: Secret
    secret_key: Secret
    session_token: Secret | None


def aws_keys(owner: str) -> AwsKeys:
    """Return the keys in the environment, or in the profile AWS_PROFILE of AWS_SHARED_CREDENTIALS_FILE.

    Without these variables the profile is ``default`` and the file ~/.aws/credentials.
    """
    if any(os.environ.get(f"AWS_ACCESS_KEY_ID{ending}") for ending in ("", "_FILE")):
        token = any(os.environ.get(f"AWS_SESSION_TOKEN{ending}") for ending in ("", "_FILE"))
        return AwsKeys(
            read_credential("AWS_ACCESS_KEY_ID", owner),
            read_credential("AWS_SECRET_ACCESS_KEY", owner),
            read_credential("AWS_SESSION_TOKEN", owner) if token else None,
        )
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profile = os.environ.get("AWS_PROFILE") or "default"
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # The error's own text is left out: it quotes lines of the file, which may hold a key.
        raise CredentialMissingError(
            f"expected a readable AWS credentials file at {file}; {type(error).__name__} while reading it"
        ) from None
    values = dict(parser[profile]) if parser.has_section(profile) else {}
    found = {
        name: checked_secret(values[name], f"{name} of the profile {profile} in {file}")
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        if values.get(name)
    }
    try:
        return AwsKeys(found["aws_access_key_id"], found["aws_secret_access_key"], found.get("aws_session_token"))
    except KeyError as missing:
        raise CredentialMissingError(
            f"adapter {owner} expects AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file {file} whose profile "
            f"{profile} has {missing.args[0]}; neither is there. Set the variables, or name the file and profile in "
            "AWS_SHARED_CREDENTIALS_FILE and AWS_PROFILE"
        ) from None


PRICES = {"fast": "0.03", "conservative": "0.40", "creative": "0.60"}

BODY_BYTES = 25_000_000  # The largest body that InvokeModel takes.
FIELDS_BYTES = 150_000  # The part of the body that the longest prompts may take.

PROFILE_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
"""Regions from which the inference profiles can be called: Amazon Bedrock user guide, "Supported Regions and models for
inference profiles"."""


class Bedrock(StabilityModes):
    """Stability AI's upscalers on Amazon Bedrock.

    With ``auth=signature`` the keys are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys,
    AWS_SESSION_TOKEN, or the profile AWS_PROFILE (``default``) in AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). For
    single sign-on or a role, ``aws configure export-credentials --format env`` prints such variables. With
    ``auth=bearer`` the key is a Bedrock API key in AWS_BEARER_TOKEN_BEDROCK.

    AWS lists one inference profile for these models, for the United States: another region needs a `model-id`.

    Seeds: conservative and creative take one (0 would mean random) and tell the seed used; fast takes none.
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
        return self.model_id or f"us.stability.stable-{self.mode}-upscale-v1:0"

    @property
    def base_url(self) -> str:
        return self.url.rstrip("/") or f"https://bedrock-runtime.{self.region}.amazonaws.com"

    @property
    def key_variable(self) -> str | None:
        """Return the variable for the kind of key; a signature needs the secret key."""
        return "AWS_BEARER_TOKEN_BEDROCK" if self.auth == "bearer" else self.auth_variable

    @property
    def capabilities(self) -> Capabilities:
        return self.mode_capabilities(max_upload_bytes=fits_as_base64(BODY_BYTES, FIELDS_BYTES))

    @property
    def price_list(self) -> PriceList:
        return flat(PRICES[self.mode], "third-party copy of the AWS price list, 2026", date(2026, 11, 24))

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        body = {"image": base64_text(upload.png), **self.mode_fields(draw)}
        link = f"{self.base_url}/model/{quote(self.model, safe='')}/invoke"
        content = json.dumps(body, separators=(",", ":")).encode()
        plain = {"content-type": "application/json", "accept": "application/json"}
        headers: dict[str, str | Secret] = {**plain, **self.key()} if self.auth == "bearer" else {}
        if self.auth == "signature":
            signing = {"region": self.region, "service": "bedrock", **aws_keys(self.name)._asdict()}
            headers = signed_headers("POST", link, content, headers=plain, **signing)
        answer = yield Send("POST", link, purpose="submit", headers=headers, body=content)
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
        """Read AWS exceptions: the name in ``x-amzn-ErrorType``, the text in ``message``; an unknown model is a 400."""
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
        return super().credential() if self.auth == "bearer" else aws_keys(self.name).secret_key


_REASONS = Reasons(filtered=("filter reason",))
"""A filter is booked at the price of a draw: AWS does not document whether it bills one."""

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
