"""Gradio: upload, call, event stream, file."""

import json
import re

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    answers_of,
    built,
    drive,
    key_of,
    refused,
    replay,
    resumed,
    seeded,
    unresumed,
    upload,
)

from blackbox_conformal.errors import AccountRefusedError, NotFoundError, RefusedError, TryLaterError, VendorFailedError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import says, shows

EVENT = "1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"
JOB = f"/gradio_api/call/upscale/{EVENT}"
CONFIG = says('{"version":"6.31.0","api_prefix":"/gradio_api"}')


def stream(text: str) -> Answer:
    return Answer(200, {"content-type": "text/event-stream"}, text.encode())


def test_four_steps_to_a_picture():
    exchange = replay("gradio", 2, inputs='["{image}", {"keep": 1}, "{seed}", "{scale}", "text"]')
    config, stored, call, events, picture = exchange.sends
    assert (config.method, config.url) == ("GET", f"{ADDRESS}/config")
    assert (stored.url, stored.files[0].name) == (f"{ADDRESS}/gradio_api/upload", "files")
    assert call.url == f"{ADDRESS}/gradio_api/call/upscale"
    file = {"path": "/tmp/gradio/ab12/input.png", "meta": {"_type": "gradio.FileData"}}
    assert call.json == {"data": [file, {"keep": 1}, 2, 4, "text"]}
    assert events.url == f"{ADDRESS}/gradio_api/call/upscale/{EVENT}"
    assert picture.url == f"{ADDRESS}/gradio_api/file=/tmp/gradio/cd34/image.png"
    assert (exchange.jobs, exchange.picture) == ([JOB], PICTURE)


def test_seeds_are_sent_where_they_are_among_the_inputs():
    assert built("gradio").capabilities.seedable
    assert not built("gradio", inputs=["{image}"]).capabilities.seedable


def test_a_private_space_needs_the_token():
    sends = replay("gradio", authenticate=True).sends
    assert {key_of(send, "authorization") for send in sends} == {"Bearer hf_made_up_for_this_example"}


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ('event: error\ndata: {"error": null}\n\n', VendorFailedError, "no reason"),
        ("event: error\ndata: null\n\n", VendorFailedError, "no reason"),
        ('event: error\ndata: {"error": "GPU quota exceeded"}\n\n', VendorFailedError, "GPU quota exceeded"),
        ('event: error\ndata: {"error": "NSFW content"}\n\n', RefusedError, "NSFW content"),
        ('event: error\ndata: "404: Not Found"\n\n', VendorFailedError, "404: Not Found"),
        ('event: error\ndata: "Server stopped unexpectedly."\n\n', VendorFailedError, "stopped"),
        ("event: heartbeat\ndata: null\n\n", VendorFailedError, "nothing"),
        ("event: complete\ndata: [null]\n\n", VendorFailedError, "result 0"),
        ("event: complete\ndata: null\n\n", VendorFailedError, "somebody cancelled"),
        ("event: complete\ndata: [7]\n\n", NotFoundError, "got 7. Say which result is the picture"),
        ('event: complete\ndata: [[{"path": "/a"}, {"path": "/b"}]]\n\n', NotFoundError, "-p output=0.1"),
        ("event: complete\ndata: 7\n\n", NotFoundError, "result 0"),
    ],
)
def test_streams_that_end_without_a_picture(text, expected, said):
    error = unresumed("gradio", JOB, stream(text))
    assert isinstance(error, expected)
    assert said in str(error)


@pytest.mark.parametrize(
    ("output", "results"),
    [
        ("0", '[{"path": "/tmp/b.png"}]'),
        ("1", '["words", {"path": "/tmp/b.png"}]'),
        ("0.1", '[[{"path": "/tmp/a.png"}, {"path": "/tmp/b.png"}]]'),
        ("0", '[[{"image": {"path": "/tmp/b.png"}, "caption": null}]]'),
        ("0.1", '[[{"image": {"path": "/tmp/a.png"}}, {"image": {"path": "/tmp/b.png"}}]]'),
        ("0", '["/tmp/b.png"]'),
    ],
)
def test_results_that_are_sliders_and_galleries_are_selected(output, results):
    exchange = resumed("gradio", JOB, stream(f"event: complete\ndata: {results}\n\n"), shows(), output=output)
    assert exchange.sends[-1].url == f"{ADDRESS}/gradio_api/file=/tmp/b.png"


def test_version_4_has_no_prefix():
    adapter = built("gradio")
    answers = [says('{"version":"4.44.1"}'), *answers_of("gradio")[1:]]
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert [send.url.removeprefix(ADDRESS) for send in exchange.sends] == [
        "/config",
        "/upload",
        "/call/upscale",
        f"/call/upscale/{EVENT}",
        "/file=/tmp/gradio/cd34/image.png",
    ]


