"""What shipped recipes make of their vendors' failures, prices and limits."""

import hashlib
import json
from decimal import Decimal

import pytest
from support.flow_driver import PICTURE, built, drive, key_of, refused, refused_by, replay, seeded, unresumed, upload

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import AccountRefusedError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.support.secrets import revealed
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows


@pytest.mark.parametrize("name", ["bria", "bria_increase_resolution"])
def test_bria_calls_its_own_internal_errors_unknown(name):
    unknown = unresumed(name, "x", says('{"status":"UNKNOWN","error":{"code":500,"message":"m","details":"internal"}}'))
    assert type(unknown) is VendorFailedError
    moderated = unresumed(name, "x", says('{"status":"ERROR","error":{"code":5,"message":"m","details":"moderated"}}'))
    assert isinstance(moderated, RefusedError)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(402, AccountRefusedError), (429, TryLaterError), (422, RefusedError), (500, VendorFailedError)],
)
def test_wavespeed_tells_failures_under_http_200(code, expected):
    error = refused("wavespeed", says(f'{{"code":{code},"message":"the words","data":null}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))
    if code != 429:
        assert type(unresumed("wavespeed", "8f1d", says(f'{{"code":{code},"message":"m"}}'))) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1200, RefusedError),
        (1402, RefusedError),
        (1403, VendorFailedError),
        (5000, VendorFailedError),
        (5003, VendorFailedError),
        (5004, VendorFailedError),
    ],
)
def test_a_failed_prediction_of_wavespeed_says_why_in_its_own_code(code, expected):
    prediction = f'{{"id":"8f1d","status":"failed","code":{code},"outputs":[],"error":"the words"}}'
    error = unresumed("wavespeed", "8f1d", says(f'{{"code":200,"message":"success","data":{prediction}}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))


def test_ideogram_bills_a_picture_that_its_filter_withholds():
    unsafe = refused("ideogram", says('{"data":[{"url":"","is_image_safe":false}]}'))
    assert isinstance(unsafe, RefusedError)
    assert unsafe.billed


def test_claid_names_the_request_to_its_support():
    error = refused_by(
        Recipe(recipe="claid", url="http://127.0.0.1:9"),
        says(
            '{"error_type":"validation_error","error_code":"9000","error_message":"too small"}', 422, x_request_id="r-1"
        ),
    )
    assert (error.request_id, error.code) == ("r-1", "9000")


def test_photoroom_keeps_the_background():
    form = replay("photoroom").submit.form or {}
    assert (form["removeBackground"], form["upscale.mode"], form["export.format"]) == ("false", "ai.fast", "png")


def test_krea_uploads_first_and_asks_for_the_size():
    _, submit, *_ = replay("krea").sends
    assert submit.url.endswith("/generate/enhance/topaz/standard-enhance")
    assert submit.json["image_url"] == "https://gen.krea.ai/asset-1.png"
    assert (submit.json["width"], submit.json["height"]) == (64, 48)
    assert type(unresumed("krea", "9b1d", says('{"status":"cancelled"}'))) is VendorFailedError


def test_krea_gets_a_seed_of_its_own_for_each_draw_and_is_asked_for_png():
    first, second = (replay("krea", index).submit.json for index in (0, 1))
    assert (first["seed"], second["seed"], first["output_format"]) == (0, 1, "png")
    assert built("krea").capabilities.default_seed_hazard


def test_segmind_tells_its_bill_and_seed_in_headers():
    bill = shows(x_cost="0.008", x_seed_value="42", x_request_id="r-2").headers
    adapter = built("segmind")
    seen = drive(adapter, adapter.draw(upload(), seeded(adapter)), [Answer(200, bill, PICTURE)]).observed[-1]
    assert (seen.cost_usd, seen.seed, seen.request_id) == (Decimal("0.008"), 42, "r-2")


@pytest.mark.parametrize(("name", "units"), [("hitpaw", 75), ("upscayl_cloud", 1)])
def test_credits_are_booked_where_the_user_knows_what_one_costs(name, units):
    assert replay(name, usd_per_unit="0.02").told_usd == units * Decimal("0.02")
    assert replay(name).told_usd is None
    assert built(name).capabilities.price is None


def test_coins_of_hitpaw_make_a_price():
    price = built("hitpaw", usd_per_unit="0.01").capabilities.price
    assert (price.low_usd, price.high_usd, price.rule) == (Decimal("0.10"), Decimal("4.80"), "a credit is 0.01 USD")


def test_hitpaw_puts_the_picture_where_it_is_told_and_names_the_model_with_its_magnification():
    presign, put, submit, poll, *_ = replay("hitpaw", scale=2).sends
    assert presign.json == {"filename": "input.png", "content_type": "image/png"}
    assert (put.method, put.headers["content-type"], put.public) == ("PUT", "image/png", True)
    assert put.body is not None
    assert submit.json["model_name"] == "general_2x"
    assert (submit.json["extension"], submit.json["img_url"].rpartition("/")[2]) == (".png", "a1b2c3d4.png")
    assert (poll.method, poll.json) == ("POST", {"job_id": "f5007c0b-e902-4070-8c75-f337d896168f"})


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 110400000, AccountRefusedError),
        (400, 110400005, AccountRefusedError),
        (400, 110400009, RefusedError),
        (400, 100429000, TryLaterError),
        (402, 110402000, AccountRefusedError),
        (429, 100429000, TryLaterError),
        (200, 110402001, AccountRefusedError),
        (200, 100429000, TryLaterError),
        (200, 110400009, RefusedError),
    ],
)
def test_hitpaw_tells_what_is_wrong_with_the_account_and_what_with_the_picture(status, code, expected):
    error = refused("hitpaw", says(f'{{"error_code":{code},"message":"the words"}}', status))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))


