"""Runware, against its Python client, which speaks over a web socket: the tasks are the same, not what carries them."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clients.case import RESULT

from blackbox_conformal.adapter import Upload

SESSION = "11111111-0000-4000-8000-000000000001"


@contextmanager
def socket_vendor(ending: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A vendor on a web socket: takes the key, ends the upscaling task with `ending`."""
    from websockets.sync.server import ServerConnection, serve

    tasks: list[dict[str, Any]] = []

    def respond(connection: ServerConnection) -> None:
        for message in connection:
            for task in json.loads(message):
                tasks.append(task)
                said = {"taskType": task["taskType"], "taskUUID": task.get("taskUUID")}
                if task["taskType"] == "authentication":
                    connection.send(json.dumps({"data": [{**said, "connectionSessionUUID": SESSION}]}))
                elif "ping" not in task:
                    key = "errors" if "code" in ending else "data"
                    connection.send(json.dumps({key: [{**said, **ending}]}))

    with serve(respond, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", tasks
        finally:
            server.shutdown()
            thread.join()


DONE = {"imageUUID": "33333333-0000-4000-8000-000000000003", "cost": 0.0038}


def upscale(address: str, upload: Upload, seed: int, prompt: str) -> None:
    """One picture, with the settings that the adapter sends."""
    from runware import IImageUpscale, Runware

    async def run() -> None:
        client = Runware(api_key="made-up-runware-key", url=address)
        await client.connect()
        try:
            await client.imageUpscale(
                IImageUpscale(
                    inputs={"image": "data:image/png;base64," + base64.b64encode(upload.png).decode()},
                    model="runware:500@1",
                    upscaleFactor=4,
                    outputType="base64Data",
                    outputFormat="PNG",
                    includeCost=True,
                    settings={"seed": seed, "positivePrompt": prompt},
                )
            )
        finally:
            await client.disconnect()

    asyncio.run(run())


ANSWERED = {**DONE, "imageBase64Data": base64.b64encode(RESULT).decode()}

DELIBERATE = {
    "taskType": "upscale, as the vendor's page of the task has it; the client sends the name of 2025",
    "taskUUID": "each task has a name of its own",
}


@dataclass(frozen=True)
class Said:
    """An error that the vendor ends a task with, and what the client and the adapter raise."""

    said: str
    code: str
    theirs: str
    ours: str


READINGS = (
    Said("the picture is too small", "invalidImageSize", "RunwareAPIError", "RefusedError"),
    Said("too many requests", "rateLimitExceeded", "RunwareAPIError", "TryLaterError"),
    Said("no credit is left", "insufficientCredits", "RunwareAPIError", "AccountRefusedError"),
)
