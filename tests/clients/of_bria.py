"""Bria, against its Python client."""

import base64
from typing import Any

import httpx
from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.vendor.adapter import Upload

ENHANCE = "POST /v2/image/edit/enhance"
STATUS = "GET /v2/status/2c1f6f1a"


def enhance(address: str, upload: Upload, seed: int | None) -> bytes:
    from bria_client.clients.sync_client import BriaSyncClient
    from httpx_retries import Retry

    with BriaSyncClient(base_url=address, api_token="made-up-key-for-bria", retry=Retry(total=0)) as client:
        sent = {"image": base64.b64encode(upload.png).decode(), "seed": seed, "preserve_alpha": False}
        started = client.submit("image/edit/enhance", sent, raise_for_status=True)
        made = client.poll(started, interval=0.0)
    return httpx.get(made.result.image_url).content


def refusal(status: int) -> Script:
    error = {"code": status, "message": "as the vendor says it", "details": "in its words"}
    return {ENHANCE: (answer({"error": error, "request_id": "2c1f6f1a"}, status),)}


def ended(status: str, **more: Any) -> Any:
    return answer({"status": status, "request_id": "2c1f6f1a", **more})


FAILED = {"code": 500, "message": "Internal error", "details": "an unexpected error"}

CASES = (
    Case(
        "bria",
        "bria-client",
        "enhance",
        enhance,
        {"url": "{address}/v2"},
        {
            ENHANCE: (answer({"request_id": "2c1f6f1a", "status_url": "{address}/v2/status/2c1f6f1a"}, 202),),
            STATUS: (
                ended("IN_PROGRESS"),
                ended("COMPLETED", result={"image_url": "{address}/files/out.png", "seed": 1007}),
            ),
            "GET /files/out.png": (picture(RESULT),),
        },
        {f"{ENHANCE} body.sync": "the client says the default"},
        readings=(
            Reading(
                "the job failed on the vendor's side",
                {STATUS: (ended("ERROR", error=FAILED),)},
                "BriaException",
                "VendorFailedError",
            ),
            Reading("the picture is refused (422)", refusal(422), "BriaException", "RefusedError"),
            Reading("too many requests (429)", refusal(429), "BriaException", "TryLaterError"),
            Reading("the token is unknown (401)", refusal(401), "BriaException", "AccountRefusedError"),
        ),
    ),
)
