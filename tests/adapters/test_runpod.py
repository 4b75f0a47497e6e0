"""RunPod: the queue, the development server, the worker's own shapes."""

import json

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay, resumed, unresumed

from blackbox_conformal.errors import AccountRefusedError, JobError, PayloadError, RefusedError, VendorFailedError
from blackbox_conformal.vendor.adapter import FREE
from blackbox_conformal.vendor.example import says, shows

JOB = "c80ffee4-f315-4e25-a146-0f3d98cf024b-u1"


def test_a_job_is_queued_and_polled():
    exchange = replay("runpod", 8)
    submit, *polls = exchange.sends
    assert submit.url == f"{ADDRESS}/abc123def456/run"
    assert submit.json["input"]["image"].startswith("iVBORw0KGgo")
    assert (submit.json["input"]["scale"], submit.json["input"]["seed"]) == (4, 8)
    assert key_of(submit, "authorization") == "Bearer rpa_made_up_for_this_example"
    assert [(poll.method, poll.url) for poll in polls] == [("GET", f"{ADDRESS}/abc123def456/status/{JOB}")] * 2
    assert exchange.picture == PICTURE


def test_the_development_server_has_no_endpoint_no_key_and_asks_by_post():
    exchange = replay("runpod", endpoint="", authenticate=False, image_form="data-link")
    submit, poll, _ = exchange.sends
    assert (submit.url, submit.headers) == (f"{ADDRESS}/run", {})
    assert (poll.method, poll.url) == ("POST", f"{ADDRESS}/status/{JOB}")
    assert submit.json["input"]["image"].startswith("data:image/png;base64,")
    assert built("runpod", endpoint="", authenticate=False).capabilities.price == FREE
    assert built("runpod").capabilities.price is None


def test_a_server_that_takes_the_other_method_is_asked_by_it():
    done = says('{"status":"COMPLETED","output":{"image":"iVBORw0KGgo="}}')
    exchange = resumed("runpod", JOB, says('{"detail":"Method Not Allowed"}', 405), done)
    assert [poll.method for poll in exchange.sends] == ["GET", "POST"]
    neither = [says('{"detail":"Method Not Allowed"}', 405)] * 2
    error = unresumed("runpod", JOB, *neither)
    assert isinstance(error, JobError)
    assert "Method Not Allowed" in str(error)


def test_a_job_that_the_server_has_forgotten_is_no_refusal_of_the_picture():
    error = unresumed("runpod", JOB, says('{"id":"x","status":"FAILED","error":"Job ID not found"}'))
    assert isinstance(error, JobError)
    assert JOB in str(error)


def test_a_workers_exception_is_told_without_its_traceback():
    exception = {"error_type": "<class 'ValueError'>", "error_message": "too large", "error_traceback": "Traceback …"}
    error = unresumed("runpod", JOB, says(json.dumps({"status": "FAILED", "error": json.dumps(exception)})))
    assert str(error) == f"job {JOB} FAILED: too large"


def test_the_worker_decides_where_the_picture_is():
    bare = resumed("runpod", JOB, says('{"status":"COMPLETED","output":"iVBORw0KGgo="}'), output_path="")
    assert bare.picture == b"\x89PNG\r\n\x1a\n"
    link = says(f'{{"status":"COMPLETED","output":{{"files":["{ADDRESS}/o.png"]}}}}')
    assert resumed("runpod", JOB, link, shows(), output_path="files.0").sends[-1].public
    assert not built("runpod", seed_input="").capabilities.seedable


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("FAILED", "handler raised", VendorFailedError),
        ("FAILED", "NSFW content", RefusedError),
        ("CANCELLED", "by hand", VendorFailedError),
        ("TIMED_OUT", "job timed out after 1 retries", VendorFailedError),
    ],
)
def test_terminal_states_end_the_draw(status, reason, kind):
    error = unresumed("runpod", JOB, says(f'{{"status":"{status}","error":"{reason}"}}'))
    assert isinstance(error, kind)
    assert reason in str(error)


def test_an_error_inside_the_output_is_a_refusal():
    error = unresumed("runpod", JOB, says('{"status":"COMPLETED","output":{"error":"cannot identify image file"}}'))
    assert isinstance(error, RefusedError)
    assert "cannot identify image" in str(error)
    assert isinstance(unresumed("runpod", JOB, *[says('{"status":"COMPLETED"}')] * 3), PayloadError)


def test_a_wrong_key_is_the_accounts_matter():
    assert isinstance(refused("runpod", says('{"error":"unauthorized"}', 401)), AccountRefusedError)
