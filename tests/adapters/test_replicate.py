"""Replicate: what is sent, and what is made of each state and failure."""

import base64
import json

import pytest
from pydantic import ValidationError
from support.draws import draw, tasks
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
from support.recording_server import RecordingServer

from blackbox_adapters.replicate import Replicate
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    PayloadError,
    RefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Observed, Upload
from blackbox_conformal.vendor.example import says, shows

JOB = "gm3qorzdhgbfurvjtvhg6dckhu"
VERSION = "ab" * 32


def prediction(status: str, output: str = "null", error: str = "null") -> str:
    return f'{{"id":"{JOB}","status":"{status}","output":{output},"error":{error}}}'


def test_an_unpinned_community_model_is_looked_up_and_run_by_version():
    exchange = replay("replicate")
    lookup, submit, *polls, download = exchange.sends
    assert (lookup.method, lookup.url) == ("GET", f"{ADDRESS}/models/philz1337x/clarity-upscaler")
    assert (submit.method, submit.url) == ("POST", f"{ADDRESS}/predictions")
    assert submit.json["version"] == VERSION
    assert submit.json["input"] == {
        "output_format": "png",
        "scale_factor": 4,
        "image": submit.json["input"]["image"],
        "seed": 0,
    }
    assert submit.json["input"]["image"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert key_of(submit, "authorization") == "Bearer r8_made_up_for_this_example"
    assert submit.headers["cancel-after"] == "30m"
    assert [poll.url for poll in polls] == [f"{ADDRESS}/predictions/{JOB}"] * 2
    assert download.public
    assert download.headers == {}
    assert (exchange.jobs, exchange.observed[0].model) == ([JOB], VERSION)


def test_a_pinned_model_needs_no_lookup_and_names_its_version_in_the_identity():
    model = f"philz1337x/clarity-upscaler:{VERSION}"
    adapter = built("replicate", model=model)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers_of("replicate")[1:])
    assert exchange.submit.json["version"] == VERSION
    assert adapter.identity()["parameters"]["model"] == model


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"model": "topazlabs/image-upscale"}, "models/topazlabs/image-upscale/predictions"),
        ({"model": "me/mine", "route": "deployment"}, "deployments/me/mine/predictions"),
    ],
)
def test_official_models_and_deployments_have_their_own_addresses(parameters, path):
    adapter = built("replicate", **parameters)
    done = says(prediction("succeeded", f'"{ADDRESS}/out.png"'), 201)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [done, shows()])
    assert exchange.submit.url == f"{ADDRESS}/{path}"
    assert "version" not in exchange.submit.json


def test_topaz_takes_its_factor_as_text_and_offers_only_some():
    adapter = built("replicate", model="topazlabs/image-upscale", scale=2)
    exchange = drive(
        adapter,
        adapter.draw(upload(), seeded(adapter)),
        [says(prediction("succeeded", f'"{ADDRESS}/o"'), 201), shows()],
    )
    assert exchange.submit.json["input"]["upscale_factor"] == "2x"
    with pytest.raises(ValidationError, match="magnifies by 2, 4, 6"):
        built("replicate", model="topazlabs/image-upscale", scale=3)


def test_a_large_picture_goes_through_the_files_interface():
    adapter = built("replicate", model=f"csslc/ccsr:{VERSION}")
    large = Upload("big", "sha256:1", bytes(300_000), 400, 400)
    answers = [
        says('{"id":"f","urls":{"get":"https://api.replicate.com/v1/files/f"}}', 201),
        says(prediction("succeeded", f'"{ADDRESS}/out.png"'), 201),
        shows(),
    ]
    exchange = drive(adapter, adapter.draw(large, seeded(adapter)), answers)
    stored, submit, _ = exchange.sends
    assert (stored.purpose, stored.url, stored.files[0].name) == ("lookup", f"{ADDRESS}/files", "content")
    assert submit.json["input"]["image"] == "https://api.replicate.com/v1/files/f"


