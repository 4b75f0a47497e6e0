"""fal's queue: the returned links, the failure without a state, the safety checker."""

import json

import pytest
from pydantic import ValidationError
from support.flow_driver import ADDRESS, built, drive, key_of, refused, replay, resumed, seeded, unresumed, upload

from blackbox_adapters.fal import Fal
from blackbox_adapters.replicate import Replicate
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    PayloadError,
    RefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.example import says, shows

REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
LINK = f"{ADDRESS}/fal-ai/clarity-upscaler/requests/{REQUEST}"
JOB = json.dumps({"request_id": REQUEST, "status_url": f"{LINK}/status", "response_url": LINK})
DONE = says('{"status":"COMPLETED"}')


def test_a_request_goes_through_the_queue_with_the_returned_links():
    exchange = replay("fal", 7)
    submit, running, done, result, download = exchange.sends
    assert (submit.method, submit.url) == ("POST", f"{ADDRESS}/fal-ai/clarity-upscaler")
    assert key_of(submit, "authorization") == "Key made-up-id:made-up-secret"
    image = submit.json["image_url"]
    assert image.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": image, "upscale_factor": 2, "seed": 7, "enable_safety_checker": False}
    assert [running.url, done.url, result.url] == [f"{LINK}/status", f"{LINK}/status", LINK]
    assert (download.public, download.headers) == (True, {})
    assert json.loads(exchange.jobs[0])["request_id"] == REQUEST
    assert exchange.observed[-1].seed == 42


def test_links_are_built_from_owner_and_application_when_none_are_returned():
    adapter = built("fal", model="fal-ai/seedvr/upscale/image")
    answers = [says('{"request_id":"r1"}'), DONE, says(f'{{"image":{{"url":"{ADDRESS}/o.png"}}}}'), shows()]
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert exchange.sends[1].url == f"{ADDRESS}/fal-ai/seedvr/requests/r1/status"
    assert exchange.sends[2].url == f"{ADDRESS}/fal-ai/seedvr/requests/r1"
    assert exchange.submit.json["output_format"] == "png"


def test_models_know_their_seeds_and_sizes():
    aura = built("fal", model="fal-ai/aura-sr", scale=4).capabilities
    assert (aura.seedable, aura.deterministic) == (False, False)
    bria = built("fal", model="bria/upscale/creative").capabilities
    assert (bria.default_seed_hazard, bria.output_size) == (True, "resample")
    assert built("fal", model="fal-ai/seedvr/upscale/image").capabilities.output_size == "resample"
    with pytest.raises(ValueError, match="magnifies by 4; got scale=2"):
        built("fal", model="fal-ai/aura-sr", scale=2)


def test_a_failed_request_is_completed_with_an_error():
    error = unresumed("fal", JOB, says('{"status":"COMPLETED","error":"Runner died","error_type":"runner_error"}'))
    assert isinstance(error, VendorFailedError)
    assert "Runner died" in str(error)
    assert (error.code, error.request_id) == ("runner_error", REQUEST)
    untyped = says('{"status":"COMPLETED","error":"Unprocessable"}')
    refusal = says('{"detail":[{"msg":"too small","type":"image_too_small"}]}', 422)
    assert isinstance(unresumed("fal", JOB, untyped, refusal), RefusedError)
    assert isinstance(unresumed("fal", JOB, untyped, says("<html>", 500)), VendorFailedError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, "runner_scheduling_failure"),
        (503, "runner_disconnected"),
        (504, "request_timeout"),
        (500, "internal_error"),
        (499, "client_cancelled"),
    ],
)
def test_a_result_that_answers_with_an_error_of_the_vendors_machines_ends_the_request(status, kind):
    body = f'{{"detail":"no","error_type":"{kind}"}}'
    for told in (says(body, status), says('{"detail":"no"}', status, x_fal_error_type=kind)):
        error = unresumed("fal", JOB, DONE, told)
        assert isinstance(error, VendorFailedError)
        assert error.code == kind
    assert not built("fal").capabilities.failures_billed


def test_an_error_of_a_model_that_is_worth_repeating_is_no_refusal():
    body = '{"detail":[{"loc":["body"],"msg":"upstream failed","type":"downstream_service_error"}]}'
    assert isinstance(unresumed("fal", JOB, DONE, says(body, 400)), VendorFailedError)
    other = body.replace("downstream_service_error", "new_of_next_year")
    assert isinstance(unresumed("fal", JOB, DONE, says(other, 422, x_fal_retryable="true")), VendorFailedError)
    assert isinstance(unresumed("fal", JOB, DONE, says(other, 422)), RefusedError)


def test_the_creative_upscaler_names_its_safety_checks_otherwise():
    adapter = built("fal", model="fal-ai/creative-upscaler")
    answers = [says('{"request_id":"r1"}'), DONE, says(f'{{"image":{{"url":"{ADDRESS}/o.png"}}}}'), shows()]
    sent = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers).submit.json
    assert sent["enable_safety_checks"] is False
    assert "enable_safety_checker" not in sent


def test_a_refusal_in_the_result_ends_the_request():
    body = '{"detail":[{"loc":["body"],"msg":"The content was flagged","type":"content_policy_violation"}]}'
    error = unresumed("fal", JOB, DONE, says(body, 422, x_fal_request_id=REQUEST))
    assert isinstance(error, RefusedError)
    assert error.billed
    assert error.code == "content_policy_violation"
    assert "flagged" in str(error)


def test_a_blackened_picture_is_a_refusal():
    error = unresumed("fal", JOB, DONE, says(f'{{"image":{{"url":"{ADDRESS}/o"}},"has_nsfw_concepts":[true]}}'))
    assert isinstance(error, RefusedError)
    assert error.billed
    assert "blackened" in str(error)


def test_a_result_without_a_picture_is_read_twice_more():
    assert isinstance(unresumed("fal", JOB, DONE, *[says("{}")] * 3), PayloadError)


def test_an_exhausted_balance_is_the_accounts_matter():
    error = refused("fal", says('{"detail":"User is locked. Reason: Exhausted balance."}', 403))
    assert isinstance(error, AccountRefusedError)
    assert "Exhausted balance" in str(error)


def test_a_full_queue_is_a_wait():
    assert isinstance(refused("fal", says('{"detail":"Too many requests"}', 429)), TryLaterError)


def test_a_result_may_be_a_data_link():
    picture = "data:image/png;base64,iVBORw0KGgo="
    assert resumed("fal", JOB, DONE, says(f'{{"image":{{"url":"{picture}"}}}}')).picture == b"\x89PNG\r\n\x1a\n"


def test_a_job_that_is_not_one_is_named():
    assert isinstance(unresumed("fal", "no json"), JobError)
    assert isinstance(unresumed("fal", JOB, says("{}", 404)), JobError)


@pytest.mark.parametrize("model", ["../../v1/account", "a/b/../../c", "../..", "a/..", "/a/b", "a//b"])
def test_a_model_names_no_other_path_of_the_vendor(model):
    for adapter in (Fal, Replicate):
        with pytest.raises(ValidationError):
            adapter(model=model)
