"""Vendors that make a picture in a job: what is sent, polled and paid, and what each state and failure means."""

import json
from decimal import Decimal

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
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

from blackbox_adapters._hosted import RESTORE
from blackbox_conformal.errors import (
    AccountRefusedError,
    JobError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.adapter import FREE, Adapter, Answer, Send
from blackbox_conformal.vendor.example import says, shows

JOB = json.dumps({"id": "t", "polling_url": f"{ADDRESS}/v1/get_result?id=t", "cost": 4})


def test_a_kontext_task():
    exchange = replay("flux")
    submit, poll, _, download = exchange.sends
    assert submit.url == f"{ADDRESS}/v1/flux-kontext-pro"
    assert key_of(submit, "x-key") == "bfl_made_up_for_this_example"
    picture = submit.json.pop("input_image")
    assert picture.startswith("iVBORw0KGgo")
    assert submit.json == {
        "prompt": RESTORE,
        "output_format": "png",
        "safety_tolerance": 2,
        "prompt_upsampling": False,
        "seed": 0,
    }
    assert (poll.url, key_of(poll, "x-key")) == (f"{ADDRESS}/v1/get_result?id=7e4f", "bfl_made_up_for_this_example")
    assert download.public
    assert (exchange.picture, exchange.observed[-1].cost_usd) == (PICTURE, Decimal("0.04"))
    assert exchange.observed[-1].seed == 1000


def test_the_key_stays_with_the_host_that_was_chosen():
    elsewhere = json.dumps({"id": "t", "polling_url": "https://api.us1.bfl.ai/v1/get_result?id=t", "cost": 4})
    done = says('{"status":"Ready","result":{"sample":"https://delivery-us1.bfl.ai/results/sample.png"}}')
    poll, _ = resumed("flux", elsewhere, done, shows()).sends
    assert isinstance(poll, Send)
    assert poll.url.startswith("https://api.us1.bfl.ai/")
    assert poll.public
    assert not poll.headers


def test_flux_2_is_asked_for_the_wanted_size():
    adapter = built("flux", model="flux-2-pro", scale=4)
    submit = drive(adapter, adapter.draw(upload(320, 240), seeded(adapter)), _answers()).submit
    assert (submit.json["width"], submit.json["height"]) == (1280, 960)
    assert submit.json["disable_pup"] is True
    assert "prompt_upsampling" not in submit.json
    large = drive(adapter, adapter.draw(upload(2000, 1000), seeded(adapter)), _answers()).submit
    assert (large.json["width"], large.json["height"]) == (2816, 1408)


@pytest.mark.parametrize(
    ("model", "scale", "width", "height", "expected"),
    [
        ("flux-kontext-pro", 2, 900, 900, "0.04"),
        ("flux-kontext-max", 4, 900, 900, "0.08"),
        ("flux-2-pro", 2, 512, 512, "0.06"),  # 1.05 megapixels made count as 2, 0.26 sent as 1
        ("flux-2-pro", 4, 1000, 1000, "0.09"),
        ("flux-2-flex", 2, 400, 400, "0.10"),
    ],
)
def test_prices_of_flux_by_model_and_size(model, scale, width, height, expected):
    price = built("flux", model=model, scale=scale).price_for(width, height)
    assert price.low_usd == price.high_usd == Decimal(expected)


def test_prices_without_a_list_or_by_the_user():
    assert built("flux", model="flux-9-pro").price_for(100, 100) is None
    own = built("flux", model="flux-2-pro", price_usd="0.5").price_for(100, 100)
    assert own.high_usd == Decimal("0.5")
    whole = built("flux", model="flux-2-pro").capabilities.price
    assert (whole.low_usd, whole.high_usd) == (Decimal("0.045"), Decimal("0.375"))


def test_tasks_of_flux_at_a_time():
    assert built("flux").capabilities.max_concurrency == 24
    assert built("flux", model="flux-kontext-max").capabilities.max_concurrency == 6


def test_moderation_before_and_after_generation():
    before = unresumed("flux", JOB, says('{"status":"Request Moderated","details":{"Moderation Reasons":["x"]}}'))
    assert_error(before, RefusedError, billed=False)
    assert_error(unresumed("flux", JOB, says('{"status":"Content Moderated"}')), RefusedError, billed=True)


def test_what_fails_on_the_vendors_side_says_nothing_of_the_picture():
    assert isinstance(unresumed("flux", JOB, says('{"status":"Error"}')), VendorFailedError)
    assert isinstance(unresumed("flux", JOB, says('{"status":"Task not found"}')), VendorFailedError)
    assert isinstance(unresumed("flux", "nonsense"), JobError)


def test_errors_of_flux():
    kinds = {402: AccountRefusedError, 403: AccountRefusedError, 404: NotFoundError, 422: RefusedError}
    kinds |= {429: TryLaterError, 500: VendorFailedError, 503: TryLaterError}
    assert {status: type(refused("flux", says('{"detail":"m"}', status))) for status in kinds} == kinds


def _answers() -> list[Answer]:
    return [
        says(f'{{"id":"t","polling_url":"{ADDRESS}/v1/get_result?id=t"}}'),
        says(f'{{"status":"Ready","result":{{"sample":"{ADDRESS}/o.png"}}}}'),
        shows(),
    ]


JOB_OF_TOPAZ = "9f2e5c1a-0c1d-4f57-9a7e-7a2b6e0e0001"
COMPLETED = says(f'{{"process_id":"{JOB_OF_TOPAZ}","status":"Completed"}}')


def test_a_generative_model_has_its_own_route_and_seed():
    exchange = replay("topaz", 4)
    submit, *polls, ready, download = exchange.sends
    assert submit.url == f"{ADDRESS}/enhance-gen/async"
    assert submit.form == {
        "model": "Bloom 2",
        "output_width": "64",
        "output_height": "48",
        "output_format": "png",
        "seed": "5",
    }
    assert (submit.files[0].name, key_of(submit, "x-api-key")) == ("image", "made-up-topaz-key")
    assert [poll.url for poll in polls] == [f"{ADDRESS}/status/{JOB_OF_TOPAZ}"] * 2
    assert ready.url == f"{ADDRESS}/download/{JOB_OF_TOPAZ}"
    assert (download.url, download.public, download.headers) == (f"{ADDRESS}/signed/out.png", True, {})
    assert exchange.jobs == [JOB_OF_TOPAZ]


def test_a_restoring_model_takes_dials_and_no_seed():
    submit = replay("topaz", model="Standard V2", settings='{"sharpen": 0.5, "model": "x"}').submit
    assert (submit.url, (submit.form or {})["sharpen"]) == (f"{ADDRESS}/enhance/async", "0.5")
    assert (submit.form or {})["model"] == "Standard V2"
    assert "seed" not in (submit.form or {})
    assert built("topaz", model="Standard V2").capabilities.deterministic
    assert built("topaz", model="Redefine").capabilities.seedable is False
    assert built("topaz", model="Redefine", seed_field="seed").capabilities.seed_range == (1, 2000)


@pytest.mark.parametrize(
    ("task", "model", "kind", "undone"),
    [
        ("denoise", "Strong", "denoise", "noise:15"),
        ("deblur", "Motion Blur", "sharpen", "blur:2"),
        ("colourise", "Colorize", "lighting", "grey"),
    ],
)
def test_a_task_at_the_size_of_the_input_has_its_own_route_and_no_size(task, model, kind, undone):
    submit = replay("topaz", task=task, model=model, scale=1).submit
    assert (submit.url, submit.form) == (f"{ADDRESS}/{kind}/async", {"model": model, "output_format": "png"})
    adapter = built("topaz", task=task, model=model, scale=1)
    assert (adapter.capabilities.degradation, adapter.capabilities.deterministic) == (undone, True)
    quote = adapter.quote(upload())
    assert quote is not None
    asked = next(quote)
    assert isinstance(asked, Send)
    assert (asked.url, asked.json["category"]) == (f"{ADDRESS}/estimate", kind.capitalize())
    for wrong in ({"scale": 4, "model": model}, {"scale": 1, "model": "Standard V2"}):
        with pytest.raises(ValueError, match="add -p scale=1 -p 'model="):
            built("topaz", task=task, **wrong)


def test_draws_from_before_there_were_tasks_are_found_again():
    assert "task" not in built("topaz").identity()["parameters"]
    assert built("topaz", task="denoise", model="Normal", scale=1).identity()["parameters"]["task"] == "denoise"


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_terminal_states_end_the_draw_and_are_refunded(status):
    error = unresumed("topaz", JOB_OF_TOPAZ, says(f'{{"status":"{status}","message":"decoding failed"}}'))
    assert_error(error, VendorFailedError, "decoding failed")
    assert not built("topaz").capabilities.failures_billed


def test_a_link_that_is_not_ready_is_asked_for_twice_more():
    late = says('{"code":409,"message":"not ready"}', 409)
    adapter = built("topaz")
    ready = says(f'{{"download_url":"{ADDRESS}/o.png"}}')
    exchange = drive(
        adapter, adapter.resume(upload(), seeded(adapter), JOB_OF_TOPAZ), [COMPLETED, late, late, ready, shows()]
    )
    assert exchange.waits == [1.0, 1.0]
    assert isinstance(unresumed("topaz", JOB_OF_TOPAZ, COMPLETED, late, late, late), PayloadError)


def test_refusals_of_topaz():
    poor = refused("topaz", says('{"code":402,"message":"Insufficient funds."}', 402))
    assert_error(poor, AccountRefusedError, "Insufficient funds.")
    early = refused("topaz", says('{"code":425,"message":"Too early to reserve credits"}', 425))
    assert_error(early, TryLaterError, retry_after=5.0)
    size = refused("topaz", says('{"code":422,"message":"output_width must be at most 32000"}', 422))
    assert_error(size, RefusedError, "32000")


JOB_OF_MAGNIFIC = "046b6c7f-0b8a-43b9-b35d-6489e6daee91"


def test_creative_takes_its_factor_as_text():
    exchange = replay("magnific", settings='{"creativity": 3, "image": "x"}')
    submit, poll, _, download = exchange.sends
    assert submit.url == f"{ADDRESS}/image-upscaler"
    assert (submit.json["scale_factor"], submit.json["creativity"]) == ("4x", 3)
    assert submit.json["image"].startswith("iVBORw0KGgo")
    assert key_of(submit, "x-freepik-api-key") == "FPSX-made-up-for-this-example"
    assert poll.url == f"{ADDRESS}/image-upscaler/{JOB_OF_MAGNIFIC}"
    assert download.public
    assert exchange.jobs == [JOB_OF_MAGNIFIC]


def test_precision_v2_takes_a_number_at_its_own_path():
    exchange = replay("magnific", mode="precision-v2", scale=2)
    assert exchange.submit.url == f"{ADDRESS}/image-upscaler-precision-v2"
    assert exchange.submit.json["scale_factor"] == 2
    assert exchange.sends[1].url == f"{ADDRESS}/image-upscaler-precision-v2/{JOB_OF_MAGNIFIC}"


def test_host_key_and_header_change_with_the_brand(monkeypatch):
    monkeypatch.setenv("MAGNIFIC_API_KEY", "made-up-magnific-key")
    assert built("magnific", url="", brand="magnific").base_url == "https://api.magnific.com/v1/ai"
    assert built("magnific", url="").base_url == "https://api.freepik.com/v1/ai"
    assert key_of(replay("magnific", brand="magnific").submit, "x-magnific-api-key") == "made-up-magnific-key"


def test_a_task_without_a_wrapper_and_with_another_status_key_is_read_too():
    running = says('{"task_status":"IN_PROGRESS","generated":[]}')
    done = says(f'{{"task_status":"COMPLETED","generated":["{ADDRESS}/o.png"]}}')
    exchange = resumed("magnific", JOB_OF_MAGNIFIC, running, done, shows())
    assert exchange.waits == [1.0]


def test_failures():
    failed = unresumed(
        "magnific", JOB_OF_MAGNIFIC, says('{"data":{"status":"FAILED","error":"engine crashed","generated":[]}}')
    )
    assert_error(failed, VendorFailedError, "engine crashed")
    flagged = unresumed(
        "magnific", JOB_OF_MAGNIFIC, says('{"data":{"status":"COMPLETED","generated":[],"has_nsfw":[true]}}')
    )
    assert_error(flagged, RefusedError, billed=True, code="has_nsfw")
    empty = says('{"data":{"status":"COMPLETED","generated":[]}}')
    assert isinstance(unresumed("magnific", JOB_OF_MAGNIFIC, empty, empty, empty), PayloadError)
    invalid = refused("magnific", says('{"message":"Validation error","invalid_params":[{"name":"image"}]}', 400))
    assert "Validation error" in str(invalid)
    assert "image" in str(invalid)


def test_a_draw_resumes_from_its_own_task():
    adapter = built("magnific")
    assert (
        drive(
            adapter,
            adapter.resume(upload(), seeded(adapter), JOB_OF_MAGNIFIC),
            [says(f'{{"data":{{"status":"COMPLETED","generated":[{{"url":"{ADDRESS}/o.png"}}]}}}}'), shows()],
        )
        .sends[-1]
        .url.endswith("/o.png")
    )


JOB_OF_RUNPOD = "c80ffee4-f315-4e25-a146-0f3d98cf024b-u1"


def test_a_job_of_runpod_is_queued_and_polled():
    exchange = replay("runpod", 8)
    submit, *polls = exchange.sends
    assert submit.url == f"{ADDRESS}/abc123def456/run"
    assert submit.json["input"]["image"].startswith("iVBORw0KGgo")
    assert (submit.json["input"]["scale"], submit.json["input"]["seed"]) == (4, 8)
    assert key_of(submit, "authorization") == "Bearer rpa_made_up_for_this_example"
    assert [(poll.method, poll.url) for poll in polls] == [
        ("GET", f"{ADDRESS}/abc123def456/status/{JOB_OF_RUNPOD}")
    ] * 2
    assert exchange.picture == PICTURE


def test_the_development_server_has_no_endpoint_no_key_and_asks_by_post():
    exchange = replay("runpod", endpoint="", authenticate=False, image_form="data-link")
    submit, poll, _ = exchange.sends
    assert (submit.url, submit.headers) == (f"{ADDRESS}/run", {})
    assert (poll.method, poll.url) == ("POST", f"{ADDRESS}/status/{JOB_OF_RUNPOD}")
    assert submit.json["input"]["image"].startswith("data:image/png;base64,")
    assert built("runpod", endpoint="", authenticate=False).capabilities.price == FREE
    assert built("runpod").capabilities.price is None


def test_a_server_that_takes_the_other_method_is_asked_by_it():
    done = says('{"status":"COMPLETED","output":{"image":"iVBORw0KGgo="}}')
    exchange = resumed("runpod", JOB_OF_RUNPOD, says('{"detail":"Method Not Allowed"}', 405), done)
    assert [poll.method for poll in exchange.sends] == ["GET", "POST"]
    neither = [says('{"detail":"Method Not Allowed"}', 405)] * 2
    assert_error(unresumed("runpod", JOB_OF_RUNPOD, *neither), JobError, "Method Not Allowed")


def test_a_job_that_the_server_has_forgotten_is_no_refusal_of_the_picture():
    error = unresumed("runpod", JOB_OF_RUNPOD, says('{"id":"x","status":"FAILED","error":"Job ID not found"}'))
    assert_error(error, JobError, JOB_OF_RUNPOD)


def test_a_workers_exception_is_told_without_its_traceback():
    exception = {"error_type": "<class 'ValueError'>", "error_message": "too large", "error_traceback": "Traceback …"}
    error = unresumed("runpod", JOB_OF_RUNPOD, says(json.dumps({"status": "FAILED", "error": json.dumps(exception)})))
    assert str(error) == f"job {JOB_OF_RUNPOD} FAILED: too large"


def test_the_worker_decides_where_the_picture_is():
    bare = resumed("runpod", JOB_OF_RUNPOD, says('{"status":"COMPLETED","output":"iVBORw0KGgo="}'), output_path="")
    assert bare.picture == b"\x89PNG\r\n\x1a\n"
    link = says(f'{{"status":"COMPLETED","output":{{"files":["{ADDRESS}/o.png"]}}}}')
    assert resumed("runpod", JOB_OF_RUNPOD, link, shows(), output_path="files.0").sends[-1].public
    assert not built("runpod", seed_input="").capabilities.seedable


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("FAILED", "handler raised", VendorFailedError),
        ("FAILED", "NSFW content", RefusedError),
        ("CANCELLED", "by hand", VendorFailedError),
        ("TIMED_OUT", "job timed out after 1 retries", VendorFailedError),
    ],
)
def test_terminal_states_end_the_draw(status, reason, kind):
    assert_error(unresumed("runpod", JOB_OF_RUNPOD, says(f'{{"status":"{status}","error":"{reason}"}}')), kind, reason)


