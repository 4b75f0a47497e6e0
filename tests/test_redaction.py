"""Secrets show themselves nowhere."""

import pickle

import pytest

from blackbox_conformal.redaction import Secret, redact

CANARY = "canary-7c2f9a-key"


def test_a_secret_prints_as_stars() -> None:
    secret = Secret(CANARY).prefixed("Bearer ")
    assert CANARY not in f"{secret} {secret!r} {[secret]} { ({'key': secret}) }"
    assert secret.reveal() == f"Bearer {CANARY}"


def test_known_secrets_are_removed_from_texts() -> None:
    Secret(CANARY)
    assert redact(f"GET failed with key {CANARY}!") == "GET failed with key ***!"


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/a.png?X-Amz-Signature=abcdef0123&x=1",
        "https://cdn.example/a.png?x=1&token=abcdef0123",
        "https://cdn.example/a.png?sig=abcdef0123",
        "https://abcdef0123:x@proxy.example/",
    ],
)
def test_signed_links_and_user_names_are_removed(url: str) -> None:
    assert "abcdef0123" not in redact(f"could not fetch {url} today")


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(CANARY))
