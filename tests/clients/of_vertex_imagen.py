"""Imagen on Vertex AI, against google-genai."""

import base64

from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import answer

from blackbox_conformal.vendor.adapter import Upload

MODEL = "imagen-4.0-upscale-preview"
PREDICT = f"POST /v1/projects/made-up-project/locations/us-central1/publishers/google/models/{MODEL}:predict"


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    from google import genai
    from google.genai import types
    from google.oauth2.credentials import Credentials

    client = genai.Client(
        vertexai=True,
        project="made-up-project",
        location="us-central1",
        credentials=Credentials("ya29.made-up-for-this-example"),
        http_options=types.HttpOptions(base_url=address, api_version="v1"),
    )
    answered = client.models.upscale_image(
        model=MODEL,
        image=types.Image(image_bytes=upload.png, mime_type="image/png"),
        upscale_factor="x4",
        config=types.UpscaleImageConfig(
            include_rai_reason=True, output_mime_type="image/png", image_preservation_factor=0.5
        ),
    )
    made = (answered.generated_images or [types.GeneratedImage()])[0]
    if made.image is None or made.image.image_bytes is None:
        raise NoPictureError(made.rai_filtered_reason)
    return made.image.image_bytes


def refusal(status: int, name: str) -> dict[str, tuple[object, ...]]:
    return {PREDICT: (answer({"error": {"code": status, "message": name.lower(), "status": name}}, status),)}


CASES = (
    Case(
        "vertex-imagen",
        "google-genai",
        "predict",
        upscale,
        {"url": "{address}", "project": "made-up-project", "preservation": 0.5},
        {
            PREDICT: (
                answer(
                    {
                        "predictions": [
                            {"mimeType": "image/png", "bytesBase64Encoded": base64.b64encode(RESULT).decode()}
                        ]
                    }
                ),
            )
        },
        {
            f"{PREDICT} body.instances.0.prompt": "empty, as the documentation's request has it",
            f"{PREDICT} body.instances.0.image.mimeType": "as in the documentation's request, which has none",
            f"{PREDICT} header.x-goog-api-client": "names the client",
        },
        readings=(
            Reading(
                "the picture was filtered (200 with a reason)",
                {PREDICT: (answer({"predictions": [{"raiFilteredReason": "blocked"}]}),)},
                "NoPictureError",
                "RefusedError",
            ),
            Reading("the quota is used up (429)", refusal(429, "RESOURCE_EXHAUSTED"), "ClientError", "TryLaterError"),
            Reading(
                "the token is unknown (401)", refusal(401, "UNAUTHENTICATED"), "ClientError", "AccountRefusedError"
            ),
            Reading("a value is refused (400)", refusal(400, "INVALID_ARGUMENT"), "ClientError", "RefusedError"),
        ),
    ),
)
