"""Vendors that stumble or are slow as they document it, with a real sampler: what is asked again, stored and booked."""

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.draws import draw, tasks
from support.flow_driver import built, example
from support.scripted_vendor import (
    PICTURE,
    ScriptedBedrock,
    ScriptedFal,
    ScriptedGemini,
    ScriptedGradio,
    ScriptedIdeogram,
    ScriptedRunPod,
    ScriptedRunware,
    ScriptedStability,
    ScriptedVendor,
    answer,
    unwrapped,
)

from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import TryLaterError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import JobVendor
from blackbox_conformal.vendor.adapter import Adapter, Answer, Rate


def at(server: ScriptedVendor, module: str, **parameters: Any) -> Adapter:
    kind, shown = example(module)
    return kind(**{**shown.parameters, "url": server.url, **parameters})


def test_a_picture_that_is_filtered_after_generation_uses_up_the_budget(tmp_path):
    with ScriptedStability() as server:
        adapter = at(server, "stability", mode="conservative")
        drawn = draw(adapter, tmp_path, tasks(3, width=64, height=64), max_cost_usd=Decimal("0.45"), concurrency=1)
    assert (drawn.states, server.submissions) == (["refused"], 1)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.40")


@pytest.mark.parametrize(
    ("exception", "more"),
    [((400, "ServiceQuotaExceededException"), {}), ((424, "ModelErrorException"), {"max_resample": 1})],
)
def test_a_quota_of_bedrock_is_waited_for_and_a_failed_model_is_asked_again(tmp_path, exception, more):
    with ScriptedBedrock(exception) as server:
        adapter = at(server, "bedrock", mode="fast", price_usd="0.03")
        drawn = draw(adapter, tmp_path, tasks(6, width=32, height=32), concurrency=1, **more)
    assert (drawn.states, server.submissions) == (["stored"] * 6, 7)
    # Whether a failed model is billed is not documented, so it is booked.
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed + (Decimal("0.03") if more else 0)


@pytest.mark.parametrize("kind", ["runner_scheduling_failure", "request_timeout", "internal_error"])
def test_a_result_of_fal_that_its_machines_failed_is_asked_for_again_and_not_booked(tmp_path, kind):
    status = {"runner_scheduling_failure": 503, "request_timeout": 504}.get(kind, 500)
    with ScriptedFal((status, kind)) as server:
        drawn = draw(at(server, "fal", scale=4, price_usd="0.05"), tmp_path, tasks(4), concurrency=1)
    assert (drawn.states, server.submissions) == (["stored"] * 4, 5)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.20")


def test_jobs_of_runpod_that_time_out_or_fail_are_bought_again_where_that_is_allowed(tmp_path):
    with ScriptedRunPod("TIMED_OUT", "FAILED") as server:
        adapter = at(server, "runpod", price_usd="0.01")
        first = draw(adapter, tmp_path, tasks(4), concurrency=1)
        assert (first.states, server.submissions) == (["failed", "failed", "stored", "stored"], 4)
        drawn = draw(adapter, tmp_path, tasks(4), concurrency=1, max_resample=1)
    assert (drawn.states, server.submissions) == (["stored"] * 4, 6)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.06")


def test_a_stream_of_gradio_that_breaks_is_not_looked_at_again(tmp_path):
    with ScriptedGradio({"poll": ["cut-length"]}) as server:
        drawn = draw(at(server, "gradio"), tmp_path, tasks(2), concurrency=1, job_deadline_s=60.0)
        assert server.account.requests("poll") == 3
    assert (drawn.states, server.submissions) == (["stored"] * 2, 3)


@pytest.mark.parametrize("stream", ["never-answers", "drip-body"])
def test_an_overdue_call_of_gradio_is_dropped_though_its_stream_goes_on(tmp_path, stream):
    """An answer may take ten times as long as the job: it is the job's time that ends the stream."""
    with ScriptedGradio({"poll": [stream]}) as server:
        vendor = at(server, "gradio")
        drawn = draw(vendor, tmp_path, tasks(2), concurrency=1, job_deadline_s=1.0, attempt_timeout_s=10.0)
        assert drawn.states == ["expired", "stored"]
        assert "is cancelled; --retry-ambiguous buys the draw again" in drawn.text
        polls = server.account.requests("poll")
        assert draw(vendor, tmp_path, tasks(2), concurrency=1).states == ["expired", "stored"]
        assert (server.account.requests("poll"), server.submissions) == (polls, 2)


def test_a_wrong_result_of_gradio_ends_the_run_at_its_first_call(tmp_path):
    with ScriptedGradio() as server:
        drawn = draw(at(server, "gradio", output="3"), tmp_path, tasks(4), concurrency=1, job_deadline_s=60.0)
        assert server.account.requests("poll") == 1
    assert server.submissions == 1
    assert "-p output=0" in drawn.text


def test_a_task_of_runware_that_took_too_long_is_paid_once(tmp_path):
    with ScriptedRunware() as server:
        drawn = draw(at(server, "runware", poll_seconds=0.1), tmp_path, tasks(3), concurrency=1)
    assert (drawn.states, server.submissions) == (["stored"] * 3, 3)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.009")


