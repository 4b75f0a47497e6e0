"""fal, against its Python client."""

from typing import Any
from unittest.mock import patch

import httpx
from clients.case import RESULT, Case, Reading
from clients.exchange import answer, picture

from blackbox_conformal.vendor.adapter import Upload

NAME = "764cabcf-b745-4b3e-ae38-1200304cf45b"
WHERE = f"/fal-ai/clarity-upscaler/requests/{NAME}"
SCRIPT = {
    "POST /fal-ai/clarity-upscaler": (
        answer(
            {
                "status": "IN_QUEUE",
                "request_id": NAME,
                "queue_position": 0,
                "response_url": f"{{address}}{WHERE}",
                "status_url": f"{{address}}{WHERE}/status",
                "cancel_url": f"{{address}}{WHERE}/cancel",
            }
        ),
    ),
    f"GET {WHERE}/status": (
        answer({"status": "IN_PROGRESS", "logs": None}, 202),
        answer({"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 3.1}}),
    ),
    f"GET {WHERE}": (answer({"image": {"url": "{address}/files/out.png"}, "seed": 42}),),
    "GET /files/out.png": (picture(RESULT),),
}


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    import fal_client.client as fal

    # The client fixes https; its address is a constant of its module.
    with patch.object(fal, "QUEUE_URL_FORMAT", f"{address}/"), patch.object(fal, "MAX_ATTEMPTS", 1):
        client = fal.SyncClient(key="made-up-id:made-up-secret")
        sent: dict[str, Any] = {"image_url": fal.encode(upload.png, "image/png"), "upscale_factor": 2, "seed": seed}
        result = client.submit("fal-ai/clarity-upscaler", sent | SAFETY).get(interval=0.0)
    return httpx.get(result["image"]["url"]).content


SAFETY = {"enable_safety_checker": False}

CASES = (
    Case(
        "fal",
        "fal-client",
        "the queue",
        upscale,
        {"url": "{address}", "model": "fal-ai/clarity-upscaler", "scale": 2},
        SCRIPT,
        {f"GET {WHERE}/status query.logs": "no logs is what the vendor answers anyway"},
        readings=(
            Reading(
                "the result refuses the picture (422 with a list of problems)",
                {
                    f"GET {WHERE}": (
                        answer(
                            {"detail": [{"loc": ["body", "image_url"], "msg": "too small", "type": "image_too_small"}]},
                            422,
                        ),
                    )
                },
                "FalClientHTTPError",
                "RefusedError",
            ),
            Reading(
                "no runner could be had (503 for the result)",
                {f"GET {WHERE}": (answer({"detail": "no runner"}, 503, x_fal_error_type="runner_scheduling_failure"),)},
                "FalClientHTTPError",
                "VendorFailedError",
            ),
            Reading(
                "the runner took too long (504 for the result)",
                {f"GET {WHERE}": (answer({"detail": "timed out"}, 504, x_fal_error_type="request_timeout"),)},
                "FalClientHTTPError",
                "VendorFailedError",
            ),
            Reading(
                "too many requests (429)",
                {"POST /fal-ai/clarity-upscaler": (answer({"detail": "Too many requests"}, 429),)},
                "FalClientHTTPError",
                "TryLaterError",
            ),
            Reading(
                "the key is unknown (401)",
                {"POST /fal-ai/clarity-upscaler": (answer({"detail": "Invalid key"}, 401),)},
                "FalClientHTTPError",
                "AccountRefusedError",
            ),
        ),
    ),
)
