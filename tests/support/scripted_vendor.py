"""Vendors that a test plays by their own words on a loopback socket, with the bill that each would send."""

import base64
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import count
from threading import Lock
from typing import Any

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response

PICTURE = {"content-type": "image/png"}


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """JSON as a vendor sends it."""
    fields = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Response(status, fields, json.dumps(body).encode())


def unwrapped(link: str) -> bytes:
    """The bytes of a data link, or of plain base64."""
    return base64.b64decode(link.rpartition(",")[2])


class ScriptedVendor(FaultServer):
    """Answers by `play`; `billed` is what its bill says and `submissions` how often it was asked to draw."""

    def __init__(self, script: Any = None) -> None:
        super().__init__(script, vendor=self)
        self.billed = Decimal(0)
        self.submissions = 0

    def purpose(self, head: Head) -> str:
        return "other"

    def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
        return self.play(head, body)

    def play(self, head: Head, body: bytes) -> Response:
        raise NotImplementedError


class ScriptedReplicate(ScriptedVendor):
    """Predictions of a model that magnifies by `scale_factor`; `fails` gives the last state of the numbered draws.

    A draw that is asked for again does not fail. A prediction that says it was started is billed, whatever came of it.
    """

    def __init__(self, price_usd: str, fails: Callable[[int], Mapping[str, Any] | None]) -> None:
        super().__init__()
        self.price = Decimal(price_usd)
        self.fails = fails
        self._turn = Lock()
        self._numbers = count()
        self._inputs: dict[str, Any] = {}
        self._asked: set[str] = set()
        self._failed: dict[str, Mapping[str, Any] | None] = {}

    def play(self, head: Head, body: bytes) -> Response:
        name = head.path.rpartition("/")[2]
        if head.path.startswith("/models/"):
            return answer({"latest_version": {"id": "ab" * 32}})
        if head.path.startswith("/out/"):
            given = self._inputs[name.removesuffix(".png")]
            return Response(200, PICTURE, upscale(unwrapped(given["image"]), given["scale_factor"], given["seed"]))
        if head.method == "POST":
            return self._created(json.loads(body)["input"])
        return answer({"id": name, "output": None, "error": None, **(self._failed[name] or self._done(name))})

    def _created(self, given: Mapping[str, Any]) -> Response:
        with self._turn:
            number, draw = next(self._numbers), json.dumps(given)
            failed = None if draw in self._asked else self.fails(len(self._asked))
            self._asked.add(draw)
            self.submissions += 1
        self._inputs[f"p{number}"], self._failed[f"p{number}"] = given, failed
        if failed is None or failed.get("started_at"):
            with self._turn:
                self.billed += self.price
        return answer({"id": f"p{number}", "status": "starting", "output": None, "error": None}, 201)

    def _done(self, name: str) -> dict[str, Any]:
        link = f"{self.url}/out/{name}.png"
        return {"status": "succeeded", "output": [link], "started_at": "2026-01-01T00:00:00Z", "version": "ab" * 32}


class ScriptedStability(ScriptedVendor):
    """Blurs every generation, and bills it."""

    def play(self, head: Head, body: bytes) -> Response:
        self.submissions += 1
        self.billed += Decimal("0.40")
        return Response(200, {**PICTURE, "finish-reason": "CONTENT_FILTERED"}, b"blurred")


class ScriptedBedrock(ScriptedVendor):
    """Answers the first submissions with `exceptions`, each a status and a name; bills pictures."""

    def __init__(self, *exceptions: tuple[int, str]) -> None:
        super().__init__()
        self.exceptions = list(exceptions)

    def play(self, head: Head, body: bytes) -> Response:
        self.submissions += 1
        if self.exceptions:
            status, name = self.exceptions.pop(0)
            return answer({"message": "You can resubmit your request later"}, status, x_amzn_errortype=name)
        self.billed += Decimal("0.03")
        picture = upscale(unwrapped(json.loads(body)["image"]), 4, self.submissions)
        return answer({"images": [base64.b64encode(picture).decode()], "seeds": [1], "finish_reasons": [None]})


