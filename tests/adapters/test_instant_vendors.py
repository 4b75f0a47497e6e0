"""Vendors that answer at once: requests in the form of their own clients, prices, filters and refusals."""

import re
import uuid
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    answers_of,
    assert_error,
    built,
    drive,
    failure,
    key_of,
    refused,
    replay,
    seeded,
    unresumed,
    upload,
)

from blackbox_adapters._hosted import RESTORE
from blackbox_adapters.openai import OpenAI
from blackbox_conformal.drawing.free_requests import refuse_retired
from blackbox_conformal.errors import (
    AccountRefusedError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.testing.rehearsal import Rehearsal
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows


def test_openai_gets_one_form_as_the_vendors_client_sends_it():
    exchange = replay("openai", model="gpt-image-2", input_fidelity="high")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/v1/images/edits"
    assert key_of(submit, "authorization") == "Bearer sk-made-up-for-this-example"
    assert submit.form == {
        "model": "gpt-image-2",
        "prompt": RESTORE,
        "size": "944x704",
        "quality": "high",
        "input_fidelity": "high",
        "output_format": "png",
    }
    (picture,) = submit.files
    assert (picture.name, picture.filename, picture.content_type) == ("image", "input.png", "image/png")
    assert exchange.picture == PICTURE
    assert "input_fidelity" not in (replay("openai").submit.form or {})


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 1024, (1024, 1024)),
        (1500, 1000, (1488, 992)),
        (8000, 6000, (3312, 2480)),
        (320, 240, (944, 704)),
        (3000, 4000, (2480, 3312)),
        (9000, 3000, (3840, 1280)),
    ],
)
def test_newer_models_are_asked_for_the_wanted_shape(width, height, expected):
    adapter = built("openai")
    assert isinstance(adapter, OpenAI)
    asked = adapter.size(width, height)
    assert asked == expected
    assert all(side % 16 == 0 and side <= 3840 for side in asked)
    assert 655_360 <= asked[0] * asked[1] <= 3840 * 2160


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("gpt-image-1", "2026-10-23"),
        ("gpt-image-1-mini", "2026-12-01"),
        ("gpt-image-1.5", "2026-12-01"),
        ("chatgpt-image-latest", "2026-12-01"),
    ],
)
def test_a_retired_model_is_refused_by_name_and_day(model, day):
    said = re.escape(f"({day}, developers.openai.com/api/docs/deprecations: {model})")
    with pytest.raises(NotFoundError, match=rf"{said}, so nothing is sent; choose another model with -p model=…"):
        refuse_retired(built("openai", model=model))
    refuse_retired(built("openai"))


def test_tokens_of_openai_are_booked_at_list_prices():
    (observed,) = replay("openai").observed
    assert (observed.cost_usd, observed.request_id) == (Decimal("0.1301"), "req_made_up")
    assert replay("openai", model="gpt-image-9").observed[0].cost_usd is None
    assert built("openai").price_for(100, 100) is None
    assert built("openai").capabilities.max_aspect == 3


def test_openais_errors():
    def error(status, code, *, param="", more=""):
        body = f'{{"error":{{"message":"m","type":"invalid_request_error","param":"{param}","code":"{code}"{more}}}}}'
        return refused("openai", says(body, status))

    assert_error(error(400, "moderation_blocked"), RefusedError, billed=True)
    at_input = error(400, "moderation_blocked", more=',"moderation_details":{"moderation_stage":"input"}')
    assert_error(at_input, RefusedError, billed=False)
    assert isinstance(error(401, "invalid_api_key"), AccountRefusedError)
    assert isinstance(error(429, "insufficient_quota"), AccountRefusedError)
    assert isinstance(error(400, "billing_hard_limit_reached"), AccountRefusedError)
    assert isinstance(error(429, "rate_limit_exceeded"), TryLaterError)
    assert isinstance(error(400, "model_not_found"), NotFoundError)
    assert isinstance(error(400, "invalid_value", param="size"), RunRefusedError)
    unfit = error(400, "invalid_image_file", param="image")
    assert isinstance(unfit, RefusedError)
    assert not isinstance(unfit, RunRefusedError)
    assert isinstance(error(500, "server_error"), VendorFailedError)
    assert isinstance(error(503, "slow_down"), TryLaterError)
    assert isinstance(refused("openai", says('{"data":[]}')), PayloadError)


