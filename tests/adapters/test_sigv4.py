"""Signature Version 4 against the signatures that AWS publishes for its test suite."""

from datetime import UTC, datetime

import pytest

from blackbox_adapters.bedrock import signed_headers
from blackbox_conformal.support.secrets import Secret

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