class ScriptedFal(ScriptedVendor):
    """A queue whose first results are errors of its machines: a status and a type; those are not billed."""

    def __init__(self, *failures: tuple[int, str]) -> None:
        super().__init__()
        self.failing = dict(enumerate(failures))
        self._inputs: dict[str, Any] = {}

    def play(self, head: Head, body: bytes) -> Response:
        name = head.path.removesuffix("/status").removesuffix(".png").rpartition("/")[2]
        if head.method == "POST":
            self.submissions += 1
            self._inputs[f"r{self.submissions - 1}"] = json.loads(body)
            link = f"{self.url}/requests/r{self.submissions - 1}"
            self.billed += Decimal(0) if self.submissions - 1 in self.failing else Decimal("0.05")
            return answer({"request_id": link[-2:], "status_url": f"{link}/status", "response_url": link})
        if head.path.endswith("/status"):
            return answer({"status": "COMPLETED"})
        if int(name[1:]) in self.failing:
            status, kind = self.failing[int(name[1:])]
            return answer({"detail": "no", "error_type": kind}, status, x_fal_error_type=kind)
        if head.path.endswith(".png"):
            given = self._inputs[name]
            return Response(
                200, PICTURE, upscale(unwrapped(given["image_url"]), given["upscale_factor"], given["seed"])
            )
        return answer({"image": {"url": f"{self.url}/out/{name}.png"}, "seed": 1})


class ScriptedRunware(ScriptedVendor):
    """Takes too long over every task, and has its result when that is asked for; refuses a task that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: dict[str, Any] = {}

    def play(self, head: Head, body: bytes) -> Response:
        (task,) = json.loads(body)
        name = task["taskUUID"]
        if task["taskType"] == "getResponse":
            task = self._tasks[name]
            picture = upscale(unwrapped(task["inputs"]["image"]), task["upscaleFactor"], task["settings"]["seed"])
            content = base64.b64encode(picture).decode()
            return answer({"data": [{"taskUUID": name, "imageBase64Data": content, "cost": 0.003}]})
        self.submissions += 1
        if name in self._tasks:
            return answer({"errors": [{"code": "conflictTaskUUID", "message": "known", "taskUUID": name}]}, 400)
        self._tasks[name] = task
        self.billed += Decimal("0.003")
        return answer({"errors": [{"code": "timeoutProvider", "message": "too slow", "taskUUID": name}]})


class ScriptedGradio(ScriptedVendor):
    """An application that gives the result of a call once, and afterwards hangs up on whoever asks for it."""

    def __init__(self, script: Any = None) -> None:
        super().__init__(script)
        self._picture = b""
        self._told: set[str] = set()

    def purpose(self, head: Head) -> str:
        return "poll" if head.method == "GET" and "/call/" in head.path else "other"

    def play(self, head: Head, body: bytes) -> Response:
        if head.path == "/config":
            return answer({"version": "6.31.0", "api_prefix": "/gradio_api"})
        if head.path.endswith("/info"):
            return answer({})
        if head.path.endswith("/upload"):
            self._picture = body[body.index(b"\x89PNG") : body.rindex(b"IEND") + 8]
            return answer(["/tmp/in.png"])
        if head.method == "POST":
            self.submissions += 1
            return answer({"event_id": f"e{self.submissions}"})
        if "/file=" in head.path:
            return Response(200, PICTURE, upscale(self._picture, 4, int(head.path.rpartition("e")[2])))
        event = head.path.rpartition("/")[2]
        told, self._told = event in self._told, self._told | {event}
        stream = "event: heartbeat" if told else f'event: complete\ndata: [{{"path": "/tmp/{event}"}}]\n\n'
        return Response(200, {"content-type": "text/event-stream"}, stream.encode())


class ScriptedRunPod(ScriptedVendor):
    """A worker whose first jobs end in the given states; the vendor bills every job."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states = dict(enumerate(states))
        self._inputs: list[Any] = []

    def play(self, head: Head, body: bytes) -> Response:
        if head.path.endswith("/run"):
            self._inputs.append(json.loads(body)["input"])
            self.submissions += 1
            self.billed += Decimal("0.01")
            return answer({"id": f"j{self.submissions - 1}", "status": "IN_QUEUE"})
        number = int(head.path.rpartition("/j")[2])
        if number in self.states:
            return answer({"id": f"j{number}", "status": self.states[number], "error": "worker stopped"})
        given = self._inputs[number]
        picture = upscale(unwrapped(given["image"]), given["scale"], given["seed"])
        return answer({"status": "COMPLETED", "output": {"image": base64.b64encode(picture).decode()}})


