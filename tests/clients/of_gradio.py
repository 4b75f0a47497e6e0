"""Gradio, against its Python client, which joins the queue; the adapter makes the calls that are documented for it."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer, picture

from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Upload

EVENT = "1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"
STORED = "/tmp/gradio/ab12/input.png"
MADE = "/tmp/gradio/cd34/image.png"
FILE = {"path": MADE, "url": f"{{address}}/gradio_api/file={MADE}", "meta": {"_type": "gradio.FileData"}}
JOIN = "POST /gradio_api/queue/join"
CALL = "POST /gradio_api/call/upscale"

IMAGE = {"type": "object", "title": "ImageData", "properties": {"path": {"type": "string"}, "url": {"type": "string"}}}
NUMBER = {"type": "number"}


def component(number: int, kind: str, form: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "type": kind, "props": {}, "api_info": form, "skip_api": False}


CONFIG = {
    "version": "6.31.0",
    "api_prefix": "/gradio_api",
    "protocol": "sse_v3",
    "connect_heartbeat": False,
    "components": [
        component(1, "image", IMAGE),
        component(2, "number", NUMBER),
        component(3, "number", NUMBER),
        component(4, "image", IMAGE),
    ],
    "dependencies": [
        {
            "id": 0,
            "api_name": "upscale",
            "api_visibility": "public",
            "inputs": [1, 2, 3],
            "outputs": [4],
            "backend_fn": True,
            "queue": True,
            "types": {"generator": False, "cancel": False},
        }
    ],
}


def parameter(name: str, kind: str) -> dict[str, Any]:
    return {"label": name, "parameter_name": name, "parameter_has_default": False, "component": kind, "type": {}}


INFO = {
    "named_endpoints": {
        "/upscale": {
            "parameters": [parameter("image", "Image"), parameter("scale", "Number"), parameter("seed", "Number")],
            "returns": [{"label": "result", "component": "Image", "type": {}}],
            "show_api": True,
        }
    },
    "unnamed_endpoints": {},
}


def messages(*said: dict[str, Any]) -> Response:
    text = "".join(f"data: {json.dumps({'event_id': EVENT, **each})}\n\n" for each in said)
    return Response(200, {"content-type": "text/event-stream"}, text.encode())


def ended(kind: str, data: Any) -> Response:
    text = f"event: heartbeat\ndata: null\n\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
    return Response(200, {"content-type": "text/event-stream"}, text.encode())


def failed(message: str) -> Script:
    said = {"error": message}
    completed = {"msg": "process_completed", "output": said, "success": False}
    return {
        "GET /gradio_api/queue/data": (messages(completed, {"msg": "close_stream"}),),
        f"GET /gradio_api/call/upscale/{EVENT}": (ended("error", said),),
    }


QUOTA = "You have exceeded your GPU quota"
UNREADABLE = "cannot identify image file"
SCRIPT: Script = {
    "GET /config": (answer(CONFIG),),
    "GET /gradio_api/info": (answer(INFO),),
    "POST /gradio_api/upload": (answer([STORED]),),
    JOIN: (answer({"event_id": EVENT}),),
    "GET /gradio_api/queue/data": (
        messages({"msg": "process_completed", "output": {"data": [FILE]}, "success": True}, {"msg": "close_stream"}),
    ),
    CALL: (answer({"event_id": EVENT}),),
    f"GET /gradio_api/call/upscale/{EVENT}": (ended("complete", [FILE]),),
    f"GET /gradio_api/file={MADE}": (picture(RESULT),),
}


def call(address: str, upload: Upload, seed: int | None) -> bytes:
    from gradio_client import Client, handle_file

    with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", {"GRADIO_ANALYTICS_ENABLED": "False"}):
        sent = Path(folder, "input.png")
        sent.write_bytes(upload.png)
        client = Client(address, verbose=False, download_files=folder, analytics_enabled=False)
        made = client.predict(handle_file(str(sent)), 4, seed, api_name="/upscale")
        return Path(made).read_bytes()


LOOKUP = "the client reads the calls' descriptions; the adapter is told the call and its arguments"
QUEUE = "of the client's queue, which is not documented for others; a call has a name instead"

CASES = (
    Case(
        "gradio",
        "gradio_client",
        "a call with a file",
        call,
        {"url": "{address}", "call": "upscale", "scale": 4},
        SCRIPT,
        {
            "GET /gradio_api/info": LOOKUP,
            **{f"{CALL} body.{name}": QUEUE for name in ("fn_index", "session_hash")},
            f"{CALL} body.data.0.orig_name": "the name of the user's file, which stays with the user",
            f"{CALL} place": QUEUE,
            f"{CALL} header.x-gradio-user": "names the client",
            f"GET /gradio_api/call/upscale/{EVENT} place": QUEUE,
            f"GET /gradio_api/call/upscale/{EVENT} query.session_hash": QUEUE,
        },
        alias={JOIN: CALL, "GET /gradio_api/queue/data": f"GET /gradio_api/call/upscale/{EVENT}"},
        readings=(
            Reading("the application raises an error", failed(QUOTA), "AppError", "VendorFailedError"),
            Reading("the picture cannot be read", failed(UNREADABLE), "AppError", "RefusedError"),
            Reading(
                "the queue is full (503)",
                {
                    JOIN: (answer({"detail": "Queue is full."}, 503),),
                    CALL: (answer({"detail": "Queue is full."}, 503),),
                },
                "QueueError",
                "TryLaterError",
            ),
        ),
    ),
)