def test_a_job_of_hitpaw_that_fails_says_nothing_of_the_picture():
    assert type(unresumed("hitpaw", "j1", says('{"code":200,"data":{"status":"ERROR"}}'))) is VendorFailedError


def test_deep_image_takes_percentages_as_json_in_a_form():
    submit = replay("deep_image", scale=2).submit
    assert json.loads(str((submit.form or {})["parameters"])) == {
        "width": "200%",
        "height": "200%",
        "output_format": "png",
    }


def test_novita_polls_by_a_query():
    exchange = replay("novita")
    submit, poll, *_ = exchange.sends
    assert submit.json["request"]["scale_factor"] == 4
    assert (poll.url, poll.query) == (
        "http://127.0.0.1:9/v3/async/task-result",
        {"task_id": "71dd988e-632e-4339-b217-74bcbe6db0ee"},
    )


def test_firefly_exchanges_its_key_and_sends_one_seed():
    token, stored, submit, poll, *_ = replay("firefly", 3).sends
    assert revealed(token.form)["client_secret"] == "made-up-secret-for-firefly"
    assert stored.body is not None
    assert submit.json == {
        "image": {"source": {"uploadId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890"}},
        "seeds": [3],
        "upscaleFactor": 4,
    }
    assert key_of(poll, "authorization") == "Bearer made-up-token"
    assert key_of(poll, "x-api-key") == "made-up-key-for-firefly"
    assert Recipe(recipe="firefly").further_urls == ("https://ims-na1.adobelogin.com/ims/token/v3",)


@pytest.mark.parametrize(("module", "effect"), [("cloudinary", "e_upscale"), ("cloudinary_restore", "e_gen_restore")])
def test_cloudinary_signs_its_upload_and_is_deterministic(module, effect):
    form = revealed(replay(module).submit.form)
    secret = f"made-up-secret-for-{module.replace('_', '-')}"
    text = f"eager={effect}/f_png&timestamp={form['timestamp']}{secret}"
    assert form["signature"] == hashlib.sha1(text.encode()).hexdigest()
    assert built(module).capabilities.deterministic