class ScriptedGemini(ScriptedVendor):
    """Makes a picture of four times the size; the first answers give `reasons` instead, and cost their prompt."""

    def __init__(self, *reasons: str) -> None:
        super().__init__()
        self.reasons = list(reasons)

    def play(self, head: Head, body: bytes) -> Response:
        self.submissions += 1
        self.billed += Decimal("0.0007")
        usage: dict[str, Any] = {"promptTokenCount": 1400}
        if self.reasons:
            return answer({"candidates": [{"finishReason": self.reasons.pop(0)}], "usageMetadata": usage})
        self.billed += Decimal("0.0672")
        usage |= {"candidatesTokenCount": 1120, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}]}
        _, sent = json.loads(body)["contents"][0]["parts"]
        picture = base64.b64encode(upscale(unwrapped(sent["inlineData"]["data"]), 4, self.submissions)).decode()
        made = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": picture}}]}}
        return answer({"candidates": [made | {"finishReason": "STOP"}], "usageMetadata": usage})


class ScriptedIdeogram(ScriptedVendor):
    """Generations whose numbered states are given by `ends`; what is completed is billed, withheld or not."""

    def __init__(self, *ends: Mapping[str, Any]) -> None:
        super().__init__()
        self.ends = dict(enumerate(ends))
        self._pictures: dict[str, bytes] = {}

    def play(self, head: Head, body: bytes) -> Response:
        name = head.path.removesuffix(".png").rpartition("/")[2]
        if head.method == "POST":
            name = f"g{self.submissions}"
            start = body.index(b"\x89PNG")
            self._pictures[name] = upscale(body[start : body.index(b"IEND", start) + 8], 4, self.submissions)
            self.submissions += 1
            return answer({"generation_id": name})
        if head.path.endswith(".png"):
            return Response(200, PICTURE, self._pictures[name])
        done = {"status": "completed", "data": [{"url": f"{self.url}/{name}.png", "is_image_safe": True}]}
        end = {**done, **self.ends.get(int(name[1:]), {})}
        if end["status"] == "completed":
            self.billed += Decimal("0.06")
            end["usage_cost_usd_micros"] = 60000
        return answer(end)


class ScriptedBalance(ScriptedVendor):
    """A recipe's vendor whose balance pays for so many draws; every further submission is answered by `refused`.

    It draws for `segmind` (the answer is the picture), `novita` (a task whose result holds a link) and `leonardo` (an
    upload, and a job).
    """

    def __init__(self, vendor: str, draws: int, refused: Response) -> None:
        super().__init__()
        self.played, self.left, self.refused = vendor, draws, refused
        self._turn = Lock()
        self._uploads: dict[str, bytes] = {}
        self._pictures: list[bytes] = []

    def play(self, head: Head, body: bytes) -> Response:
        if head.path.startswith("/out/"):
            return Response(200, PICTURE, self._pictures[int(head.path.rpartition("/")[2])])
        with self._turn:
            return self._asked(head, body)

    def _asked(self, head: Head, body: bytes) -> Response:
        number = head.query.get("task_id") or head.path.rpartition("/")[2]
        if head.path == "/init-image":
            place = str(len(self._uploads))
            self._uploads[place] = b""
            return answer({"uploadInitImage": {"id": place, "url": f"{self.url}/uploads/{place}", "fields": "{}"}})
        if head.path.startswith("/uploads/"):
            start = body.index(b"\x89PNG")
            self._uploads[number] = body[start : body.index(b"IEND", start) + 8]
            return answer({})
        if head.method == "GET" and self.played == "leonardo":
            return answer({"generated_image_variation_generic": [{"status": "COMPLETE", "url": self._link(number)}]})
        if head.method == "GET":
            done = {"status": "TASK_STATUS_SUCCEED"}
            return answer({"task": done, "images": [{"image_url": self._link(number)}]})
        self.submissions += 1
        if not self.left:
            return self.refused
        self.left -= 1
        return self._drawn(json.loads(body))

    def _link(self, number: str) -> str:
        return f"{self.url}/out/{number}"

    def _drawn(self, given: Mapping[str, Any]) -> Response:
        job, seed = str(len(self._pictures)), len(self._pictures)
        if self.played == "leonardo":
            self._pictures.append(upscale(self._uploads[given["initImageId"]], 2, seed))
            return answer({"universalUpscaler": {"id": job}})
        sent = given["request"]["image_base64"] if self.played == "novita" else given["image"]
        self._pictures.append(upscale(unwrapped(sent), 4, seed))
        return answer({"task_id": job}) if self.played == "novita" else Response(200, PICTURE, self._pictures[-1])
