"""ComfyUI: the user's own workflow, exported in API format; the user names the inputs that change.

Source: the routes that ComfyUI's OpenAPI documents mirror. The websocket is not needed and not used.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import OwnServer
from blackbox_adapters._jobs import PolledJob, polled
from blackbox_adapters._reading import document, peek, require, words
from blackbox_conformal.errors import RunRefusedError, UsageError, VendorError
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.vendor.adapter import (
    FREE,
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Evidence,
    Flow,
    Observed,
    Part,
    Purpose,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows


class ComfyUI(OwnServer):
    """A workflow on a ComfyUI server, by default on this machine's port 8188.

    Export the workflow with "Export (API)" and name its changing inputs as ``NODE.input``, where NODE is a node's
    number or title: ``image=10.image``, ``seed=KSampler.seed``. ComfyUI skips nodes whose inputs it has seen and then
    shows no picture, so each draw gets its own file name in the saving nodes.

    A workflow that the server fails at, or that a person stops, is asked for again. A prompt that takes too long is
    cancelled by ComfyUI 0.26 and later; earlier releases can only stop whatever runs, which is not used.

    Seeds: where `seed` names an input (several, parted by commas). Without one every draw is the same picture.
    """

    name = "comfyui"
    version = 2
    documentation = "https://docs.comfy.org/development/comfyui-server/comms_routes"
    failures = Failures(message=["error.message", "error", "message"], code=["error.type"])
    transient = OwnServer.transient | {"workflow"}
    evidence: ClassVar[Evidence] = "real-server"
    uncertain: ClassVar[tuple[str, ...]] = (
        "the classic routes have no published description; seen on ComfyUI 0.8.0, with workflows of its own nodes",
        "the cancellation is that of the changes and tests of ComfyUI 0.26; it was not asked of a server",
    )

    url: str = Field(default="http://127.0.0.1:8188", description="Address of the server.")
    workflow: Path = Field(description="Workflow file in API format; its content, not its name, is what counts.")
    image: str = Field(description="Input that takes the picture's file name, as NODE.input.")
    seed: str = Field(default="", description="Inputs that take the seed, as NODE.input,NODE.input; empty = none.")
    output: str = Field(default="", description="Node whose picture is the result; empty = the first that has one.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the workflow.")
    poll_seconds: float = Field(default=1.0, ge=0.1, description="Seconds between two polls of the history.")

    @model_validator(mode="after")
    def _names_are_there(self) -> Self:
        graph = self._graph()
        for target in (self.image, *self._seeds()):
            _locate(graph, target)
        if self.output and self.output not in graph:
            raise UsageError(
                f"expected output to be a node's number; got {self.output!r}; its nodes are {_nodes(graph)}"
            )
        return self

    @property
    def capabilities(self) -> Capabilities:
        seeded = bool(self.seed)
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=(0, 2**32 - 1) if seeded else None,
            default_seed_hazard=seeded,
            price=self.given_price or FREE,
            output_size=self.output_size,
            deterministic=not seeded,
            transient_known=True,
            max_concurrency=1,
            cancels=True,
        )

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        identity["parameters"]["workflow"] = digest_bytes(json.dumps(self._graph(), sort_keys=True).encode())
        return identity

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        stored = yield self.send(
            "POST",
            "/upload/image",
            "lookup",
            form={"type": "input", "overwrite": "true"},
            files=(Part("image", f"{upload.digest.rpartition(':')[2][:32]}.png", upload.png),),
        )
        name = require(stored.json(), "name", "the uploaded file's name")
        folder = words(stored.json(), "subfolder")
        graph = self._graph()
        _set(graph, self.image, f"{folder}/{name}" if folder else name)
        if draw.seed is not None:
            for target in self._seeds():
                _set(graph, target, draw.seed)
        for node in graph.values():
            if "filename_prefix" in node["inputs"]:
                node["inputs"]["filename_prefix"] = f"blackbox-{draw.idempotency_key}"
        answer = yield self.send("POST", "/prompt", "submit", json={"prompt": graph})
        job = require(answer.json(), "prompt_id", "a prompt id")
        yield Accepted(job)
        return (yield from self.resume(upload, draw, job))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        prompt = PolledJob("prompt", job)

        def saved(answer: Answer) -> dict[str, Any] | None:
            entry = peek(answer.json(), job)
            if peek(entry, "status.status_str") == "error":
                raise prompt.failure(*_reason(entry))
            picture = self.saved(entry)
            if entry and not picture:
                prompt.miss_picture()
            return picture

        name = quote(job, safe="")
        poll, cancel = (
            self.send("GET", f"/history/{name}", "poll"),
            self.send("POST", f"/api/jobs/{name}/cancel", "cancel"),
        )
        picture = yield from polled(
            poll, self.poll_seconds, saved, cancel=cancel, cancelled=lambda said: peek(said, "cancelled") is True
        )
        return (yield from self.view(job, picture))

    def saved(self, entry: Any) -> dict[str, Any] | None:
        outputs = peek(entry, "outputs")
        if not isinstance(outputs, dict):
            return None
        nodes = [self.output] if self.output else sorted(outputs)
        for node in nodes:
            for picture in peek(outputs.get(node), "images") or []:
                if isinstance(picture, dict) and picture.get("type", "output") == "output":
                    return picture
        return None

    def view(self, job: str, picture: dict[str, Any]) -> Flow:
        yield Observed(request_id=job)
        place = {key: str(picture.get(key, "")) for key in ("filename", "subfolder", "type")}
        result = yield self.send("GET", f"/view?{urlencode(place)}", "download")
        return result.body

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read ComfyUI's ``{error: {type, message, details}, node_errors}``, which refuses a graph."""
        failure, problem = self.failures.read(answer), document(answer)
        nodes = words(problem, "node_errors")
        if nodes:
            failure = failure._replace(message=f"{failure.message.removesuffix('.')}; {nodes}")
        if purpose == "submit" and answer.status == 400 and words(problem, "error.type"):
            # One workflow serves every picture, so its faults concern all of them.
            return RunRefusedError(f"the server does not run this workflow: {failure.message}", code=failure.code)
        return self.failures.error(answer, purpose, failure)

    def _seeds(self) -> list[str]:
        return [target.strip() for target in self.seed.split(",") if target.strip()]

    def _graph(self) -> dict[str, Any]:
        if str(self.workflow).startswith("sha256:"):
            raise UsageError(
                "a calibration keeps what its workflow says and not where it lies: give the file with -p workflow=FILE"
            )
        try:
            graph = json.loads(self.workflow.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"expected a workflow file at {str(self.workflow)!r}; {error.strerror}") from None
        except ValueError as error:
            raise UsageError(f"expected a workflow in API format at {str(self.workflow)!r}; {error}") from None
        if (
            not isinstance(graph, dict)
            or not graph
            or not all(peek(node, "inputs") is not None for node in graph.values())
        ):
            raise UsageError(
                f"expected a workflow in API format at {str(self.workflow)!r} (nodes with inputs); "
                "export it with Workflow > Export (API)"
            )
        return graph


