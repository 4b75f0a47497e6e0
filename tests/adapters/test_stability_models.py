"""Stability's three upscalers are the same wherever they are bought; and the signature of Amazon's requests."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    a_draw,
    answers_of,
    assert_error,
    built,
    drive,
    key_of,
    refused,
    replay,
    seeded,
    unresumed,
    upload,
)

from blackbox_adapters.bedrock import signed_headers
from blackbox_adapters.stability import SEEDS, StabilityModes
from blackbox_conformal.errors import (
    AccountRefusedError,
    CredentialMissingError,
    JobError,
    NotFoundError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

JOB = "f26e2f9ee0ca2e64bf3b5b48f1b3ab6f"
DONE = Answer(200, {"content-type": "image/png", "finish-reason": "SUCCESS", "seed": "9"}, PICTURE)


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("fast", {"output_format": "png"}),
        ("conservative", {"output_format": "png", "prompt": "a photograph", "seed": "1"}),
    ],
)
def test_synchronous_modes_answer_with_the_picture(mode, form):
    adapter = built("stability", mode=mode)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), [DONE])
    (submit,) = exchange.sends
    assert (submit.url, submit.form) == (f"{ADDRESS}/v2beta/stable-image/upscale/{mode}", form)
    assert [(part.name, part.content) for part in submit.files] == [("image", upload().png)]
    assert submit.headers["accept"] == "image/*"
    assert key_of(submit, "authorization") == "Bearer sk-made-up-for-this-example"
    assert (exchange.picture, exchange.observed[0].seed, exchange.jobs) == (PICTURE, 9, [])


def test_creative_is_a_job_that_is_polled_every_ten_seconds_by_default():
    exchange = replay("stability", creativity=0.3, negative_prompt="text", style_preset="anime")
    assert exchange.submit.form == {
        "output_format": "png",
        "prompt": "a photograph",
        "negative_prompt": "text",
        "creativity": "0.3",
        "seed": "1",
        "style_preset": "anime",
    }
    assert (exchange.jobs, exchange.sends[1].url) == ([JOB], f"{ADDRESS}/v2beta/results/{JOB}")
    assert exchange.waits == [0.1]
    assert type(built("stability")).model_fields["poll_seconds"].default == 10.0
    older = replay("stability", results_path="v2beta/stable-image/upscale/creative/result/{id}")
    assert older.sends[1].url == f"{ADDRESS}/v2beta/stable-image/upscale/creative/result/{JOB}"


def test_seeds_never_are_zero_which_means_random():
    capabilities = built("stability", mode="creative").capabilities
    assert capabilities.seed_range == (1, 4294967294)
    assert not built("stability", mode="fast").capabilities.seedable


def test_a_filtered_picture_comes_with_http_200_and_is_billed():
    error = refused("stability", Answer(200, {"finish-reason": "CONTENT_FILTERED"}, PICTURE), mode="conservative")
    assert_error(error, RefusedError, "CONTENT_FILTERED", billed=True)


def test_a_failed_generation_is_the_vendors_and_not_billed():
    failed = refused("stability", Answer(200, {"finish-reason": "ERROR"}, PICTURE), mode="conservative")
    internal = '{"id":"req-1","name":"internal_error","errors":["An unexpected server error has occurred."]}'
    for error in (failed, refused("stability", says(internal, 500), mode="conservative")):
        assert isinstance(error, VendorFailedError)
    assert not built("stability").capabilities.failures_billed


def test_moderation_is_about_the_picture_and_not_the_key():
    body = '{"id":"req-1","name":"content_moderation","errors":["Your request was flagged."]}'
    assert_error(refused("stability", says(body, 403)), RefusedError, "flagged", request_id="req-1")
    denied = refused("stability", says('{"id":"r","name":"permission_denied","errors":["no"]}', 403))
    assert isinstance(denied, AccountRefusedError)


def test_a_lock_out_lasts_a_minute():
    error = refused("stability", says('{"id":"r","name":"rate_limit_exceeded","errors":["slow down"]}', 429))
    assert_error(error, TryLaterError, retry_after=60.0)


def test_sizes_are_refused_in_the_vendors_words():
    error = refused("stability", says('{"id":"r","name":"bad_request","errors":["image: too small"]}', 400))
    assert_error(error, RefusedError, "too small")


def test_an_expired_job_is_not_a_refusal():
    assert isinstance(unresumed("stability", JOB, says('{"id":"r","name":"not_found","errors":["x"]}', 404)), JobError)


def test_resuming_reads_the_result_only():
    adapter = built("stability")
    exchange = drive(adapter, adapter.resume(upload(), seeded(adapter), JOB), [shows()])
    assert [send.purpose for send in exchange.sends] == ["poll"]


@pytest.mark.parametrize("module", ["stability", "bedrock"])
def test_fast_magnifies_by_four_only(module):
    assert built(module, mode="fast").capabilities.scale_factors == (4,)
    with pytest.raises(ValidationError, match="magnifies by 4; got scale=2"):
        built(module, mode="fast", scale=2)


HOMES = ("stability", "bedrock")
DIALS = {"negative_prompt": "text", "creativity": 0.3, "style_preset": "anime"}


def modes(module: str, mode: str, **more: object) -> StabilityModes:
    adapter = built(module, mode=mode, **more)
    assert isinstance(adapter, StabilityModes)
    return adapter


@pytest.mark.parametrize("module", HOMES)
@pytest.mark.parametrize(
    ("mode", "taken"),
    [
        ("fast", {"output_format"}),
        ("conservative", {"output_format", "prompt", "negative_prompt", "creativity", "seed"}),
        ("creative", {"output_format", "prompt", "negative_prompt", "creativity", "seed", "style_preset"}),
    ],
)
def test_each_mode_is_sent_what_it_takes_and_nothing_else(module, mode, taken):
    dials = modes(module, mode, **DIALS).mode_fields(a_draw(seed=7))
    assert (set(dials), dials["output_format"], dials.get("seed", 7)) == (taken, "png", 7)
    assert set(modes(module, mode).mode_fields(a_draw(seed=7))) == taken & {"output_format", "prompt", "seed"}


@pytest.mark.parametrize("module", HOMES)
def test_limits_are_those_of_the_mode(module):
    fast, conservative, creative = (modes(module, mode).capabilities for mode in ("fast", "conservative", "creative"))
    assert (fast.seedable, fast.seed_range, fast.output_size) == (False, None, "exact")
    assert (fast.min_side, fast.max_side, fast.max_input_pixels) == (32, 1536, 1_048_576)
    assert (conservative.min_side, conservative.max_side, conservative.max_input_pixels) == (64, None, 9_437_184)
    assert (creative.min_side, creative.max_side, creative.max_input_pixels) == (64, None, 1_048_576)
    assert (fast.max_aspect, conservative.max_aspect, creative.max_aspect) == (None, 2.5, None)
    for able in (conservative, creative):
        assert (able.seedable, able.seed_range, able.output_size) == (True, SEEDS, "any")
    assert 0 not in range(SEEDS[0], SEEDS[1] + 1)  # it would mean: random


@pytest.mark.parametrize("module", HOMES)
@pytest.mark.parametrize(
    "wrong",
    [{"mode": "fast", "scale": 2}, {"creativity": 0.6}, {"mode": "conservative", "creativity": 0.1}, {"prompt": ""}],
)
def test_what_no_mode_takes_is_refused(module, wrong):
    with pytest.raises(ValidationError):
        built(module, **wrong)


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
        assert_error(error, RefusedError, billed=True)


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
    assert_error(refused("bedrock", model), NotFoundError, "model identifier is invalid")
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


MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
ACCESS = Secret("AKIDEXAMPLE")
SECRET = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def signature(method: str, url: str = "https://example.amazonaws.com/", body: bytes = b"") -> str:
    headers = signed_headers(
        method, url, body, region="us-east-1", service="service", access_key=ACCESS, secret_key=SECRET, at=MOMENT
    )
    authorization = headers["authorization"]
    assert isinstance(authorization, Secret)
    return authorization.reveal()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_the_published_vanilla_requests_sign_as_published(method, expected):
    assert signature(method) == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={expected}"
    )


def test_every_part_of_the_request_is_signed():
    signatures = {
        signature("POST"),
        signature("POST", body=b"x"),
        signature("POST", "https://example.amazonaws.com/model"),
        signature("POST", "https://example.amazonaws.com:8443/"),
    }
    assert len(signatures) == 4


def test_a_session_token_is_signed_and_stays_secret():
    token = Secret("temporary-token")
    headers = signed_headers(
        "POST",
        "https://example.amazonaws.com/",
        b"",
        region="us-east-1",
        service="service",
        access_key=ACCESS,
        secret_key=SECRET,
        session_token=token,
        headers={"content-type": "application/json"},
        at=MOMENT,
    )
    assert headers["x-amz-security-token"] is token
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert "host" not in headers
    authorization = headers["authorization"]
    assert isinstance(authorization, Secret)
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in authorization.reveal()
    assert "SECRET" not in repr(headers)
