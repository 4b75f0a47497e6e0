"""Vendors that work on one request at a time or count requests by the hour, with their times scaled down."""

import base64
import json
import threading
import time

import pytest
from support.draws import draw, tasks
from support.scripted_vendor import PICTURE, ScriptedVendor, answer, unwrapped

from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import JobVendor
from blackbox_conformal.vendor.adapter import Rate


class SerialWebui(ScriptedVendor):
    """AUTOMATIC1111: answers one request after the other, each in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._one = threading.Lock()

    def play(self, head: Head, body: bytes) -> Response:
        given = json.loads(body)
        with self._one:
            time.sleep(self.seconds)
        picture = upscale(unwrapped(given["init_images"][0]), 4, given["seed"])
        return answer({"images": [base64.b64encode(picture).decode()], "info": "{}"})


@pytest.mark.parametrize(("concurrency", "all_come"), [("auto", True), (4, False)])
def test_a_server_that_works_on_one_request_at_a_time(tmp_path, concurrency, all_come):
    """A draw takes a third of the time that one answer may take: four at once are too many."""
    with SerialWebui(0.4) as server:
        vendor = load_adapter("automatic1111", url=server.url)
        drawn = draw(vendor, tmp_path, tasks(2, 4), concurrency=concurrency, attempt_timeout_s=1.2)
    assert (drawn.states == ["stored"] * 8) == all_come
    assert ("ambiguous" in drawn.states) != all_come


class CountingUpscayl(ScriptedVendor):
    """Upscayl: so many starts and looks in a window, and HTTP 429 above that; a task takes some of it."""

    def __init__(self, starts: int, looks: int, window: float) -> None:
        super().__init__()
        self.most = {"/start-task": starts, "/get-task-status": looks}
        self.window = window
        self.put_off = 0
        self._times: dict[str, list[float]] = {path: [] for path in self.most}
        self._pictures: list[tuple[float, bytes]] = []
        self._lock = threading.Lock()

    def play(self, head: Head, body: bytes) -> Response:
        with self._lock:
            now = time.monotonic()
            if head.path in self.most:
                times = self._times[head.path]
                if sum(now - earlier < self.window for earlier in times) >= self.most[head.path]:
                    self.put_off += 1
                    return answer({"error": "Too many requests", "message": "Rate limit exceeded"}, 429)
                times.append(now)
            if head.path == "/start-task":
                png = body[body.index(b"\x89PNG") : body.index(b"IEND") + 8]
                self._pictures.append((now + self.window / 60, upscale(png, 4, len(self._pictures))))
                return answer({"status": "success", "data": {"taskId": str(len(self._pictures) - 1)}})
            if head.path == "/get-task-status":
                task = json.loads(body)["taskId"]
                done = now >= self._pictures[int(task)][0]
                files = [{"downloadLink": f"{self.url}/out/{task}"}] if done else []
                return answer({"data": {"status": "completed" if done else "processing", "files": files}})
            return Response(200, PICTURE, self._pictures[int(head.path.rpartition("/")[2])][1])


@pytest.mark.parametrize("kept", [True, False])
def test_a_vendor_that_counts_starts_and_looks(tmp_path, monkeypatch, kept):
    """Without its rates, which is the control, the vendor puts draws off."""
    monkeypatch.setenv("UPSCAYL_API_KEY", "made-up")
    starts, looks, window = 10, 20, 2.0
    with CountingUpscayl(starts, looks, 0.9 * window) as server:
        vendor = load_adapter("recipe", recipe="upscayl-cloud", url=server.url, poll_seconds=0.1)
        assert vendor.capabilities.rates == (Rate(50, 3600.0, "submit"), Rate(100, 3600.0, "poll"))
        rates = (Rate(starts, window, "submit"), Rate(looks, window, "poll")) if kept else ()
        drawn = draw(vendor, tmp_path, tasks(8, 4), concurrency="auto", rates=rates)
    assert (server.put_off == 0) == kept
    assert drawn.states == ["stored"] * 32 or not kept, drawn.text


def test_the_wait_for_a_turn_takes_nothing_from_the_time_of_a_job(tmp_path):
    with FaultServer() as server:
        drawn = draw(
            JobVendor(url=server.url, poll_seconds=0.01),
            tmp_path,
            tasks(1, 4),
            rates=(Rate(1, 0.5, "poll"),),
            job_deadline_s=0.4,
        )
        assert drawn.states == ["stored"] * 4
        assert server.account.paid == 4
