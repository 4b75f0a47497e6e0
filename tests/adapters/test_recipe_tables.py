"""Tables of recipes: requests, keys and prices."""

import base64
import hashlib
import hmac
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from support.draws import an_upload, draw, ledger, tasks
from support.flow_driver import ADDRESS, PICTURE, built, drive, key_of, seeded, upload
from support.recording_server import RecordingServer

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import AccountRefusedError, BudgetError, CredentialMissingError
from blackbox_conformal.support.secrets import Secret, revealed
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.vendor.adapter import Price

HEAD = """
name = "requests"
title = "A vendor with requests of its own"
documentation = "https://requests.example/docs"
url = "https://api.requests.example"
scale = { factors = [4], default = 4 }
"""

UPLOADED = """
[[before]]
path = "/uploads"
json = { kind = "image/png" }
keep = { place = "place", picture = "id" }
[[before]]
method = "PUT"
path = "{place}"
headers = { x-upload = "made of {image.width}" }
body = true
key = false
[submit]
path = "/jobs"
json = { picture = "{picture}" }
idempotency_header = "Idempotency-Key"
keep = { job = "id" }
[poll]
path = "/jobs/{job}"
seconds = 0.1
status = "state"
done = ["done"]
keep = { place = "result" }
[result]
path = "/results/{place}"
[cancel]
method = "DELETE"
path = "/jobs/{job}"
[picture]
body = true
[example]
polls = 3
answers = [
  { json = '{"place":"{address}/place","id":"p-1"}' },
  { json = '{}' },
  { json = '{"id":"j-1"}' },
  { json = '{"state":"busy"}' },
  { json = '{"state":"done","result":"r-1"}' },
  { picture = true },
]
"""

BY_STATUS = """
[submit]
path = "/pictures"
body = true
headers = { content-type = "image/x-png" }
keep = { job = "header:Location" }
[poll]
path = "{job}"
seconds = 0.1
status = "http:status"
done = ["200"]
[picture]
body = true
[example]
polls = 1
answers = [
  { status = 202, headers = { Location = "{address}/jobs/7" }, json = '{}' },
  { status = 202, json = '{"progress":0.5}' },
  { picture = true },
]
"""


@pytest.fixture
def made(tmp_path):
    def make(text, url=ADDRESS):
        path = tmp_path / "requests.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return Recipe(recipe=str(path), url=url, poll_seconds=0.1)

    return make


def test_a_picture_is_put_to_a_signed_link_and_its_result_asked_for(made):
    adapter = made(UPLOADED)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    _, put, submit, *_, result = exchange.sends
    assert (put.method, put.url, put.public, put.body) == ("PUT", f"{ADDRESS}/place", True, upload().png)
    assert put.headers == {"content-type": "image/png", "x-upload": "made of 16"}
    assert submit.headers["idempotency-key"] == "key-of-draw-0"
    assert adapter.capabilities.idempotency_header == "Idempotency-Key"
    assert (result.purpose, result.method, result.url) == ("download", "GET", f"{ADDRESS}/results/r-1")
    assert exchange.picture == PICTURE


def test_polls_are_told_apart_by_status_and_the_last_is_the_picture(made):
    adapter = made(BY_STATUS)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    submit, *polls = exchange.sends
    assert (submit.body, submit.headers["content-type"]) == (upload().png, "image/x-png")
    assert [poll.purpose for poll in polls] == ["poll", "poll"]
    assert (exchange.jobs, exchange.picture) == ([f"{ADDRESS}/jobs/7"], PICTURE)


@pytest.mark.parametrize("text", [UPLOADED, BY_STATUS])
def test_the_recipe_keeps_the_adapters_contract(made, text):
    results = check_adapter(Recipe, made(text).example_exchange())
    assert [result for result in results if not result.passed] == []
    assert len(results) > 20


def test_a_job_that_is_overdue_is_cancelled_once(made, tmp_path):
    def answer(head):
        said = {"/uploads": f'{{"place":"{server.url}/place","id":"p"}}', "/jobs": '{"id":"j-1"}'}.get(
            head.path, '{"state":"busy"}'
        )
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        drawn = draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), job_deadline_s=0.5, concurrency=1)
        cancelled = [request.head.path for request in server.asked if request.head.method == "DELETE"]
    assert drawn.states == ["expired"], drawn.text
    assert cancelled == ["/jobs/j-1"]


