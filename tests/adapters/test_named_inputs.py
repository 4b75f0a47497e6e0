"""Models on Replicate, fal and in Cog containers: inputs by name, states and failures, restorers too."""

import base64
import json
from typing import Any

import pytest
from pydantic import ValidationError
from support.draws import draw, tasks
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    answers_of,
    assert_error,
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
from support.replicate_server import link, schema

from blackbox_adapters._named_inputs import ModelSchema, NamedInputs, fitted
from blackbox_adapters.fal import Fal
from blackbox_adapters.recipe import Recipe
from blackbox_adapters.replicate import Replicate
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Answer, Observed, Upload
from blackbox_conformal.vendor.example import says, shows

JOB = "gm3qorzdhgbfurvjtvhg6dckhu"
VERSION = "ab" * 32


def prediction(status: str, output: str = "null", error: str = "null") -> str:
    return f'{{"id":"{JOB}","status":"{status}","output":{output},"error":{error}}}'


def test_an_unpinned_community_model_is_looked_up_and_run_by_version():
    exchange = replay("replicate")
    lookup, submit, *polls, download = exchange.sends
    assert (lookup.method, lookup.url) == ("GET", f"{ADDRESS}/models/philz1337x/clarity-upscaler")
    assert (submit.method, submit.url, submit.json["version"]) == ("POST", f"{ADDRESS}/predictions", VERSION)
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
    assert (download.headers, exchange.jobs, exchange.observed[0].model) == ({}, [JOB], VERSION)


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
    terms = {"model": f"someone/new:{VERSION}", "seed_input": "noise", "image_input": "photo", "scale_input": ""}
    adapter = built("replicate", inputs='{"steps": 9, "photo": "never"}', output_path="files.1", **terms)
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
    assert_error(error, VendorFailedError, reason, request_id=JOB, code=status)


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
    assert_error(error, RefusedError, billed=billed)


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
    assert_error(unresumed("replicate", JOB, says(prediction("failed", error=text))), RefusedError, "E005", billed=True)


def test_success_without_output_is_polled_twice_more_and_then_a_payload_error():
    assert_error(unresumed("replicate", JOB, *[says(prediction("succeeded"))] * 3), PayloadError, JOB)


def test_a_deleted_output_says_so():
    error = unresumed(
        "replicate", JOB, says(f'{{"id":"{JOB}","status":"succeeded","output":null,"data_removed":true}}')
    )
    assert_error(error, PayloadError, "deleted")


def test_refusals_of_the_interface_are_in_its_own_words():
    model = answers_of("replicate")[0]
    poor = says('{"title":"Insufficient credit","detail":"You have insufficient credit.","status":402}', 402)
    assert_error(refused("replicate", model, poor), AccountRefusedError, "insufficient credit")
    throttled = says('{"detail":"Request was throttled. Your rate limit resets in ~30s."}', 429, retry_after="30")
    assert_error(refused("replicate", model, throttled), TryLaterError, retry_after=30.0)
    for body in (
        '{"detail":"Request was throttled. Your rate limit for creating predictions resets in ~10s."}',
        '{"detail":"Request was throttled.","retry_after":10}',
    ):
        assert_error(refused("replicate", model, says(body, 429)), TryLaterError, retry_after=10.0)
    unknown = refused("replicate", says('{"detail":"The requested resource could not be found.","status":404}', 404))
    assert_error(unknown, NotFoundError, "could not be found")
    version = (
        '{"title":"Invalid version or not permitted","detail":"The specified version does not exist","status":422}'
    )
    assert_error(refused("replicate", model, says(version, 422)), NotFoundError, "version does not exist")
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
        assert (drawn.error, drawn.states, len(pictures)) == (None, ["stored"] * 48, 49)


REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
LINK = f"{ADDRESS}/fal-ai/clarity-upscaler/requests/{REQUEST}"
JOB_OF_FAL = json.dumps({"request_id": REQUEST, "status_url": f"{LINK}/status", "response_url": LINK})
DONE = says('{"status":"COMPLETED"}')