def test_gemini_gets_one_call_in_the_form_of_the_vendors_client():
    exchange = replay("gemini", image_size="2K")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/v1beta/models/gemini-3.1-flash-image:generateContent"
    assert key_of(submit, "x-goog-api-key") == "AIza-made-up-for-this-example"
    assert submit.json["generationConfig"] == {"responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "2K"}}
    (content,) = submit.json["contents"]
    prompt, picture = content["parts"]
    assert (content["role"], prompt) == ("user", {"text": RESTORE})
    assert picture["inlineData"]["mimeType"] == "image/png"
    assert picture["inlineData"]["data"].startswith("iVBORw0KGgo")
    assert exchange.picture == PICTURE
    assert replay("gemini").submit.json["generationConfig"] == {"responseModalities": ["IMAGE"]}


def test_tokens_of_gemini_are_booked_at_list_prices():
    (observed,) = replay("gemini").observed
    assert observed.cost_usd == Decimal("0.0679")  # 1400 x $0.50 + 1120 x $60, a million each
    assert (observed.model, observed.request_id) == ("gemini-3.1-flash-image", "made-up-response")
    (unpriced,) = replay("gemini", model="gemini-9-image").observed
    assert unpriced.cost_usd is None


def test_the_price_goes_by_the_size_that_is_asked_for():
    price = built("gemini", image_size="4K").price_for(100, 100)
    assert (price.low_usd, price.high_usd) == (Decimal("0.151"), Decimal("0.161"))
    assert built("gemini", model="gemini-9-image").price_for(100, 100) is None
    assert built("gemini", model="gemini-2.5-flash-image", image_size="4K").price_for(100, 100) is None
    own = built("gemini", price_usd="0.5").price_for(100, 100)
    assert own.high_usd == Decimal("0.5")


def test_the_prompt_is_part_of_the_procedure_and_a_size_is_not_promised():
    assert built("gemini").identity() != built("gemini", prompt="Sharpen it.").identity()
    assert built("gemini").capabilities.output_size == "any"


def test_thoughts_and_words_are_no_pictures():
    parts = '[{"thought":true,"inlineData":{"data":"AAAA"}},{"text":"no"}]'
    error = refused("gemini", says(f'{{"candidates":[{{"content":{{"parts":{parts}}},"finishReason":"STOP"}}]}}'))
    assert isinstance(error, RefusedError)


@pytest.mark.parametrize("reason", ["IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_RECITATION"])
def test_a_filter_after_generation_is_billed(reason):
    error = refused("gemini", says(f'{{"candidates":[{{"finishReason":"{reason}","finishMessage":"why"}}]}}'))
    assert_error(error, RefusedError, "why", billed=True)


def test_a_blocked_prompt_is_a_refusal_before_generation():
    assert_error(refused("gemini", says('{"promptFeedback":{"blockReason":"SAFETY"}}')), RefusedError, billed=False)


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER", "OTHER"])
def test_no_picture_without_a_reason_is_the_vendors_own_failure(reason):
    assert isinstance(refused("gemini", says(f'{{"candidates":[{{"finishReason":"{reason}"}}]}}')), VendorFailedError)


def test_a_damaged_picture_is_said_to_be_one():
    damaged = says('{"candidates":[{"content":{"parts":[{"inlineData":{"data":"%%%"}}]}}]}')
    assert isinstance(refused("gemini", damaged), PayloadError)


def test_errors_of_gemini():
    def error(status, word, message="m", details="[]"):
        body = f'{{"error":{{"code":{status},"message":"{message}","status":"{word}","details":{details}}}}}'
        return refused("gemini", says(body, status))

    invalid = error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
    assert isinstance(invalid, AccountRefusedError)
    assert isinstance(error(400, "FAILED_PRECONDITION"), AccountRefusedError)
    assert isinstance(error(403, "PERMISSION_DENIED"), AccountRefusedError)
    assert isinstance(error(404, "NOT_FOUND"), NotFoundError)
    assert isinstance(error(400, "INVALID_ARGUMENT"), RefusedError)
    field = '[{"fieldViolations":[{"field":"generation_config"}]}]'
    assert isinstance(error(400, "INVALID_ARGUMENT", details=field), RunRefusedError)
    assert_error(error(429, "RESOURCE_EXHAUSTED", details='[{"retryDelay":"37s"}]'), TryLaterError, retry_after=37)
    assert isinstance(error(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0"), AccountRefusedError)
    assert isinstance(error(503, "UNAVAILABLE", "overloaded"), TryLaterError)
    assert isinstance(error(500, "INTERNAL", "an internal error"), VendorFailedError)


def test_vertex_gets_one_predict_call():
    exchange = replay("vertex_imagen", scale=2, preservation=0.5, enhance_input=False)
    (submit,) = exchange.sends
    assert submit.url == (
        f"{ADDRESS}/v1/projects/made-up-project/locations/us-central1/publishers/google/models/"
        "imagen-4.0-upscale-preview:predict"
    )
    assert key_of(submit, "authorization") == "Bearer ya29.made-up-for-this-example"
    parameters = submit.json["parameters"]
    assert parameters["upscaleConfig"] == {
        "upscaleFactor": "x2",
        "enhanceInputImage": False,
        "imagePreservationFactor": 0.5,
    }
    assert parameters["outputOptions"] == {"mimeType": "image/png"}
    assert submit.json["instances"][0]["image"]["bytesBase64Encoded"].startswith("iVBORw0KGgo")
    assert exchange.picture == PICTURE


def test_address_and_project_do_not_name_the_procedure():
    here = built("vertex_imagen", url="")
    there = built("vertex_imagen", url="", location="europe-west4", project="other")
    assert there.base_url == "https://europe-west4-aiplatform.googleapis.com"
    assert here.identity() == there.identity()


def test_a_filtered_picture_is_a_refusal():
    reason = "Unable to show generated images: 39322892"
    error = refused("vertex_imagen", says(f'{{"predictions":[{{"raiFilteredReason":"{reason}"}}]}}'))
    assert_error(error, RefusedError, reason, billed=True)
    assert isinstance(refused("vertex_imagen", says('{"predictions":[]}')), RefusedError)
    assert isinstance(refused("vertex_imagen", says("{}")), PayloadError)


def test_errors_of_vertex():
    def error(status, word):
        return refused("vertex_imagen", says(f'{{"error":{{"message":"m","status":"{word}"}}}}', status))

    assert isinstance(error(403, "PERMISSION_DENIED"), AccountRefusedError)
    assert isinstance(error(429, "RESOURCE_EXHAUSTED"), TryLaterError)
    assert isinstance(error(400, "INVALID_ARGUMENT"), RefusedError)
    for status, word in ((500, "INTERNAL"), (504, "DEADLINE_EXCEEDED"), (503, "UNAVAILABLE"), (499, "CANCELLED")):
        assert isinstance(error(status, word), VendorFailedError)


def test_the_picture_and_its_price_are_in_the_answer_of_recraft():
    exchange = replay("recraft", target="upscale16mp")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/images/creativeUpscale"
    link = submit.json["image_url"]
    assert link.startswith("data:image/png;base64,")
    assert submit.json == {
        "image_url": link,
        "response_format": "b64_json",
        "image_format": "png",
        "upscale": "upscale16mp",
    }
    assert key_of(submit, "authorization") == "Bearer made-up-recraft-key"
    assert (exchange.picture, exchange.observed[0].cost_usd) == (PICTURE, Decimal("0.25"))


def test_crisp_is_another_route_price_and_class():
    assert replay("recraft", mode="crisp").submit.url == f"{ADDRESS}/images/crispUpscale"
    crisp, creative = (built("recraft", mode=mode).capabilities for mode in ("crisp", "creative"))
    assert (crisp.price.low_usd, crisp.deterministic, creative.deterministic) == (Decimal("0.004"), True, False)
    assert (crisp.min_side, creative.min_side) == (32, 256)


def test_failures_of_recraft():
    poor = refused("recraft", says('{"code":"not_enough_credits","message":"Not enough credits"}', 402))
    assert_error(poor, AccountRefusedError, code="not_enough_credits")
    size = refused("recraft", says('{"code":"invalid_image","message":"Image is too large"}', 400))
    assert_error(size, RefusedError, "too large")
    assert isinstance(refused("recraft", says('{"image":{"b64_json":"not base64!"}}')), PayloadError)


def test_runware_gets_one_task_in_a_list_with_the_seed_in_its_settings():
    exchange = replay("runware", 3, settings='{"steps": 20}')
    (submit,) = exchange.sends
    assert (submit.url, key_of(submit, "authorization")) == (f"{ADDRESS}/v1", "Bearer made-up-runware-key")
    (task,) = submit.json
    identifier, image = task["taskUUID"], task["inputs"]["image"]
    assert uuid.UUID(identifier).version == 4
    assert task == {
        "taskType": "upscale",
        "taskUUID": identifier,
        "model": "runware:500@1",
        "inputs": {"image": image},
        "upscaleFactor": 4,
        "outputType": "base64Data",
        "outputFormat": "PNG",
        "includeCost": True,
        "deliveryMethod": "sync",
        "settings": {"steps": 20, "seed": 4},
    }
    assert (exchange.picture, exchange.observed[0].cost_usd) == (PICTURE, Decimal("0.0038"))


def test_every_draw_has_an_identifier_of_its_own():
    tasks = [replay("runware", index).submit.json[0]["taskUUID"] for index in (0, 0, 1)]
    assert tasks[0] == tasks[1] != tasks[2]


def test_the_older_dialect_and_models_without_a_seed():
    (task,) = replay("runware", model="runware:504@1", dialect="2025").submit.json
    assert task["taskType"] == "imageUpscale"
    assert task["inputImage"].startswith("data:")
    assert "settings" not in task
    assert built("runware", model="runware:504@1").capabilities.deterministic


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("insufficientCredits", AccountRefusedError),
        ("invalidApiKey", AccountRefusedError),
        ("rateLimitExceeded", TryLaterError),
        ("quotaExceeded", AccountRefusedError),
        ("noAvailableServer", TryLaterError),
        ("invalidInputImage", RefusedError),
        ("nsfwContentDetected", RefusedError),
        ("unsupportedParameter", RunRefusedError),
        ("providerUnavailable", VendorFailedError),
        ("providerInsufficientCredits", VendorFailedError),
        ("inferenceError", VendorFailedError),
        ("internalServerError", VendorFailedError),
    ],
)
def test_errors_of_runware_inside_an_http_200(code, expected):
    body = f'{{"errors":[{{"code":"{code}","message":"the reason"}}]}}'
    for status in (200, 400, 500):
        assert_error(refused("runware", says(body, status)), expected, "the reason", code=code)


def test_a_prompt_is_a_setting_of_the_model():
    (task,) = replay("runware", prompt="a cat", settings='{"steps": 20}').submit.json
    assert task["settings"] == {"positivePrompt": "a cat", "steps": 20, "seed": 1}
    assert "positivePrompt" not in task


@pytest.mark.parametrize(("code", "status"), [("timeoutProvider", 200), ("conflictTaskUUID", 400)])
def test_a_task_that_the_vendor_has_already_is_asked_for_and_not_bought_again(code, status):
    adapter = built("runware")
    known = says(f'{{"errors":[{{"code":"{code}","message":"m"}}]}}', status)
    running = says('{"data":[{"taskType":"upscale","status":"processing"}]}')
    (done,) = answers_of("runware")
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [known, running, done])
    submit, *polls = exchange.sends
    identifier = submit.json[0]["taskUUID"]
    assert [(poll.purpose, poll.json) for poll in polls] == [
        ("poll", [{"taskType": "getResponse", "taskUUID": identifier}])
    ] * 2
    assert (exchange.jobs, exchange.picture) == ([identifier], PICTURE)
    lost = says('{"errors":[{"code":"taskFailedOrNotFound","message":"m"}]}', 400)
    assert isinstance(refused("runware", known, lost), VendorFailedError)


