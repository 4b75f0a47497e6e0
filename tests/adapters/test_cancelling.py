"""What is sent to a vendor whose job takes too long, and what its answer means."""

import json
from typing import Any

import pytest
from support.flow_driver import ADDRESS, a_draw, built, upload

from blackbox_conformal.errors import DeadlineError, JobCancelledError
from blackbox_conformal.vendor.adapter import Answer, Flow, Send, Wait

FAL = json.dumps(
    {
        "request_id": "r1",
        "status_url": f"{ADDRESS}/o/a/requests/r1/status",
        "response_url": f"{ADDRESS}/o/a/requests/r1",
    }
)
CASES = {
    "replicate": ("p1", {"status": "processing"}, "POST", "/predictions/p1/cancel"),
    "fal": (FAL, {"status": "IN_QUEUE"}, "PUT", "/o/a/requests/r1/cancel"),
    "comfy_router": ("r1", {"status": "IN_PROGRESS"}, "PUT", "/v2/models/fal/crystal-upscaler/requests/r1/cancel"),
    "runpod": ("j1", {"status": "IN_PROGRESS"}, "POST", "/abc123def456/cancel/j1"),
    "topaz": ("t1", {"status": "Processing"}, "DELETE", "/cancel/t1"),
    "comfyui": ("p1", {}, "POST", "/api/jobs/p1/cancel"),
    "comfy_cloud": ("j1", {"status": "in_progress"}, "POST", "/queue"),
}
SAID = {"comfyui": {"cancelled": True}, "comfy_cloud": {"deleted": ["j1"]}}
"""What says that the job is cancelled, where HTTP 2xx alone does not."""


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())


def overdue(name: str) -> tuple[Flow, Send]:
    """A flow whose job's time is over, and the request that it sends then."""
    job, working, _, _ = CASES[name]
    flow = built(name).resume(upload(), a_draw(), job)
    poll = next(flow)
    assert isinstance(poll, Send)
    assert poll.purpose == "poll"
    assert isinstance(flow.send(answer(working)), Wait)
    cancel = flow.throw(DeadlineError("late"))
    assert isinstance(cancel, Send)
    return flow, cancel


@pytest.mark.parametrize("name", CASES)
def test_the_vendor_is_asked_to_cancel_with_the_key(name):
    _, _, method, path = CASES[name]
    flow, cancel = overdue(name)
    assert (cancel.purpose, cancel.method, cancel.url) == ("cancel", method, f"{ADDRESS}{path}")
    assert cancel.headers or built(name).key_variable is None
    with pytest.raises(JobCancelledError):
        flow.send(answer(SAID.get(name, {}), 202))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("refusal", [Answer(0, {}, b""), answer({}, 400), answer({}, 404), answer({}, 409)])
def test_a_job_that_is_not_cancelled_is_only_late(name, refusal):
    flow, _ = overdue(name)
    with pytest.raises(DeadlineError) as caught:
        flow.send(refusal)
    assert not isinstance(caught.value, JobCancelledError)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("replicate", {"status": "succeeded"}),
        ("runpod", {"status": "COMPLETED"}),
        ("comfyui", {"cancelled": False}),
        ("comfyui", {}),
        ("comfy_cloud", {"deleted": []}),
        ("comfy_cloud", {"deleted": ["another"]}),
        ("comfy_cloud", {}),
    ],
)
def test_a_job_that_was_finished_or_has_begun_is_not_given_up(name, said):
    flow, _ = overdue(name)
    with pytest.raises(DeadlineError) as caught:
        flow.send(answer(said))
    assert not isinstance(caught.value, JobCancelledError)


def test_a_prompt_is_cancelled_by_its_own_name_and_never_all_that_run():
    _, cancel = overdue("comfy_cloud")
    assert cancel.json == {"delete": ["j1"]}


def test_a_call_of_gradio_is_dropped_with_its_stream_and_asked_for_no_more():
    flow = built("gradio").resume(upload(), a_draw(), "/gradio_api/call/upscale/e1")
    stream = next(flow)
    assert isinstance(stream, Send)
    assert stream.once
    with pytest.raises(JobCancelledError):
        flow.throw(DeadlineError("late"))