def test_a_login_is_made_with_the_password_and_shown_by_its_cookie(monkeypatch):
    monkeypatch.setenv("GRADIO_PASSWORD", "made-up-password")
    adapter = built("gradio", login="ada")
    assert adapter.key_variable == "GRADIO_PASSWORD"
    cookies = (
        "access-token-x1=t0ken; HttpOnly; Path=/; SameSite=none; Secure, "
        "access-token-unsecure-x1=t0ken; HttpOnly; Path=/; SameSite=lax"
    )
    welcome = says('{"success":true}', set_cookie=cookies)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [welcome, *answers_of("gradio")])
    entrance, *others = exchange.sends
    assert (entrance.url, entrance.form) == (
        f"{ADDRESS}/login",
        {"username": "ada", "password": Secret("made-up-password")},
    )
    assert {key_of(send, "cookie") for send in others} == {"access-token-unsecure-x1=t0ken"}
    later = drive(adapter, adapter.resume(upload(), seeded(adapter), JOB), [welcome, *answers_of("gradio")[3:]])
    assert [send.url.removeprefix(ADDRESS) for send in later.sends][:2] == ["/login", JOB]
    wrong = says('{"detail":"Incorrect credentials."}', 400)
    assert isinstance(refused("gradio", wrong, login="ada"), AccountRefusedError)
    missing = refused("gradio", says('{"detail":"Not authenticated"}', 401))
    assert isinstance(missing, AccountRefusedError)
    assert "-p login=NAME" in str(missing)


def test_an_unknown_call_is_refused():
    error = refused("gradio", CONFIG, says('["/tmp/x"]'), says('{"detail":"Not Found"}', 404))
    assert isinstance(error, RefusedError)
    assert "Not Found; is there a Gradio application" in str(error)


def test_a_full_queue_is_a_wait():
    error = refused("gradio", CONFIG, says('["/tmp/x"]'), says('{"detail":"Queue is full"}', 503))
    assert isinstance(error, TryLaterError)
    assert "Queue is full" in str(error)


def published(**more: object) -> Answer:
    """What Gradio 6 says of a call with a picture, a slider and a number, without what nobody reads."""
    call = {
        "parameters": [
            {
                "parameter_name": "image",
                "parameter_has_default": False,
                "type": {"type": "object"},
                "component": "Image",
            },
            {
                "parameter_name": "scale",
                "parameter_has_default": True,
                "parameter_default": 2,
                "type": {"type": "number", "description": "numeric value between 1 and 4"},
                "component": "Slider",
            },
            {
                "parameter_name": "seed",
                "parameter_has_default": True,
                "parameter_default": -1,
                "type": {"type": "integer"},
                "component": "Number",
            },
        ],
        "returns": [{"component": "Textbox"}, {"component": "Image"}],
    }
    return says(json.dumps({"named_endpoints": {"/upscale": {**call, **more}, "/clear": {}}}))


INPUTS = """-p inputs='["{image}", "{scale}", "{seed}"]'"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"call": "upscal"}, "no call 'upscal', only upscale, clear; give -p call=upscale"),
        ({"inputs": '["{image}", "{scale}", "{seed}", 1]'}, f"takes image, scale, seed; got 4 inputs; give {INPUTS}"),
        ({"inputs": "[]"}, f"got 0 inputs; give {INPUTS}"),
        ({"inputs": '["{scale}", "{image}"]'}, f"image is a Image; got '{{scale}}'; give {INPUTS}"),
        ({"scale": 8}, "takes for scale at most 4; got 8"),
        ({"output": "0"}, "answers with Textbox, Image, of which 0 is no picture; give -p output=1"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_what_to_give(given, said):
    adapter = built("gradio", **{"scale": 2, "output": "1", **given})
    with pytest.raises(NotFoundError, match=re.escape(said)):
        drive_free(adapter, CONFIG, published())


def test_a_call_that_fits_is_let_through():
    drive_free(built("gradio", scale=2, output="1"), CONFIG, published())
    drive_free(built("gradio", scale=2, output="1", inputs='["{image}"]'), CONFIG, published())
    drive_free(built("gradio"), CONFIG, says("{}"))


def drive_free(adapter: Adapter, *answers: Answer) -> None:
    """Run the adapter's inspection against `answers`; every one must be used."""
    steps, given = adapter.inspect(), iter(answers)
    try:
        step = next(steps)
        while True:
            assert isinstance(step, Send)
            assert step.purpose == "lookup"
            step = steps.send(next(given))
    except StopIteration:
        assert list(given) == []
