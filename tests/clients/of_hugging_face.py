"""Hugging Face, against huggingface_hub."""

import io
from unittest.mock import patch

from clients.case import RESULT, Case, Reading
from clients.exchange import answer, picture

from blackbox_conformal.adapter import Upload

ROUTE = "POST /hf-inference/models/someone/upscaler"


def enlarged(address: str, model: str, upload: Upload, seed: int | None) -> bytes:
    from huggingface_hub import InferenceClient
    from huggingface_hub.inference._client import _bytes_to_image
    from huggingface_hub.inference._providers import PROVIDERS

    helper = PROVIDERS["hf-inference"]["image-to-image"]
    client = InferenceClient(provider="hf-inference", token="hf_made_up_for_this_example")
    size = {"width": upload.width * 4, "height": upload.height * 4}
    said: list[bytes] = []

    def kept(content: bytes) -> object:
        said.append(content)
        return _bytes_to_image(content)

    with (
        patch.object(helper, "base_url", f"{address}/hf-inference"),
        patch("huggingface_hub.constants.ENDPOINT", address),
        patch("huggingface_hub.inference._client._bytes_to_image", kept),
    ):
        image = client.image_to_image(upload.png, model=model, target_size=size, seed=seed)
    out = io.BytesIO()
    image.save(out, "PNG")
    return said[0]


def routed(address: str, upload: Upload, seed: int | None) -> bytes:
    from huggingface_hub.inference._providers.hf_inference import _check_supported_task

    _check_supported_task.cache_clear()
    return enlarged(address, "someone/upscaler", upload, seed)


def dedicated(address: str, upload: Upload, seed: int | None) -> bytes:
    return enlarged(address, f"{address}/endpoint", upload, seed)


PARAMETERS = {"seed_field": "seed", "scale": 4, "target_size": True}
READINGS = (
    Reading(
        "the model is loading (503)", {ROUTE: (answer({"error": "loading"}, 503),)}, "HfHubHTTPError", "TryLaterError"
    ),
    Reading("too many requests (429)", {ROUTE: (answer({"error": "rate"}, 429),)}, "HfHubHTTPError", "TryLaterError"),
    Reading(
        "the token is unknown (401)", {ROUTE: (answer({"error": "bad"}, 401),)}, "HfHubHTTPError", "AccountRefusedError"
    ),
    Reading(
        "the picture cannot be read (400)",
        {ROUTE: (answer({"error": "cannot identify image file"}, 400),)},
        "BadRequestError",
        "RefusedError",
    ),
)

TRACE = "a number of the client's own for its logs; the vendor's is in its answer"
CASES = (
    Case(
        "hugging-face",
        "huggingface_hub",
        "a model of the router",
        routed,
        {"url": "{address}/hf-inference", "model": "someone/upscaler", **PARAMETERS},
        {
            "GET /api/models/someone/upscaler": (
                answer({"id": "someone/upscaler", "pipeline_tag": "image-to-image", "tags": []}),
            ),
            ROUTE: (picture(RESULT),),
        },
        {
            f"{ROUTE} header.x-amzn-trace-id": TRACE,
            "GET /api/models/someone/upscaler": "the client looks up the model's task first; the adapter is told it",
        },
        readings=READINGS,
    ),
    Case(
        "hugging-face",
        "huggingface_hub",
        "a dedicated endpoint",
        dedicated,
        {"url": "{address}/endpoint", "endpoint": True, **PARAMETERS},
        {"POST /endpoint": (picture(RESULT),)},
        {"POST /endpoint header.x-amzn-trace-id": TRACE},
    ),
)