def test_gemini_without_a_picture_is_asked_again_and_booked_at_its_tokens(tmp_path):
    with ScriptedGemini("NO_IMAGE") as server:
        adapter = at(server, "gemini", scale=4)
        drawn = draw(adapter, tmp_path, tasks(3, width=64, height=64), concurrency=1, max_resample=1)
    assert (drawn.states, server.submissions) == (["stored"] * 3, 4)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.2044")


def test_a_picture_that_gemini_filters_is_not_asked_for_again(tmp_path):
    with ScriptedGemini("IMAGE_SAFETY") as server:
        drawn = draw(
            at(server, "gemini", scale=4), tmp_path, tasks(3, width=64, height=64), concurrency=1, max_resample=1
        )
    assert (drawn.states[0], server.submissions) == ("refused", len(drawn.states))
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed


def test_ideogram_bills_what_it_withholds_and_not_what_fails(tmp_path):
    failed = {"status": "failed", "failure_reason": "internal"}
    with ScriptedIdeogram(failed) as server:
        drawn = draw(at(server, "ideogram_v2"), tmp_path / "failed", tasks(2), concurrency=1)
    assert (drawn.states, server.submissions) == (["stored"] * 2, 3)
    assert ledger_sum(tmp_path / "failed")["cost_usd"] == server.billed == Decimal("0.12")
    with ScriptedIdeogram({"data": [{"url": None, "is_image_safe": False}]}) as server:
        drawn = draw(at(server, "ideogram_v2"), tmp_path / "withheld", tasks(1), concurrency=1)
    assert drawn.states == ["refused"]
    assert ledger_sum(tmp_path / "withheld")["cost_usd"] == server.billed == Decimal("0.06")


class Segmind(ScriptedVendor):  # Fails at the first two requests, which it does not bill
    def play(self, head: Head, body: bytes) -> Response:
        self.submissions += 1
        if self.submissions <= 2:
            return answer({"error": "internal server error"}, 500)
        self.billed += Decimal("0.05")
        return Response(200, PICTURE, upscale(unwrapped(json.loads(body)["image"]), 4, self.submissions))


class WaveSpeed(ScriptedVendor):  # The first two predictions fail, and are refunded
    def play(self, head: Head, body: bytes) -> Response:
        job = head.path.removesuffix("/result").rpartition("/")[2]
        if head.path.endswith(".png"):
            return Response(200, PICTURE, self.pictures[int(job.removesuffix(".png"))])
        if head.method == "POST":
            self.pictures = [*getattr(self, "pictures", []), upscale(unwrapped(json.loads(body)["image"]), 4, 1)]
            self.submissions += 1
            self.billed += Decimal(0) if self.submissions <= 2 else Decimal("0.05")
            return answer({"code": 200, "data": {"id": str(self.submissions - 1), "status": "created"}})
        failed = {"status": "failed", "error": "the model crashed"}
        done = {"status": "completed", "outputs": [f"{self.url}/out/{job}.png"]}
        return answer({"code": 200, "data": {"id": job, **(failed if int(job) < 2 else done)}})


@pytest.mark.parametrize(("module", "vendor"), [("segmind", Segmind), ("wavespeed", WaveSpeed)])
def test_failures_that_a_vendor_does_not_bill_are_asked_for_again_and_not_booked(tmp_path, module, vendor):
    with vendor() as server:
        adapter = at(server, module, price_usd="0.05")
        drawn = draw(adapter, tmp_path, tasks(2, width=32, height=32), concurrency=1)
    assert (drawn.states, server.submissions) == (["stored"] * 2, 4)
    assert ledger_sum(tmp_path)["cost_usd"] == server.billed == Decimal("0.10")


def test_the_end_of_the_window_of_a_rate_is_waited_for():
    soon = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
    for module, headers, most in [
        ("claid", {"ratelimit-limit": "120, 120;w=60, 4;w=1", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        ("segmind", {"x-rate-limit-reset-at-utc": soon}, 40.0),
    ]:
        error = built(module).explain(Answer(429, headers, b'{"error":"rate_limit_exceeded"}'), "submit")
        assert isinstance(error, TryLaterError)
        assert error.retry_after is not None
        assert most / 2 < error.retry_after <= most


def test_a_job_is_waited_for_as_long_as_its_vendor_documents():
    kinds = {model: built("topaz", model=model).capabilities for model in ("Standard V2", "Wonder 3.5")}
    assert [able.job_timeout_s for able in kinds.values()] == [10800.0, 3600.0]
    assert Limits().for_vendor(kinds["Standard V2"]).job_timeout_s == 10800.0
    assert Limits(job_deadline_s=60.0).for_vendor(kinds["Standard V2"]).job_timeout_s == 60.0
    assert Limits().for_vendor(built("claid").capabilities).job_timeout_s == 1800.0


class SerialWebui(ScriptedVendor):  # AUTOMATIC1111: answers one request after the other, each in `seconds`
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


def test_the_wait_for_a_turn_takes_nothing_from_the_time_of_a_job(tmp_path, server):
    drawn = draw(
        JobVendor(url=server.url, poll_seconds=0.01),
        tmp_path,
        tasks(1, 4),
        rates=(Rate(1, 0.5, "poll"),),
        job_deadline_s=0.4,
    )
    assert (drawn.states, server.account.paid) == (["stored"] * 4, 4)
