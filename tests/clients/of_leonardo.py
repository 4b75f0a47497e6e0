"""Leonardo's universal upscaler, against its Python client."""

import json
from typing import Any

import httpx
from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Upload

PLACE = "POST /api/rest/v1/init-image"
STORE = "POST /uploads"
START = "POST /api/rest/v1/variations/universal-upscaler"
JOB = "7d9e1c52-3a4b-4c5d-8e6f-0a1b2c3d4e5f"
LOOK = f"GET /api/rest/v1/variations/{JOB}"


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    from leonardo_ai_sdk import LeonardoAiSDK
    from leonardo_ai_sdk.models import operations
    from leonardo_ai_sdk.models.shared import UniversalUpscalerStyle

    with LeonardoAiSDK(bearer_auth="made-up-key-for-leonardo", server_url=f"{address}/api/rest/v1") as client:
        reserved = client.init_images.upload_init_image(request={"extension": "png"})
        place: Any = reserved.object.upload_init_image
        fields = json.loads(place.fields)
        httpx.post(place.url, data=fields, files={"file": ("input.png", upload.png, "image/png")}).raise_for_status()
        started = client.variation.create_universal_upscaler_job(
            request=operations.CreateUniversalUpscalerJobRequestBody(
                init_image_id=place.id,
                upscaler_style=UniversalUpscalerStyle.GENERAL,
                creativity_strength=5,
                prompt="a photograph",
                upscale_multiplier=2,
            )
        )
        job: Any = started.object.universal_upscaler
        while True:
            seen: Any = client.variation.get_variation_by_id(id=job.id).object
            variation = seen.generated_image_variation_generic[0]
            if variation.status == "FAILED":
                raise NoPictureError("the variation failed")
            if variation.status == "COMPLETE":
                return httpx.get(variation.url).content


def variation(status: str, url: str | None = None) -> Response:
    made = {"id": JOB, "status": status, "url": url, "transformType": "UPSCALE"}
    return answer({"generated_image_variation_generic": [made]})


def refusal(place: str, status: int) -> Script:
    return {place: (answer({"error": "as the vendor says it", "code": "made-up"}, status),)}


FIELDS = {"Policy": "made-up", "key": "uploads/5b0c.png"}
RESERVED = {"id": "5b0c2d63", "key": "uploads/5b0c.png", "url": "{address}/uploads", "fields": json.dumps(FIELDS)}

CASES = (
    Case(
        "leonardo",
        "leonardo-ai-sdk",
        "universal upscaler: reserve a place, store the picture there, start, look",
        upscale,
        {"url": "{address}/api/rest/v1", "options": {"prompt": "a photograph"}},
        {
            PLACE: (answer({"uploadInitImage": RESERVED}),),
            STORE: (Response(204),),
            START: (answer({"universalUpscaler": {"id": JOB, "apiCreditCost": 10}}),),
            LOOK: (variation("PENDING"), variation("COMPLETE", "{address}/files/out.png")),
            "GET /files/out.png": (picture(RESULT),),
        },
        {
            f"{place} header.accept": "the client names the answers' kind, which is the only one"
            for place in (PLACE, START, LOOK)
        },
        readings=(
            Reading("the variation failed", {LOOK: (variation("FAILED"),)}, "NoPictureError", "VendorFailedError"),
            Reading("too many requests (429)", refusal(START, 429), "SDKError", "TryLaterError"),
            Reading("the key is unknown (401)", refusal(PLACE, 401), "SDKError", "AccountRefusedError"),
        ),
    ),
)