def test_an_answer_without_data_is_a_payload_error():
    assert isinstance(refused("runware", says('{"data":[]}')), PayloadError)


def test_the_router_of_hugging_face_takes_json_and_answers_with_the_picture():
    exchange = replay("hugging_face", 2, settings='{"guidance_scale": 3}', target_size=True)
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/models/someone/upscaler"
    assert submit.json["inputs"].startswith("iVBORw0KGgo")
    assert submit.json["parameters"] == {"guidance_scale": 3, "target_size": {"width": 64, "height": 48}, "seed": 2}
    assert key_of(submit, "authorization") == "Bearer hf_made_up_for_this_example"
    assert submit.headers["accept"] == "image/png"


def test_an_endpoint_is_its_own_address():
    submit = replay("hugging_face", model="", endpoint=True, seed_field="").submit
    assert (submit.url, set(submit.json)) == (ADDRESS, {"inputs"})


@pytest.mark.parametrize("parameters", [{"model": ""}, {"endpoint": True}])
def test_one_address_is_given(parameters):
    with pytest.raises(ValidationError, match="give one of the two"):
        built("hugging_face", **parameters)


def test_a_loading_model_says_how_long():
    error = refused("hugging_face", says('{"error":"Model is currently loading","estimated_time":20.5}', 503))
    assert_error(error, TryLaterError, "loading", retry_after=20.5)


