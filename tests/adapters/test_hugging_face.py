"""Hugging Face: the router, an endpoint of one's own, a model that is loading."""

import pytest
from pydantic import ValidationError
from support.flow_driver import ADDRESS, built, key_of, refused, replay

from blackbox_conformal.errors import (
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.example import says


def test_the_router_takes_json_and_answers_with_the_picture():
    exchange = replay("hugging_face", 2, settings='{"guidance_scale": 3}', target_size=True)
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/models/someone/upscaler"
    assert submit.json["inputs"].startswith("iVBORw0KGgo")
    assert submit.json["parameters"] == {"guidance_scale": 3, "target_size": {"width": 64, "height": 48}, "seed": 2}
    assert key_of(submit, "authorization") == "Bearer hf_made_up_for_this_example"
    assert submit.headers["accept"] == "image/png"


def test_an_endpoint_is_its_own_address():
    submit = replay("hugging_face", model="", endpoint=True, seed_field="").submit
    assert (submit.url, set(submit.json)) == (ADDRESS, {"inputs"})


@pytest.mark.parametrize("parameters", [{"model": ""}, {"endpoint": True}])
def test_one_address_is_given(parameters):
    with pytest.raises(ValidationError, match="give one of the two"):
        built("hugging_face", **parameters)


def test_a_loading_model_says_how_long():
    error = refused("hugging_face", says('{"error":"Model is currently loading","estimated_time":20.5}', 503))
    assert isinstance(error, TryLaterError)
    assert error.retry_after == 20.5
    assert "loading" in str(error)


def test_a_model_that_is_not_served_stops_the_run():
    error = refused("hugging_face", says('{"error":"Model not supported by provider hf-inference"}', 400))
    assert isinstance(error, NotFoundError)
    assert "not supported by provider" in str(error)
    assert type(refused("hugging_face", says('{"error":"inputs must be an image"}', 400))) is RefusedError


def test_json_in_the_place_of_the_picture():
    assert isinstance(refused("hugging_face", says('{"error":"unknown parameter seed"}')), RunRefusedError)
    assert isinstance(refused("hugging_face", says('{"error":"CUDA out of memory"}')), VendorFailedError)
    assert isinstance(refused("hugging_face", says('{"error":"CUDA out of memory"}', 500)), VendorFailedError)
    assert isinstance(refused("hugging_face", says('[{"label":"cat"}]')), PayloadError)
