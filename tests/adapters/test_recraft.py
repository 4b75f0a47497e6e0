"""Recraft: one request, the picture and its price in the answer."""

from decimal import Decimal

from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay

from blackbox_conformal.errors import AccountRefusedError, PayloadError, RefusedError
from blackbox_conformal.vendor.example import says


def test_the_picture_and_its_price_are_in_the_answer():
    exchange = replay("recraft", target="upscale16mp")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/images/creativeUpscale"
    link = submit.json["image_url"]
    assert link.startswith("data:image/png;base64,")
    assert submit.json == {
        "image_url": link,
        "response_format": "b64_json",
        "image_format": "png",
        "upscale": "upscale16mp",
    }
    assert key_of(submit, "authorization") == "Bearer made-up-recraft-key"
    assert (exchange.picture, exchange.observed[0].cost_usd) == (PICTURE, Decimal("0.25"))


def test_crisp_is_another_route_price_and_class():
    assert replay("recraft", mode="crisp").submit.url == f"{ADDRESS}/images/crispUpscale"
    crisp, creative = (built("recraft", mode=mode).capabilities for mode in ("crisp", "creative"))
    assert crisp.price.low_usd == Decimal("0.004")
    assert (crisp.deterministic, creative.deterministic) == (True, False)
    assert (crisp.min_side, creative.min_side) == (32, 256)


def test_failures():
    poor = refused("recraft", says('{"code":"not_enough_credits","message":"Not enough credits"}', 402))
    assert isinstance(poor, AccountRefusedError)
    assert poor.code == "not_enough_credits"
    size = refused("recraft", says('{"code":"invalid_image","message":"Image is too large"}', 400))
    assert isinstance(size, RefusedError)
    assert "too large" in str(size)
    assert isinstance(refused("recraft", says('{"image":{"b64_json":"not base64!"}}')), PayloadError)