def test_a_model_that_is_not_served_stops_the_run():
    error = refused("hugging_face", says('{"error":"Model not supported by provider hf-inference"}', 400))
    assert_error(error, NotFoundError, "not supported by provider")
    assert type(refused("hugging_face", says('{"error":"inputs must be an image"}', 400))) is RefusedError


def test_json_in_the_place_of_the_picture():
    assert isinstance(refused("hugging_face", says('{"error":"unknown parameter seed"}')), RunRefusedError)
    assert isinstance(refused("hugging_face", says('{"error":"CUDA out of memory"}')), VendorFailedError)
    assert isinstance(refused("hugging_face", says('{"error":"CUDA out of memory"}', 500)), VendorFailedError)
    assert isinstance(refused("hugging_face", says('[{"label":"cat"}]')), PayloadError)


def drawn(provider: str, known: str, *answers: Answer, **parameters: Any) -> Rehearsal:
    adapter = built("hugging_face_providers", provider=provider, **parameters)
    return drive(adapter, adapter.draw(upload(), seeded(adapter)), [offers(provider, known), *answers])


def refused_by_provider(*answers: Answer, **parameters: Any) -> VendorError:
    adapter = built("hugging_face_providers", **parameters)
    return failure(adapter, adapter.draw(upload(), seeded(adapter)), *answers)