def test_a_request_goes_through_the_queue_with_the_returned_links():
    exchange = replay("fal", 7)
    submit, running, done, result, download = exchange.sends
    assert (submit.method, submit.url) == ("POST", f"{ADDRESS}/fal-ai/clarity-upscaler")
    assert key_of(submit, "authorization") == "Key made-up-id:made-up-secret"
    image = submit.json["image_url"]
    assert image.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": image, "upscale_factor": 2, "seed": 7, "enable_safety_checker": False}
    assert [running.url, done.url, result.url] == [f"{LINK}/status", f"{LINK}/status", LINK]
    assert (download.public, download.headers) == (True, {})
    assert (json.loads(exchange.jobs[0])["request_id"], exchange.observed[-1].seed) == (REQUEST, 42)


def test_links_are_built_from_owner_and_application_when_none_are_returned():
    adapter = built("fal", model="fal-ai/seedvr/upscale/image")
    answers = [says('{"request_id":"r1"}'), DONE, says(f'{{"image":{{"url":"{ADDRESS}/o.png"}}}}'), shows()]
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert exchange.sends[1].url == f"{ADDRESS}/fal-ai/seedvr/requests/r1/status"
    assert exchange.sends[2].url == f"{ADDRESS}/fal-ai/seedvr/requests/r1"
    assert exchange.submit.json["output_format"] == "png"


def test_models_know_their_seeds_and_sizes():
    aura = built("fal", model="fal-ai/aura-sr", scale=4).capabilities
    assert (aura.seedable, aura.deterministic) == (False, False)
    bria = built("fal", model="bria/upscale/creative").capabilities
    assert (bria.default_seed_hazard, bria.output_size) == (True, "resample")
    assert built("fal", model="fal-ai/seedvr/upscale/image").capabilities.output_size == "resample"
    with pytest.raises(ValueError, match="magnifies by 4; got scale=2"):
        built("fal", model="fal-ai/aura-sr", scale=2)


def test_a_failed_request_is_completed_with_an_error():
    error = unresumed(
        "fal", JOB_OF_FAL, says('{"status":"COMPLETED","error":"Runner died","error_type":"runner_error"}')
    )
    assert_error(error, VendorFailedError, "Runner died", code="runner_error", request_id=REQUEST)
    untyped = says('{"status":"COMPLETED","error":"Unprocessable"}')
    refusal = says('{"detail":[{"msg":"too small","type":"image_too_small"}]}', 422)
    assert isinstance(unresumed("fal", JOB_OF_FAL, untyped, refusal), RefusedError)
    assert isinstance(unresumed("fal", JOB_OF_FAL, untyped, says("<html>", 500)), VendorFailedError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, "runner_scheduling_failure"),
        (503, "runner_disconnected"),
        (504, "request_timeout"),
        (500, "internal_error"),
        (499, "client_cancelled"),
    ],
)
def test_a_result_that_answers_with_an_error_of_the_vendors_machines_ends_the_request(status, kind):
    body = f'{{"detail":"no","error_type":"{kind}"}}'
    for told in (says(body, status), says('{"detail":"no"}', status, x_fal_error_type=kind)):
        assert_error(unresumed("fal", JOB_OF_FAL, DONE, told), VendorFailedError, code=kind)
    assert not built("fal").capabilities.failures_billed


def test_an_error_of_a_model_that_is_worth_repeating_is_no_refusal():
    body = '{"detail":[{"loc":["body"],"msg":"upstream failed","type":"downstream_service_error"}]}'
    assert isinstance(unresumed("fal", JOB_OF_FAL, DONE, says(body, 400)), VendorFailedError)
    other = body.replace("downstream_service_error", "new_of_next_year")
    assert isinstance(unresumed("fal", JOB_OF_FAL, DONE, says(other, 422, x_fal_retryable="true")), VendorFailedError)
    assert isinstance(unresumed("fal", JOB_OF_FAL, DONE, says(other, 422)), RefusedError)


def test_the_creative_upscaler_names_its_safety_checks_otherwise():
    adapter = built("fal", model="fal-ai/creative-upscaler")
    answers = [says('{"request_id":"r1"}'), DONE, says(f'{{"image":{{"url":"{ADDRESS}/o.png"}}}}'), shows()]
    sent = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers).submit.json
    assert sent["enable_safety_checks"] is False
    assert "enable_safety_checker" not in sent


