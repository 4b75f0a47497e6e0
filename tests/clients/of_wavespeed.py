"""WaveSpeed, against its Python client."""

import base64
from typing import Any

import httpx
from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.vendor.adapter import Upload

SUBMIT = "POST /api/v3/wavespeed-ai/ultimate-image-upscaler"
POLL = "GET /api/v3/predictions/8f1d/result"


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    from wavespeed import Client

    client = Client(api_key="made-up-key-for-wavespeed", base_url=address, max_retries=0, max_connection_retries=0)
    made = client.run(
        "wavespeed-ai/ultimate-image-upscaler",
        {
            "image": "data:image/png;base64," + base64.b64encode(upload.png).decode(),
            "target_resolution": "4k",
            "output_format": "png",
        },
        poll_interval=0.0,
    )
    return httpx.get(made["outputs"][0]).content


def said(status: str, **more: Any) -> Any:
    return answer({"code": 200, "message": "success", "data": {"id": "8f1d", "status": status, "error": "", **more}})


def ended(status: str, error: str) -> Script:
    return {POLL: (said(status, error=error),)}


CASES = (
    Case(
        "wavespeed",
        "wavespeed",
        "a prediction",
        upscale,
        {"url": "{address}/api/v3"},
        {
            SUBMIT: (said("created", outputs=[]),),
            POLL: (said("processing"), said("completed", outputs=["{address}/files/out.png"])),
            "GET /files/out.png": (picture(RESULT),),
        },
        {
            f"{POLL} header.content-type": "a request without a body needs no type of one",
            **{
                f"{place} header.x-client-{name}": "describes the client"
                for place in (SUBMIT, POLL)
                for name in ("name", "version", "os")
            },
        },
        readings=(
            Reading(
                "the prediction failed: the picture was flagged",
                ended("failed", "content flagged as potentially sensitive: nsfw"),
                "_TaskFailedError",
                "RefusedError",
            ),
            Reading(
                "the prediction failed on the vendor's side",
                ended("failed", "upstream answered HTTP 502"),
                "_TaskFailedError",
                "VendorFailedError",
            ),
            *(
                Reading(f"the prediction ended as {status}", ended(status, ""), "RuntimeError", "VendorFailedError")
                for status in ("timeout", "cancelled", "deleted")
            ),
            Reading(
                "too many requests (429)",
                {SUBMIT: (answer({"code": 429, "message": "slow down"}, 429),)},
                "_SubmissionError",
                "TryLaterError",
            ),
            Reading(
                "the key is unknown (401)",
                {SUBMIT: (answer({"code": 401, "message": "unauthorized"}, 401),)},
                "_SubmissionError",
                "AccountRefusedError",
            ),
        ),
    ),
)
