"""Replicate, against its Python client of the first series."""

import io
from typing import Any

from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.vendor.adapter import Upload

VERSION = "ab" * 32
NAME = "gm3qorzdhgbfurvjtvhg6dckhu"


def prediction(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": NAME,
        "model": "owner/name",
        "version": VERSION,
        "status": status,
        "input": {},
        "output": None,
        "logs": "",
        "error": None,
        "metrics": None,
        "created_at": "2026-11-01T00:00:00Z",
        "started_at": None,
        "completed_at": None,
        "urls": {"get": f"{{address}}/v1/predictions/{NAME}", "cancel": f"{{address}}/v1/predictions/{NAME}/cancel"},
        **more,
    }


DONE = prediction("succeeded", output=["{address}/xezq/output.png"])
CREATED = (answer(prediction("starting"), 201),)
RESULTS: Script = {
    f"GET /v1/predictions/{NAME}": (answer(prediction("processing")), answer(DONE)),
    "GET /xezq/output.png": (picture(RESULT),),
}
CLARITY: Script = {
    "GET /v1/models/philz1337x/clarity-upscaler": (
        answer(
            {
                "url": "https://replicate.com/philz1337x/clarity-upscaler",
                "owner": "philz1337x",
                "name": "clarity-upscaler",
                "description": "",
                "visibility": "public",
                "run_count": 1,
                "latest_version": {
                    "id": VERSION,
                    "created_at": "2026-11-01T00:00:00Z",
                    "cog_version": "0.9.26",
                    "openapi_schema": {},
                },
            }
        ),
    ),
    "POST /v1/predictions": CREATED,
    **RESULTS,
}


def client_at(address: str) -> Any:
    from replicate.client import Client

    client = Client(api_token="r8_made_up_for_this_example", base_url=address)
    client.poll_interval = 0.0
    return client


def finished(client: Any, made: Any) -> bytes:
    """As the client's own `run` ends."""
    from replicate.exceptions import ModelError
    from replicate.helpers import FileOutput

    made.wait()
    if made.status == "failed":
        raise ModelError(made)
    link = made.output if isinstance(made.output, str) else made.output[0]
    return FileOutput(link, client).read()


def inputs(upload: Upload, seed: int | None) -> dict[str, Any]:
    file = io.BytesIO(upload.png)
    file.name = "input.png"
    return {"image": file, "scale_factor": 4, "output_format": "png", "seed": seed}


def by_version(address: str, upload: Upload, seed: int | None) -> bytes:
    client = client_at(address)
    version = client.models.get("philz1337x/clarity-upscaler").latest_version
    made = client.predictions.create(version=version, input=inputs(upload, seed), file_encoding_strategy="base64")
    return finished(client, made)


def by_version_and_file(address: str, upload: Upload, seed: int | None) -> bytes:
    client = client_at(address)
    return finished(client, client.predictions.create(version=VERSION, input=inputs(upload, seed)))


def official(address: str, upload: Upload, seed: int | None) -> bytes:
    client = client_at(address)
    file = inputs(upload, seed)["image"]
    sent = {"image": file, "upscale_factor": "4x", "output_format": "png"}
    made = client.models.predictions.create(
        model="topazlabs/image-upscale", input=sent, file_encoding_strategy="base64"
    )
    return finished(client, made)


def deployed(address: str, upload: Upload, seed: int | None) -> bytes:
    client = client_at(address)
    sent = {"image": inputs(upload, seed)["image"], "scale": 4}
    made = client.deployments.predictions.create(deployment="me/mine", input=sent, file_encoding_strategy="base64")
    return finished(client, made)


ABANDONED = "the vendor stops a prediction that nobody waits for any more"
WITHOUT_TOKEN = {"GET /xezq/output.png header.authorization": "a result's link needs no token, so it gets none"}


def deliberate(create: str) -> dict[str, str]:
    return {f"POST {create} header.cancel-after": ABANDONED, **WITHOUT_TOKEN}


PROBLEM = {"title": "Request was throttled", "detail": "Your rate limit resets in ~30s.", "status": 429}

CASES = (
    Case(
        "replicate",
        "replicate",
        "a model's latest version, the picture inside the request",
        by_version,
        {"url": "{address}/v1", "model": "philz1337x/clarity-upscaler", "scale": 4},
        CLARITY,
        deliberate("/v1/predictions"),
        readings=(
            Reading(
                "the prediction failed: the picture was flagged",
                {
                    f"GET /v1/predictions/{NAME}": (
                        answer(prediction("failed", error="The input or output was flagged as sensitive. (E005)")),
                    )
                },
                "ModelError",
                "RefusedError",
            ),
            Reading(
                "the prediction was interrupted",
                {
                    f"GET /v1/predictions/{NAME}": (
                        answer(prediction("failed", error="Prediction interrupted; please retry (code: PA)")),
                    )
                },
                "ModelError",
                "VendorFailedError",
            ),
            Reading(
                "too many requests (429 with a problem document)",
                {"POST /v1/predictions": (answer(PROBLEM, 429),)},
                "ReplicateError",
                "TryLaterError",
            ),
            Reading(
                "no credit is left (402 with a problem document)",
                {"POST /v1/predictions": (answer({**PROBLEM, "title": "Insufficient credit", "status": 402}, 402),)},
                "ReplicateError",
                "AccountRefusedError",
            ),
            Reading(
                "the version takes other inputs (422)",
                {"POST /v1/predictions": (answer({**PROBLEM, "title": "Input validation failed"}, 422),)},
                "ReplicateError",
                "RefusedError",
            ),
            Reading(
                "the token is unknown (401)",
                {
                    "GET /v1/models/philz1337x/clarity-upscaler": (
                        answer({"title": "Unauthenticated", "detail": "You did not pass a token", "status": 401}, 401),
                    )
                },
                "ReplicateError",
                "AccountRefusedError",
            ),
        ),
    ),
    Case(
        "replicate",
        "replicate",
        "a pinned version, a large picture by the files interface",
        by_version_and_file,
        {"url": "{address}/v1", "model": f"philz1337x/clarity-upscaler:{VERSION}", "scale": 4},
        {
            **CLARITY,
            "POST /v1/files": (
                answer(
                    {
                        "id": "f1",
                        "name": "input.png",
                        "content_type": "image/png",
                        "size": 9,
                        "etag": "e",
                        "checksums": {"sha256": "0"},
                        "metadata": {},
                        "created_at": "2026-11-01T00:00:00Z",
                        "expires_at": None,
                        "urls": {"get": "{address}/v1/files/f1"},
                    },
                    201,
                ),
            ),
        },
        deliberate("/v1/predictions"),
        large=True,
    ),
    Case(
        "replicate",
        "replicate",
        "an official model",
        official,
        {"url": "{address}/v1", "model": "topazlabs/image-upscale", "scale": 4},
        {"POST /v1/models/topazlabs/image-upscale/predictions": CREATED, **RESULTS},
        deliberate("/v1/models/topazlabs/image-upscale/predictions"),
    ),
    Case(
        "replicate",
        "replicate",
        "a deployment",
        deployed,
        {"url": "{address}/v1", "model": "me/mine", "route": "deployment"},
        {"POST /v1/deployments/me/mine/predictions": CREATED, **RESULTS},
        deliberate("/v1/deployments/me/mine/predictions"),
    ),
)
