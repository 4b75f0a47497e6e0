"""Servers of one's own: ComfyUI and its cloud, AUTOMATIC1111, Gradio applications, and any that speaks HTTP."""

import base64
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    a_draw,
    answers_of,
    assert_error,
    built,
    drive,
    drive_over_http,
    example,
    failure,
    key_of,
    refused,
    replay,
    resumed,
    seeded,
    unresumed,
    upload,
)
from support.recording_server import RecordingServer

from blackbox_adapters.http import PlainHttp, observed
from blackbox_conformal.errors import (
    AccountRefusedError,
    CredentialMissingError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.testing.raw_http import Response
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send
from blackbox_conformal.vendor.example import says, shows

JOB = "f7b1c2d3-0000-4000-8000-000000000001"
UPLOADED = says('{"name":"input.png","subfolder":"","type":"input"}')


def test_the_graph_carries_picture_and_seed_and_a_file_name_of_its_own():
    first, second = replay("comfyui"), replay("comfyui", 1)
    stored, submit, _, _, view = first.sends
    assert (stored.purpose, stored.url) == ("lookup", f"{ADDRESS}/upload/image")
    assert stored.form == {"type": "input", "overwrite": "true"}
    assert submit.url == f"{ADDRESS}/prompt"
    graph = submit.json["prompt"]
    assert (graph["1"]["inputs"]["image"], graph["3"]["inputs"]["seed"]) == ("input.png", 0)
    assert second.submit.json["prompt"]["3"]["inputs"]["seed"] == 1
    prefixes = [exchange.submit.json["prompt"]["9"]["inputs"]["filename_prefix"] for exchange in (first, second)]
    assert prefixes == ["blackbox-key-of-draw-0", "blackbox-key-of-draw-1"]
    assert view.url == f"{ADDRESS}/view?filename=out_00001_.png&subfolder=&type=output"
    assert (first.picture, first.jobs) == (PICTURE, [JOB])


def test_the_workflow_counts_by_content_and_not_by_name(tmp_path):
    original = json.loads(Path(str(built("comfyui").workflow)).read_text())
    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_text(json.dumps(original, indent=3))
    original["3"]["inputs"]["steps"] = 30
    other.write_text(json.dumps(original))
    assert built("comfyui", workflow=same).identity() == built("comfyui").identity()
    assert built("comfyui", workflow=other).identity() != built("comfyui").identity()


def test_without_a_seed_every_draw_is_the_same_picture():
    capabilities = built("comfyui", seed="").capabilities
    assert (capabilities.seedable, capabilities.deterministic) == (False, True)
    assert built("comfyui").capabilities.default_seed_hazard


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": "44.image"}, "nodes are 1 "),
        ({"image": "1.photo"}, "it has image"),
        ({"seed": "3.seed,3.sead"}, "'3.sead'; it has .*seed"),
        ({"output": "44"}, "got '44'; its nodes are 1 "),
    ],
)
def test_an_input_that_is_not_there_is_named_before_anything_is_sent(wrong, said):
    with pytest.raises(UsageError, match=f"^adapter comfyui: expected .*{said}"):
        load_adapter("comfyui", **{**example("comfyui")[1].parameters, **wrong})


@pytest.mark.parametrize("text", ["", "[]", '{"nodes": []}', "no json"])
def test_a_file_that_is_no_workflow_is_named(tmp_path, text):
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="API format"):
        load_adapter("comfyui", workflow=str(path), image="1.image")


def test_a_workflow_that_is_not_there_is_asked_for():
    with pytest.raises(UsageError, match=r"workflow is required .*image is required"):
        load_adapter("comfyui")
    with pytest.raises(UsageError, match=r"expected a workflow file at 'nowhere\.json'; No such file"):
        load_adapter("comfyui", workflow="nowhere.json", image="1.image")
    kept = built("comfyui").identity()["parameters"]
    with pytest.raises(UsageError, match="give the file with -p workflow=FILE"):
        load_adapter("comfyui", **kept)


@pytest.mark.parametrize(
    ("kind", "message", "nodes", "said"),
    [
        (
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            '{"3":{"errors":[{"message":"Value 500.0 bigger than max of 1.0"}]}}',
            "Value 500.0 bigger than max of 1.0",
        ),
        ("invalid_prompt", "Cannot execute because node ImageAddNose does not exist.", "{}", "ImageAddNose"),
        ("prompt_no_outputs", "Prompt has no outputs", "{}", "Prompt has no outputs"),
    ],
)
def test_a_workflow_that_is_not_run_ends_the_run_with_its_nodes(kind, message, nodes, said):
    body = f'{{"error":{{"type":"{kind}","message":"{message}","details":"","extra_info":{{}}}},"node_errors":{nodes}}}'
    error = refused("comfyui", UPLOADED, says(body, 400))
    assert_error(error, RunRefusedError, said)
    assert ".." not in str(error)
    assert error.code == kind


