"""Gemini's image models, against google-genai."""

import base64
from typing import Any

from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import Script, answer

from blackbox_conformal.vendor.adapter import Upload

GENERATE = "POST /v1beta/models/gemini-3.1-flash-image:generateContent"
OF_CLIENT = GENERATE.replace("v1beta", "v1")
PROMPT = "Sharpen this photograph."


def edit(address: str, upload: Upload, seed: int | None) -> bytes:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key="AIza-made-up-for-this-example", http_options=types.HttpOptions(base_url=address))
    answered = client.models.generate_content(
        model="gemini-3.1-flash-image",
        contents=[PROMPT, types.Part.from_bytes(data=upload.png, mime_type="image/png")],
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"], image_config=types.ImageConfig(image_size="2K")
        ),
    )
    parts = answered.parts
    if not parts:
        raise NoPictureError(answered.candidates or answered.prompt_feedback)
    assert parts[0].inline_data is not None
    return parts[0].inline_data.data or b""


def generated(**candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"index": 0, **candidate}], "modelVersion": "gemini-3.1-flash-image"}


def said(document: dict[str, Any], status: int = 200) -> Script:
    """One answer, wherever the call is made."""
    return {place: (answer(document, status),) for place in (GENERATE, OF_CLIENT)}


def refusal(status: int, name: str) -> Script:
    return said({"error": {"code": status, "message": name.lower(), "status": name}}, status)


MADE = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(RESULT).decode()}}

CASES = (
    Case(
        "gemini",
        "google-genai",
        "generateContent",
        edit,
        {"url": "{address}", "image_size": "2K", "prompt": PROMPT},
        said(generated(content={"role": "model", "parts": [MADE]}, finishReason="STOP")),
        {
            f"{GENERATE} header.x-goog-api-client": "names the client",
            **{
                f"{GENERATE} body.contents.0.parts.1.inlineData.{name}": "the interface takes either spelling"
                for name in ("mimeType", "mime_type")
            },
            f"{GENERATE} place": "the client of 2026 asks v1; the documentation of pictures writes v1beta",
        },
        alias={OF_CLIENT: GENERATE},
        readings=(
            Reading(
                "the prompt is blocked (200)",
                said({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
                "NoPictureError",
                "RefusedError",
            ),
            Reading(
                "the model made no picture (200)",
                said(generated(finishReason="NO_IMAGE")),
                "NoPictureError",
                "VendorFailedError",
            ),
            Reading("the quota is used up (429)", refusal(429, "RESOURCE_EXHAUSTED"), "ClientError", "TryLaterError"),
            Reading("the key may not (403)", refusal(403, "PERMISSION_DENIED"), "ClientError", "AccountRefusedError"),
            Reading("the vendor failed (500)", refusal(500, "INTERNAL"), "ServerError", "VendorFailedError"),
        ),
    ),
)
