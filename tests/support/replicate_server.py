"""A Replicate on loopback that publishes one model's schema, ignores inputs that it does not know, and counts."""

import base64
import io
import json
import threading
from collections.abc import Mapping
from typing import Any

from PIL import Image as PillowImage

from blackbox_conformal.testing.raw_http import Head, Response
from support.recording_server import RecordingServer, Request

VERSION = "ab" * 32


def schema(required: tuple[str, ...] = ("image",), **inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A version's ``openapi_schema`` with these inputs, as Cog writes it."""
    return {"components": {"schemas": {"Input": {"type": "object", "required": list(required), "properties": inputs}}}}


def link() -> dict[str, Any]:
    """A picture among the inputs."""
    return {"type": "string", "format": "uri", "title": "Image"}


class ReplicateServer(RecordingServer):
    """Enlarges bicubically by the input `factor` or its default, and varies by seed; bills each inputs in `made`."""

    def __init__(
        self, openapi: dict[str, Any], *, image: str = "image", factor: str = "scale", most_pixels: int = 10**9
    ) -> None:
        super().__init__()
        self.openapi, self.image, self.factor, self.most_pixels = openapi, image, factor, most_pixels
        self.made: list[dict[str, Any]] = []
        self._counting = threading.Lock()

    def _input(self, name: str, given: Mapping[str, Any]) -> Any:
        described = self.openapi["components"]["schemas"]["Input"]["properties"].get(name, {})
        return given[name] if name in given else described.get("default")

    def _output(self, inputs: Mapping[str, Any], noise: int) -> Any:
        source = PillowImage.open(io.BytesIO(base64.b64decode(str(inputs[self.image]).partition(",")[2])))
        if source.width * source.height > self.most_pixels:
            return None
        scale = int(self._input(self.factor, inputs) or 2)
        made = source.resize((source.width * scale, source.height * scale), PillowImage.Resampling.BICUBIC)
        made.putpixel((0, 0), (int(self._input("seed", inputs) or noise) % 251, 7, 9))
        out = io.BytesIO()
        made.save(out, "PNG")
        return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        self.asked.append(Request(head, body))
        version = {"id": VERSION, "openapi_schema": self.openapi}
        if head.method == "GET" and "/versions/" in head.target:
            return _json(version)
        if head.method == "GET" and "/models/" in head.target:
            return _json({"latest_version": version})
        if head.method == "POST":
            inputs = json.loads(body)["input"]
            with self._counting:
                self.made.append(inputs)
                job = f"job{len(self.made)}"
            output = self._output(inputs, len(self.made))
            status, error = ("succeeded", None) if output else ("failed", "Input image is greater than the max size")
            return _json({"id": job, "status": status, "output": output, "error": error, "version": VERSION}, 201)
        return Response(404)


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())
