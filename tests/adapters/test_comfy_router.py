"""Comfy Router: the queue, the error types, keys that make submissions repeatable."""

from decimal import Decimal

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, drive, key_of, refused, replay, seeded, unresumed, upload

from blackbox_conformal.errors import (
    AccountRefusedError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import says, shows

JOB = "6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21"
PLACE = f"{ADDRESS}/v2/models/fal/crystal-upscaler/requests"
DONE = says('{"status":"COMPLETED"}')


def test_a_run_is_queued_polled_and_collected():
    exchange = replay("comfy_router", scale=2)
    submit, poll, _, collect, download = exchange.sends
    assert (submit.method, submit.url) == ("POST", PLACE)
    assert key_of(submit, "x-api-key") == "comfyui-made-up-for-this-example"
    picture = submit.json["image_url"]
    assert picture.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": picture, "scale_factor": 2, "output_format": "png"}
    assert poll.url == f"{PLACE}/{JOB}/status"
    assert collect.url == f"{PLACE}/{JOB}"
    assert download.public
    assert (exchange.picture, exchange.jobs) == (PICTURE, [JOB])
    assert exchange.observed[-1].cost_usd == pytest.approx(Decimal("0.1"))
    assert submit.headers["idempotency-key"] == "key-of-draw-0"
    assert built("comfy_router").capabilities.idempotency_header == "Idempotency-Key"


def test_models_differ_in_names_form_and_output():
    adapter = built("comfy_router", model="bria/image-edit-increase-resolution")
    output = says(f'{{"result":{{"image_url":"{ADDRESS}/o.png"}}}}')
    queued = says(f'{{"request_id":"{JOB}"}}', 201)
    submit = drive(adapter, adapter.draw(upload(), seeded(adapter)), [queued, DONE, output, shows()]).submit
    assert submit.json["desired_increase"] == 4
    assert submit.json["image"].startswith("iVBORw0KGgo")
    other = built(
        "comfy_router", model="x/y", image_input="photo", scale_input="", seed_input="seed", image_form="base64"
    )
    submit = drive(other, other.draw(upload(), seeded(other)), [queued, DONE, shows()]).submit
    assert set(submit.json) == {"photo", "seed"}


def test_a_result_that_is_not_ready_is_asked_for_again_and_a_missing_one_named():
    early = says('{"status":"IN_PROGRESS"}', 202)
    assert isinstance(unresumed("comfy_router", JOB, DONE, early, says('{"other":1}')), PayloadError)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (401, "unauthorized", AccountRefusedError),
        (402, "insufficient_credits", AccountRefusedError),
        (403, "not_enabled", AccountRefusedError),
        (404, "model_not_found", NotFoundError),
        (409, "concurrency_limit_exceeded", TryLaterError),
        (409, "invalid_input", VendorFailedError),
        (400, "invalid_input", RefusedError),
        (429, "queue_backlog_full", TryLaterError),
        (429, "rate_limited", TryLaterError),
        (503, "service_unavailable", TryLaterError),
    ],
)
def test_types_of_a_refused_submission(status, kind, expected):
    assert isinstance(refused("comfy_router", _typed(status, kind)), expected)


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (502, "provider_error", VendorFailedError),
        (504, "provider_timeout", VendorFailedError),
        (504, "queue_timeout", VendorFailedError),
        (409, "cancelled", VendorFailedError),
        (400, "content_policy_violation", RefusedError),
    ],
)
def test_types_of_a_failed_run(status, kind, expected):
    error = unresumed("comfy_router", JOB, DONE, _typed(status, kind))
    assert isinstance(error, expected)
    if isinstance(error, RefusedError):
        assert error.billed


def test_an_input_that_all_pictures_share_stops_the_run():
    def invalid(field):
        body = f'{{"detail":[{{"loc":["body","{field}"],"msg":"m","type":"t"}}]}}'
        return refused("comfy_router", says(body, 422, x_comfy_error_type="invalid_input"))

    assert isinstance(invalid("scale_factor"), RunRefusedError)
    assert not isinstance(invalid("image_url"), RunRefusedError)


def published(**inputs: str) -> Answer:
    properties = ",".join(f'"{name}":{schema}' for name, schema in inputs.items())
    schema = f'{{"type":"object","required":["image_url"],"properties":{{{properties}}}}}'
    body = f'{{"requestBody":{{"content":{{"application/json":{{"schema":{schema}}}}}}}}}'
    return says(f'{{"paths":{{"/v2/models/x/upscaler":{{"post":{body}}}}}}}')


def test_inputs_are_read_from_what_the_router_publishes_of_a_model():
    adapter = built("comfy_router", model="x/upscaler", scale_input="scale")
    with pytest.raises(NotFoundError, match="no input 'scale', only image_url, factor"):
        inspected(adapter, published(image_url='{"type":"string"}', factor='{"type":"number"}'))
    adapter = built("comfy_router", model="x/upscaler")
    formats = '{"type":"string","enum":["jpg","png"],"default":"jpg"}'
    document = published(image_url='{"type":"string"}', upscale_factor='{"type":"number"}', output_format=formats)
    told = inspected(adapter, document)
    assert told is not None
    assert "magnification upscale_factor" in told
    queued = says(f'{{"request_id":"{JOB}"}}', 201)
    output = says(f'{{"images":[{{"url":"{ADDRESS}/o.png"}}]}}')
    submit = drive(adapter, adapter.draw(upload(), seeded(adapter)), [queued, DONE, output, shows()]).submit
    assert set(submit.json) == {"image_url", "upscale_factor", "output_format"}
    assert submit.json["output_format"] == "png"
    assert inspected(built("comfy_router"), says("{}")) is None
    assert inspected(built("comfy_router"), says("{}", 404)) is None
    with pytest.raises(NotFoundError):
        inspected(built("comfy_router"), _typed(404, "model_not_found"))


def inspected(adapter: Adapter, answer: Answer) -> str | None:
    steps = adapter.inspect()
    assert steps is not None
    send = next(steps)
    assert isinstance(send, Send)
    assert (send.purpose, send.url.endswith("/openapi.json")) == ("lookup", True)
    try:
        steps.send(answer)
    except StopIteration as end:
        return end.value
    raise AssertionError("expected one request")


def _typed(status: int, kind: str) -> Answer:
    return says(f'{{"detail":"m","error_type":"{kind}"}}', status, x_comfy_error_type=kind)
