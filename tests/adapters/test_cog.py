"""Cog containers: both dialects of refusing, one of answering."""

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, drive, refused, replay, seeded, upload

from blackbox_conformal.errors import PayloadError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

PNG = "data:image/png;base64,iVBORw0KGgo="


def test_one_synchronous_request_without_a_key():
    exchange = replay("cog", 5)
    (submit,) = exchange.sends
    assert (submit.method, submit.url, submit.headers) == ("POST", f"{ADDRESS}/predictions", {})
    assert set(submit.json) == {"input"}
    assert {name: value for name, value in submit.json["input"].items() if name != "image"} == {
        "sr_scale": 4,
        "seed": 5,
    }
    assert (exchange.picture, exchange.jobs) == (PICTURE, [])


@pytest.mark.parametrize(
    "body",
    [
        f'{{"input":{{}},"output":"{PNG}","id":null,"status":"succeeded","metrics":{{"predict_time":1}}}}',
        f'{{"id":"pred_1","output":["{PNG}"],"status":"succeeded","logs":""}}',
    ],
)
def test_both_dialects_answer_with_a_data_link(body):
    adapter = built("cog")
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [says(body)])
    assert exchange.picture == b"\x89PNG\r\n\x1a\n"


def test_a_server_that_uploads_answers_with_a_link():
    adapter = built("cog")
    body = f'{{"output":"{ADDRESS}/files/out.png","status":"succeeded"}}'
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [says(body), shows()])
    assert exchange.sends[-1].url == f"{ADDRESS}/files/out.png"


@pytest.mark.parametrize(
    "body",
    [
        '{"detail":"Already running a prediction"}',
        '{"error":"At capacity - all prediction slots busy","status":"failed"}',
    ],
)
def test_a_busy_container_is_a_wait_in_both_dialects(body):
    error = refused("cog", says(body, 409))
    assert isinstance(error, TryLaterError)
    assert error.retry_after == 0.5
    assert "busy" in str(error)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            says('{"detail":[{"loc":["body","input","scale"],"msg":"permitted: 4","type":"type_error.enum"}]}', 422),
            "HTTP 422: input.scale: permitted: 4",
        ),
        (Answer(400, {"content-type": "text/plain"}, b"invalid JSON"), "invalid JSON"),
        (says('{"detail":"Unsupported Media Type"}', 415), "Unsupported"),
    ],
)
def test_invalid_requests_are_refused_in_the_servers_words(answer, said):
    error = refused("cog", answer)
    assert isinstance(error, RefusedError)
    assert said in str(error)


def test_an_exception_of_the_model_is_an_http_200():
    error = refused("cog", says('{"id":"pred_9","status":"failed","error":"CUDA error: out of memory"}'))
    assert isinstance(error, VendorFailedError)
    assert "out of memory" in str(error)
    assert error.request_id == "pred_9"


def test_no_output_is_a_payload_error():
    assert isinstance(refused("cog", says('{"status":"succeeded","output":null}')), PayloadError)


def test_a_container_that_is_setting_up_is_a_wait():
    assert isinstance(refused("cog", says('{"detail":"setup"}', 503)), TryLaterError)