def test_a_node_that_fails_says_why():
    messages = '[["execution_start",{}],["execution_error",{"exception_message":"out of memory"}]]'
    body = f'{{"{JOB}":{{"outputs":{{}},"status":{{"status_str":"error","messages":{messages}}}}}}}'
    assert_error(unresumed("comfyui", JOB, says(body)), VendorFailedError, "out of memory")


def test_a_graph_that_somebody_stopped_is_no_refusal_of_the_picture():
    messages = '[["execution_start",{}],["execution_interrupted",{"node_id":"7","node_type":"ImageBlur"}]]'
    status = f'"status":{{"status_str":"error","completed":false,"messages":{messages}}}'
    error = unresumed("comfyui", JOB, says(f'{{"{JOB}":{{"outputs":{{}},{status}}}}}'))
    assert isinstance(error, VendorFailedError)
    assert (str(error), error.code) == (
        f"prompt {JOB} interrupted: somebody stopped the server at node 7",
        "interrupted",
    )


def test_a_graph_that_saved_nothing_is_a_payload_error():
    empty = says(f'{{"{JOB}":{{"outputs":{{}},"status":{{"status_str":"success","completed":true}}}}}}')
    assert isinstance(unresumed("comfyui", JOB, empty, empty, empty), PayloadError)


UPLOADED_OF_COMFY_CLOUD = says('{"name":"5f2c.png","subfolder":"","type":"input"}')


def test_every_request_carries_the_key_and_each_draw_its_seed():
    first, second = replay("comfy_cloud"), replay("comfy_cloud", 1)
    stored, submit, poll, _, view = first.sends
    assert {key_of(send, "x-api-key") for send in first.sends} == {"comfyui-made-up-for-this-example"}
    assert (stored.url, submit.url) == (f"{ADDRESS}/upload/image", f"{ADDRESS}/prompt")
    assert submit.json["prompt"]["1"]["inputs"]["image"] == "5f2c.png"
    assert [exchange.submit.json["prompt"]["3"]["inputs"]["seed"] for exchange in (first, second)] == [0, 1]
    assert poll.url == f"{ADDRESS}/jobs/{JOB}"
    assert (view.purpose, view.url) == ("download", f"{ADDRESS}/view?filename=9ab1.png&subfolder=&type=output")
    assert (first.picture, first.jobs) == (PICTURE, [JOB])


def test_it_is_another_vendor_than_a_server_of_ones_own():
    capabilities = built("comfy_cloud").capabilities
    assert capabilities.price is None
    assert (capabilities.max_upload_bytes, capabilities.default_seed_hazard) == (50_000_000, True)
    assert built("comfy_cloud").identity() != built("comfyui").identity()


def test_a_failed_job_says_why():
    reason = '{"node_id":"3","exception_type":"RuntimeError","exception_message":"out of memory"}'
    error = unresumed("comfy_cloud", JOB, says(f'{{"status":"failed","execution_error":{reason}}}'))
    assert isinstance(error, VendorFailedError)
    assert ("out of memory" in str(error), error.code) == (True, "RuntimeError")
    assert isinstance(unresumed("comfy_cloud", JOB, says('{"status":"cancelled"}')), VendorFailedError)


def test_a_job_that_saved_nothing_is_a_payload_error():
    empty = says('{"status":"completed","outputs":{"9":{"text":["x"]}}}')
    assert isinstance(unresumed("comfy_cloud", JOB, empty, empty, empty), PayloadError)
    bare = says('{"status":"completed"}')
    assert isinstance(unresumed("comfy_cloud", JOB, bare, bare, bare), PayloadError)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"code":"PAYMENT_REQUIRED","message":"User has not paid"}', AccountRefusedError),
        ('{"error":{"message":"An active subscription is needed"}}', AccountRefusedError),
        ('{"code":"QUEUE_FULL","message":"queue is full"}', TryLaterError),
        ("", TryLaterError),
    ],
)
def test_a_429_is_read_by_its_words(body, expected):
    assert type(refused("comfy_cloud", UPLOADED_OF_COMFY_CLOUD, says(body, 429))) is expected


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
    assert (submit.url, submit.json["upscaler_1"]) == (f"{ADDRESS}/sdapi/v1/extra-single-image", "R-ESRGAN 4x+")
    assert (submit.json["resize_mode"], submit.json["upscaling_resize"]) == (0, 4)
    assert exchange.picture == b"\x89PNG\r\n\x1a\n"
    assert adapter.capabilities.deterministic


