"""The network as a RunPod serverless worker: runpod_worker.py --rp_serve_api --rp_api_host … --rp_api_port …."""

import base64
import io
from typing import Any

import runpod  # type: ignore[import-not-found]
from network import Network
from PIL import Image

network = Network()


def handler(job: dict[str, Any]) -> dict[str, str]:
    """One job: a picture in base64 under `image`, and one back."""
    picture = Image.open(io.BytesIO(base64.b64decode(job["input"]["image"])))
    out = io.BytesIO()
    network.upscale(picture).save(out, "PNG")
    return {"image": base64.b64encode(out.getvalue()).decode()}


runpod.serverless.start({"handler": handler})
