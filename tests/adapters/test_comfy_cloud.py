"""Comfy Cloud: a workflow's requests with a key, its jobs, and a 429 that is no wish to wait."""

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay, unresumed

from blackbox_conformal.errors import AccountRefusedError, PayloadError, TryLaterError, VendorFailedError
from blackbox_conformal.vendor.example import says

JOB = "f7b1c2d3-0000-4000-8000-000000000001"
UPLOADED = says('{"name":"5f2c.png","subfolder":"","type":"input"}')


def test_every_request_carries_the_key_and_each_draw_its_seed():
    first, second = replay("comfy_cloud"), replay("comfy_cloud", 1)
    stored, submit, poll, _, view = first.sends
    assert {key_of(send, "x-api-key") for send in first.sends} == {"comfyui-made-up-for-this-example"}
    assert (stored.url, submit.url) == (f"{ADDRESS}/upload/image", f"{ADDRESS}/prompt")
    assert submit.json["prompt"]["1"]["inputs"]["image"] == "5f2c.png"
    assert [exchange.submit.json["prompt"]["3"]["inputs"]["seed"] for exchange in (first, second)] == [0, 1]
    assert poll.url == f"{ADDRESS}/jobs/{JOB}"
    assert (view.purpose, view.url) == ("download", f"{ADDRESS}/view?filename=9ab1.png&subfolder=&type=output")
    assert (first.picture, first.jobs) == (PICTURE, [JOB])


def test_it_is_another_vendor_than_a_server_of_ones_own():
    capabilities = built("comfy_cloud").capabilities
    assert capabilities.price is None
    assert (capabilities.max_upload_bytes, capabilities.default_seed_hazard) == (50_000_000, True)
    assert built("comfy_cloud").identity() != built("comfyui").identity()


def test_a_failed_job_says_why():
    reason = '{"node_id":"3","exception_type":"RuntimeError","exception_message":"out of memory"}'
    error = unresumed("comfy_cloud", JOB, says(f'{{"status":"failed","execution_error":{reason}}}'))
    assert isinstance(error, VendorFailedError)
    assert ("out of memory" in str(error), error.code) == (True, "RuntimeError")
    assert isinstance(unresumed("comfy_cloud", JOB, says('{"status":"cancelled"}')), VendorFailedError)


def test_a_job_that_saved_nothing_is_a_payload_error():
    empty = says('{"status":"completed","outputs":{"9":{"text":["x"]}}}')
    assert isinstance(unresumed("comfy_cloud", JOB, empty, empty, empty), PayloadError)
    bare = says('{"status":"completed"}')
    assert isinstance(unresumed("comfy_cloud", JOB, bare, bare, bare), PayloadError)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"code":"PAYMENT_REQUIRED","message":"User has not paid"}', AccountRefusedError),
        ('{"error":{"message":"An active subscription is needed"}}', AccountRefusedError),
        ('{"code":"QUEUE_FULL","message":"queue is full"}', TryLaterError),
        ("", TryLaterError),
    ],
)
def test_a_429_is_read_by_its_words(body, expected):
    assert type(refused("comfy_cloud", UPLOADED, says(body, 429))) is expected
