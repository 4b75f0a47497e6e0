"""Secrets show themselves nowhere."""

import base64
import json
import pickle
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from blackbox_conformal.support import secrets
from blackbox_conformal.support.secrets import Secret, redact

CANARY = "canary-7c2f9a-key"


def test_a_secret_prints_as_stars() -> None:
    secret = Secret(CANARY).prefixed("Bearer ")
    assert CANARY not in f"{secret} {secret!r} {[secret]} { ({'key': secret}) }"
    assert secret.reveal() == f"Bearer {CANARY}"


def test_known_secrets_are_removed_from_texts() -> None:
    Secret(CANARY)
    assert redact(f"GET failed with key {CANARY}!") == "GET failed with key ***!"


SPECIAL = "k3y/with+odd=signs~7"


@pytest.mark.parametrize("key", [CANARY, SPECIAL])
@pytest.mark.parametrize(
    "write",
    [
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.b64encode(f"someone:{key}".encode()).decode(),
        lambda key: base64.b64encode(f"a{key}:and more".encode()).decode(),
        lambda key: base64.urlsafe_b64encode(f"ab{key}\xff".encode()).decode(),
        lambda key: base64.b64encode(f"Bearer {key}".encode()).decode().rstrip("="),
        lambda key: quote(key, safe=""),
        lambda key: quote_plus(f"key is {key}"),
        lambda key: quote(key, safe="").lower(),
        lambda key: key.encode().hex(),
        lambda key: key.encode().hex().upper(),
        lambda key: json.dumps({"key": key}).replace("/", "\\/"),
    ],
)
def test_secrets_are_removed_however_they_are_written(key: str, write: Callable[[str], str]) -> None:
    Secret(key)
    written = write(key)
    shown = redact(f"the vendor said {written}, and no more")
    assert "***" in shown
    assert shown.startswith("the vendor said ")
    assert shown.endswith(", and no more")
    # What is left of the encoded secret tells at most the bits that its edges share with their neighbours.
    left = shown.removeprefix("the vendor said ").removesuffix(", and no more").replace("***", "")
    assert not any(piece in left for piece in pieces(written, key))


def pieces(written: str, key: str) -> list[str]:
    """Every run of six letters of a secret as it stands in base64, hexadecimal digits and as itself."""
    shapes = [key, key.encode().hex(), key.encode().hex().upper(), quote(key, safe=""), quote(key, safe="").lower()]
    shapes += [base64.b64encode(b"\0" * before + key.encode()).decode()[4:-4] for before in range(3)]
    return [shape[at : at + 6] for shape in shapes for at in range(len(shape) - 5)]


def test_a_key_in_use_is_known_in_every_writing_however_many_others_there_were() -> None:
    for number in range(200):
        Secret(f"signature-{number:040}", lasting=False)
        Secret(f"key-of-somebody-{number:040}")
        Secret(SPECIAL)
    assert "***" in redact(f"said {SPECIAL.encode().hex()}")


def test_a_key_that_is_no_text_is_redacted_as_well() -> None:
    Secret("k\udcff\udcfe-short")
    assert redact("said k%FF%FE-short and k\udcff\udcfe-short") == "said *** and ***"


def test_many_secrets_and_long_texts_are_redacted_in_one_go() -> None:
    keys = [f"secret-number-{number:04d}" for number in range(200)]
    for key in keys:
        Secret(key)
    shown = redact(" ".join(keys) + " end")
    assert shown == "*** " * 200 + "end"


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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:pa/ss@host/db", "postgresql://me:***@host/db"),
        ("postgres://me:pa?s#s@host/db", "postgres://me:***@host/db"),
        ("postgresql://me:p@ss/w@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("https://me:pass@host/x", "https://***@host/x"),
        ("GET https://host/a?url=b?api_key=abc&n=1", "GET https://host/a?url=b?api_key=***&n=1"),
        ("https://host/a?X-Amz-Signature=abc'", "https://host/a?X-Amz-Signature=***'"),
        ("https://host/a?page=3&size=4", "https://host/a?page=3&size=4"),
    ],
)
def test_addresses_are_shown_without_what_gives_access(address: str, shown: str) -> None:
    assert redact(address) == shown


@pytest.mark.parametrize(
    "piece", ["a", "?key", "&a.key-", "://", "postgresql://", "postgres://a:", "a@", "%2F", "://a@"]
)
def test_the_work_of_redacting_grows_as_the_text_does(piece: str) -> None:
    Secret(CANARY)

    def seconds(letters: int) -> float:
        text = piece * (letters // len(piece))
        measured = []
        for _ in range(3):
            begin = time.process_time()
            redact(text)
            measured.append(time.process_time() - begin)
        return min(measured)

    # Sixteen times the letters: 16 times the work if it is linear, 256 times if it is quadratic.
    assert seconds(16 * 8_000) < 64 * max(seconds(8_000), 2e-4)


def test_signatures_of_requests_that_ended_long_ago_are_searched_for_no_more() -> None:
    key = Secret(CANARY)
    signed = [Secret(f"signature-{number:06}", lasting=False).reveal() for number in range(5_000)]
    assert redact(f"{signed[-1]} {signed[-900]}") == "*** ***"
    assert len(secrets._passing) < 2_000, "each of them costs at every redaction"
    assert redact(key.reveal()) == "***", "a key stays"


def test_a_token_that_is_in_use_is_found_however_many_signatures_are_made_beside_it() -> None:
    token = Secret("token-of-an-hour", lasting=False)
    for number in range(2_000):
        Secret(f"signature-{number:06}", lasting=False)
        token.prefixed("Bearer ")
    assert redact("token-of-an-hour") == "***"
