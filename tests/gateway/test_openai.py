"""OpenAI's interface for edited pictures, and what a request may say of any vendor by the vendor's own names."""

import base64
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from support.gateway import Gateway, picture, serving

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.gateway.offer import Offer
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.study.plugins import adapter_class

DIALECTS = ("openai", "multipart")


def edit(gateway: Gateway, number: int, field: str = "image", **fields: str) -> httpx.Response:
    """Send a picture; fields with capital letters are headers."""
    headers = {name.replace("_", "-"): value for name, value in fields.items() if name[0].isupper()}
    data = {"prompt": "", **{name: value for name, value in fields.items() if not name[0].isupper()}}
    files = {field: ("in.png", picture(number), "image/png")}
    return httpx.post(f"{gateway.url}/v1/images/edits", files=files, data=data, headers=headers, timeout=60)


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_the_answer_holds_the_vendors_bytes_and_links_to_the_mask(server, field, gateway):
    answer = edit(gateway, 0, field, n="1", model="blackbox-conformal", scale="4", stream="false")
    plain, told = gateway.post(picture(0)), answer.json()
    assert (base64.b64decode(told["data"][0]["b64_json"]), told["output_format"]) == (plain.content, "png")
    mask = told["blackbox_conformal"]["mask"]
    assert gateway.get(mask).headers["content-type"] == "image/png"
    assert answer.headers["x-blackbox-conformal-mask"] == mask
    link = edit(gateway, 0, field, response_format="url").json()["data"][0]["url"]
    assert (gateway.get(link).content, server.account.paid) == (plain.content, 1)


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"field": "mask"}, 400, "no file mask"),
    ({"n": "2"}, 400, "expected n to be 1; got 2"),
    ({"stream": "true"}, 400, "expected stream to be false"),
    ({"response_format": "hex"}, 400, "b64_json or url"),
    ({"prompt": "a cat"}, 400, "no field prompt"),
    ({"model": "dall-e-2"}, 404, "no model dall-e-2"),
    ({"seedable": "false"}, 409, "--allow seedable"),
    ({"Content_Type": "application/json"}, 415, "a form"),
]


def test_what_is_not_taken_is_refused_by_name_and_not_asked_for_again(server, gateway):
    for given, status, said in REFUSED:
        refused = edit(gateway, 0, **given)
        assert refused.status_code == status
        assert said in refused.json()["error"]["message"]
        assert refused.headers["x-should-retry"] == "false"
    twice = [("image", ("in.png", picture(0), "image/png"))] * 2
    assert httpx.post(f"{gateway.url}/v1/images/edits", files=twice).status_code == 400
    again = httpx.post(f"{gateway.url}/v1/images/edits", files=twice[:1], data={"prompt": ["", "a cat"]})
    assert "stands twice" in again.json()["error"]["message"]
    assert server.account.paid == 0


def test_a_spent_budget_and_a_failed_vendor_have_openais_statuses(calibration, vendor, server, tmp_path):
    settings = {"max_cost": "0.01"}
    with serving(calibration, vendor, tmp_path / "run", dialects=DIALECTS, settings=settings) as gateway:
        server.script = {"submit": ["status:code=401"]}
        failed = edit(gateway, 0)
        assert (failed.status_code, failed.json()["error"]["type"]) == (502, "server_error")
        server.script = {}
        assert edit(gateway, 0).status_code == 200
        spent = edit(gateway, 1)
        assert (spent.status_code, spent.json()["error"]["code"]) == (429, "insufficient_quota")
        assert spent.headers["x-should-retry"] == "false"
        models = gateway.get("/v1/models").json()["data"]
        assert "fault-synchronous" in [model["id"] for model in models]


def test_a_key_gives_the_earlier_request(gateway):
    first, second = (edit(gateway, 0, Idempotency_Key="once") for _ in range(2))
    assert first.headers["x-blackbox-conformal-request"] == second.headers["x-blackbox-conformal-request"]
    assert edit(gateway, 1, Idempotency_Key="once").status_code == 409


def test_where_too_many_wait_the_client_comes_again(calibration, vendor, server, tmp_path):
    with serving(
        calibration, vendor, tmp_path / "run", dialects=DIALECTS, terms=GatewayTerms(most_waiting=0)
    ) as gateway:
        refused = edit(gateway, 0)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (refused.headers["x-should-retry"], server.account.paid) == ("true", 0)


MODELS = {
    "fal": ("fal-ai/clarity-upscaler", "upscale_factor"),
    "replicate": ("philz1337x/clarity-upscaler", "scale_factor"),
}


@pytest.fixture(params=MODELS)
def offered(request: pytest.FixtureRequest) -> tuple[Offer, str, str]:
    """The offer of a model whose calls also have a creativity of 0.3, its name, and what its scale is called."""
    model, scale = MODELS[request.param]
    vendor = adapter_class(request.param)(model=model, scale=2, inputs={"creativity": 0.3})
    calibration = SimpleNamespace(procedure=SimpleNamespace(scale=2), vendor_models=(model,))
    return Offer(vendor, cast(Calibration, calibration)), model, scale


def test_a_client_may_say_what_the_vendor_is_sent(offered):
    offer, model, scale = offered
    for said in ({}, {scale: 2}, {scale: "2"}, {scale: 2, "creativity": 0.3, "scale": 2}, {"seed": None}):
        assert offer.vendor_for(said, model) == (None, None)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        ({"creativity": 0.9}, 409, "expected creativity 0.3"),
        ({"scale": 4}, 409, "expected scale=2"),
        ({"seed": 42}, 422, "no field seed"),
        ({"face": True}, 422, "no field face"),
    ],
)
def test_another_value_and_an_unknown_name_are_refused(offered, said, status, words):
    offer, model, scale = offered
    with pytest.raises(NotServedError, match=words) as refused:
        offer.vendor_for(said, model)
    assert refused.value.status == status
    with pytest.raises(NotServedError, match=f"expected {scale} 2"):
        offer.vendor_for({scale: 4}, model)