def test_an_error_inside_the_output_is_a_refusal():
    error = unresumed(
        "runpod", JOB_OF_RUNPOD, says('{"status":"COMPLETED","output":{"error":"cannot identify image file"}}')
    )
    assert_error(error, RefusedError, "cannot identify image")
    assert isinstance(unresumed("runpod", JOB_OF_RUNPOD, *[says('{"status":"COMPLETED"}')] * 3), PayloadError)


def test_a_wrong_key_is_the_accounts_matter():
    assert isinstance(refused("runpod", says('{"error":"unauthorized"}', 401)), AccountRefusedError)


JOB_OF_COMFY_ROUTER = "6f1a1a6e-6a53-4a5f-9d3a-2b3b0a1f9c21"
PLACE = f"{ADDRESS}/v2/models/fal/crystal-upscaler/requests"
DONE = says('{"status":"COMPLETED"}')


def test_a_run_of_comfy_router_is_queued_polled_and_collected():
    exchange = replay("comfy_router", scale=2)
    submit, poll, _, collect, download = exchange.sends
    assert (submit.method, submit.url) == ("POST", PLACE)
    assert key_of(submit, "x-api-key") == "comfyui-made-up-for-this-example"
    picture = submit.json["image_url"]
    assert picture.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": picture, "scale_factor": 2, "output_format": "png"}
    assert poll.url == f"{PLACE}/{JOB_OF_COMFY_ROUTER}/status"
    assert collect.url == f"{PLACE}/{JOB_OF_COMFY_ROUTER}"
    assert download.public
    assert (exchange.picture, exchange.jobs) == (PICTURE, [JOB_OF_COMFY_ROUTER])
    assert exchange.observed[-1].cost_usd == pytest.approx(Decimal("0.1"))
    assert submit.headers["idempotency-key"] == "key-of-draw-0"
    assert built("comfy_router").capabilities.idempotency_header == "Idempotency-Key"


def test_models_differ_in_names_form_and_output():
    adapter = built("comfy_router", model="bria/image-edit-increase-resolution")
    output = says(f'{{"result":{{"image_url":"{ADDRESS}/o.png"}}}}')
    queued = says(f'{{"request_id":"{JOB_OF_COMFY_ROUTER}"}}', 201)
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
    assert isinstance(unresumed("comfy_router", JOB_OF_COMFY_ROUTER, DONE, early, says('{"other":1}')), PayloadError)


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
    error = unresumed("comfy_router", JOB_OF_COMFY_ROUTER, DONE, _typed(status, kind))
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
    queued = says(f'{{"request_id":"{JOB_OF_COMFY_ROUTER}"}}', 201)
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
