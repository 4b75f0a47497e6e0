"""Gradio: upload, call, event stream, file."""

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay, unresumed

from blackbox_conformal.adapter import Answer
from blackbox_conformal.errors import JobError, PayloadError, RefusedError, TryLaterError
from blackbox_conformal.example import says

EVENT = "1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"


def stream(text: str) -> Answer:
    return Answer(200, {"content-type": "text/event-stream"}, text.encode())


def test_four_steps_to_a_picture() -> None:
    exchange = replay("gradio", 2, inputs='["{image}", {"keep": 1}, "{seed}", "{scale}", "text"]')
    stored, call, events, picture = exchange.sends
    assert (stored.url, stored.files[0].name) == (f"{ADDRESS}/gradio_api/upload", "files")
    assert call.url == f"{ADDRESS}/gradio_api/call/upscale"
    file = {"path": "/tmp/gradio/ab12/input.png", "meta": {"_type": "gradio.FileData"}}
    assert call.json == {"data": [file, {"keep": 1}, 2, 4, "text"]}
    assert events.url == f"{ADDRESS}/gradio_api/call/upscale/{EVENT}"
    assert picture.url == f"{ADDRESS}/gradio_api/file=/tmp/gradio/cd34/image.png"
    assert exchange.jobs == [EVENT]
    assert exchange.picture == PICTURE


def test_seeds_are_sent_where_they_are_among_the_inputs() -> None:
    assert built("gradio").capabilities.seedable
    assert not built("gradio", inputs=["{image}"]).capabilities.seedable


def test_a_private_space_needs_the_token() -> None:
    sends = replay("gradio", authenticate=True).sends
    assert {key_of(send, "authorization") for send in sends} == {"Bearer hf_made_up_for_this_example"}


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ('event: error\ndata: {"error": null}\n\n', RefusedError, "no reason"),
        ('event: error\ndata: {"error": "GPU quota exceeded"}\n\n', RefusedError, "GPU quota exceeded"),
        ('event: error\ndata: "404: Not Found"\n\n', JobError, "404: Not Found"),
        ('event: error\ndata: "Server stopped unexpectedly."\n\n', JobError, "stopped"),
        ("event: heartbeat\ndata: null\n\n", JobError, "nothing"),
        ("event: complete\ndata: [null]\n\n", PayloadError, "result 0"),
    ],
)
def test_streams_that_end_without_a_picture(text: str, expected: type[Exception], said: str) -> None:
    error = unresumed("gradio", EVENT, stream(text))
    assert isinstance(error, expected)
    assert said in str(error)


def test_an_unknown_call_is_refused() -> None:
    error = refused("gradio", says('["/tmp/x"]'), says('{"detail":"Not Found"}', 404))
    assert isinstance(error, RefusedError)
    assert "Not Found; is there a Gradio application" in str(error)


def test_a_full_queue_is_a_wait() -> None:
    error = refused("gradio", says('["/tmp/x"]'), says('{"detail":"Queue is full"}', 503))
    assert isinstance(error, TryLaterError)
    assert "Queue is full" in str(error)
