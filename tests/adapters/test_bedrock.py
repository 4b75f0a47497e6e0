"""Bedrock: both kinds of key, and refusals that come with HTTP 200."""

import json

import pytest
from support.flow_driver import ADDRESS, PICTURE, answers_of, built, drive, key_of, refused, replay, seeded, upload

from blackbox_conformal.errors import (
    AccountRefusedError,
    CredentialMissingError,
    NotFoundError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.example import says


def test_a_bearer_key_is_sent_with_the_whole_body():
    exchange = replay("bedrock")
    (submit,) = exchange.sends
    assert submit.url == f"{ADDRESS}/model/us.stability.stable-conservative-upscale-v1%3A0/invoke"
    assert key_of(submit, "authorization") == "Bearer bedrock-api-key-made-up"
    assert submit.body is not None
    body = json.loads(submit.body)
    assert set(body) == {"image", "output_format", "prompt", "seed"}
    assert (body["output_format"], body["seed"]) == ("png", 1)
    assert (exchange.picture, exchange.observed[0].seed) == (PICTURE, 1000)
    assert exchange.observed[0].request_id == "5b2f2a0c-0000-4000-8000-000000000000"


def test_access_keys_sign_the_request(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret-access-key")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    submit = replay("bedrock", auth="signature").submit
    assert "x-amz-security-token" not in submit.headers
    signed = key_of(submit, "authorization")
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-west-2/bedrock/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, " in signed
    monkeypatch.setenv("AWS_SESSION_TOKEN", "made-up-session-token")
    assert isinstance(replay("bedrock", auth="signature").submit.headers["x-amz-security-token"], Secret)


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """A credentials file that is not there yet; the environment names it and has no keys."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
        monkeypatch.delenv(f"AWS_{name}_FILE", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def unsigned(**parameters: str) -> str:
    """What is said where no request can be signed."""
    adapter = built("bedrock", auth="signature", **parameters)
    with pytest.raises(CredentialMissingError) as caught:
        drive(adapter, adapter.draw(upload(), seeded(adapter)), answers_of("bedrock"))
    return str(caught.value)


def test_a_missing_access_key_is_named(credentials, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret-access-key")
    assert "AWS_ACCESS_KEY_ID" in unsigned()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "AWS_SECRET_ACCESS_KEY" in unsigned()


def test_keys_come_from_a_profile_where_the_environment_has_none(credentials, monkeypatch):
    credentials.write_text(
        "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = made-up-default\n"
        "[work]\naws_access_key_id=AKIDWORK\naws_secret_access_key=made-up-work\naws_session_token=made-up-token\n"
    )
    plain = replay("bedrock", auth="signature").submit
    assert "Credential=AKIDDEFAULT/" in key_of(plain, "authorization")
    assert "x-amz-security-token" not in plain.headers
    monkeypatch.setenv("AWS_PROFILE", "work")
    chosen = replay("bedrock", auth="signature").submit
    assert "Credential=AKIDWORK/" in key_of(chosen, "authorization")
    assert key_of(chosen, "x-amz-security-token") == "made-up-token"
    assert built("bedrock", auth="signature").credential() == Secret("made-up-work")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-environment")
    of_environment = replay("bedrock", auth="signature").submit
    assert "Credential=AKIDENVIRONMENT/" in key_of(of_environment, "authorization")
    assert "x-amz-security-token" not in of_environment.headers


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "profile default has aws_access_key_id; neither is there"),
        ("[work]\naws_access_key_id = AKID\n", "profile default has aws_access_key_id"),
        ("[default]\naws_access_key_id = AKID\n", "profile default has aws_secret_access_key"),
        ("[default]\naws_access_key_id = AK ID\n", "aws_access_key_id of the profile default"),
        ("aws_secret_access_key = made-up-before-any-profile\n", "MissingSectionHeaderError"),
    ],
)
def test_what_a_credentials_file_lacks_is_named_without_its_keys(credentials, written, said):
    if written is not None:
        credentials.write_text(written)
    message = unsigned()
    assert said in message
    assert str(credentials) in message
    assert "made-up" not in message


@pytest.mark.parametrize("mode", ["fast", "conservative", "creative"])
def test_a_region_without_the_inference_profile_is_named_before_anything_is_sent(mode):
    with pytest.raises(UsageError, match=r"us-west-2\); got 'eu-west-1'\. Give one with -p region=us-west-2"):
        load_adapter("bedrock", mode=mode, region="eu-west-1")
    assert load_adapter("bedrock", mode=mode, region="us-east-2").identity()
    elsewhere = load_adapter("bedrock", mode=mode, region="eu-west-1", model_id="eu.stability.mine")
    assert elsewhere.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"


def test_the_address_follows_the_region_and_is_no_part_of_the_procedure():
    west, east = built("bedrock", url=""), built("bedrock", url="", region="us-east-1")
    assert east.base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert west.identity() == east.identity()


def test_fast_takes_neither_prompt_nor_seed():
    submit = replay("bedrock", mode="fast").submit
    assert set(json.loads(submit.body or b"")) == {"image", "output_format"}
    assert built("bedrock", mode="fast").capabilities.scale_factors == (4,)


@pytest.mark.parametrize("reason", ["Filter reason: prompt", "Filter reason: output image", "Inference error"])
def test_a_finish_reason_is_a_billed_refusal_or_the_vendors_failure(reason):
    error = refused("bedrock", says(json.dumps({"images": [""], "seeds": [1], "finish_reasons": [reason]})))
    assert reason in str(error)
    if reason == "Inference error":
        assert isinstance(error, VendorFailedError)
    else:
        assert isinstance(error, RefusedError)
        assert error.billed


def test_an_answer_without_images_is_a_payload_error():
    assert isinstance(refused("bedrock", says("{}")), PayloadError)


def test_exceptions_are_classed_by_name():
    throttled = says('{"message":"Too many requests"}', 429, x_amzn_errortype="ThrottlingException:http://x")
    assert isinstance(refused("bedrock", throttled), TryLaterError)
    denied = says('{"message":"not authorized"}', 403, x_amzn_errortype="AccessDeniedException")
    assert isinstance(refused("bedrock", denied), AccountRefusedError)
    invalid = refused("bedrock", says('{"message":"image too small"}', 400, x_amzn_errortype="ValidationException"))
    assert isinstance(invalid, RefusedError)
    assert (invalid.code, "image too small" in str(invalid)) == ("ValidationException", True)
    assert type(invalid) is RefusedError
    model = says('{"message":"The provided model identifier is invalid."}', 400, x_amzn_errortype="ValidationException")
    unknown = refused("bedrock", model)
    assert isinstance(unknown, NotFoundError)
    assert "model identifier is invalid" in str(unknown)
    quota = says(
        '{"message":"You can resubmit your request later"}', 400, x_amzn_errortype="ServiceQuotaExceededException"
    )
    assert isinstance(refused("bedrock", quota), TryLaterError)
    for status, name in (
        (424, "ModelErrorException"),
        (408, "ModelTimeoutException"),
        (500, "InternalServerException"),
    ):
        assert isinstance(
            refused("bedrock", says('{"message":"no"}', status, x_amzn_errortype=name)), VendorFailedError
        )
