"""A Gradio application or a Hugging Face Space: upload, call, read the event stream, fetch the file.

Written against gradio 5 and 6 run on loopback.
"""

import json
from typing import Any
from urllib.parse import quote

from pydantic import Field

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import JsonList, OptionalKey, OwnServer
from blackbox_adapters._named_inputs import SEEDS
from blackbox_adapters._reading import peek, require, shorten, words
from blackbox_conformal.adapter import (
    FREE,
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Observed,
    Part,
    Purpose,
    Upload,
)
from blackbox_conformal.errors import JobError, PayloadError, RefusedError, TryLaterError, VendorError
from blackbox_conformal.example import Example, says, shows


class Gradio(OptionalKey, OwnServer):
    """An application with one call that enlarges a picture.

    `inputs` is the list of the call's arguments, as ``/gradio_api/info`` of the application lists them, with
    "{image}", "{scale}" and "{seed}" in their places. Pictures come as webp unless the application says
    ``gr.Image(format="png")``. A private Space needs ``authenticate=true`` and HF_TOKEN. The application gives the
    result of a call once: a call that is interrupted just then is lost and has to be made again.

    Seeds: where "{seed}" is among the inputs.
    """

    name = "gradio"
    auth_variable = "HF_TOKEN"
    documentation = "https://www.gradio.app/guides/querying-gradio-apps-with-curl"
    evidence = "real-server"
    failures = Failures(message=["detail.0.msg", "detail", "error"])
    seeds_by_model = True
    uncertain = ("whether the proxy before a Space adds answers of its own",)

    url: str = Field(description="Address of the application, such as https://owner-space.hf.space.")
    call: str = Field(
        default="predict",
        pattern=r"^[\w-]+$",
        description="Name of the call (api_name, no slash); an unknown one is HTTP 500.",
    )
    inputs: JsonList = Field(
        default=["{image}", "{scale}", "{seed}"], description="Arguments of the call as a JSON list with placeholders."
    )
    output: int = Field(default=0, ge=0, description="Which of the call's results is the picture.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the application.")
    authenticate: bool = Field(default=False, description="Send HF_TOKEN, as a private Space asks.")

    @property
    def capabilities(self) -> Capabilities:
        """By inputs; nothing is billed by the call."""
        seeded = "{seed}" in self.inputs
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=SEEDS if seeded else None,
            price=self.priced(None) or FREE,
            output_size=self.output_size,
        )

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        """Upload the picture, start the call."""
        picture = Part("files", "input.png", upload.png)
        stored = yield self.send("POST", "/gradio_api/upload", "lookup", files=(picture,))
        path = require(stored.json(), "0", "the uploaded file's path")
        values: dict[str, Any] = {
            "{image}": {"path": path, "meta": {"_type": "gradio.FileData"}},
            "{scale}": self.scale,
            "{seed}": draw.seed,
        }
        arguments = [values.get(item, item) if isinstance(item, str) else item for item in self.inputs]
        answer = yield self.send("POST", f"/gradio_api/call/{self.call}", "submit", json={"data": arguments})
        event = require(answer.json(), "event_id", "an event id")
        yield Accepted(event)
        return (yield from self.resume(upload, draw, event))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        """Read the event stream, which stays open until the call is over, then fetch the file."""
        answer = yield self.send("GET", f"/gradio_api/call/{self.call}/{quote(job, safe='')}", "poll")
        kind, data = _last_event(answer.body)
        if kind == "error" and isinstance(data, str):
            # The queue's own words, such as "404: Not Found" for an event whose result was given before. Of a failed
            # call it has an object.
            raise JobError(f"the application no longer has the call {job}: {shorten(data)}", request_id=job, code=kind)
        if kind == "error":
            message = words(data, "error") or "the application gives no reason (before Gradio 6 none does)"
            raise RefusedError(f"call {job} failed: {message}", request_id=job, code="error")
        if kind != "complete":
            raise JobError(f"expected the call {job} to complete; its stream ended with {kind or 'nothing'}")
        result = peek(data, str(self.output))
        path = result if isinstance(result, str) else peek(result, "path")
        if not isinstance(path, str) or not path:
            raise PayloadError(f"expected a file at result {self.output} of call {job}; got {words(data, '')}")
        yield Observed(model=self.label or None, request_id=job)
        picture = yield self.send("GET", f"/gradio_api/file={quote(path, safe='/')}", "download")
        return picture.body

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """FastAPI's ``{detail}`` or the application's ``{error}``."""
        failure = self.failures.read(answer)
        message = failure.message
        if answer.status == 503 and message:
            return TryLaterError(f"the application's queue takes nothing: {message}", code="503")
        if answer.status == 404 and purpose != "download":
            message += f"; is there a Gradio application of version 5 or later at {self.base_url}?"
        return self.failures.error(answer, purpose, failure._replace(message=message.removeprefix("; ")))


def _last_event(stream: bytes) -> tuple[str, Any]:
    """Kind and data of the last event that is not a heartbeat."""
    kind = ""
    last: tuple[str, Any] = ("", None)
    for line in stream.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "event":
            kind = value.strip()
        elif name == "data" and kind not in ("", "heartbeat", "generating"):
            try:
                last = (kind, json.loads(value))
            except ValueError:
                last = (kind, value.strip())
    return last


ADAPTER = Gradio

EXAMPLE = Example(
    parameters={"call": "upscale", "scale": 4},
    polls=2,
    answers=(
        says('["/tmp/gradio/ab12/input.png"]'),
        says('{"event_id":"1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"}'),
        says(
            'event: heartbeat\ndata: null\n\nevent: complete\ndata: [{"path": "/tmp/gradio/cd34/image.png", '
            '"url": "{address}/gradio_api/file=/tmp/gradio/cd34/image.png"}]\n\n',
            content_type="text/event-stream",
        ),
        shows(),
    ),
)
