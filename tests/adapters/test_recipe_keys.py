"""Keys that recipes send elsewhere than in one header: bodies, addresses, second secrets, tokens, signatures."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import ValidationError
from support.draws import draw, ledger, tasks
from support.flow_driver import ADDRESS, PICTURE, drive, key_of, seeded, upload
from support.recording_server import RecordingServer

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import AccountRefusedError, CredentialMissingError
from blackbox_conformal.support.secrets import Secret, revealed
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Response

HEAD = """
name = "keyed"
title = "A vendor with keys of its own"
documentation = "https://keyed.example/docs"
url = "https://api.keyed.example/v1"

[scale]
factors = [4]
default = 4

[options]
user = "me"
"""

TAIL = """
[picture]
body = true

[example]

[[example.answers]]
picture = true
"""

IN_JSON = """
[auth]
variable = "KEYED_API_KEY"

[submit]
path = "/pictures"
json = { key = "{auth.key}", picture = "{image.base64}", nested = { keys = ["Key {auth.key}"] } }
"""

IN_ADDRESS = """
[auth]
variable = "KEYED_API_KEY"
query = "key"

[submit]
path = "/pictures"
query = { version = "2" }
body = true
"""

SIGNED = """
[auth]
variable = "KEYED_API_KEY"
secret_variable = "KEYED_SECRET_API_KEY"

[signature]
text = "scale={scale}&timestamp={time}&user={option.user}"
hash = "sha1"
key = "append"

[submit]
path = "/pictures"
form = { api_key = "{auth.key}", timestamp = "{time}", user = "{option.user}", signature = "{signature}" }
file = "file"
"""

TOKEN = """
[auth]
variable = "KEYED_API_KEY"
header = "x-api-key"
secret_variable = "KEYED_SECRET_API_KEY"

[token]
path = "https://login.keyed.example/token/v3"
form = { grant_type = "client_credentials", client_id = "{auth.key}", client_secret = "{auth.secret}" }

