"""Segmind, against its Python client."""

import base64

from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.vendor.adapter import Upload

MODEL = "POST /v1/esrgan"


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    from segmind import SegmindClient

    client = SegmindClient(api_key="made-up-key-for-segmind", base_url=f"{address}/v1")
    return client.run_sync("esrgan", image=base64.b64encode(upload.png).decode(), scale=4).content


def refusal(status: int, message: str) -> Script:
    return {MODEL: (answer({"error": message}, status),)}


CASES = (
    Case(
        "segmind",
        "segmind",
        "one request of the first version of the interface",
        upscale,
        {"url": "{address}/v1"},
        {MODEL: (picture(RESULT),)},
        {f"{MODEL} header.x-initiator": "names the client"},
        readings=(
            Reading("a value is refused (400)", refusal(400, "bad image"), "SegmindError", "RefusedError"),
            Reading("too many requests (429)", refusal(429, "slow down"), "SegmindError", "TryLaterError"),
            Reading("the key is unknown (401)", refusal(401, "unauthorized"), "SegmindError", "AccountRefusedError"),
        ),
    ),
)
