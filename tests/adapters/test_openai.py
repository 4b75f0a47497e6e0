"""OpenAI: the request of the vendor's own client, sizes that its models take, tokens as money, moderation."""

import re
from decimal import Decimal

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay

from blackbox_adapters._hosted import RESTORE
from blackbox_adapters.openai import OpenAI
from blackbox_conformal.drawing.free_requests import refuse_retired
from blackbox_conformal.errors import (
    AccountRefusedError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.example import says


def test_one_form_as_the_vendors_client_sends_it():
    exchange = replay("openai", model="gpt-image-2", input_fidelity="high")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/v1/images/edits"
    assert key_of(submit, "authorization") == "Bearer sk-made-up-for-this-example"
    assert submit.form == {
        "model": "gpt-image-2",
        "prompt": RESTORE,
        "size": "944x704",
        "quality": "high",
        "input_fidelity": "high",
        "output_format": "png",
    }
    (picture,) = submit.files
    assert (picture.name, picture.filename, picture.content_type) == ("image", "input.png", "image/png")
    assert exchange.picture == PICTURE
    assert "input_fidelity" not in (replay("openai").submit.form or {})


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 1024, (1024, 1024)),
        (1500, 1000, (1488, 992)),
        (8000, 6000, (3312, 2480)),
        (320, 240, (944, 704)),
        (3000, 4000, (2480, 3312)),
        (9000, 3000, (3840, 1280)),
    ],
)
def test_newer_models_are_asked_for_the_wanted_shape(width, height, expected):
    adapter = built("openai")
    assert isinstance(adapter, OpenAI)
    asked = adapter.size(width, height)
    assert asked == expected
    assert all(side % 16 == 0 and side <= 3840 for side in asked)
    assert 655_360 <= asked[0] * asked[1] <= 3840 * 2160


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("gpt-image-1", "2026-10-23"),
        ("gpt-image-1-mini", "2026-12-01"),
        ("gpt-image-1.5", "2026-12-01"),
        ("chatgpt-image-latest", "2026-12-01"),
    ],
)
def test_a_retired_model_is_refused_by_name_and_day(model, day):
    said = re.escape(f"({day}, developers.openai.com/api/docs/deprecations: {model})")
    with pytest.raises(NotFoundError, match=rf"{said}, so nothing is sent; choose another model with -p model=…"):
        refuse_retired(built("openai", model=model))
    refuse_retired(built("openai"))


def test_tokens_are_booked_at_list_prices():
    (observed,) = replay("openai").observed
    assert (observed.cost_usd, observed.request_id) == (Decimal("0.1301"), "req_made_up")
    assert replay("openai", model="gpt-image-9").observed[0].cost_usd is None
    assert built("openai").price_for(100, 100) is None
    assert built("openai").capabilities.max_aspect == 3


def test_openais_errors():
    def error(status, code, *, param="", more=""):
        body = f'{{"error":{{"message":"m","type":"invalid_request_error","param":"{param}","code":"{code}"{more}}}}}'
        return refused("openai", says(body, status))

    blocked = error(400, "moderation_blocked")
    assert isinstance(blocked, RefusedError)
    assert blocked.billed
    at_input = error(400, "moderation_blocked", more=',"moderation_details":{"moderation_stage":"input"}')
    assert isinstance(at_input, RefusedError)
    assert not at_input.billed
    assert isinstance(error(401, "invalid_api_key"), AccountRefusedError)
    assert isinstance(error(429, "insufficient_quota"), AccountRefusedError)
    assert isinstance(error(400, "billing_hard_limit_reached"), AccountRefusedError)
    assert isinstance(error(429, "rate_limit_exceeded"), TryLaterError)
    assert isinstance(error(400, "model_not_found"), NotFoundError)
    assert isinstance(error(400, "invalid_value", param="size"), RunRefusedError)
    unfit = error(400, "invalid_image_file", param="image")
    assert isinstance(unfit, RefusedError)
    assert not isinstance(unfit, RunRefusedError)
    assert isinstance(error(500, "server_error"), VendorFailedError)
    assert isinstance(error(503, "slow_down"), TryLaterError)
    assert isinstance(refused("openai", says('{"data":[]}')), PayloadError)
