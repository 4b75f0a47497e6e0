"""RunPod: the queue, the development server, the worker's own shapes."""

import pytest
from flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay, resumed, unresumed

from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError
from blackbox_conformal.testing.example import says, shows

JOB = "c80ffee4-f315-4e25-a146-0f3d98cf024b-u1"


def test_a_job_is_queued_and_looked_at() -> None:
    exchange = replay("runpod", 8)
    submit, *looks = exchange.sends
    assert submit.url == f"{ADDRESS}/abc123def456/run"
    assert submit.json["input"]["image"].startswith("iVBORw0KGgo")
    assert (submit.json["input"]["scale"], submit.json["input"]["seed"]) == (4, 8)
    assert key_of(submit, "authorization") == "Bearer rpa_made_up_for_this_example"
    assert [(look.method, look.url) for look in looks] == [("GET", f"{ADDRESS}/abc123def456/status/{JOB}")] * 2
    assert exchange.picture == PICTURE


def test_the_development_server_has_no_endpoint_no_key_and_asks_by_post() -> None:
    exchange = replay("runpod", endpoint="", authenticate=False, status_method="POST", image_form="data-link")
    submit, look, _ = exchange.sends
    assert (submit.url, submit.headers) == (f"{ADDRESS}/run", {})
    assert (look.method, look.url) == ("POST", f"{ADDRESS}/status/{JOB}")
    assert submit.json["input"]["image"].startswith("data:image/png;base64,")


def test_the_worker_decides_where_the_picture_is() -> None:
    bare = resumed("runpod", JOB, says('{"status":"COMPLETED","output":"iVBORw0KGgo="}'), output_path="")
    assert bare.picture == b"\x89PNG\r\n\x1a\n"
    link = says(f'{{"status":"COMPLETED","output":{{"files":["{ADDRESS}/o.png"]}}}}')
    assert resumed("runpod", JOB, link, shows(), output_path="files.0").sends[-1].public
    assert not built("runpod", seed_input="").capabilities.seedable


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TIMED_OUT"])
def test_terminal_states_refuse(status: str) -> None:
    error = unresumed("runpod", JOB, says(f'{{"status":"{status}","error":"handler raised"}}'))
    assert isinstance(error, RefusedError)
    assert "handler raised" in str(error)


def test_an_error_inside_the_output_is_a_refusal() -> None:
    error = unresumed("runpod", JOB, says('{"status":"COMPLETED","output":{"error":"bad image"}}'))
    assert isinstance(error, RefusedError)
    assert "bad image" in str(error)
    assert isinstance(unresumed("runpod", JOB, *[says('{"status":"COMPLETED"}')] * 3), PayloadError)


def test_a_wrong_key_is_the_accounts_matter() -> None:
    assert isinstance(refused("runpod", says('{"error":"unauthorized"}', 401)), AccountRefusedError)