def test_input_names_of_an_unknown_model_are_parameters():
    adapter = built("replicate", model=f"someone/new:{VERSION}")
    assert not adapter.capabilities.seedable
    adapter = built(
        "replicate",
        model=f"someone/new:{VERSION}",
        seed_input="noise",
        image_input="photo",
        scale_input="",
        inputs='{"steps": 9, "photo": "never"}',
        output_path="files.1",
    )
    assert adapter.capabilities.seedable
    output = f'{{"files":["x","{ADDRESS}/out.png"]}}'
    exchange = drive(
        adapter, adapter.draw(upload(), seeded(adapter, 3)), [says(prediction("succeeded", output), 201), shows()]
    )
    inputs = exchange.submit.json["input"]
    assert inputs["photo"].startswith("data:")
    assert {name: inputs[name] for name in inputs if name != "photo"} == {"steps": 9, "noise": 3}
    assert exchange.sends[-1].url == f"{ADDRESS}/out.png"


def test_clarity_is_marked_for_its_fixed_default_seed():
    capabilities = Replicate(model="philz1337x/clarity-upscaler").capabilities
    assert capabilities.default_seed_hazard
    assert capabilities.seed_range == (0, 2**31 - 1)
    assert Replicate(model="nightmareai/real-esrgan").capabilities.deterministic
    assert Replicate(model="someone/new").capabilities.price is None
    assert Replicate(model="someone/new", price_usd="0.07").capabilities.price is not None


def test_output_beside_an_unfinished_state_is_taken():
    done = says(prediction("processing", f'["{ADDRESS}/out.png"]'))
    assert resumed("replicate", JOB, done, shows()).picture == b"{picture}"


def test_unknown_states_are_polled_again():
    exchange = resumed(
        "replicate", JOB, says(prediction("hibernating")), says(prediction("succeeded", f'["{ADDRESS}/o"]')), shows()
    )
    assert exchange.waits == [0.5]


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted"])
@pytest.mark.parametrize(
    "reason",
    [
        "Prediction interrupted; please retry (code: PA)",
        "Director: unexpected error handling prediction (E9828)",
        "E1000 - Unknown Error",
        "E6716 - Timeout Starting Prediction",
        "CUDA out of memory",
    ],
)
def test_what_fails_at_the_vendor_says_nothing_of_the_picture(status, reason):
    error = unresumed("replicate", JOB, says(prediction(status, error=f'"{reason}"')))
    assert isinstance(error, VendorFailedError)
    assert reason in str(error)
    assert (error.request_id, error.code) == (JOB, status)


@pytest.mark.parametrize(
    ("text", "billed"),
    [
        (
            "Input image of dimensions (1536, 1536, 4) has a total number of pixels 2359296 greater than the max size "
            "that fits in GPU memory on this hardware, 2096704. Resize input image and try again.",
            False,
        ),
        ("E1001 - Model Out of Memory (OOM Killed)", True),
        ("Prediction failed (E1001)", True),
    ],
)
def test_a_size_that_never_fits_is_a_refusal_of_the_picture(text, billed):
    """E1001: "Try reducing the size of your input" (replicate.com/docs/reference/error-codes)."""
    error = unresumed("replicate", JOB, says(prediction("failed", error=f'"{text}"')))
    assert isinstance(error, RefusedError)
    assert error.billed == billed


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ('"started_at":null,"metrics":{"total_time":9.1}', ["0"]),
        ('"started_at":"2026-01-01T00:00:00Z","metrics":{"predict_time":3.5}', []),
        ('"logs":""', []),
    ],
)
def test_a_prediction_that_was_never_started_costs_nothing(fields, told):
    adapter = built("replicate")
    flow = adapter.resume(upload(), seeded(adapter), JOB)
    steps = [next(flow), flow.send(says(f'{{"id":"{JOB}","status":"failed","error":"PA",{fields}}}'))] if told else []
    assert [str(step.cost_usd) for step in steps[1:] if isinstance(step, Observed)] == told
    if not told:
        next(flow)
        with pytest.raises(VendorFailedError):
            flow.send(says(f'{{"id":"{JOB}","status":"failed","error":"PA",{fields}}}'))


