"""Hugging Face's own machines, against huggingface_hub."""

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clients.case import RESULT, Case, Reading
from clients.exchange import answer, picture

from blackbox_conformal.vendor.adapter import Upload

ROUTE = "POST /hf-inference/models/someone/upscaler"
TOKEN = "hf_made_up_for_this_example"


def enlarged(address: str, provider: str, model: str, upload: Upload, **parameters: Any) -> bytes:
    """The client's picture, as bytes: it opens what it gets, and keeps no file."""
    from huggingface_hub import InferenceClient
    from huggingface_hub.inference import _client
    from huggingface_hub.inference._providers import PROVIDERS, _common, hf_inference

    # What the client remembers of the Hub is another vendor's, of an earlier test.
    _common._fetch_inference_provider_mapping.cache_clear()
    hf_inference._check_supported_task.cache_clear()
    said: list[bytes] = []
    opened = _client._bytes_to_image

    def kept(content: bytes) -> Any:
        said.append(content)
        return opened(content)

    client = InferenceClient(provider=provider, token=TOKEN)  # type: ignore[arg-type]
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(PROVIDERS["hf-inference"]["image-to-image"], "base_url", f"{address}/hf-inference"),
        patch("huggingface_hub.constants.ENDPOINT", address),
        patch("huggingface_hub.constants.INFERENCE_PROXY_TEMPLATE", f"{address}/{{provider}}"),
        patch.object(_client, "_bytes_to_image", kept),
        patch("time.sleep"),
    ):
        file = Path(folder, "input.png")
        file.write_bytes(upload.png)
        client.image_to_image(str(file), model=model, **parameters)
    return said[0]


def sized(upload: Upload, seed: int | None) -> dict[str, Any]:
    return {"target_size": {"width": upload.width * 4, "height": upload.height * 4}, "seed": seed}


def routed(address: str, upload: Upload, seed: int | None) -> bytes:
    return enlarged(address, "hf-inference", "someone/upscaler", upload, **sized(upload, seed))


def dedicated(address: str, upload: Upload, seed: int | None) -> bytes:
    return enlarged(address, "hf-inference", f"{address}/endpoint", upload, **sized(upload, seed))


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