def test_a_job_that_the_next_run_will_resume_is_not_cancelled(made, tmp_path):
    def answer(head):
        if head.path == "/jobs/j-1":
            return Response(404)
        said = f'{{"place":"{server.url}/place","id":"{"j-1" if head.path == "/jobs" else "p"}"}}'
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        drawn = draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), concurrency=1)
        assert drawn.states == ["expired"], drawn.text
        assert [request for request in server.asked if request.head.method == "DELETE"] == []


def test_a_lost_answer_is_asked_for_again_with_the_same_key(made, tmp_path):
    posts = []

    def answer(head):
        if head.path == "/jobs":
            posts.append(head.headers["idempotency-key"])
            if len(posts) == 1:
                return Response(500)
        said = f'{{"place":"{server.url}/place","id":"j-1","state":"done"}}'
        return Response(200, {"Content-Type": "application/json"}, said.encode())

    with RecordingServer(answer) as server:
        draw(made(UPLOADED, server.url), tmp_path / "run", tasks(), concurrency=1)
    assert len(posts) >= 2
    assert len(set(posts)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('idempotency_header = "Idempotency-Key"', 'idempotency_header = "a b"'), "submit.idempotency_header"),
        (("body = true\nkey = false", "body = true\nfile = 'x'"), "before.1: expected one kind of body"),
        (('path = "/results/{place}"', 'path = "/results/{where}"'), "result.path: expected a placeholder among"),
        (('path = "/jobs/{job}"\n[picture]', 'path = "/{place}"\n[picture]'), "cancel.path: expected a placeholder"),
    ],
)
def test_a_wrong_request_is_named(made, change, said):
    assert change[0] in UPLOADED
    with pytest.raises(ValidationError, match=re.escape(said)):
        made(UPLOADED.replace(*change, 1))


def test_a_result_needs_polls(made):
    start, end = UPLOADED.index("[poll]"), UPLOADED.index("[result]")
    with pytest.raises(ValidationError, match=r"result: expected a \[poll\] table"):
        made(UPLOADED[:start] + UPLOADED[end:])


HEAD_OF_KEYED = """
name = "keyed"
title = "A vendor with keys of its own"
documentation = "https://keyed.example/docs"
url = "https://api.keyed.example/v1"
scale = { factors = [4], default = 4 }
[options]
user = "me"
"""