def test_moderation_is_told_apart():
    text = '"The input or output was flagged as sensitive. Please try again with different inputs. (E005)"'
    error = unresumed("replicate", JOB, says(prediction("failed", error=text)))
    assert isinstance(error, RefusedError)
    assert error.billed
    assert "E005" in str(error)


def test_success_without_output_is_polled_twice_more_and_then_a_payload_error():
    error = unresumed("replicate", JOB, *[says(prediction("succeeded"))] * 3)
    assert isinstance(error, PayloadError)
    assert JOB in str(error)


def test_a_deleted_output_says_so():
    error = unresumed(
        "replicate", JOB, says(f'{{"id":"{JOB}","status":"succeeded","output":null,"data_removed":true}}')
    )
    assert isinstance(error, PayloadError)
    assert "deleted" in str(error)


def test_refusals_of_the_interface_are_in_its_own_words():
    model = answers_of("replicate")[0]
    poor = says('{"title":"Insufficient credit","detail":"You have insufficient credit.","status":402}', 402)
    error = refused("replicate", model, poor)
    assert isinstance(error, AccountRefusedError)
    assert "insufficient credit" in str(error)
    throttled = says('{"detail":"Request was throttled. Your rate limit resets in ~30s."}', 429, retry_after="30")
    later = refused("replicate", model, throttled)
    assert isinstance(later, TryLaterError)
    assert later.retry_after == 30.0
    for body in (
        '{"detail":"Request was throttled. Your rate limit for creating predictions resets in ~10s."}',
        '{"detail":"Request was throttled.","retry_after":10}',
    ):
        told = refused("replicate", model, says(body, 429))
        assert isinstance(told, TryLaterError)
        assert told.retry_after == 10.0
    unknown = refused("replicate", says('{"detail":"The requested resource could not be found.","status":404}', 404))
    assert isinstance(unknown, NotFoundError)
    assert "could not be found" in str(unknown)
    version = (
        '{"title":"Invalid version or not permitted","detail":"The specified version does not exist","status":422}'
    )
    pinned = refused("replicate", model, says(version, 422))
    assert isinstance(pinned, NotFoundError)
    assert "version does not exist" in str(pinned)
    assert type(refused("replicate", model, says('{"title":"Input validation failed"}', 422))) is RefusedError
    gone = unresumed("replicate", JOB, says('{"detail":"not found"}', 404))
    assert isinstance(gone, JobError)


def test_the_picture_is_handed_on_as_it_came():
    assert replay("replicate").picture == PICTURE


@pytest.mark.parametrize("started", [{}, {"started_at": "2026-12-01T10:00:00Z"}, {"started_at": None, "metrics": {}}])
def test_one_interrupted_prediction_of_many_is_asked_for_again_within_the_run(tmp_path, started):
    pictures = {}
    lost = "7"

    def answer(head):
        if head.path.startswith("/out"):
            return Response(200, {"Content-Type": "image/png"}, pictures[head.path.removeprefix("/out/")])
        if head.method == "GET":
            return Response(200, {"Content-Type": "application/json"}, b"{}")
        name = str(len(pictures))
        link = json.loads(server.asked[-1].body)["input"]["image"]
        pictures[name] = upscale(base64.b64decode(link.partition(",")[2]), 4, len(pictures))
        if name == lost:
            failed = {"status": "failed", "error": "Prediction interrupted; please retry (code: PA)", **started}
            return Response(200, {"Content-Type": "application/json"}, json.dumps({"id": name, **failed}).encode())
        made = {"id": name, "status": "succeeded", "output": [f"{server.url}/out/{name}"]}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(made).encode())

    with RecordingServer(answer) as server:
        model = f"philz1337x/clarity-upscaler:{'ab' * 32}"
        adapter = Replicate(model=model, scale=4, poll_seconds=0.5, url=server.url)
        drawn = draw(adapter, tmp_path, tasks(12, 4), rates=(), concurrency=1)
        assert (drawn.error, drawn.states) == (None, ["stored"] * 48)
        assert len(pictures) == 49
