"""OpenAI's image models, against its Python client."""

import base64
import io

from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer

from blackbox_conformal.vendor.adapter import Upload

EDIT = "POST /v1/images/edits"
PROMPT = "Sharpen this photograph."


def edit(address: str, upload: Upload, seed: int | None) -> bytes:
    from openai import OpenAI

    file = io.BytesIO(upload.png)
    file.name = "input.png"
    client = OpenAI(api_key="sk-made-up-for-this-example", base_url=f"{address}/v1", max_retries=0)
    made = client.images.edit(
        model="gpt-image-2",
        image=file,
        prompt=PROMPT,
        size="816x816",
        quality="high",
        input_fidelity="high",
        output_format="png",
    )
    return base64.b64decode(made.data[0].b64_json or "")


def refusal(status: int, code: str, **more: object) -> Script:
    return {EDIT: (answer({"error": {"message": code, "type": "error", "code": code, "param": None, **more}}, status),)}


OF_CLIENT = (
    "arch",
    "async",
    "lang",
    "os",
    "package-version",
    "read-timeout",
    "retry-count",
    "runtime",
    "runtime-version",
)

CASES = (
    Case(
        "openai",
        "openai",
        "images/edits",
        edit,
        {"url": "{address}", "model": "gpt-image-2", "input_fidelity": "high", "prompt": PROMPT},
        {EDIT: (answer({"created": 1, "data": [{"b64_json": base64.b64encode(RESULT).decode()}]}),)},
        {
            f"{EDIT} header.accept": "the client names the answer's kind, which is the only one",
            **{f"{EDIT} header.x-stainless-{name}": "describes the client" for name in OF_CLIENT},
        },
        readings=(
            Reading(
                "moderation blocked the picture (400)",
                refusal(400, "moderation_blocked"),
                "BadRequestError",
                "RefusedError",
            ),
            Reading("too many requests (429)", refusal(429, "rate_limit_exceeded"), "RateLimitError", "TryLaterError"),
            Reading(
                "no money is left (429)", refusal(429, "insufficient_quota"), "RateLimitError", "AccountRefusedError"
            ),
            Reading(
                "the key is unknown (401)",
                refusal(401, "invalid_api_key"),
                "AuthenticationError",
                "AccountRefusedError",
            ),
            Reading(
                "the vendor failed (500)", refusal(500, "server_error"), "InternalServerError", "VendorFailedError"
            ),
        ),
    ),
)