def offers(provider: str, known: str, more: str = "") -> Answer:
    mine = f'"{provider}":{{"status":"live","providerId":"{known}","task":"image-to-image"{more}}}'
    return says(f'{{"inferenceProviderMapping":{{{mine}}}}}')


def test_fal_is_reached_by_its_queue():
    exchange = replay("hugging_face_providers", settings='{"upscaling_factor": 4}')
    lookup, submit, poll, _, result, download = exchange.sends
    assert lookup.url == f"{ADDRESS}/api/models/fal/AuraSR"
    assert (lookup.query, lookup.public, lookup.headers) == ({"expand": "inferenceProviderMapping"}, True, {})
    assert (submit.url, submit.query) == (f"{ADDRESS}/fal-ai/fal-ai/aura-sr", {"_subdomain": "queue"})
    assert key_of(submit, "authorization") == "Bearer hf_made_up_for_this_example"
    picture = submit.json["image_url"]
    assert picture.startswith("data:image/png;base64,")
    assert submit.json == {"image_url": picture, "image_urls": [picture], "upscaling_factor": 4, "seed": 0}
    assert poll.url == f"{ADDRESS}/fal-ai/fal-ai/aura-sr/requests/r-1/status"
    assert result.url == f"{ADDRESS}/fal-ai/fal-ai/aura-sr/requests/r-1"
    assert poll.query == result.query == {"_subdomain": "queue"}
    assert key_of(poll, "authorization") == "Bearer hf_made_up_for_this_example"
    assert download.public
    assert (exchange.picture, exchange.observed[0].model) == (PICTURE, "fal-ai:fal-ai/aura-sr")
    assert exchange.jobs == ["r-1 /fal-ai/aura-sr/requests/r-1"]


def test_replicate_answers_at_once_or_is_polled_through_the_router():
    link = '"urls":{"get":"https://api.replicate.com/v1/predictions/p-1"}'
    at_once = says(f'{{"id":"p-1","status":"succeeded","output":["{ADDRESS}/o.png"],{link}}}')
    _, submit, download = drawn("replicate", "owner/name", at_once, shows(), prompt="restore").sends
    assert submit.url == f"{ADDRESS}/replicate/v1/models/owner/name/predictions"
    assert submit.headers["prefer"] == "wait"
    picture = submit.json["input"]["image"]
    assert submit.json == {
        "input": {
            "image": picture,
            "images": [picture],
            "input_image": picture,
            "input_images": [picture],
            "prompt": "restore",
            "seed": 0,
        }
    }
    assert download.url == f"{ADDRESS}/o.png"
    working = says(f'{{"id":"p-1","status":"processing","output":null,{link}}}')
    later = drawn("replicate", "owner/name:5c7d", working, at_once, shows()).sends
    assert (later[1].url, later[1].json["version"]) == (f"{ADDRESS}/replicate/v1/predictions", "5c7d")
    assert later[2].url == f"{ADDRESS}/replicate/v1/predictions/p-1"


