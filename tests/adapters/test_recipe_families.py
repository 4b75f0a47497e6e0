"""Recipes that build on others, shipped ones, and damaged ones."""

import hashlib
import json
import random
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    assert_error,
    built,
    drive,
    key_of,
    refused,
    refused_by,
    replay,
    seeded,
    unresumed,
    upload,
)
from support.mutations import mutate_text

from blackbox_adapters._recipe_reading import SHIPPED, read_recipe, shipped_names
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import (
    AccountRefusedError,
    BlackboxConformalError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import describe, load_adapter
from blackbox_conformal.support.secrets import revealed
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

OWN = """
extends = "bria"
without = ["seed", "reported"]
name = "mine"

[poll]
seconds = 9

[submit]
path = "/image/edit/mine"
json = { image = "{image.base64}" }
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_recipe_says_what_differs_and_takes_over_the_rest(tmp_path):
    spec, base = read_recipe(written(tmp_path, OWN)), read_recipe("bria")
    assert (spec.name, spec.title, spec.url, spec.auth, spec.errors) == (
        "mine",
        base.title,
        base.url,
        base.auth,
        base.errors,
    )
    assert spec.poll is not None
    assert spec.poll == base.poll.model_copy(update={"seconds": 9.0})
    assert (spec.seed, spec.reported.seed, spec.submit.json_body) == (None, "", {"image": "{image.base64}"})
    assert spec.submit.keep == base.submit.keep


def test_its_draws_are_those_of_the_whole_recipe(tmp_path):
    adapter = Recipe(recipe=written(tmp_path, OWN), url=ADDRESS)
    answers = adapter.example_exchange().filled(PICTURE, ADDRESS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIA_API_TOKEN", "made-up-key-for-bria")
        exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert (exchange.submit.url, exchange.picture, exchange.waits) == (f"{ADDRESS}/image/edit/mine", PICTURE, [9.0])
    assert adapter.fixed_url == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('"bria"', '"brai"'),
            f"line 2: extends: expected a shipped recipe, one of {', '.join(shipped_names())}; got 'brai'",
        ),
        (('"bria"', '"./other.toml"'), "line 2: extends: expected a shipped recipe"),
        (('"bria"', "7"), "line 2: extends: expected a shipped recipe"),
        (('"reported"', '"refusals"'), "line 3: without: expected tables of the recipe that extends names"),
        (('["seed", "reported"]', "true"), "line 3: without: expected tables of the recipe that extends names"),
        (('extends = "bria"\n', ""), "line 2: without: expected tables of the recipe that extends names, among none"),
        (('name = "mine"', ""), "name: it is required"),
        (("seconds = 9", 'path = "/status/{task}"'), "line 7: poll.path: expected a placeholder among"),
        (("[poll]\nseconds = 9", "poll = 7"), "poll: expected"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    assert change[0] in OWN
    with pytest.raises(UsageError, match=re.escape(said)):
        read_recipe(written(tmp_path, OWN.replace(*change)))


def test_variants_of_one_vendor_are_written_as_such():
    bases = {name: tomllib.loads((SHIPPED / f"{name}.toml").read_text()).get("extends") for name in shipped_names()}
    variants = [name for name in bases if any(name.startswith(f"{other}-") for other in bases)]
    assert {name for name in variants if bases[name] is None} == set()
    assert len(variants) >= 6


PLAIN = """
name = "plain"
title = "Plain"
documentation = "https://plain.example/docs"
url = "https://api.plain.example"
scale = { factors = [4], default = 4 }
submit = { path = "/jobs", file = "image", keep = { job = "id" } }
poll = { path = "/jobs/{job}", status = "state", done = ["done"] }
picture = { link = "link" }
reported = { cost = "cost" }
refusals = [{ path = "code", equals = 7, message = "no" }]
example = { polls = 1, answers = [{ picture = true }] }
"""


def test_keys_that_a_recipe_does_not_use_leave_its_digest_as_it_was(tmp_path):
    """Draws that are paid for are found by it."""
    told = Recipe(recipe=written(tmp_path, PLAIN)).identity()["parameters"]["recipe_digest"]
    assert told == "sha256:f0d01221565744456281f01466f3f5bb4ca091ddecd77ab2f57ec6d898756cf9"


@pytest.mark.parametrize("name", ["bria", "bria_increase_resolution"])
def test_bria_calls_its_own_internal_errors_unknown(name):
    unknown = unresumed(name, "x", says('{"status":"UNKNOWN","error":{"code":500,"message":"m","details":"internal"}}'))
    assert type(unknown) is VendorFailedError
    moderated = unresumed(name, "x", says('{"status":"ERROR","error":{"code":5,"message":"m","details":"moderated"}}'))
    assert isinstance(moderated, RefusedError)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(402, AccountRefusedError), (429, TryLaterError), (422, RefusedError), (500, VendorFailedError)],
)
def test_wavespeed_tells_failures_under_http_200(code, expected):
    error = refused("wavespeed", says(f'{{"code":{code},"message":"the words","data":null}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))
    if code != 429:
        assert type(unresumed("wavespeed", "8f1d", says(f'{{"code":{code},"message":"m"}}'))) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1200, RefusedError),
        (1402, RefusedError),
        (1403, VendorFailedError),
        (5000, VendorFailedError),
        (5003, VendorFailedError),
        (5004, VendorFailedError),
    ],
)
def test_a_failed_prediction_of_wavespeed_says_why_in_its_own_code(code, expected):
    prediction = f'{{"id":"8f1d","status":"failed","code":{code},"outputs":[],"error":"the words"}}'
    error = unresumed("wavespeed", "8f1d", says(f'{{"code":200,"message":"success","data":{prediction}}}'))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))


def test_ideogram_bills_a_picture_that_its_filter_withholds():
    assert_error(refused("ideogram", says('{"data":[{"url":"","is_image_safe":false}]}')), RefusedError, billed=True)


def test_claid_names_the_request_to_its_support():
    error = refused_by(
        Recipe(recipe="claid", url="http://127.0.0.1:9"),
        says(
            '{"error_type":"validation_error","error_code":"9000","error_message":"too small"}', 422, x_request_id="r-1"
        ),
    )
    assert (error.request_id, error.code) == ("r-1", "9000")


def test_photoroom_keeps_the_background():
    form = replay("photoroom").submit.form or {}
    assert (form["removeBackground"], form["upscale.mode"], form["export.format"]) == ("false", "ai.fast", "png")


def test_krea_uploads_first_and_asks_for_the_size():
    _, submit, *_ = replay("krea").sends
    assert submit.url.endswith("/generate/enhance/topaz/standard-enhance")
    assert submit.json["image_url"] == "https://gen.krea.ai/asset-1.png"
    assert (submit.json["width"], submit.json["height"]) == (64, 48)
    assert type(unresumed("krea", "9b1d", says('{"status":"cancelled"}'))) is VendorFailedError


def test_krea_gets_a_seed_of_its_own_for_each_draw_and_is_asked_for_png():
    first, second = (replay("krea", index).submit.json for index in (0, 1))
    assert (first["seed"], second["seed"], first["output_format"]) == (0, 1, "png")
    assert built("krea").capabilities.default_seed_hazard


def test_segmind_tells_its_bill_and_seed_in_headers():
    bill = shows(x_cost="0.008", x_seed_value="42", x_request_id="r-2").headers
    adapter = built("segmind")
    seen = drive(adapter, adapter.draw(upload(), seeded(adapter)), [Answer(200, bill, PICTURE)]).observed[-1]
    assert (seen.cost_usd, seen.seed, seen.request_id) == (Decimal("0.008"), 42, "r-2")


@pytest.mark.parametrize(("name", "units"), [("hitpaw", 75), ("upscayl_cloud", 1)])
def test_credits_are_booked_where_the_user_knows_what_one_costs(name, units):
    assert replay(name, usd_per_unit="0.02").told_usd == units * Decimal("0.02")
    assert replay(name).told_usd is None
    assert built(name).capabilities.price is None


def test_coins_of_hitpaw_make_a_price():
    price = built("hitpaw", usd_per_unit="0.01").capabilities.price
    assert (price.low_usd, price.high_usd, price.rule) == (Decimal("0.10"), Decimal("4.80"), "a credit is 0.01 USD")


def test_hitpaw_puts_the_picture_where_it_is_told_and_names_the_model_with_its_magnification():
    presign, put, submit, poll, *_ = replay("hitpaw", scale=2).sends
    assert presign.json == {"filename": "input.png", "content_type": "image/png"}
    assert (put.method, put.headers["content-type"], put.public) == ("PUT", "image/png", True)
    assert put.body is not None
    assert submit.json["model_name"] == "general_2x"
    assert (submit.json["extension"], submit.json["img_url"].rpartition("/")[2]) == (".png", "a1b2c3d4.png")
    assert (poll.method, poll.json) == ("POST", {"job_id": "f5007c0b-e902-4070-8c75-f337d896168f"})


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 110400000, AccountRefusedError),
        (400, 110400005, AccountRefusedError),
        (400, 110400009, RefusedError),
        (400, 100429000, TryLaterError),
        (402, 110402000, AccountRefusedError),
        (429, 100429000, TryLaterError),
        (200, 110402001, AccountRefusedError),
        (200, 100429000, TryLaterError),
        (200, 110400009, RefusedError),
    ],
)
def test_hitpaw_tells_what_is_wrong_with_the_account_and_what_with_the_picture(status, code, expected):
    error = refused("hitpaw", says(f'{{"error_code":{code},"message":"the words"}}', status))
    assert type(error) is expected
    assert ("the words" in str(error), error.code) == (True, str(code))


def test_a_job_of_hitpaw_that_fails_says_nothing_of_the_picture():
    assert type(unresumed("hitpaw", "j1", says('{"code":200,"data":{"status":"ERROR"}}'))) is VendorFailedError


def test_deep_image_takes_percentages_as_json_in_a_form():
    submit = replay("deep_image", scale=2).submit
    assert json.loads(str((submit.form or {})["parameters"])) == {
        "width": "200%",
        "height": "200%",
        "output_format": "png",
    }


def test_novita_polls_by_a_query():
    exchange = replay("novita")
    submit, poll, *_ = exchange.sends
    assert submit.json["request"]["scale_factor"] == 4
    assert (poll.url, poll.query) == (
        "http://127.0.0.1:9/v3/async/task-result",
        {"task_id": "71dd988e-632e-4339-b217-74bcbe6db0ee"},
    )


def test_firefly_exchanges_its_key_and_sends_one_seed():
    token, stored, submit, poll, *_ = replay("firefly", 3).sends
    assert revealed(token.form)["client_secret"] == "made-up-secret-for-firefly"
    assert stored.body is not None
    assert submit.json == {
        "image": {"source": {"uploadId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890"}},
        "seeds": [3],
        "upscaleFactor": 4,
    }
    assert key_of(poll, "authorization") == "Bearer made-up-token"
    assert key_of(poll, "x-api-key") == "made-up-key-for-firefly"
    assert Recipe(recipe="firefly").further_urls == ("https://ims-na1.adobelogin.com/ims/token/v3",)


@pytest.mark.parametrize(("module", "effect"), [("cloudinary", "e_upscale"), ("cloudinary_restore", "e_gen_restore")])
def test_cloudinary_signs_its_upload_and_is_deterministic(module, effect):
    form = revealed(replay(module).submit.form)
    secret = f"made-up-secret-for-{module.replace('_', '-')}"
    text = f"eager={effect}/f_png&timestamp={form['timestamp']}{secret}"
    assert form["signature"] == hashlib.sha1(text.encode()).hexdigest()
    assert built(module).capabilities.deterministic


HONEST = [path.read_text() for path in sorted(SHIPPED.glob("*.toml"))]


def try_damage(count: int, seed: int, path: Path) -> dict[str, int]:
    """How many damaged recipes were refused and used; fails on any exception that is not ours."""
    rng = random.Random(seed)
    counts = {"refused": 0, "used": 0}
    for number in range(count):
        text = rng.choice(HONEST)
        for _ in range(rng.choice([1, 1, 2])):
            text = mutate_text(text, rng)
        path.write_text(text, errors="surrogatepass")
        try:
            adapter = load_adapter("recipe", recipe=str(path), url=ADDRESS)
            adapter.identity()
            next(adapter.draw(upload(), seeded(adapter)))
        except BlackboxConformalError:
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"recipe {number}: {error!r} of\n{text[:6000]}") from error
        else:
            counts["used"] += 1
    return counts


def test_no_damage_ends_in_a_bare_exception(tmp_path, monkeypatch):
    for variable in re.findall(r'variable = "(\w+)"', "".join(HONEST)):
        monkeypatch.setenv(variable, "made-up-key")
    counts = try_damage(300, 8, tmp_path / "damaged.toml")
    assert counts["refused"] > 0
    assert counts["used"] > 0


@pytest.mark.parametrize("factor", ["1000000", "99999999999999999999", "-1", "0"])
def test_an_absurd_factor_is_refused_by_its_line(tmp_path, factor):
    path = tmp_path / "absurd.toml"
    path.write_text(re.sub(r"factors = \[.*?\]", f"factors = [2, {factor}]", HONEST[0]))
    with pytest.raises(BlackboxConformalError, match="factors"):
        load_adapter("recipe", recipe=str(path), url=ADDRESS)


def test_recipes_are_described_without_harm():
    assert describe("recipe")["error"] is None