def _set(graph: dict[str, Any], target: str, value: object) -> None:
    node, name = _locate(graph, target)
    graph[node]["inputs"][name] = value


def _locate(graph: dict[str, Any], target: str) -> tuple[str, str]:
    """Return the node's number and the input's name for ``NODE.input``, where NODE is a number or a title."""
    node, _, name = target.rpartition(".")
    if node not in graph:
        titled = [key for key, entry in graph.items() if peek(entry, "_meta.title") == node]
        if len(titled) != 1:
            raise UsageError(
                f"expected one node {node!r} of the workflow for {target!r}; its nodes are {_nodes(graph)}"
            )
        node = titled[0]
    inputs = graph[node]["inputs"]
    if name not in inputs:
        raise UsageError(f"expected an input of node {node} for {target!r}; it has {', '.join(inputs) or 'none'}")
    return node, name


def _nodes(graph: dict[str, Any]) -> str:
    return ", ".join(f"{key} ({peek(entry, '_meta.title')})" for key, entry in graph.items())


def _reason(entry: Any) -> tuple[str, str, str]:
    """Return why a graph has not run to its end, the type of the reason, and whether it failed or a person stopped
    it."""
    for message in peek(entry, "status.messages") or []:
        if peek(message, "0") == "execution_error":
            kind = words(message, "1.exception_type")
            return words(message, "1.exception_message") or kind, kind or "error", "failed"
        if peek(message, "0") == "execution_interrupted":
            return f"somebody stopped the server at node {words(message, '1.node_id')}", "interrupted", "interrupted"
    return words(entry, "status.messages"), "error", "failed"


ADAPTER = ComfyUI

EXAMPLE = Example(
    parameters={
        "workflow": str(Path(__file__).with_name("comfyui_example.json")),
        "image": "Load Image.image",
        "seed": "3.seed",
        "poll_seconds": 0.1,
    },
    polls=2,
    answers=(
        says('{"name":"input.png","subfolder":"","type":"input"}'),
        says('{"prompt_id":"f7b1c2d3-0000-4000-8000-000000000001","number":1,"node_errors":{}}'),
        says("{}"),
        says(
            '{"f7b1c2d3-0000-4000-8000-000000000001":{"outputs":{"9":{"images":[{"filename":"out_00001_.png",'
            '"subfolder":"","type":"output"}]}},"status":{"status_str":"success","completed":true,"messages":[]}}}'
        ),
        shows(),
    ),
    cancelled=says('{"cancelled":true}'),
    failures=(
        (
            says('{"name":"input.png","subfolder":"","type":"input"}'),
            says('{"prompt_id":"f7b1c2d3-0000-4000-8000-000000000002","number":2,"node_errors":{}}'),
            says(
                '{"f7b1c2d3-0000-4000-8000-000000000002":{"outputs":{},"status":{"status_str":"error",'
                '"completed":false,"messages":[["execution_error",{"exception_message":"out of memory"}]]}}}'
            ),
        ),
    ),
)
