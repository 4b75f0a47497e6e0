"""Stability's three upscalers: forms, seeds, headers of success and of failure."""

import pytest
from pydantic import ValidationError
from support.flow_driver import ADDRESS, PICTURE, built, drive, key_of, refused, replay, seeded, unresumed, upload

from blackbox_conformal.errors import AccountRefusedError, JobError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

JOB = "f26e2f9ee0ca2e64bf3b5b48f1b3ab6f"
DONE = Answer(200, {"content-type": "image/png", "finish-reason": "SUCCESS", "seed": "9"}, PICTURE)


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("fast", {"output_format": "png"}),
        ("conservative", {"output_format": "png", "prompt": "a photograph", "seed": "1"}),
    ],
)
def test_synchronous_modes_answer_with_the_picture(mode, form):
    adapter = built("stability", mode=mode)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [DONE])
    (submit,) = exchange.sends
    assert (submit.url, submit.form) == (f"{ADDRESS}/v2beta/stable-image/upscale/{mode}", form)
    assert [(part.name, part.content) for part in submit.files] == [("image", upload().png)]
    assert submit.headers["accept"] == "image/*"
    assert key_of(submit, "authorization") == "Bearer sk-made-up-for-this-example"
    assert (exchange.picture, exchange.observed[0].seed, exchange.jobs) == (PICTURE, 9, [])


def test_creative_is_a_job_that_is_polled_every_ten_seconds_by_default():
    exchange = replay("stability", creativity=0.3, negative_prompt="text", style_preset="anime")
    assert exchange.submit.form == {
        "output_format": "png",
        "prompt": "a photograph",
        "negative_prompt": "text",
        "creativity": "0.3",
        "seed": "1",
        "style_preset": "anime",
    }
    assert (exchange.jobs, exchange.sends[1].url) == ([JOB], f"{ADDRESS}/v2beta/results/{JOB}")
    assert exchange.waits == [0.1]
    assert type(built("stability")).model_fields["poll_seconds"].default == 10.0
    older = replay("stability", results_path="v2beta/stable-image/upscale/creative/result/{id}")
    assert older.sends[1].url == f"{ADDRESS}/v2beta/stable-image/upscale/creative/result/{JOB}"


def test_seeds_never_are_zero_which_means_random():
    capabilities = built("stability", mode="creative").capabilities
    assert capabilities.seed_range == (1, 4294967294)
    assert not built("stability", mode="fast").capabilities.seedable


def test_a_filtered_picture_comes_with_http_200_and_is_billed():
    error = refused("stability", Answer(200, {"finish-reason": "CONTENT_FILTERED"}, PICTURE), mode="conservative")
    assert isinstance(error, RefusedError)
    assert error.billed
    assert "CONTENT_FILTERED" in str(error)


def test_a_failed_generation_is_the_vendors_and_not_billed():
    failed = refused("stability", Answer(200, {"finish-reason": "ERROR"}, PICTURE), mode="conservative")
    internal = '{"id":"req-1","name":"internal_error","errors":["An unexpected server error has occurred."]}'
    for error in (failed, refused("stability", says(internal, 500), mode="conservative")):
        assert isinstance(error, VendorFailedError)
    assert not built("stability").capabilities.failures_billed


def test_moderation_is_about_the_picture_and_not_the_key():
    body = '{"id":"req-1","name":"content_moderation","errors":["Your request was flagged."]}'
    error = refused("stability", says(body, 403))
    assert type(error) is RefusedError
    assert error.request_id == "req-1"
    assert "flagged" in str(error)
    denied = refused("stability", says('{"id":"r","name":"permission_denied","errors":["no"]}', 403))
    assert isinstance(denied, AccountRefusedError)


def test_a_lock_out_lasts_a_minute():
    error = refused("stability", says('{"id":"r","name":"rate_limit_exceeded","errors":["slow down"]}', 429))
    assert isinstance(error, TryLaterError)
    assert error.retry_after == 60.0


def test_sizes_are_refused_in_the_vendors_words():
    error = refused("stability", says('{"id":"r","name":"bad_request","errors":["image: too small"]}', 400))
    assert isinstance(error, RefusedError)
    assert "too small" in str(error)


def test_an_expired_job_is_not_a_refusal():
    assert isinstance(unresumed("stability", JOB, says('{"id":"r","name":"not_found","errors":["x"]}', 404)), JobError)


def test_resuming_reads_the_result_only():
    adapter = built("stability")
    exchange = drive(adapter, adapter.resume(upload(), seeded(adapter), JOB), [shows()])
    assert [send.purpose for send in exchange.sends] == ["poll"]


@pytest.mark.parametrize("module", ["stability", "bedrock"])
def test_fast_magnifies_by_four_only(module):
    assert built(module, mode="fast").capabilities.scale_factors == (4,)
    with pytest.raises(ValidationError, match="magnifies by 4; got scale=2"):
        built(module, mode="fast", scale=2)