TAIL = """
[picture]
body = true
[example]
answers = [{ picture = true }]
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

TOKEN_TAIL = TAIL.replace("[{", """[{ json = '{"access_token":"t-o-k-e-n-4711"}' }, {""")
SHAPES = {"json": IN_JSON + TAIL, "address": IN_ADDRESS + TAIL, "signed": SIGNED + TAIL, "token": TOKEN + TOKEN_TAIL}
KEY, SECRET = "made-up-key-4711", "made-up-secret-0815"


@pytest.fixture
def keyed(tmp_path, monkeypatch):
    monkeypatch.setenv("KEYED_API_KEY", KEY)
    monkeypatch.setenv("KEYED_SECRET_API_KEY", SECRET)

    def make(shape, url=ADDRESS, *changes):
        text = HEAD_OF_KEYED + SHAPES[shape]
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


def test_a_key_in_the_json_stays_a_secret(keyed):
    submit = drawn(keyed("json")).submit
    assert isinstance(submit.json["key"], Secret)
    assert KEY not in repr(submit)
    assert revealed(submit.json)["key"] == KEY
    assert (revealed(submit.json)["nested"], submit.headers) == ({"keys": [f"Key {KEY}"]}, {})


def test_a_key_in_the_address_stays_a_secret(keyed):
    adapter = keyed("address")
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
def test_a_signature_is_of_the_text_and_the_secret(keyed, change, expected):
    form = drawn(keyed("signed", ADDRESS, change)).submit.form
    assert isinstance(form["api_key"], Secret)
    assert isinstance(form["signature"], Secret)
    assert form["signature"].reveal() == expected(f"scale=4&timestamp={form['timestamp']}&user=me")


def test_a_token_is_asked_for_and_sent_beside_the_key(keyed):
    token, submit = drawn(keyed("token")).sends
    assert (token.purpose, token.url) == ("lookup", f"{ADDRESS}/token/v3")
    assert revealed(token.form) == {"grant_type": "client_credentials", "client_id": KEY, "client_secret": SECRET}
    assert (key_of(submit, "authorization"), key_of(submit, "x-api-key")) == ("Bearer t-o-k-e-n-4711", KEY)


def test_the_recipes_own_host_of_tokens_is_one_that_sees_the_key(keyed):
    adapter = keyed("token", "")
    assert (adapter.further_urls, adapter.fixed_url) == (("https://login.keyed.example/token/v3",), "")
    assert adapter.secret_variable == "KEYED_SECRET_API_KEY"
    first = next(adapter.draw(upload(), seeded(adapter)))
    assert (first.url, keyed("json").further_urls) == ("https://login.keyed.example/token/v3", ())


@pytest.mark.parametrize("status", [400, 401, 422])
def test_no_token_stops_the_run_and_refuses_no_picture(keyed, tmp_path, status):
    body = b'{"error":"invalid_client"}'
    with RecordingServer(lambda head: Response(status, {"Content-Type": "application/json"}, body)) as server:
        drawn = draw(keyed("token", server.url), tmp_path / "run", tasks(), concurrency=1)
    assert isinstance(drawn.error, AccountRefusedError)
    assert (drawn.states, [request.head.path for request in server.asked]) == ([], ["/token/v3"])


def test_a_missing_second_secret_is_named(keyed, monkeypatch):
    adapter = keyed("signed")
    monkeypatch.delenv("KEYED_SECRET_API_KEY")
    with pytest.raises(CredentialMissingError, match="KEYED_SECRET_API_KEY"):
        next(adapter.draw(upload(), seeded(adapter)))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_recipe_with_keys_keeps_the_adapters_contract(keyed, shape):
    results = check_adapter(Recipe, keyed(shape).example_exchange())
    assert [result for result in results if not result.passed] == []
    assert len(results) > 15


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_vendor_gets_the_key_and_nothing_else_shows_it(keyed, tmp_path, shape, caplog):
    def answer(head):
        if head.path.startswith("/token"):
            return Response(200, {"Content-Type": "application/json"}, b'{"access_token":"t-o-k-e-n-4711"}')
        echo = json.dumps({"error": f"{head.target} {head.headers} {server.asked[-1].body!r}"}).encode()
        return Response(422, {"Content-Type": "application/json"}, echo)

    with RecordingServer(answer) as server:
        refused = draw(keyed(shape, server.url), tmp_path / "run", tasks(), concurrency=1)
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


def test_a_picture_comes_for_a_token(keyed, tmp_path):
    def answer(head):
        if head.path.startswith("/token"):
            return Response(200, {"Content-Type": "application/json"}, b'{"access_token":"t-o-k-e-n-4711"}')
        assert head.headers["authorization"] == "Bearer t-o-k-e-n-4711"
        return Response(200, {"Content-Type": "image/png"}, upscale(server.asked[-1].body, 4, 1))

    with RecordingServer(answer) as server:
        stored = draw(keyed("token", server.url), tmp_path / "run", tasks(), concurrency=1)
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
def test_a_wrong_key_is_named(keyed, shape, change, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        keyed(shape, ADDRESS, change)


def test_a_secret_in_the_place_of_its_variable_is_not_shown(keyed):
    with pytest.raises(ValidationError) as caught:
        keyed("signed", ADDRESS, ("KEYED_SECRET_API_KEY", "sk-live-4711"))
    assert "4711" not in str(caught.value)


PRICED = """
name = "priced"
title = "A vendor with a price list"
documentation = "https://priced.example/docs"
url = "https://api.priced.example"
[scale]
factors = [2, 4]
default = 4
[options]
model = "plain"
[limits]
max_output_pixels = 100_000_000
PRICE
[submit]
path = "/pictures"
body = true
[picture]
body = true
[reported]
cost = "header:x-credits-consumed"
[example]
answers = [{ headers = { X-Credits-Consumed = "0.4" }, picture = true }]
"""

ROWS = """
[price]
source = "made up"
currency = "EUR"
usd_per_unit = "2"
[[price.rows]]
scale = 2
low = "0.04"
[[price.rows]]
options = { model = "fine" }
low = "0.5"
high = "0.7"
[[price.rows]]
up_to_megapixels = 24
low = "0.08"
[[price.rows]]
low = "0.05"
per_megapixels = 8
started = true
"""

CREDITS = """
[price]
source = "made up"
currency = "credits"
[[price.rows]]
low = "0.2"
high = "1"
per_megapixels = 1
"""


@pytest.fixture
def priced(tmp_path):
    def make(price, url=ADDRESS, **parameters):
        path = tmp_path / "priced.toml"
        path.write_text(PRICED.replace("PRICE", price), encoding="utf-8")
        return Recipe(recipe=str(path), url=url, **parameters)

    return make


def usd(price: Price | None) -> tuple[Decimal, Decimal]:
    return price.low_usd, price.high_usd


@pytest.mark.parametrize(
    ("parameters", "side", "expected"),
    [({"scale": 2}, 100, "0.08"), ({}, 1000, "0.16"), ({}, 1500, "0.5"), ({}, 2000, "0.8")],
)
def test_the_first_row_about_a_draw_counts(priced, parameters, side, expected):
    price = priced(ROWS, **parameters).price_for(side, side)
    assert usd(price) == (Decimal(expected), Decimal(expected))
    assert (price.currency, price.usd_per_unit, price.source) == ("EUR", Decimal(2), "made up")


def test_options_choose_a_row_and_the_range_covers_all_sizes(priced):
    assert usd(priced(ROWS, options={"model": "fine"}).price_for(10, 10)) == (Decimal(1), Decimal("1.4"))
    assert usd(priced(ROWS).capabilities.price) == (Decimal("0.16"), Decimal("1.3"))
    assert usd(priced(ROWS, price_usd="0.3").price_for(10, 10)) == (Decimal("0.3"), Decimal("0.3"))


def test_credits_are_a_price_once_their_worth_is_known(priced):
    assert priced(CREDITS).price_for(500, 500) is None
    assert priced(CREDITS).capabilities.price is None
    price = priced(CREDITS, usd_per_unit="0.1").price_for(500, 400)
    assert usd(price) == (Decimal("0.064"), Decimal("0.4"))
    assert "a credit is 0.1 USD" in price.rule


def test_megapixels_of_the_input_count_where_the_recipe_says_so(priced):
    price = CREDITS.replace('"credits"', '"USD"\nmegapixels = "input"').replace('"0.2"', '"1"')
    assert usd(priced(price).price_for(2000, 1000)) == (Decimal(2), Decimal(2))


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ('[price]\nsource = "x"', "price: expected either low and high, or rows"),
        (ROWS.replace("[price]", '[price]\nlow = "1"'), "price: expected either low and high, or rows"),
        (ROWS.replace('"EUR"', '"euros"'), "price.currency: expected the three capitals of a currency"),
        (ROWS.replace("per_megapixels = 8", 'per_megapixels = "1e-999999"'), "per_megapixels: expected a number"),
        (ROWS.replace('low = "0.5"', 'low = "Infinity"'), "price.rows.1.low"),
    ],
)
def test_a_wrong_price_is_named(priced, price, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        priced(price)


@pytest.mark.parametrize("price", [ROWS, CREDITS])
def test_a_recipe_with_prices_keeps_the_adapters_contract(priced, price):
    results = check_adapter(Recipe, priced(price).example_exchange())
    assert [result for result in results if not result.passed] == []


def billed(credit_count: str) -> RecordingServer:
    def answer(head: Head) -> Response:
        picture = upscale(server.asked[-1].body, 4, len(server.asked))
        return Response(200, {"Content-Type": "image/png", "X-Credits-Consumed": credit_count}, picture)

    server = RecordingServer(answer)
    return server


def test_the_sampler_books_the_credits_of_a_header(priced, tmp_path):
    with billed("4") as server:
        drawn = draw(priced(CREDITS, server.url, usd_per_unit="0.05"), tmp_path / "run", tasks(), concurrency=1)
        unknown = draw(priced(CREDITS, server.url), tmp_path / "unknown", tasks(), concurrency=1)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.20")]
    assert [outcome.state for outcome in unknown.outcomes] == ["stored"]
    assert unknown.outcomes[0].cost_usd in (None, 0)


def test_the_sampler_reserves_for_each_picture_what_its_size_costs(priced, tmp_path):
    price = CREDITS.replace('"credits"', '"USD"').replace('low = "0.2"\nhigh = "1"', 'low = "1000"\nstarted = false')
    small, large = (Task(an_upload(number, width=side, height=10), 0, number) for number, side in ((1, 10), (2, 100)))
    with billed("1.6") as server:
        adapter = priced(price, server.url)
        drawn = draw(adapter, tmp_path / "run", [small], concurrency=1, max_cost_usd=Decimal("1.6"))
        over = draw(adapter, tmp_path / "over", [large], concurrency=1, max_cost_usd=Decimal("15.9"))
        assert (drawn.error, drawn.states) == (None, ["stored"])
        assert isinstance(over.error, BudgetError)
        assert len(server.asked) == 1


def test_clipdrop_costs_by_output_megapixel_and_books_its_header():
    adapter = built("clipdrop", usd_per_unit="0.5")
    assert usd(adapter.price_for(512, 512)) == (Decimal("0.4194304"), Decimal("2.5"))
    assert built("clipdrop").capabilities.price is None
    assert adapter.capabilities.max_output_side == 4096
