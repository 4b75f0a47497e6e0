"""Runware, against its Python client, which speaks over a web socket: a bridge passes each of its tasks on by HTTP."""

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from clients.case import RESULT, Case, Reading
from clients.exchange import Script, answer

from blackbox_conformal.vendor.adapter import Upload

PROMPT = "a photograph"
TASK = "22222222-0000-4000-8000-000000000002"


@contextmanager
def bridge(address: str) -> Iterator[str]:
    """A web socket that takes the key, sends each task to `address` with it, and gives the answer to the task."""
    from websockets.sync.server import ServerConnection, serve

    def answered(task: dict[str, Any], key: str) -> dict[str, Any]:
        said = {"taskType": task["taskType"], "taskUUID": task.get("taskUUID")}
        if task["taskType"] == "authentication":
            return {"data": [{**said, "connectionSessionUUID": "11111111-0000-4000-8000-000000000001"}]}
        reply = httpx.post(f"{address}/v1", json=[task], headers={"authorization": f"Bearer {key}"}).json()
        return {kind: [{**said, **item} for item in items] for kind, items in reply.items()}

    def respond(connection: ServerConnection) -> None:
        key = ""
        for message in connection:
            for task in json.loads(message):
                key = task.get("apiKey", key)
                if "ping" not in task:
                    connection.send(json.dumps(answered(task, key)))

    with serve(respond, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def asked(address: str, call: Callable[[Any], Awaitable[Any]]) -> bytes:
    """The picture that `call` of a connected client gives."""

    async def run(link: str) -> bytes:
        from runware import Runware

        client = Runware(api_key="made-up-runware-key", url=link)
        await client.connect()
        try:
            made = await call(client)
        finally:
            await client.disconnect()
        return base64.b64decode(made[0].imageBase64Data)

    with bridge(address) as link:
        return asyncio.run(run(link))


def upscale(address: str, upload: Upload, seed: int | None) -> bytes:
    from runware import IImageUpscale

    task = IImageUpscale(
        inputs={"image": "data:image/png;base64," + base64.b64encode(upload.png).decode()},
        model="runware:500@1",
        upscaleFactor=4,
        outputType="base64Data",
        outputFormat="PNG",
        includeCost=True,
        settings={"seed": seed, "positivePrompt": PROMPT},
    )
    return asked(address, lambda client: client.imageUpscale(task))


def recover(address: str, upload: Upload, seed: int | None) -> bytes:
    return asked(address, lambda client: client.getResponse(TASK))


MADE = {
    "imageUUID": "33333333-0000-4000-8000-000000000003",
    "imageBase64Data": base64.b64encode(RESULT).decode(),
    "cost": 0.0038,
}


def error(code: str, message: str) -> Script:
    return {"POST /v1": (answer({"errors": [{"code": code, "message": message}]}),)}


CASES = (
    Case(
        "runware",
        "runware",
        "one task, Clarity with a prompt",
        upscale,
        {"url": "{address}", "model": "runware:500@1", "scale": 4, "prompt": PROMPT},
        {"POST /v1": (answer({"data": [MADE]}),)},
        {
            "POST /v1 body.0.taskType": "upscale, as the vendor's pages call the task; the client says imageUpscale",
            "POST /v1 body.0.taskUUID": "each task has a name of its own",
        },
        readings=(
            Reading(
                "the picture is too small",
                error("invalidImageSize", "the picture is too small"),
                "RunwareAPIError",
                "RefusedError",
            ),
            Reading("too many requests", error("rateLimitExceeded", "slow down"), "RunwareAPIError", "TryLaterError"),
            Reading(
                "the provider behind the vendor was too slow",
                error("timeoutProvider", "the provider timed out"),
                "RunwareAPIError",
                "VendorFailedError",
            ),
            Reading(
                "no credit is left", error("insufficientCredits", "no credit"), "RunwareAPIError", "AccountRefusedError"
            ),
        ),
    ),
    Case(
        "runware",
        "runware",
        "the answer of a task that was sent before",
        recover,
        {"url": "{address}", "model": "runware:500@1"},
        {"POST /v1": (answer({"data": [{**MADE, "taskType": "imageUpscale", "status": "success"}]}),)},
        job=TASK,
    ),
)
