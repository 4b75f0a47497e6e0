"""Words of money and of keys, told from words about a picture."""

import pytest
from support import flow_driver

from blackbox_conformal.errors import AccountRefusedError, NotFoundError, RefusedError, VendorError, VendorFailedError
from blackbox_conformal.vendor.refusals import of_account, speaks_of_account

ABOUT_THE_ACCOUNT = [
    "BILLING_BALANCE_NOT_ENOUGH",
    "400 not enough balance",
    "MISSING_API_KEY",
    "not enough api tokens",
    "You don't have enough API tokens to perform this operation: not enough tokens",
    "Insufficient credits",
    "Insufficient credit",
    "insufficient_credits: your balance is 0.1, 0.5 are needed",
    "InsufficientBalance",
    "Insufficient funds.",
    "not_enough_credits",
    "insufficient_quota: You exceeded your current quota, please check your plan and billing details.",
    "billing_hard_limit_reached",
    "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
    "Your credit balance is too low to access the API",
    "No credits found for the user",
    "No API calls left",
    "You have run out of API calls",
    "Payment Required",
    "Team monthly spend limit of $50 reached",
    "Spending cap reached",
    "Your subscription does not include this model",
    "You have reached your credit limit",
    "Missing Authorization or x-api-key in header",
    "Unauthorized. API key is invalid or may have expired",
    "API key not valid. Please pass a valid API key.",
    "invalid_api_key",
    "The access token has expired",
    "Authorization is required.",
    "credits exhausted",
    "Account balance: 0",
    "0.12 coins are not enough for 75",
    "Please add more credits",
    "prepaid balance depleted",
]

ABOUT_THE_PICTURE = [
    "The input or output was flagged as sensitive. (E005)",
    "Your request was flagged by our content moderation system, as a result your request was denied",
    "content_policy_violation",
    "Your request was rejected by the safety system.",
    "ILLEGAL_IMAGE_CONTENT",
    "Filter reason: input image",
    "The image shows a credit card: personal information is not allowed",
    "The image shows a payment card",
    "unauthorized use of a person's likeness",
    "White balance cannot be estimated",
    "colour balance out of range",
    "prompt: at most 77 tokens; got 120 tokens",
    "The prompt has too many tokens",
    "Unexpected token < in JSON at position 0",
    "invalid token in the image's header",
    "image tokens exceed the model's context length",
    "no face tokens found in the picture",
    "image_too_large: 4096 x 4096, at most 2048 x 2048",
    "Image is too small: at least 64 px",
    "file_download_error",
    "unsupported image format",
    "cannot identify image file",
    "could not download the image (460)",
    "the aspect ratio exceeds 3:1",
    "field required",
    "photo credits are cut off",
    "",
]


@pytest.mark.parametrize("words", ABOUT_THE_ACCOUNT)
def test_words_of_money_and_keys_refuse_the_account(words: str) -> None:
    error = of_account(RefusedError(f"the vendor refused this picture with HTTP 400: {words}", code="400"))
    assert isinstance(error, AccountRefusedError)
    assert words.removesuffix(".") in str(error)
    assert isinstance(of_account(RefusedError("no", code=words)), AccountRefusedError)


@pytest.mark.parametrize("words", ABOUT_THE_PICTURE)
def test_words_about_the_picture_refuse_the_picture(words: str) -> None:
    refused = RefusedError(f"the vendor refused this picture with HTTP 400: {words}", code="400")
    assert of_account(refused) is refused


def test_only_refusals_that_cost_nothing_are_looked_at() -> None:
    others: list[VendorError] = [
        RefusedError("Insufficient credits", billed=True),
        VendorFailedError("Insufficient credits"),
        AccountRefusedError("Insufficient credits"),
    ]
    assert [of_account(error) for error in others] == others
    assert isinstance(of_account(NotFoundError("No credits found for the user")), AccountRefusedError)


@pytest.mark.parametrize("module", flow_driver.modules())
def test_no_words_by_which_an_adapter_knows_a_refused_picture_speak_of_the_account(module: str) -> None:
    adapter = flow_driver.built(module)
    spec = getattr(adapter, "_spec", None)
    reasons = [each.reasons for each in (getattr(adapter, "failures", None), spec and spec.errors) if each is not None]
    words = [word for each in reasons for word in (*each.refused, *each.filtered)]
    refusals = [] if spec is None else [rule for rule in spec.refusals if rule.means == "refused"]
    words += [text for rule in refusals for text in (rule.message, *rule.contains)]
    assert [word for word in words if speaks_of_account(word)] == []