def test_a_refusal_in_the_result_ends_the_request():
    body = '{"detail":[{"loc":["body"],"msg":"The content was flagged","type":"content_policy_violation"}]}'
    error = unresumed("fal", JOB_OF_FAL, DONE, says(body, 422, x_fal_request_id=REQUEST))
    assert_error(error, RefusedError, "flagged", billed=True, code="content_policy_violation")


def test_a_blackened_picture_is_a_refusal():
    error = unresumed("fal", JOB_OF_FAL, DONE, says(f'{{"image":{{"url":"{ADDRESS}/o"}},"has_nsfw_concepts":[true]}}'))
    assert_error(error, RefusedError, "blackened", billed=True)


def test_a_result_without_a_picture_is_read_twice_more():
    assert isinstance(unresumed("fal", JOB_OF_FAL, DONE, *[says("{}")] * 3), PayloadError)


def test_an_exhausted_balance_is_the_accounts_matter():
    error = refused("fal", says('{"detail":"User is locked. Reason: Exhausted balance."}', 403))
    assert_error(error, AccountRefusedError, "Exhausted balance")


def test_a_full_queue_is_a_wait():
    assert isinstance(refused("fal", says('{"detail":"Too many requests"}', 429)), TryLaterError)


def test_a_result_may_be_a_data_link():
    picture = "data:image/png;base64,iVBORw0KGgo="
    assert resumed("fal", JOB_OF_FAL, DONE, says(f'{{"image":{{"url":"{picture}"}}}}')).picture == b"\x89PNG\r\n\x1a\n"


def test_a_job_that_is_not_one_is_named():
    assert isinstance(unresumed("fal", "no json"), JobError)
    assert isinstance(unresumed("fal", JOB_OF_FAL, says("{}", 404)), JobError)


@pytest.mark.parametrize("model", ["../../v1/account", "a/b/../../c", "../..", "a/..", "/a/b", "a//b"])
def test_a_model_names_no_other_path_of_the_vendor(model):
    for adapter in (Fal, Replicate):
        with pytest.raises(ValidationError):
            adapter(model=model)


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
    assert_error(refused("cog", says(body, 409)), TryLaterError, "busy", retry_after=0.5)


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
    assert_error(refused("cog", answer), RefusedError, said)


def test_an_exception_of_the_model_is_an_http_200():
    error = refused("cog", says('{"id":"pred_9","status":"failed","error":"CUDA error: out of memory"}'))
    assert_error(error, VendorFailedError, "out of memory", request_id="pred_9")


def test_no_output_is_a_payload_error():
    assert isinstance(refused("cog", says('{"status":"succeeded","output":null}')), PayloadError)


def test_a_container_that_is_setting_up_is_a_wait():
    assert isinstance(refused("cog", says('{"detail":"setup"}', 503)), TryLaterError)


SWINIR = "jingyunliang/swinir"
NAFNET = "megvii-research/nafnet"


@pytest.mark.parametrize(
    ("module", "model", "inputs", "undone"),
    [
        ("replicate", NAFNET, {}, "blur:2"),
        ("replicate", NAFNET, {"task_type": "Image Denoising"}, "noise:15"),
        ("cog", NAFNET, {"task_type": "Image Denoising"}, "noise:15"),
        ("cog", SWINIR, {"task_type": "Color Image Denoising", "noise": 50}, "noise:50"),
        ("replicate", SWINIR, {"task_type": "Color Image Denoising"}, "noise:15"),
        ("replicate", SWINIR, {"task_type": "Grayscale Image Denoising", "noise": 25}, "grey+noise:25,grey=true"),
        ("replicate", SWINIR, {"task_type": "JPEG Compression Artifact Reduction", "jpeg": 10}, "jpeg:10"),
        ("replicate", "piddnad/ddcolor", {}, "grey"),
        ("replicate", "arielreplicate/deoldify_image", {"model_name": "Artistic"}, "grey"),
        ("fal", "fal-ai/nafnet/denoise", {}, "noise:15"),
        ("fal", "fal-ai/nafnet/deblur", {}, "blur:2"),
        ("fal", "fal-ai/ddcolor", {}, "grey"),
        ("fal", "bria/fibo-edit/colorize", {}, "grey"),
    ],
)
def test_a_restoring_model_says_what_it_undoes_and_calibrates_with_that(module, model, inputs, undone):
    adapter = built(module, model=model, inputs=inputs, scale=1)
    draws = {} if not adapter.capabilities.deterministic else {"draws": 1, "score": "texture"}
    procedure = set_up(adapter, **draws).procedure
    assert (procedure.scale, procedure.mixture.text) == (1, Mixture.of_text(undone).at(1).text)


