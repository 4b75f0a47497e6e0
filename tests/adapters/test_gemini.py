"""Gemini: the request of the vendor's own client, tokens as money, refusals under HTTP 200."""

from decimal import Decimal

import pytest
from support.flow_driver import ADDRESS, PICTURE, built, key_of, refused, replay

from blackbox_adapters._hosted import RESTORE
from blackbox_conformal.errors import (
    AccountRefusedError,
    NotFoundError,
    PayloadError,
    RefusedError,
    RunRefusedError,
    TryLaterError,
    VendorFailedError,
)
from blackbox_conformal.vendor.example import says


def test_one_call_in_the_form_of_the_vendors_client():
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


def test_tokens_are_booked_at_list_prices():
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
    assert isinstance(error, RefusedError)
    assert error.billed
    assert "why" in str(error)


def test_a_blocked_prompt_is_a_refusal_before_generation():
    error = refused("gemini", says('{"promptFeedback":{"blockReason":"SAFETY"}}'))
    assert isinstance(error, RefusedError)
    assert not error.billed


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER", "OTHER"])
def test_no_picture_without_a_reason_is_the_vendors_own_failure(reason):
    assert isinstance(refused("gemini", says(f'{{"candidates":[{{"finishReason":"{reason}"}}]}}')), VendorFailedError)


def test_a_damaged_picture_is_said_to_be_one():
    damaged = says('{"candidates":[{"content":{"parts":[{"inlineData":{"data":"%%%"}}]}}]}')
    assert isinstance(refused("gemini", damaged), PayloadError)


def test_googles_errors():
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
    waiting = error(429, "RESOURCE_EXHAUSTED", details='[{"retryDelay":"37s"}]')
    assert isinstance(waiting, TryLaterError)
    assert waiting.retry_after == 37
    assert isinstance(error(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0"), AccountRefusedError)
    assert isinstance(error(503, "UNAVAILABLE", "overloaded"), TryLaterError)
    assert isinstance(error(500, "INTERNAL", "an internal error"), VendorFailedError)
