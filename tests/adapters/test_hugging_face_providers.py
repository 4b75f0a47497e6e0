"""Inference Providers: requests as the vendor's own client builds them, for each provider."""

from typing import Any

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, drive, failure, key_of, replay, seeded, unresumed, upload

from blackbox_conformal.errors import (
    AccountRefusedError,
    NotFoundError,
    RefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.testing.rehearsal import Rehearsal
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows


def drawn(provider: str, known: str, *answers: Answer, **parameters: Any) -> Rehearsal:
    adapter = built("hugging_face_providers", provider=provider, **parameters)
    return drive(adapter, adapter.draw(upload(), seeded(adapter)), [offers(provider, known), *answers])


def refused(*answers: Answer, **parameters: Any) -> VendorError:
    adapter = built("hugging_face_providers", **parameters)
    return failure(adapter, adapter.draw(upload(), seeded(adapter)), *answers)


def offers(provider: str, known: str, more: str = "") -> Answer:
    mine = f'"{provider}":{{"status":"live","providerId":"{known}","task":"image-to-image"{more}}}'
    return says(f'{{"inferenceProviderMapping":{{{mine}}}}}')


def test_fal_is_reached_by_its_queue():
    exchange = replay("hugging_face_providers", settings='{"upscaling_factor": 4}')
    lookup, submit, poll, _, result, download = exchange.sends
    assert lookup.url == f"{ADDRESS}/api/models/fal/AuraSR"
    assert (lookup.query, lookup.public, lookup.headers) == ({"expand": "inferenceProviderMapping"}, True, {})
    assert (submit.url, submit.query) == (f"{ADDRESS}/fal-ai/fal-ai/aura-sr", {"_subdomain": "queue"})
    assert key_of(submit, "authorization") == "Bearer hf_made_up_for_this_example"
    picture = submit.json["image_url"]
    assert picture.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": picture, "image_urls": [picture], "upscaling_factor": 4, "seed": 0}
    assert poll.url == f"{ADDRESS}/fal-ai/fal-ai/aura-sr/requests/r-1/status"
    assert result.url == f"{ADDRESS}/fal-ai/fal-ai/aura-sr/requests/r-1"
    assert poll.query == result.query == {"_subdomain": "queue"}
    assert key_of(poll, "authorization") == "Bearer hf_made_up_for_this_example"
    assert download.public
    assert (exchange.picture, exchange.observed[0].model) == (PICTURE, "fal-ai:fal-ai/aura-sr")
    assert exchange.jobs == ["r-1 /fal-ai/aura-sr/requests/r-1"]


def test_replicate_answers_at_once_or_is_polled_through_the_router():
    link = '"urls":{"get":"https://api.replicate.com/v1/predictions/p-1"}'
    at_once = says(f'{{"id":"p-1","status":"succeeded","output":["{ADDRESS}/o.png"],{link}}}')
    _, submit, download = drawn("replicate", "owner/name", at_once, shows(), prompt="restore").sends
    assert submit.url == f"{ADDRESS}/replicate/v1/models/owner/name/predictions"
    assert submit.headers["prefer"] == "wait"
    picture = submit.json["input"]["image"]
    assert submit.json == {
        "input": {
            "image": picture,
            "images": [picture],
            "input_image": picture,
            "input_images": [picture],
            "prompt": "restore",
            "seed": 0,
        }
    }
    assert download.url == f"{ADDRESS}/o.png"
    working = says(f'{{"id":"p-1","status":"processing","output":null,{link}}}')
    later = drawn("replicate", "owner/name:5c7d", working, at_once, shows()).sends
    assert (later[1].url, later[1].json["version"]) == (f"{ADDRESS}/replicate/v1/predictions", "5c7d")
    assert later[2].url == f"{ADDRESS}/replicate/v1/predictions/p-1"


def test_wavespeed_is_polled_at_the_path_that_it_names():
    exchange = drawn(
        "wavespeed",
        "wavespeed-ai/seedvr2",
        says(
            '{"code":200,"data":{"id":"w-1","urls":{"get":"https://api.wavespeed.ai/api/v3/predictions/w-1/result"}}}'
        ),
        says('{"data":{"status":"processing","outputs":[]}}'),
        says(f'{{"data":{{"status":"completed","outputs":["{ADDRESS}/o.png"]}}}}'),
        shows(),
        seed_field="",
    )
    _, submit, poll, _, _ = exchange.sends
    assert (submit.url, set(submit.json)) == (f"{ADDRESS}/wavespeed/api/v3/wavespeed-ai/seedvr2", {"image"})
    assert poll.url == f"{ADDRESS}/wavespeed/api/v3/predictions/w-1/result"


def test_a_model_that_the_provider_does_not_run_stops_the_run_before_anything_is_paid():
    elsewhere = refused(offers("wavespeed", "x/y"))
    assert isinstance(elsewhere, NotFoundError)
    assert "provider=wavespeed" in str(elsewhere)
    words = says('{"inferenceProviderMapping":{"fal-ai":{"status":"live","providerId":"x","task":"text-to-image"}}}')
    assert isinstance(refused(words), NotFoundError)
    assert isinstance(refused(offers("fal-ai", "x", ',"adapterWeightsPath":"lora.safetensors"')), NotFoundError)
    assert isinstance(refused(says("{}")), NotFoundError)
    assert isinstance(refused(says('{"error":"Invalid username or password."}', 401)), NotFoundError)


def test_the_address_of_the_hub_follows_that_of_the_router():
    adapter = built("hugging_face_providers", url="https://router.huggingface.co")
    step = next(adapter.draw(upload(), seeded(adapter)))
    assert getattr(step, "url", "") == "https://huggingface.co/api/models/fal/AuraSR"


@pytest.mark.parametrize(
    ("provider", "answer", "expected"),
    [
        ("fal-ai", '{"status":"COMPLETED","error":"lost","error_type":"runner_disconnected"}', VendorFailedError),
        ("fal-ai", '{"status":"COMPLETED","error":"flagged","error_type":"content_policy_violation"}', RefusedError),
        ("replicate", '{"status":"failed","error":"interrupted; please retry (code: PA)"}', VendorFailedError),
        ("replicate", '{"status":"failed","error":"flagged as sensitive content (E005)"}', RefusedError),
        ("wavespeed", '{"data":{"status":"failed","error":"internal error"}}', VendorFailedError),
        (
            "wavespeed",
            '{"code":200,"data":{"status":"failed","code":1200,"error":"The content contains sensitive information."}}',
            RefusedError,
        ),
    ],
)
def test_failed_jobs(provider, answer, expected):
    error = unresumed("hugging_face_providers", "j /p/j", says(answer), provider=provider)
    assert isinstance(error, expected)
    assert getattr(error, "code", None) != "200"


def test_a_result_that_fails_has_its_reason_in_it():
    done = says('{"status":"COMPLETED"}')
    body = '{"detail":[{"msg":"m","type":"content_policy_violation"}]}'
    filtered = unresumed("hugging_face_providers", "j /p/j", done, says(body, 422))
    assert isinstance(filtered, RefusedError)
    lost = says('{"detail":"m"}', 503, x_fal_error_type="runner_scheduling_failure")
    assert isinstance(unresumed("hugging_face_providers", "j /p/j", done, lost), VendorFailedError)


def test_the_routers_errors():
    def error(status, message="m"):
        return refused(offers("fal-ai", "fal-ai/aura-sr"), says(f'{{"error":"{message}"}}', status))

    assert isinstance(error(401), AccountRefusedError)
    assert isinstance(error(402, "You have exceeded your monthly included credits"), AccountRefusedError)
    assert isinstance(error(400, "Model x is not supported by provider fal-ai"), NotFoundError)
    assert isinstance(error(429), TryLaterError)
    assert isinstance(error(422), RefusedError)
