"""Ideogram's second interface: generations, prices by a dry run, pictures that are withheld."""

import io
from decimal import Decimal

import pytest
from PIL import Image
from pydantic import ValidationError
from support.flow_driver import ADDRESS, PICTURE, assert_error, built, key_of, refused, replay, unresumed, upload

from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.testing.rehearsal import rehearse_quote
from blackbox_conformal.vendor.example import says

JOB = "xtdZiqPwRxqY1Y7NExFmzB"


def test_a_generation_is_started_polled_and_fetched():
    exchange = replay("ideogram_v2", model="topaz-bloom-2", prompt="fine detail", scale=2)
    submit, poll, _, download = exchange.sends
    assert submit.url == f"{ADDRESS}/v2/image/upscale/topaz-bloom-2"
    assert key_of(submit, "api-key") == "made-up-ideogram-key"
    assert submit.form == {"upscale_factor": "x2", "async": "true", "prompt": "fine detail"}
    assert (submit.query, submit.files[0].name) == ({}, "image")
    assert poll.url == f"{ADDRESS}/v2/generations/{JOB}"
    assert download.public
    assert (exchange.picture, exchange.observed[-1].cost_usd) == (PICTURE, Decimal("0.06"))


def test_a_quote_is_a_dry_run_with_an_empty_picture_of_the_same_size():
    adapter = built("ideogram_v2", settings='{"enhancement_strength": "low"}', model="topaz-wonder-3-5")
    price = says('{"object":"price_quote","usd_micros":60000,"upper_bound_usd_micros":80000}')
    asked = rehearse_quote(adapter, upload(320, 240), [price])
    (send,) = asked.sends
    assert (send.purpose, send.query) == ("quote", {"dry_run": "true"})
    assert send.form == {"upscale_factor": "x4", "enhancement_strength": "low"}
    blank = Image.open(io.BytesIO(send.files[0].content))
    assert (blank.size, blank.mode, blank.getextrema()) == ((320, 240), "RGB", ((0, 0), (0, 0), (0, 0)))
    assert asked.price == Decimal("0.08")
    exact = says('{"usd_micros":60000,"qualifier":"exact"}')
    assert rehearse_quote(adapter, upload(320, 240), [exact]).price == Decimal("0.06")


def test_what_the_vendor_does_not_offer_is_refused_beforehand():
    for wrong in ({"model": "auto"}, {"model": "topaz-wonder-4", "scale": 8}, {"prompt": "x"}):
        with pytest.raises(ValidationError):
            built("ideogram_v2", **wrong)


def test_a_withheld_picture_is_billed_and_a_failed_generation_is_not():
    withheld = unresumed("ideogram_v2", JOB, says('{"status":"completed","data":[{"url":null,"is_image_safe":false}]}'))
    assert_error(withheld, RefusedError, billed=True)
    moderated = unresumed("ideogram_v2", JOB, says('{"status":"failed","failure_reason":"content_policy_violation"}'))
    assert_error(moderated, RefusedError, billed=False)
    broken = unresumed("ideogram_v2", JOB, says('{"status":"failed","failure_reason":"internal"}'))
    assert isinstance(broken, VendorFailedError)
    assert not built("ideogram_v2").capabilities.failures_billed
    empty = says('{"status":"completed","data":[]}')
    assert isinstance(unresumed("ideogram_v2", JOB, empty, empty, empty), PayloadError)


def test_the_vendors_errors():
    def error(status, body):
        return refused("ideogram_v2", says(body, status))

    assert isinstance(error(401, '{"message":"Access denied."}'), AccountRefusedError)
    broke = error(402, '{"error":"Add credits.","reject_reason":"insufficient_funds"}')
    assert_error(broke, AccountRefusedError, code="insufficient_funds")
    assert isinstance(error(429, '{"error":"m","reject_reason":"inflight_limit"}'), TryLaterError)
    assert_error(error(422, '{"error":"safety"}'), RefusedError, billed=False)
    assert isinstance(error(400, '{"error":"Could not read a source image."}'), RefusedError)
