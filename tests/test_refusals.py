"""Words of money and of keys, told from words about a picture."""

import pytest
from support import flow_driver

from blackbox_conformal.vendor.refusals import speaks_of_account

SURELY = [
    "400 not enough credits",
    "MISSING_API_KEY",
    "Insufficient credits",
    "Insufficient credit",
    "insufficient_credits: your balance is 0.1, 0.5 are needed",
    "InsufficientBalance",
    "not enough balance",
    "Insufficient funds.",
    "not_enough_credits",
    "Your credit balance is too low to access the API",
    "No credits found for the user",
    "No API calls left",
    "You have run out of API calls",
    "Payment Required",
    "Team monthly spend limit of $50 reached",
    "Spending cap reached",
    "You have reached your credit limit",
    "Missing Authorization or x-api-key in header",
    "Unauthorized. API key is invalid or may have expired",
    "API key not valid. Please pass a valid API key.",
    "invalid_api_key",
    "The access token has expired",
    "Authorization is required.",
    "credits exhausted",
    "Your credits have expired",
    "Account balance: 0",
    "0.12 coins are not enough for 75",
    "Please add more credits",
    "prepaid balance depleted",
    "Arrearage",
    "Arrearage: Access denied, please make sure your account is in good standing.",
]

PERHAPS = [
    "BILLING_BALANCE_NOT_ENOUGH",
    "not enough api tokens",
    "You don't have enough API tokens to perform this operation: not enough tokens",
    "insufficient_quota: You exceeded your current quota, please check your plan and billing details.",
    "billing_hard_limit_reached",
    "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
    "Your subscription does not include this model",
    "Free plan limit reached. Please upgrade",
    "Please recharge",
    "Balance too low, please recharge your account",
    "invalid token",
    "Invalid Token.",
    "invalid token in the image's header",
    "Your trial has expired",
    "trial expired",
    "insufficient points",
    "Not enough points",
    "Monthly limit exceeded",
    "You've hit your usage limit",
    "Upgrade to Pro to use this feature",
    "Not included in your current plan",
    "No generations left",
    "Your invoice is unpaid",
    "expired license",
    "subscription expired",
    "余额不足",
    "账户欠费，请充值",
    "积分不足",
    "残高が不足しています",
    "크레딧이 부족합니다",
    "Недостаточно средств на балансе",
    "Guthaben reicht nicht aus",
    "Crédits insuffisants",
    "Solde insuffisant",
    "Saldo insuficiente",
    "You have no remaining generations this month",
    "Usage cap hit",
    "Exceeded the free tier",
    "Card declined",
    "Low balance",
    "Your plan is exhausted",
    "License key invalid",
    "Unauthorized",
    "You are not allowed to use this model",
    "Please renew",
    "Free trial is over",
    "Your account has been deactivated",
    "You need 5 more points",
    "Cuota agotada",
    "Yetersiz bakiye",
    "未订阅",
    "sensitive content: an API key is visible",
    "image quota: at most 25 megapixels",
    "billing document detected",
]

ABOUT_THE_PICTURE = [
    "The input or output was flagged as sensitive. (E005)",
    "Your request was flagged by our content moderation system, as a result your request was denied",
    "content_policy_violation",
    "Your request was rejected by the safety system.",
    "ILLEGAL_IMAGE_CONTENT",
    "Filter reason: input image",
    "The image shows a credit card: personal information is not allowed",
    "The image shows a card that pays",
    "unauthorized use of a person's likeness",
    "White balance cannot be estimated",
    "white balance is too low",
    "colour balance out of range",
    "Out of range: 512 tokens",
    "prompt: at most 77 tokens; got 120 tokens",
    "The prompt has too many tokens",
    "Unexpected token < in JSON at position 0",
    "image tokens exceed the model's context length",
    "no face tokens found in the picture",
    "not enough key points matched",
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *((each, "surely") for each in SURELY),
        *((each, "perhaps") for each in PERHAPS),
        *((each, "") for each in ABOUT_THE_PICTURE),
    ],
)
def test_words_of_money_and_keys_are_told_from_words_about_pictures(words: str, said: str) -> None:
    assert speaks_of_account(f"400 the vendor refused this picture with HTTP 400: {words}") == said
    assert speaks_of_account(words) == said


@pytest.mark.parametrize("module", flow_driver.modules())
def test_no_words_by_which_an_adapter_knows_a_refused_picture_speak_of_the_account(module: str) -> None:
    adapter = flow_driver.built(module)
    spec = getattr(adapter, "_spec", None)
    reasons = [each.reasons for each in (getattr(adapter, "failures", None), spec and spec.errors) if each is not None]
    words = [word for each in reasons for word in (*each.refused, *each.filtered)]
    refusals = [] if spec is None else [rule for rule in spec.refusals if rule.means == "refused"]
    words += [text for rule in refusals for text in (rule.message, *rule.contains)]
    assert [word for word in words if speaks_of_account(word)] == []