def test_wavespeed_is_polled_at_the_path_that_it_names():
    exchange = drawn(
        "wavespeed",
        "wavespeed-ai/seedvr2",
        says(
            '{"code":200,"data":{"id":"w-1","urls":{"get":"https://api.wavespeed.ai/api/v3/predictions/w-1/result"}}}'
        ),
        says('{"data":{"status":"processing","outputs":[]}}'),
        says(f'{{"data":{{"status":"completed","outputs":["{ADDRESS}/o.png"]}}}}'),
        shows(),
        seed_field="",
    )
    _, submit, poll, _, _ = exchange.sends
    assert (submit.url, set(submit.json)) == (f"{ADDRESS}/wavespeed/api/v3/wavespeed-ai/seedvr2", {"image"})
    assert poll.url == f"{ADDRESS}/wavespeed/api/v3/predictions/w-1/result"


def test_a_model_that_the_provider_does_not_run_stops_the_run_before_anything_is_paid():
    assert_error(refused_by_provider(offers("wavespeed", "x/y")), NotFoundError, "provider=wavespeed")
    words = says('{"inferenceProviderMapping":{"fal-ai":{"status":"live","providerId":"x","task":"text-to-image"}}}')
    assert isinstance(refused_by_provider(words), NotFoundError)
    assert isinstance(
        refused_by_provider(offers("fal-ai", "x", ',"adapterWeightsPath":"lora.safetensors"')), NotFoundError
    )
    assert isinstance(refused_by_provider(says("{}")), NotFoundError)
    assert isinstance(refused_by_provider(says('{"error":"Invalid username or password."}', 401)), NotFoundError)


def test_the_address_of_the_hub_follows_that_of_the_router():
    adapter = built("hugging_face_providers", url="https://router.huggingface.co")
    step = next(adapter.draw(upload(), seeded(adapter)))
    assert getattr(step, "url", "") == "https://huggingface.co/api/models/fal/AuraSR"


@pytest.mark.parametrize(
    ("provider", "answer", "expected"),
    [
        ("fal-ai", '{"status":"COMPLETED","error":"lost","error_type":"runner_disconnected"}', VendorFailedError),
        ("fal-ai", '{"status":"COMPLETED","error":"flagged","error_type":"content_policy_violation"}', RefusedError),
        ("replicate", '{"status":"failed","error":"interrupted; please retry (code: PA)"}', VendorFailedError),
        ("replicate", '{"status":"failed","error":"flagged as sensitive content (E005)"}', RefusedError),
        ("wavespeed", '{"data":{"status":"failed","error":"internal error"}}', VendorFailedError),
        (
            "wavespeed",
            '{"code":200,"data":{"status":"failed","code":1200,"error":"The content contains sensitive information."}}',
            RefusedError,
        ),
    ],
)
def test_failed_jobs_of_providers(provider, answer, expected):
    error = unresumed("hugging_face_providers", "j /p/j", says(answer), provider=provider)
    assert isinstance(error, expected)
    assert getattr(error, "code", None) != "200"


def test_a_result_that_fails_has_its_reason_in_it():
    done = says('{"status":"COMPLETED"}')
    body = '{"detail":[{"msg":"m","type":"content_policy_violation"}]}'
    filtered = unresumed("hugging_face_providers", "j /p/j", done, says(body, 422))
    assert isinstance(filtered, RefusedError)
    lost = says('{"detail":"m"}', 503, x_fal_error_type="runner_scheduling_failure")
    assert isinstance(unresumed("hugging_face_providers", "j /p/j", done, lost), VendorFailedError)


def test_the_routers_errors():
    def error(status, message="m"):
        return refused_by_provider(offers("fal-ai", "fal-ai/aura-sr"), says(f'{{"error":"{message}"}}', status))

    assert isinstance(error(401), AccountRefusedError)
    assert isinstance(error(402, "You have exceeded your monthly included credits"), AccountRefusedError)
    assert isinstance(error(400, "Model x is not supported by provider fal-ai"), NotFoundError)
    assert isinstance(error(429), TryLaterError)
    assert isinstance(error(422), RefusedError)
