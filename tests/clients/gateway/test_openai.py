"""OpenAI's Python client edits pictures at a gateway: bytes, masks, repetition, errors."""

import base64
from typing import Any

import httpx
import openai
import pytest
from support.gateway import picture
from support.losing_proxy import LosingProxy

from blackbox_conformal.testing.fault_server import FaultServer


def client_of(gateway: str, **settings: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="made-up", **settings)


def file(number: int) -> tuple[str, bytes, str]:
    return "in.png", picture(number), "image/png"


def vendors(gateway: str, number: int) -> bytes:
    """The picture of the vendor, as a plain form gets it."""
    return httpx.post(f"{gateway}/pictures", files={"image": file(number)}, timeout=60).content


@pytest.mark.parametrize("many", [False, True], ids=["image", "image[]"])
def test_the_vendors_bytes_and_the_mask_reach_the_client(gateway: str, vendor: FaultServer, many: bool) -> None:
    paid = vendor.account.paid
    number = 100 + many
    edited = client_of(gateway).images.edit(
        image=[file(number)] if many else file(number), prompt="", model="blackbox-conformal", n=1
    )
    assert base64.b64decode(edited.data[0].b64_json) == vendors(gateway, number)
    assert vendor.account.paid == paid + 1
    facts = edited.model_extra["blackbox_conformal"]
    assert httpx.get(facts["mask"]).headers["content-type"] == "image/png"
    assert httpx.get(facts["certificate"].split("?")[0]).json()["trusted_share"] == facts["trusted_share"]


def test_a_link_may_be_asked_for(gateway: str) -> None:
    edited = client_of(gateway).images.edit(image=file(102), prompt="", response_format="url")
    assert httpx.get(edited.data[0].url).content == vendors(gateway, 102)


def test_headers_tell_the_same_and_a_key_gives_the_same_request(gateway: str, vendor: FaultServer) -> None:
    raw = client_of(gateway).images.with_raw_response
    paid = vendor.account.paid
    answers = [raw.edit(image=file(103), prompt="", extra_headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert len({answer.headers["x-blackbox-conformal-request"] for answer in answers}) == 1
    facts = answers[0].parse().model_extra["blackbox_conformal"]
    assert answers[0].headers["x-blackbox-conformal-mask"] == facts["mask"]
    assert vendor.account.paid == paid + 1
    with pytest.raises(openai.ConflictError, match="idempotency key"):
        raw.edit(image=file(104), prompt="", extra_headers={"Idempotency-Key": "once"})


def test_a_client_whose_answer_was_lost_asks_again_and_nothing_is_paid_twice(gateway: str, vendor: FaultServer) -> None:
    paid = vendor.account.paid
    with LosingProxy(gateway) as way:
        edited = client_of(way.url).images.edit(image=file(106), prompt="")
    assert way.lost
    assert base64.b64decode(edited.data[0].b64_json) == vendors(gateway, 106)
    assert vendor.account.paid == paid + 1


def test_models_are_listed(gateway: str) -> None:
    assert "fault-synchronous" in [model.id for model in client_of(gateway).models.list()]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"mask": file(0)}, openai.BadRequestError, "no file mask"),
        ({"n": 2}, openai.BadRequestError, "expected n to be 1"),
        ({"prompt": "a cat"}, openai.BadRequestError, "no field prompt"),
        ({"size": "1024x1024"}, openai.BadRequestError, "no field size"),
        ({"image": ("in.png", b"no picture", "image/png")}, openai.BadRequestError, "PNG"),
        ({"image": [file(0), file(1)]}, openai.BadRequestError, "one picture"),
        ({"model": "dall-e-2"}, openai.NotFoundError, "no model dall-e-2"),
        (
            {"extra_body": {"seedable": "false"}, "extra_headers": {"Prefer": "handling=strict"}},
            openai.ConflictError,
            "seedable",
        ),
    ],
    ids=["mask", "n", "prompt", "size", "no picture", "two pictures", "model", "strict"],
)
def test_what_is_refused_raises_the_clients_class(
    gateway: str, vendor: FaultServer, given: dict[str, Any], error: type[openai.APIStatusError], said: str
) -> None:
    paid = vendor.account.paid
    with pytest.raises(error, match=said) as raised:
        client_of(gateway).images.edit(**{"image": file(0), "prompt": "", **given})
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.type == "invalid_request_error"
    assert vendor.account.paid == paid


def test_a_spent_budget_is_a_rate_limit_and_a_failed_vendor_a_server_error(
    gateway: str, spent_gateway: str, vendor: FaultServer
) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client_of(spent_gateway).images.edit(image=file(105), prompt="")
    assert raised.value.code == "insufficient_quota"
    vendor.script = {"submit": "status:code=401"}
    with pytest.raises(openai.InternalServerError):
        client_of(gateway).images.edit(image=file(105), prompt="")
