"""FLUX.1 Kontext, against Black Forest Labs' Python client."""

import base64

import httpx
from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.vendor.adapter import Upload

SUBMIT = "POST /v1/flux-kontext-pro"
POLL = "GET /v1/get_result"
PROMPT = "Sharpen this photograph."


def edit(address: str, upload: Upload, seed: int | None) -> bytes:
    from blackforest import BFLClient

    client = BFLClient("bfl_made_up_for_this_example", base_url=f"{address}/")
    sent = {
        "prompt": PROMPT,
        "input_image": base64.b64encode(upload.png).decode(),
        "output_format": "png",
        "safety_tolerance": 2,
        "seed": seed,
        "prompt_upsampling": False,
    }
    task = client.generate("flux-kontext-pro", sent).id
    while True:
        state = client.get_task_status(task)
        if state.status == "Ready":
            return httpx.get(state.result["sample"]).content
        if state.status != "Pending":
            raise NoPictureError(state.status)


def refusal(status: int) -> Script:
    return {SUBMIT: (answer({"detail": "as the vendor says it"}, status),)}


CASES = (
    Case(
        "flux",
        "blackforest",
        "FLUX.1 Kontext pro",
        edit,
        {"url": "{address}", "model": "flux-kontext-pro", "prompt": PROMPT},
        {
            SUBMIT: (answer({"id": "7e4f", "polling_url": "{address}/v1/get_result?id=7e4f", "cost": 4.0}),),
            POLL: (
                answer({"id": "7e4f", "status": "Pending", "result": None}),
                answer({"id": "7e4f", "status": "Ready", "result": {"sample": "{address}/files/out.png"}}),
            ),
            "GET /files/out.png": (picture(RESULT),),
        },
        {
            **{
                f"{place} header.accept": "the client names the answers' kind, which is the only one"
                for place in (SUBMIT, POLL)
            },
            f"{POLL} header.content-type": "a request without a body needs no type of one",
        },
        readings=(
            Reading(
                "moderation blocked the picture",
                {POLL: (answer({"id": "7e4f", "status": "Request Moderated", "result": None}),)},
                "NoPictureError",
                "RefusedError",
            ),
            Reading(
                "the task failed",
                {POLL: (answer({"id": "7e4f", "status": "Error", "result": None}),)},
                "NoPictureError",
                "VendorFailedError",
            ),
            Reading("too many tasks (429)", refusal(429), "BFLError", "TryLaterError"),
            Reading("no credit is left (402)", refusal(402), "BFLError", "AccountRefusedError"),
            Reading("the key is unknown (403)", refusal(403), "BFLError", "AccountRefusedError"),
        ),
    ),
)
