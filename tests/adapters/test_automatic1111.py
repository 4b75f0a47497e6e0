"""AUTOMATIC1111 and its forks: the two routes, the optional password."""

import json

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, drive, key_of, refused, replay, seeded, upload

from blackbox_conformal.errors import AccountRefusedError, NotFoundError, PayloadError, RefusedError, VendorFailedError
from blackbox_conformal.vendor.example import says


def test_img2img_paints_at_the_wanted_size_from_the_draws_seed():
    exchange = replay("automatic1111", 6, settings='{"sampler_name": "Euler", "seed": 1}', checkpoint="sdxl")
    (submit,) = exchange.sends
    assert (submit.url, submit.headers) == (f"{ADDRESS}/sdapi/v1/img2img", {})
    body = dict(submit.json)
    assert len(body.pop("init_images")) == 1
    assert body == {
        "prompt": "a photograph",
        "steps": 20,
        "denoising_strength": 0.35,
        "sampler_name": "Euler",
        "width": 64,
        "height": 48,
        "batch_size": 1,
        "n_iter": 1,
        "seed": 6,
        "override_settings": {"sd_model_checkpoint": "sdxl"},
    }
    assert exchange.picture == PICTURE


@pytest.mark.parametrize(
    ("info", "checkpoint", "model"),
    [
        ({"sd_model_name": "sd_xl_base", "sd_model_hash": "31e35c80fc"}, "sdxl", "sd_xl_base [31e35c80fc]"),
        ({"sd_model_hash": "31e35c80fc", "infotexts": ["long " * 400]}, "sdxl", "sdxl [31e35c80fc]"),
        ({"sd_model_hash": "31e35c80fc"}, None, "[31e35c80fc]"),
        ({"sd_model_name": None, "sd_model_hash": None}, "sdxl", "sdxl"),
        (None, None, None),
        ("nonsense", "sdxl", "sdxl"),
    ],
)
def test_the_checkpoint_that_answered_is_what_the_server_says(info, checkpoint, model):
    adapter = built("automatic1111", mode="img2img", checkpoint=checkpoint)
    text = info if isinstance(info, str) else json.dumps(info)
    answer = says(json.dumps({"images": ["iVBORw0KGgo="], "parameters": {}, "info": text}))
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [answer])
    assert exchange.observed[-1].model == model


def test_extras_run_an_upscaler():
    adapter = built("automatic1111", mode="extras")
    body = '{"html_info":"","image":"iVBORw0KGgo="}'
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [says(body)])
    submit = exchange.submit
    assert submit.url == f"{ADDRESS}/sdapi/v1/extra-single-image"
    assert submit.json["upscaler_1"] == "R-ESRGAN 4x+"
    assert (submit.json["resize_mode"], submit.json["upscaling_resize"]) == (0, 4)
    assert exchange.picture == b"\x89PNG\r\n\x1a\n"
    assert adapter.capabilities.deterministic


def test_a_password_is_sent_when_asked_for(monkeypatch):
    monkeypatch.setenv("AUTOMATIC1111_API_AUTH", "dXNlcjpwYXNz")
    assert key_of(replay("automatic1111", authenticate=True).submit, "authorization") == "Basic dXNlcjpwYXNz"


def test_failures():
    missing = refused("automatic1111", says('{"error":"HTTPException","detail":"Sampler not found","errors":""}', 404))
    assert isinstance(missing, NotFoundError)
    assert "Sampler not found" in str(missing)
    assert isinstance(refused("automatic1111", says('{"detail":"Incorrect username"}', 401)), AccountRefusedError)
    assert isinstance(refused("automatic1111", says('{"images":[]}')), PayloadError)
    memory = '{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory."}'
    assert isinstance(refused("automatic1111", says(memory, 500)), VendorFailedError)
    unreadable = '{"error":"HTTPException","detail":"Invalid encoded image","body":"","errors":""}'
    assert isinstance(refused("automatic1111", says(unreadable, 500)), RefusedError)