def test_a_password_is_sent_when_asked_for(monkeypatch):
    monkeypatch.setenv("AUTOMATIC1111_API_AUTH", "dXNlcjpwYXNz")
    assert key_of(replay("automatic1111", authenticate=True).submit, "authorization") == "Basic dXNlcjpwYXNz"


def test_failures():
    missing = refused("automatic1111", says('{"error":"HTTPException","detail":"Sampler not found","errors":""}', 404))
    assert_error(missing, NotFoundError, "Sampler not found")
    assert isinstance(refused("automatic1111", says('{"detail":"Incorrect username"}', 401)), AccountRefusedError)
    assert isinstance(refused("automatic1111", says('{"images":[]}')), PayloadError)
    memory = '{"error":"OutOfMemoryError","detail":"","body":"","errors":"CUDA out of memory."}'
    assert isinstance(refused("automatic1111", says(memory, 500)), VendorFailedError)
    unreadable = '{"error":"HTTPException","detail":"Invalid encoded image","body":"","errors":""}'
    assert isinstance(refused("automatic1111", says(unreadable, 500)), RefusedError)


EVENT = "1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"
JOB_OF_GRADIO = f"/gradio_api/call/upscale/{EVENT}"
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
    assert (exchange.jobs, exchange.picture) == ([JOB_OF_GRADIO], PICTURE)


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
    assert_error(unresumed("gradio", JOB_OF_GRADIO, stream(text)), expected, said)


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
    exchange = resumed("gradio", JOB_OF_GRADIO, stream(f"event: complete\ndata: {results}\n\n"), shows(), output=output)
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
    later = drive(
        adapter, adapter.resume(upload(), seeded(adapter), JOB_OF_GRADIO), [welcome, *answers_of("gradio")[3:]]
    )
    assert [send.url.removeprefix(ADDRESS) for send in later.sends][:2] == ["/login", JOB_OF_GRADIO]
    wrong = says('{"detail":"Incorrect credentials."}', 400)
    assert isinstance(refused("gradio", wrong, login="ada"), AccountRefusedError)
    assert_error(refused("gradio", says('{"detail":"Not authenticated"}', 401)), AccountRefusedError, "-p login=NAME")


def test_an_unknown_call_is_refused():
    error = refused("gradio", CONFIG, says('["/tmp/x"]'), says('{"detail":"Not Found"}', 404))
    assert_error(error, NotFoundError, "Not Found; is there a Gradio application")


def test_a_full_queue_is_a_wait():
    error = refused("gradio", CONFIG, says('["/tmp/x"]'), says('{"detail":"Queue is full"}', 503))
    assert_error(error, TryLaterError, "Queue is full")


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
            assert (type(step), step.purpose) == (Send, "lookup")
            step = steps.send(next(given))
    except StopIteration:
        assert list(given) == []


PICTURE_of_http = b"\x89PNG\r\n\x1a\nfinished"


SHOWN = Response(200, {"Content-Type": "image/png"}, PICTURE_of_http)


def test_a_draw_is_one_post_with_seed_scale_and_key():
    answer = SHOWN.with_headers(X_Model="workshop-2", X_Cost_Usd="0.015", X_Request_Id="r1", X_Seed="41")
    with RecordingServer(lambda head: answer) as server:
        adapter = PlainHttp(url=f"{server.url}/v1/upscale?tier=a+b", scale=2)
        exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw(3, seed=41)))
    assert exchange.picture == PICTURE_of_http
    ((head, body),) = server.asked
    assert (head.path, head.query) == ("/v1/upscale", {"tier": "a b", "scale": "2", "seed": "41"})
    assert (body, head.headers["content-type"]) == (upload().png, "image/png")
    assert head.headers["idempotency-key"] == a_draw(3).idempotency_key
    assert "authorization" not in head.headers
    (seen,) = exchange.observed
    assert (seen.model, seen.cost_usd, seen.request_id, seen.seed) == ("workshop-2", Decimal("0.015"), "r1", 41)


def test_the_names_of_parameters_are_the_users():
    with RecordingServer(lambda head: SHOWN) as server:
        adapter = PlainHttp(url=server.url, seed_parameter="noise", scale_parameter="")
        drive_over_http(adapter, adapter.draw(upload(), a_draw(0, seed=5)))
        unseeded = PlainHttp(url=server.url, seed_parameter="")
        assert not unseeded.capabilities.seedable
        drive_over_http(unseeded, unseeded.draw(upload(), a_draw(0, seed=5)))
    assert [request.head.query for request in server.asked] == [{"noise": "5"}, {"scale": "4"}]


def test_the_key_goes_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("HTTP_VENDOR_KEY", "made-up-key-123")
    with RecordingServer(lambda head: SHOWN) as server:
        adapter = PlainHttp(url=server.url, key_header="X-Api-Key")
        drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert server.asked[0].head.headers["x-api-key"] == "made-up-key-123"
    assert "made-up-key-123" not in json.dumps(adapter.identity())
    monkeypatch.delenv("HTTP_VENDOR_KEY")
    with pytest.raises(CredentialMissingError, match="HTTP_VENDOR_KEY"):
        drive(adapter, adapter.draw(upload(), a_draw()), ())