[submit]
path = "/pictures"
body = true
"""

TOKEN_TAIL = TAIL.replace(
    "[[example.answers]]", '[[example.answers]]\njson = \'{"access_token":"t-o-k-e-n-4711"}\'\n\n[[example.answers]]'
)
SHAPES = {
    "json": (IN_JSON, TAIL),
    "address": (IN_ADDRESS, TAIL),
    "signed": (SIGNED, TAIL),
    "token": (TOKEN, TOKEN_TAIL),
}
KEY, SECRET = "made-up-key-4711", "made-up-secret-0815"


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("KEYED_API_KEY", KEY)
    monkeypatch.setenv("KEYED_SECRET_API_KEY", SECRET)

    def make(shape, url=ADDRESS, *changes):
        text = HEAD + "".join(SHAPES[shape])
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "keyed.toml"
        path.write_text(text, encoding="utf-8")
        return Recipe(recipe=str(path), url=url)

    return make


def drawn(adapter: Recipe) -> Any:
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    return drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)


def test_a_key_in_the_json_stays_a_secret(made):
    submit = drawn(made("json")).submit
    assert isinstance(submit.json["key"], Secret)
    assert KEY not in repr(submit)
    assert revealed(submit.json)["key"] == KEY
    assert (revealed(submit.json)["nested"], submit.headers) == ({"keys": [f"Key {KEY}"]}, {})


def test_a_key_in_the_address_stays_a_secret(made):
    adapter = made("address")
    submit = drawn(adapter).submit
    assert adapter.key_in_address
    assert isinstance(submit.query["key"], Secret)
    assert (submit.query["version"], submit.query["key"].reveal()) == ("2", KEY)
    assert KEY not in submit.url


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('hash = "sha1"', 'hash = "sha1"'), lambda text: hashlib.sha1((text + SECRET).encode()).hexdigest()),
        (
            ('key = "append"', 'encoding = "base64"'),
            lambda text: base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha1")).decode(),
        ),
    ],
)
def test_a_signature_is_of_the_text_and_the_secret(made, change, expected):
    form = drawn(made("signed", ADDRESS, change)).submit.form
    assert isinstance(form["api_key"], Secret)
    assert isinstance(form["signature"], Secret)
    assert form["signature"].reveal() == expected(f"scale=4&timestamp={form['timestamp']}&user=me")


def test_a_token_is_asked_for_and_sent_beside_the_key(made):
    token, submit = drawn(made("token")).sends
    assert (token.purpose, token.url) == ("lookup", f"{ADDRESS}/token/v3")
    assert revealed(token.form) == {"grant_type": "client_credentials", "client_id": KEY, "client_secret": SECRET}
    assert (key_of(submit, "authorization"), key_of(submit, "x-api-key")) == ("Bearer t-o-k-e-n-4711", KEY)


def test_the_recipes_own_host_of_tokens_is_one_that_sees_the_key(made):
    adapter = made("token", "")
    assert (adapter.further_urls, adapter.fixed_url) == (("https://login.keyed.example/token/v3",), "")
    assert adapter.secret_variable == "KEYED_SECRET_API_KEY"
    first = next(adapter.draw(upload(), seeded(adapter)))
    assert first.url == "https://login.keyed.example/token/v3"
    assert made("json").further_urls == ()


@pytest.mark.parametrize("status", [400, 401, 422])
def test_no_token_stops_the_run_and_refuses_no_picture(made, tmp_path, status):
    body = b'{"error":"invalid_client"}'
    with RecordingServer(lambda head: Response(status, {"Content-Type": "application/json"}, body)) as server:
        drawn = draw(made("token", server.url), tmp_path / "run", tasks(), concurrency=1)
    assert isinstance(drawn.error, AccountRefusedError)
    assert drawn.states == []
    assert [request.head.path for request in server.asked] == ["/token/v3"]


def test_a_missing_second_secret_is_named(made, monkeypatch):
    adapter = made("signed")
    monkeypatch.delenv("KEYED_SECRET_API_KEY")
    with pytest.raises(CredentialMissingError, match="KEYED_SECRET_API_KEY"):
        next(adapter.draw(upload(), seeded(adapter)))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_recipe_keeps_the_adapters_contract(made, shape):
    results = check_adapter(Recipe, made(shape).example_exchange())
    assert [result for result in results if not result.passed] == []
    assert len(results) > 15


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_vendor_gets_the_key_and_nothing_else_shows_it(made, tmp_path, shape, caplog):
    def answer(head):
        if head.path.startswith("/token"):
            return Response(200, {"Content-Type": "application/json"}, b'{"access_token":"t-o-k-e-n-4711"}')
        echo = json.dumps({"error": f"{head.target} {head.headers} {server.asked[-1].body!r}"}).encode()
        return Response(422, {"Content-Type": "application/json"}, echo)

    with RecordingServer(answer) as server:
        refused = draw(made(shape, server.url), tmp_path / "run", tasks(), concurrency=1)
        everything = b"".join(
            request.head.target.encode() + repr(request.head.headers).encode() + request.body
            for request in server.asked
        )
    assert refused.states == ["refused"], refused.text
    assert KEY.encode() in everything
    with ledger(tmp_path / "run") as opened:
        rows = "\n".join(opened.iterdump())
    for secret in (KEY, SECRET, "t-o-k-e-n-4711"):
        assert secret not in refused.text
        assert secret not in rows
        assert secret not in caplog.text


def test_a_picture_comes_for_a_token(made, tmp_path):
    def answer(head):
        if head.path.startswith("/token"):
            return Response(200, {"Content-Type": "application/json"}, b'{"access_token":"t-o-k-e-n-4711"}')
        assert head.headers["authorization"] == "Bearer t-o-k-e-n-4711"
        return Response(200, {"Content-Type": "image/png"}, upscale(server.asked[-1].body, 4, 1))

    with RecordingServer(answer) as server:
        stored = draw(made("token", server.url), tmp_path / "run", tasks(), concurrency=1)
    assert stored.states == ["stored"], stored.text


@pytest.mark.parametrize(
    ("shape", "change", "said"),
    [
        ("json", ('path = "/pictures"', 'path = "/pictures/{auth.key}"'), "submit.path: expected a placeholder"),
        ("json", ('path = "/pictures"', 'path = "/pictures"\nkey = false'), "submit.json.key: expected a placeholder"),
        ("json", ("{auth.key}", "{auth.secret}"), "got {auth.secret}"),
        ("signed", ("KEYED_SECRET_API_KEY", "AWS_SECRET_ACCESS_KEY"), "auth.secret_variable: expected the name of an"),
        ("signed", ('hash = "sha1"', 'hash = "md4"'), "signature.hash"),
        ("json", ('path = "/pictures"', 'path = "/pictures"\nkeep = { "auth.key" = "id" }'), "submit.keep"),
        ("signed", ("scale={scale}", "scale={auth.token}"), "signature.text: expected a placeholder"),
        ("address", ('query = "key"', ""), "auth: expected a header or query that carries the key"),
        ("token", ("https://login", "http://login"), "token.path: expected a path, or a whole https:// link"),
        ("token", ("login.keyed", "{option.user}"), "token.path: expected a path, or a whole https:// link"),
    ],
)
def test_a_wrong_key_is_named(made, shape, change, said):
    with pytest.raises(ValidationError) as caught:
        made(shape, ADDRESS, change)
    assert said in str(caught.value)


def test_a_secret_in_the_place_of_its_variable_is_not_shown(made):
    with pytest.raises(ValidationError) as caught:
        made("signed", ADDRESS, ("KEYED_SECRET_API_KEY", "sk-live-4711"))
    assert "4711" not in str(caught.value)
