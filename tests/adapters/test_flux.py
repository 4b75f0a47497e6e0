"""FLUX: tasks that are polled where the vendor says, prices by size, moderation before and after."""

import json
from decimal import Decimal

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    built,
    drive,
    key_of,
    refused,
    replay,
    resumed,
    seeded,
    unresumed,
    upload,
)

from blackbox_adapters._hosted import RESTORE
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    RefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Answer, Send
from blackbox_conformal.vendor.example import says, shows

JOB = json.dumps({"id": "t", "polling_url": f"{ADDRESS}/v1/get_result?id=t", "cost": 4})


def test_a_kontext_task():
    exchange = replay("flux")
    submit, poll, _, download = exchange.sends
    assert submit.url == f"{ADDRESS}/v1/flux-kontext-pro"
    assert key_of(submit, "x-key") == "bfl_made_up_for_this_example"
    picture = submit.json.pop("input_image")
    assert picture.startswith("iVBORw0KGgo")
    assert submit.json == {
        "prompt": RESTORE,
        "output_format": "png",
        "safety_tolerance": 2,
        "prompt_upsampling": False,
        "seed": 0,
    }
    assert poll.url == f"{ADDRESS}/v1/get_result?id=7e4f"
    assert key_of(poll, "x-key") == "bfl_made_up_for_this_example"
    assert download.public
    assert (exchange.picture, exchange.observed[-1].cost_usd) == (PICTURE, Decimal("0.04"))
    assert exchange.observed[-1].seed == 1000


def test_the_key_stays_with_the_host_that_was_chosen():
    elsewhere = json.dumps({"id": "t", "polling_url": "https://api.us1.bfl.ai/v1/get_result?id=t", "cost": 4})
    done = says('{"status":"Ready","result":{"sample":"https://delivery-us1.bfl.ai/results/sample.png"}}')
    poll, _ = resumed("flux", elsewhere, done, shows()).sends
    assert isinstance(poll, Send)
    assert poll.url.startswith("https://api.us1.bfl.ai/")
    assert poll.public
    assert not poll.headers


def test_flux_2_is_asked_for_the_wanted_size():
    adapter = built("flux", model="flux-2-pro", scale=4)
    submit = drive(adapter, adapter.draw(upload(320, 240), seeded(adapter)), _answers()).submit
    assert (submit.json["width"], submit.json["height"]) == (1280, 960)
    assert submit.json["disable_pup"] is True
    assert "prompt_upsampling" not in submit.json
    large = drive(adapter, adapter.draw(upload(2000, 1000), seeded(adapter)), _answers()).submit
    assert (large.json["width"], large.json["height"]) == (2816, 1408)


@pytest.mark.parametrize(
    ("model", "scale", "width", "height", "expected"),
    [
        ("flux-kontext-pro", 2, 900, 900, "0.04"),
        ("flux-kontext-max", 4, 900, 900, "0.08"),
        ("flux-2-pro", 2, 512, 512, "0.06"),  # 1.05 megapixels made count as 2, 0.26 sent as 1
        ("flux-2-pro", 4, 1000, 1000, "0.09"),
        ("flux-2-flex", 2, 400, 400, "0.10"),
    ],
)
def test_prices_by_model_and_size(model, scale, width, height, expected):
    price = built("flux", model=model, scale=scale).price_for(width, height)
    assert price.low_usd == price.high_usd == Decimal(expected)


def test_prices_without_a_list_or_by_the_user():
    assert built("flux", model="flux-9-pro").price_for(100, 100) is None
    own = built("flux", model="flux-2-pro", price_usd="0.5").price_for(100, 100)
    assert own.high_usd == Decimal("0.5")
    whole = built("flux", model="flux-2-pro").capabilities.price
    assert (whole.low_usd, whole.high_usd) == (Decimal("0.045"), Decimal("0.375"))


def test_tasks_at_a_time():
    assert built("flux").capabilities.max_concurrency == 24
    assert built("flux", model="flux-kontext-max").capabilities.max_concurrency == 6


def test_moderation_before_and_after_generation():
    before = unresumed("flux", JOB, says('{"status":"Request Moderated","details":{"Moderation Reasons":["x"]}}'))
    assert isinstance(before, RefusedError)
    assert not before.billed  # the cost that the submission told is booked all the same
    after = unresumed("flux", JOB, says('{"status":"Content Moderated"}'))
    assert isinstance(after, RefusedError)
    assert after.billed


def test_what_fails_on_the_vendors_side_says_nothing_of_the_picture():
    assert isinstance(unresumed("flux", JOB, says('{"status":"Error"}')), VendorFailedError)
    assert isinstance(unresumed("flux", JOB, says('{"status":"Task not found"}')), VendorFailedError)
    assert isinstance(unresumed("flux", "nonsense"), JobError)


def test_the_vendors_errors():
    def error(status):
        return refused("flux", says('{"detail":"m"}', status))

    assert isinstance(error(402), AccountRefusedError)
    assert isinstance(error(403), AccountRefusedError)
    assert isinstance(error(404), NotFoundError)
    assert isinstance(error(422), RefusedError)
    assert isinstance(error(429), TryLaterError)
    assert isinstance(error(500), VendorFailedError)
    assert isinstance(error(503), TryLaterError)


def _answers() -> list[Answer]:
    return [
        says(f'{{"id":"t","polling_url":"{ADDRESS}/v1/get_result?id=t"}}'),
        says(f'{{"status":"Ready","result":{{"sample":"{ADDRESS}/o.png"}}}}'),
        shows(),
    ]
