"""RunPod serverless: the user's own worker, queued with /run and polled with /status.

The worker decides the form of its input and output, so their names are parameters.
"""

import json
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import OptionalKey
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._named_inputs import NamedInputs, Names
from blackbox_adapters._reading import base64_text, data_link, fits_as_base64, peek, received, require, words
from blackbox_conformal.errors import JobError
from blackbox_conformal.vendor.adapter import FREE, Accepted, Answer, Capabilities, Draw, Flow, Observed, Upload
from blackbox_conformal.vendor.example import Example, says

RUN_BYTES = 10 * 2**20  # The largest body that the cloud's /run takes.
FIELDS_BYTES = 16_384  # The part of the body kept for everything besides the picture.


class RunPod(OptionalKey, NamedInputs):
    """A serverless worker on RunPod, or its development server on this machine.

    The picture is sent in base64 under `image-input` and expected at `output-path` as base64, a data link or a web
    link; empty: the output itself is the picture. For the development server (``python worker.py --rp_serve_api``)
    give its `url` and ``authenticate=false``; nothing is billed then. A job that fails, runs out of time or is
    cancelled is asked for again, unless its worker speaks of moderation or of an unreadable picture. The vendor bills
    the time of its workers, also when a job fails.

    Seeds: a fresh one each draw under `seed-input`, unless that is set to the empty text.
    """

    name = "runpod"
    version = 2
    auth_variable = "RUNPOD_API_KEY"
    documentation = "https://docs.runpod.io/serverless/endpoints/operations"
    evidence = "real-server"
    failures = Failures(message=["error.message", "error", "detail", "title"], request_id=["id"])
    uncertain = (
        "the cloud's routes are those of the development server with the endpoint before them",
        "GPU seconds are billed by the worker's hardware: give price-usd",
        "a worker that answers with links puts them anywhere: name the host in result-hosts",
    )

    url: str = Field(default="https://api.runpod.ai/v2", description="Address of the interface.")
    endpoint: str = Field(default="", pattern=r"^[\w-]*$", description="Endpoint id; empty for a development server.")
    image_form: Literal["base64", "data-link"] = Field(default="base64", description="How the picture is written.")
    authenticate: bool = Field(default=True, description="Send the key; a development server needs none.")
    worker: str = Field(default="", description="Name and version of the worker: what the calibration holds for.")
    poll_seconds: float = Field(default=2.0, ge=0.1, description="Seconds between two polls of a job.")

    @property
    def named(self) -> bool:
        return bool(self.endpoint or self.worker)

    @property
    def capabilities(self) -> Capabilities:
        return self.model_capabilities(
            price=self.given_price or (None if self.authenticate else FREE),
            result_hosts=self.hosts(),
            transient_known=True,
            cancels=True,
            max_upload_bytes=fits_as_base64(RUN_BYTES, FIELDS_BYTES) if self.endpoint else None,
        )

    def table(self) -> Names:
        return Names(seed="seed", output="image")

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        picture = base64_text(upload.png) if self.image_form == "base64" else data_link(upload.png)
        body = {"input": self.model_inputs(picture, draw)}
        answer = yield self.send("POST", f"{self._path()}/run", "submit", json=body)
        job = require(answer.json(), "id", "a job id")
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        where = f"output.{self.names().output}".rstrip(".")
        work = PolledJob("job", job, done=("COMPLETED",), picture=where)
        # The cloud takes only GET, the development server only POST.
        method, other = ("GET", "POST") if self.endpoint else ("POST", "GET")

        def made(answer: Answer) -> Any:
            state = answer.json()
            status, reason = words(state, "status"), _reason(state)
            if peek(state, "error") == _UNKNOWN_JOB:
                raise JobError(f"the server no longer knows job {job}", request_id=job, code=status)
            if status in ("FAILED", "CANCELLED", "TIMED_OUT") or (status == "COMPLETED" and reason):
                raise work.failure(reason, status, status)
            return work.result(state)

        name = quote(job, safe="")
        poll = self.send(method, f"{self._path()}/status/{name}", "poll")
        cancel = self.send("POST", f"{self._path()}/cancel/{name}", "cancel")
        first: Answer | None = yield replace(poll, accept=_POLL_STATUSES)
        if first is not None and first.status == 405:
            poll, first = replace(poll, method=other), None
        picture = yield from polled(poll, self.poll_seconds, made, first, cancel)
        yield Observed(model=self.worker or None, request_id=job)
        return (yield from received(picture, where))

    def _path(self) -> str:
        return f"/{self.endpoint}" if self.endpoint else ""


_POLL_STATUSES = frozenset({200, 202, 405})

_UNKNOWN_JOB = "Job ID not found"
"""The development server's words, under HTTP 200, for a job that it has forgotten or answered once already."""


def _reason(state: Any) -> str:
    """Return why a job failed. A worker's exception comes as a JSON text whose traceback would hide its message."""
    error = peek(state, "error")
    try:
        exception = json.loads(error) if isinstance(error, str) else error
    except ValueError:
        exception = None
    return words(exception, "error_message") or words(state, "error", "output.error")


ADAPTER = RunPod

EXAMPLE = Example(
    parameters={"endpoint": "abc123def456", "scale": 4, "poll_seconds": 0.1},
    environment={"RUNPOD_API_KEY": "rpa_made_up_for_this_example"},
    polls=1,
    answers=(
        says('{"id":"c80ffee4-f315-4e25-a146-0f3d98cf024b-u1","status":"IN_QUEUE"}'),
        says('{"id":"c80ffee4-f315-4e25-a146-0f3d98cf024b-u1","status":"IN_PROGRESS","delayTime":300}'),
        says(
            '{"id":"c80ffee4-f315-4e25-a146-0f3d98cf024b-u1","status":"COMPLETED","executionTime":900,'
            '"output":{"image":"{picture-base64}"}}'
        ),
    ),
    failures=(
        (
            says('{"id":"c80ffee4-f315-4e25-a146-0f3d98cf024b-u2","status":"IN_QUEUE"}'),
            says(
                '{"id":"c80ffee4-f315-4e25-a146-0f3d98cf024b-u2","status":"TIMED_OUT",'
                '"error":"job timed out after 1 retries"}'
            ),
        ),
    ),
)