def test_a_restoring_model_refuses_a_magnification_with_what_to_give():
    with pytest.raises(ValueError, match=r"restores at the same size; got scale=4. Give -p scale=1"):
        built("fal", model="fal-ai/ddcolor", scale=4)
    with pytest.raises(ValueError, match=r"magnifies by 4; got scale=1. Give -p scale=4"):
        built("replicate", model=SWINIR, scale=1)
    with pytest.raises(ValueError, match=r"this vendor restores at the same size"):
        Recipe(recipe="bria-restore", scale=2)


def test_restoring_models_are_sent_no_magnification():
    adapter = built("replicate", model=NAFNET, scale=1, inputs={"task_type": "Image Denoising"})
    assert isinstance(adapter, NamedInputs)
    sent = adapter.model_inputs("a link", seeded(adapter, 0))
    assert sent == {"image": "a link", "task_type": "Image Denoising"}


def _of(adapter: NamedInputs, **inputs: dict[str, Any]) -> tuple[str | None, str | None]:
    published = ModelSchema.read(schema(**inputs))
    assert published is not None
    names, told = fitted(adapter, published)
    return names.scale, told


def test_an_unknown_model_without_a_magnification_is_used_at_scale_1():
    adapter = built("replicate", model="someone/denoiser", scale=1)
    assert isinstance(adapter, NamedInputs)
    scale, told = _of(adapter, image=link())
    assert scale is None
    assert told is not None
    assert "no magnification" in told
    # One that has a magnification is asked for 1: what it would do otherwise is not known.
    assert _of(adapter, image=link(), upscale={"type": "number", "default": 2})[0] == "upscale"
    larger = built("replicate", model="someone/denoiser", scale=2)
    assert isinstance(larger, NamedInputs)
    with pytest.raises(NotFoundError, match="scale-input= where it magnifies by 2"):
        _of(larger, image=link())


def test_what_an_unknown_model_undoes_has_to_be_said():
    with pytest.raises(UsageError, match=r"such as noise:10, jpeg:30, blur:2 or grey; .* Give --degradation"):
        set_up(built("replicate", model="someone/denoiser", scale=1))


@pytest.mark.parametrize(
    ("name", "undone", "sent"),
    [
        ("bria-colorize", "grey", {"color": "color_contemporary"}),
        ("bria-restore", "blur:1+noise:10", {}),
        ("deepai-colorizer", "grey", None),
        ("cloudinary-restore", "jpeg:30", None),
        ("claid-decompress", "jpeg:30", None),
    ],
)
def test_restoring_recipes(name, undone, sent):
    able = Recipe(recipe=name).capabilities
    assert (able.scale_factors, able.degradation) == ((1,), undone)
    submit = replay(name.replace("-", "_")).submit
    if sent is not None:
        assert {key: value for key, value in submit.json.items() if key != "image"} == sent


def test_claid_and_cloudinary_are_asked_to_restore_and_for_no_size():
    form = replay("claid_decompress").submit.form or {}
    assert '"decompress": "auto"' in str(form["data"]).replace('":"', '": "')
    assert "resizing" not in str(form["data"])
    assert (replay("cloudinary_restore").submit.form or {})["eager"] == "e_gen_restore/f_png"


def test_flux_deblur_takes_a_picture_and_no_prompt():
    submit = replay("flux", 3, model="flux-tools/deblur-v1", scale=1).submit
    assert submit.url.endswith("/v1/flux-tools/deblur-v1")
    assert set(submit.json) == {"image", "seed", "output_format", "safety_tolerance"}
    able = built("flux", model="flux-tools/deblur-v1", scale=1).capabilities
    assert (able.degradation, able.max_input_pixels) == ("blur:2", 4_000_000)
