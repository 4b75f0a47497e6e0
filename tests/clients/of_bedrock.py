"""Amazon Bedrock, against botocore."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import Script, answer

from blackbox_conformal.vendor.adapter import Upload

MODEL = "us.stability.stable-conservative-upscale-v1:0"
INVOKE = "POST /model/us.stability.stable-conservative-upscale-v1%3A0/invoke"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAMADEUPFORTHISTEST", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_SESSION_TOKEN": "token"}
PROFILE = {
    "AWS_SHARED_CREDENTIALS_FILE": str(Path(__file__).with_name("aws_credentials")),
    "AWS_PROFILE": "temporary",
    **dict.fromkeys(KEYS, ""),
}
"""The same keys, in a file."""

ANSWERED = {"images": [base64.b64encode(RESULT).decode()], "seeds": [7], "finish_reasons": [None]}


def signature(method: str, link: str, headers: dict[str, str], body: bytes, time: str) -> str:
    """What the client's signer makes of a request at `time`, as ``x-amz-date`` writes it."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, link, headers, body)
    keys = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["AWS_SESSION_TOKEN"])
    then = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with patch("botocore.auth.get_current_datetime", lambda *_, **__: then):
        SigV4Auth(keys, "bedrock", "us-west-2").add_auth(request)
    return str(request.headers["Authorization"])


def invoked(address: str, upload: Upload, seed: int | None, environment: dict[str, str]) -> bytes:
    from botocore.config import Config
    from botocore.session import Session

    with patch.dict("os.environ", environment):
        # One key of each kind at a time, as a user has it.
        client: Any = Session().create_client(
            "bedrock-runtime",
            region_name="us-west-2",
            endpoint_url=address,
            config=Config(retries={"total_max_attempts": 1}),
        )
        body = {
            "image": base64.b64encode(upload.png).decode(),
            "prompt": "a photograph",
            "output_format": "png",
            "seed": seed,
        }
        sent = json.dumps(body)
        answered = client.invoke_model(
            modelId=MODEL, body=sent, contentType="application/json", accept="application/json"
        )
        said = json.loads(answered["body"].read())
    if said["finish_reasons"][0]:
        raise NoPictureError(said["finish_reasons"][0])
    return base64.b64decode(said["images"][0])


def signed(address: str, upload: Upload, seed: int | None) -> bytes:
    return invoked(address, upload, seed, KEYS)


def signed_by_a_profile(address: str, upload: Upload, seed: int | None) -> bytes:
    return invoked(address, upload, seed, PROFILE)


def with_a_bedrock_key(address: str, upload: Upload, seed: int | None) -> bytes:
    return invoked(address, upload, seed, {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-made-up"})


def refusal(status: int, kind: str) -> Script:
    return {INVOKE: (answer({"message": "as the service says it"}, status, x_amzn_ErrorType=kind),)}


OF_RETRIES = {
    f"{INVOKE} header.{name}": "the client's own count of its tries; the adapter's tries are the product's"
    for name in ("amz-sdk-invocation-id", "amz-sdk-request")
}
SCRIPT: Script = {INVOKE: (answer(ANSWERED),)}

CASES = (
    *(
        Case(
            "bedrock",
            "botocore",
            f"InvokeModel, signed with {origin}",
            call,
            {"url": "{address}", "auth": "signature", "mode": "conservative"},
            SCRIPT,
            environment=environment,
            deliberate={
                **OF_RETRIES,
                f"{INVOKE} header.authorization": "the client signs its count of tries too; its signer makes the"
                " adapter's signature of the adapter's request",
            },
        )
        for origin, call, environment in (
            ("keys of the environment", signed, KEYS),
            ("keys of a profile in the credentials file", signed_by_a_profile, PROFILE),
        )
    ),
    Case(
        "bedrock",
        "botocore",
        "InvokeModel, with a Bedrock key",
        with_a_bedrock_key,
        {"url": "{address}", "auth": "bearer", "mode": "conservative"},
        SCRIPT,
        OF_RETRIES,
        secure=True,
        readings=(
            Reading(
                "the picture was filtered (200 with a finish reason)",
                {INVOKE: (answer({**ANSWERED, "finish_reasons": ["Filter reason: output image"]}),)},
                "NoPictureError",
                "RefusedError",
            ),
            Reading("throttled (429)", refusal(429, "ThrottlingException"), "ThrottlingException", "TryLaterError"),
            Reading(
                "the model is not ready (429)",
                refusal(429, "ModelNotReadyException"),
                "ModelNotReadyException",
                "TryLaterError",
            ),
            Reading(
                "the quota is used up (400)",
                refusal(400, "ServiceQuotaExceededException"),
                "ServiceQuotaExceededException",
                "TryLaterError",
            ),
            Reading(
                "the model failed (424)",
                refusal(424, "ModelErrorException"),
                "ModelErrorException",
                "VendorFailedError",
            ),
            Reading(
                "no access (403)", refusal(403, "AccessDeniedException"), "AccessDeniedException", "AccountRefusedError"
            ),
            Reading(
                "a value is refused (400)", refusal(400, "ValidationException"), "ValidationException", "RefusedError"
            ),
        ),
    ),
)
