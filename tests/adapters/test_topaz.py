"""Topaz: the two routes, the size in pixels, the link that needs no key."""

import pytest
from support.flow_driver import ADDRESS, built, drive, key_of, refused, replay, seeded, unresumed, upload

from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.vendor.adapter import Send
from blackbox_conformal.vendor.example import says, shows

JOB = "9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0001"
COMPLETED = says(f'{{"process_id":"{JOB}","status":"Completed"}}')


def test_a_generative_model_has_its_own_route_and_seed():
    exchange = replay("topaz", 4)
    submit, *polls, ready, download = exchange.sends
    assert submit.url == f"{ADDRESS}/enhance-gen/async"
    assert submit.form == {
        "model": "Bloom 2",
        "output_width": "64",
        "output_height": "48",
        "output_format": "png",
        "seed": "5",
    }
    assert (submit.files[0].name, key_of(submit, "x-api-key")) == ("image", "made-up-topaz-key")
    assert [poll.url for poll in polls] == [f"{ADDRESS}/status/{JOB}"] * 2
    assert ready.url == f"{ADDRESS}/download/{JOB}"
    assert (download.url, download.public, download.headers) == (f"{ADDRESS}/signed/out.png", True, {})
    assert exchange.jobs == [JOB]


def test_a_restoring_model_takes_dials_and_no_seed():
    submit = replay("topaz", model="Standard V2", settings='{"sharpen": 0.5, "model": "x"}').submit
    assert submit.url == f"{ADDRESS}/enhance/async"
    assert (submit.form or {})["sharpen"] == "0.5"
    assert (submit.form or {})["model"] == "Standard V2"
    assert "seed" not in (submit.form or {})
    assert built("topaz", model="Standard V2").capabilities.deterministic
    assert built("topaz", model="Redefine").capabilities.seedable is False
    assert built("topaz", model="Redefine", seed_field="seed").capabilities.seed_range == (1, 2000)


@pytest.mark.parametrize(
    ("task", "model", "kind", "undone"),
    [
        ("denoise", "Strong", "denoise", "noise:15"),
        ("deblur", "Motion Blur", "sharpen", "blur:2"),
        ("colourise", "Colorize", "lighting", "grey"),
    ],
)
def test_a_task_at_the_size_of_the_input_has_its_own_route_and_no_size(task, model, kind, undone):
    submit = replay("topaz", task=task, model=model, scale=1).submit
    assert submit.url == f"{ADDRESS}/{kind}/async"
    assert submit.form == {"model": model, "output_format": "png"}
    adapter = built("topaz", task=task, model=model, scale=1)
    assert (adapter.capabilities.degradation, adapter.capabilities.deterministic) == (undone, True)
    quote = adapter.quote(upload())
    assert quote is not None
    asked = next(quote)
    assert isinstance(asked, Send)
    assert (asked.url, asked.json["category"]) == (f"{ADDRESS}/estimate", kind.capitalize())
    for wrong in ({"scale": 4, "model": model}, {"scale": 1, "model": "Standard V2"}):
        with pytest.raises(ValueError, match="add -p scale=1 -p 'model="):
            built("topaz", task=task, **wrong)


def test_draws_from_before_there_were_tasks_are_found_again():
    assert "task" not in built("topaz").identity()["parameters"]
    assert built("topaz", task="denoise", model="Normal", scale=1).identity()["parameters"]["task"] == "denoise"


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_terminal_states_end_the_draw_and_are_refunded(status):
    error = unresumed("topaz", JOB, says(f'{{"status":"{status}","message":"decoding failed"}}'))
    assert isinstance(error, VendorFailedError)
    assert "decoding failed" in str(error)
    assert not built("topaz").capabilities.failures_billed


def test_a_link_that_is_not_ready_is_asked_for_twice_more():
    late = says('{"code":409,"message":"not ready"}', 409)
    adapter = built("topaz")
    ready = says(f'{{"download_url":"{ADDRESS}/o.png"}}')
    exchange = drive(adapter, adapter.resume(upload(), seeded(adapter), JOB), [COMPLETED, late, late, ready, shows()])
    assert exchange.waits == [1.0, 1.0]
    assert isinstance(unresumed("topaz", JOB, COMPLETED, late, late, late), PayloadError)


def test_refusals_of_the_interface():
    poor = refused("topaz", says('{"code":402,"message":"Insufficient funds."}', 402))
    assert isinstance(poor, AccountRefusedError)
    assert "Insufficient funds." in str(poor)
    early = refused("topaz", says('{"code":425,"message":"Too early to reserve credits"}', 425))
    assert isinstance(early, TryLaterError)
    assert early.retry_after == 5.0
    size = refused("topaz", says('{"code":422,"message":"output_width must be at most 32000"}', 422))
    assert isinstance(size, RefusedError)
    assert "32000" in str(size)
