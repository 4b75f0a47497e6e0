"""Comfy Cloud: the user's own workflow, as for `comfyui`, run on Comfy's machines.

Source: the vendor's OpenAPI document of 2026, which calls itself experimental.
"""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import peek
from blackbox_adapters.comfyui import EXAMPLE as AT_HOME
from blackbox_adapters.comfyui import ComfyUI
from blackbox_conformal.errors import AccountRefusedError, VendorError
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Purpose, Upload
from blackbox_conformal.vendor.example import Example, says, shows


class ComfyCloud(ComfyUI):
    """A workflow on Comfy Cloud; `workflow`, `image`, `seed` and `output` are as for the adapter `comfyui`.

    A job is polled until it is ``completed``; the picture is fetched from Google's storage, without the key. An
    account without a paid plan is answered 429, which elsewhere means: wait. A job that takes too long is cancelled if
    it has not begun; the vendor's document has no way to stop a single running one.

    Seeds: where `seed` names an input. Without one every draw is the same picture.
    """

    name = "comfy-cloud"
    version = 2
    auth_variable = "COMFY_CLOUD_API_KEY"
    documentation = "https://docs.comfy.org/development/cloud/api-reference"
    evidence = "openapi"
    auth_header = "x-api-key"
    auth_prefix = ""
    failures = Failures(message=["message", "error.message", "error"], code=["error.type", "code"])
    transient = ComfyUI.transient | {"concurrent_jobs"}
    uncertain = (
        "the interface is experimental, says its document",
        "credits are billed by running time: give price-usd",
        "what a 429 says of an account without a plan is not documented; any word of payment in it is taken for that",
    )

    url: str = Field(default="https://cloud.comfy.org/api", description="Address of the interface.")
    concurrent_jobs: int = Field(
        default=1, ge=1, description="Jobs that your plan runs at once: 1, 3 or 5, by the vendor's plans of 2026."
    )
    poll_seconds: float = Field(default=2.0, ge=0.1, description="Seconds between two polls of a job.")

    @property
    def named(self) -> bool:
        return True

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            super().capabilities,
            price=self.given_price,
            max_concurrency=self.concurrent_jobs,
            max_side=16384,
            max_input_pixels=67_108_864,
            max_upload_bytes=50_000_000,
            result_hosts=self.hosts("storage.googleapis.com", ".storage.googleapis.com"),
        )

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        work = PolledJob(
            "job",
            job,
            done=("completed",),
            failed=("failed", "cancelled"),
            picture="outputs",
            reason=("execution_error.exception_message", "execution_status"),
            code=("execution_error.exception_type",),
        )

        def saved(answer: Answer) -> dict[str, Any] | None:
            if not work.result(answer.json()):
                return None
            picture = self.saved(answer.json())
            if not picture:
                work.miss_picture()
            return picture

        poll = self.send("GET", f"/jobs/{quote(job, safe='')}", "poll")
        cancel = self.send("POST", "/queue", "cancel", json={"delete": [job]})
        picture = yield from polled(
            poll, self.poll_seconds, saved, cancel=cancel, cancelled=lambda said: job in (peek(said, "deleted") or ())
        )
        return (yield from self.view(job, picture))

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read errors as a server's own, and ``{code, message}``; a 429 that speaks of payment is no wish to wait."""
        message, code, _ = self.failures.read(answer)
        if answer.status == 429 and any(word in message.lower() for word in ("paid", "payment", "subscri", "credit")):
            return AccountRefusedError(f"the vendor refused this account with HTTP 429: {message}", code=code)
        return super().explain(answer, purpose)


ADAPTER = ComfyCloud

EXAMPLE = Example(
    parameters={**AT_HOME.parameters, "poll_seconds": 0.1},
    environment={"COMFY_CLOUD_API_KEY": "comfyui-made-up-for-this-example"},
    polls=2,
    answers=(
        says('{"name":"5f2c.png","subfolder":"","type":"input"}'),
        says('{"prompt_id":"f7b1c2d3-0000-4000-8000-000000000001","number":1,"node_errors":{}}'),
        says('{"id":"f7b1c2d3-0000-4000-8000-000000000001","status":"in_progress","create_time":1,"update_time":2}'),
        says(
            '{"id":"f7b1c2d3-0000-4000-8000-000000000001","status":"completed","create_time":1,"update_time":3,'
            '"outputs":{"9":{"images":[{"filename":"9ab1.png","subfolder":"","type":"output"}]}}}'
        ),
        shows(),
    ),
    cancelled=says('{"deleted":["f7b1c2d3-0000-4000-8000-000000000001"]}'),
    failures=(
        (
            says('{"name":"5f2c.png","subfolder":"","type":"input"}'),
            says('{"prompt_id":"f7b1c2d3-0000-4000-8000-000000000002","number":2,"node_errors":{}}'),
            says(
                '{"id":"f7b1c2d3-0000-4000-8000-000000000002","status":"failed","execution_error":{"node_id":"3",'
                '"exception_type":"RuntimeError","exception_message":"out of memory"}}'
            ),
        ),
    ),
)
