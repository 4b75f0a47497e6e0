"""RunPod, against its Python client."""

import base64
from unittest.mock import patch

from clients.case import RESULT, Case, NoPictureError, Reading
from clients.exchange import answer

from blackbox_conformal.vendor.adapter import Upload

JOB = "c80ffee4-f315-4e25-a146-0f3d98cf024b-u1"
STATUS = f"GET /v2/abc123def456/status/{JOB}"
SCRIPT = {
    "POST /v2/abc123def456/run": (answer({"id": JOB, "status": "IN_QUEUE"}),),
    STATUS: (
        answer({"id": JOB, "status": "IN_PROGRESS", "delayTime": 300}),
        answer({"id": JOB, "status": "COMPLETED", "output": {"image": base64.b64encode(RESULT).decode()}}),
    ),
}


def run(address: str, upload: Upload, seed: int | None) -> bytes:
    import runpod

    with patch.object(runpod, "endpoint_url_base", f"{address}/v2"), patch("runpod.endpoint.runner.time.sleep"):
        endpoint = runpod.Endpoint("abc123def456", api_key="rpa_made_up_for_this_example")
        sent = {"image": base64.b64encode(upload.png).decode(), "scale": 4, "seed": seed}
        job = endpoint.run({"input": sent})
        output = job.output(timeout=60)
    if output is None:
        raise NoPictureError(job.status())
    return base64.b64decode(output["image"])


EMPTY = "a request without a body needs no type of one"

CASES = (
    Case(
        "runpod",
        "runpod",
        "a serverless endpoint",
        run,
        {"url": "{address}/v2", "endpoint": "abc123def456", "scale": 4},
        SCRIPT,
        {f"{STATUS} header.content-type": EMPTY},
        readings=(
            Reading(
                "the job timed out",
                {STATUS: (answer({"id": JOB, "status": "TIMED_OUT"}),)},
                "NoPictureError",
                "VendorFailedError",
            ),
            Reading(
                "the job failed in the worker",
                {STATUS: (answer({"id": JOB, "status": "FAILED", "error": "CUDA out of memory"}),)},
                "NoPictureError",
                "VendorFailedError",
            ),
            Reading(
                "too many requests (429)",
                {"POST /v2/abc123def456/run": (answer({"error": "too many requests"}, 429),)},
                "HTTPError",
                "TryLaterError",
            ),
            Reading(
                "the key is unknown (401)",
                {"POST /v2/abc123def456/run": (answer({"error": "unauthorized"}, 401),)},
                "RuntimeError",
                "AccountRefusedError",
            ),
        ),
    ),
)
