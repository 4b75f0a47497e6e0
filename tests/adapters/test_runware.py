"""Runware: a list of one task, identifiers that never repeat, errors inside HTTP 200."""

import uuid
from decimal import Decimal

import pytest
from support.flow_driver import ADDRESS, PICTURE, answers_of, built, drive, key_of, refused, replay, seeded, upload

from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.example import says


def test_one_task_in_a_list_with_the_seed_in_its_settings():
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
def test_errors_inside_an_http_200(code, expected):
    body = f'{{"errors":[{{"code":"{code}","message":"the reason"}}]}}'
    for status in (200, 400, 500):
        error = refused("runware", says(body, status))
        assert type(error) is expected
        assert "the reason" in str(error)
        assert error.code == code


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