@pytest.mark.parametrize(
    "picture",
    [
        base64.b64encode(PICTURE_of_http).decode(),
        "data:image/png;base64," + base64.b64encode(PICTURE_of_http).decode(),
        "link",
    ],
)
def test_a_picture_inside_json_is_taken_out(picture):
    def answer(head):
        value = f"{server.url}/result.png" if picture == "link" else picture
        return SHOWN if head.path == "/result.png" else document({"data": [{"picture": value}]})

    with RecordingServer(answer) as server:
        adapter = PlainHttp(url=server.url, picture_field="data.0.picture")
        exchange = drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert exchange.picture == PICTURE_of_http
    assert [send.purpose for send in exchange.sends] == (["submit", "download"] if picture == "link" else ["submit"])
    assert all(send.public for send in exchange.sends[1:])


def document(value: object) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def test_json_where_a_picture_was_expected_says_what_to_set():
    with RecordingServer(lambda head: document({"image": "QUJD"})) as server:
        adapter = PlainHttp(url=server.url)
        with pytest.raises(PayloadError, match=r"got JSON .*-p picture-field=…"):
            drive_over_http(adapter, adapter.draw(upload(), a_draw()))
        wrong = PlainHttp(url=server.url, picture_field="result")
        with pytest.raises(PayloadError, match="at result"):
            drive_over_http(wrong, wrong.draw(upload(), a_draw()))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (401, AccountRefusedError),
        (402, AccountRefusedError),
        (409, TryLaterError),
        (429, TryLaterError),
    ],
)
def test_failures_carry_the_servers_words(status, kind):
    body = b'{"error": {"code": "E7", "message": "too dark\\u001b[31m"}}'
    answer = Response(status, {"X-Request-Id": "r9", "Retry-After": "3"}, body)
    with RecordingServer(lambda head: answer) as server:
        adapter = PlainHttp(url=server.url)
        with pytest.raises(kind, match="too dark") as failed:
            drive_over_http(adapter, adapter.draw(upload(), a_draw()))
    assert "\x1b" not in str(failed.value)
    assert (failed.value.request_id, failed.value.code) == ("r9", "E7")


@pytest.mark.parametrize("cost", ["", "free", "NaN", "-1", "Infinity", "1e999999999"])
def test_nonsense_in_headers_is_as_good_as_nothing(cost):
    headers = {"x-cost-usd": cost, "x-model": "", "x-seed": "٣"}
    reported = observed(Answer(200, headers, b""))
    assert (reported.cost_usd, reported.model, reported.seed, reported.request_id) == (None, None, None, None)


def test_text_in_headers_is_cut_and_cleaned():
    reported = observed(Answer(200, {"x-model": "m\x1b[2J" + "x" * 5000, "x-cost-usd": "0.25"}, b""))
    assert reported.model is not None
    assert len(reported.model) <= 500
    assert "\x1b" not in reported.model
    assert reported.cost_usd == Decimal("0.25")


def test_capabilities_follow_the_parameters():
    plain = PlainHttp(url="http://127.0.0.1:9").capabilities
    assert plain.price is None
    assert plain.idempotency_header is None
    assert plain.seed_range == (0, 2**32 - 1)
    capabilities = PlainHttp(
        url="http://127.0.0.1:9",
        price_usd=Decimal("0.1"),
        idempotent=True,
        resample=True,
        seed_maximum=99,
        result_hosts="cdn.example,.store.example",
    ).capabilities
    assert capabilities.price.high_usd == Decimal("0.1")
    assert (capabilities.idempotency_header, capabilities.output_size) == ("Idempotency-Key", "resample")
    assert (capabilities.seed_range, capabilities.result_hosts) == ((0, 99), ("cdn.example", ".store.example"))


def test_the_label_identifies_and_the_address_does_not():
    one, moved, other = (
        PlainHttp(url=url, label=label).identity()
        for url, label in (("http://a:1", "x-2"), ("https://b/y", "x-2"), ("http://a:1", "x-3"))
    )
    assert one == moved
    assert one != other


@pytest.mark.parametrize("url", ["", "ftp://a/b", "file:///etc/passwd", "localhost:80", "http://", "http://me:pw@a/"])
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(UsageError, match="adapter http: url"):
        load_adapter("http", url=url)


def test_it_cannot_resume():
    adapter = PlainHttp(url="http://127.0.0.1:9")
    assert "no jobs" in str(failure(adapter, adapter.resume(upload(), a_draw(), "job")))
