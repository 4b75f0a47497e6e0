"""Recipes: what they send and read, and errors that point at line and key."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.flow_driver import (
    ADDRESS,
    PICTURE,
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

from blackbox_adapters._recipe_reading import read_recipe, shipped_names
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import (
    AccountRefusedError,
    PayloadError,
    RefusedError,
    TryLaterError,
    UsageError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.study.plugins import adapter_class, describe, load_adapter
from blackbox_conformal.vendor.adapter import Answer
from blackbox_conformal.vendor.example import says, shows

ACME = """
name = "acme"
title = "Acme"
documentation = "https://acme.example/docs"
url = "https://api.acme.example/v1"

[auth]
variable = "ACME_API_KEY"
header = "Authorization"
prefix = "Token "

[scale]
factors = [2, 4]
default = 2

[seed]
lowest = 1
highest = 99
hazard = true

[price]
low = "0.01"
high = "0.03"
source = "the price list of 2026"

[options]
model = "sharp"

[submit]
path = "/models/{option.model}/jobs"
headers = { X-Request-Key = "{key}" }
json = { picture = "{image.link}", factor = "{scale}", noise = "{seed}", note = "draw of {image.width} px" }
keep = { job = "job.id" }

[poll]
path = "/jobs/{job}"
seconds = 3
status = "state"
done = ["ready"]
failed = ["broken"]

[picture]
link = "result.url"
hosts = [".acme.example"]

[reported]
cost = "cents"
usd_per_unit = "0.01"
seed = "noise"
model = "model"

[[refusals]]
path = "result.safe"
equals = false
message = "withheld"

[errors]
message = ["problem.text"]
code = ["problem.code"]
request_id_header = "X-Trace"
account = [418]
refused = [409]
later = [420]
wait = 7

[example]
polls = 1

[[example.answers]]
json = '{"job":{"id":"j 1"}}'

[[example.answers]]
json = '{"state":"ready","cents":2,"noise":1,"model":"sharp-3","result":{"url":"{address}/out.png"}}'

[[example.answers]]
picture = true
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    monkeypatch.setenv("ACME_API_KEY", "made-up-acme-key")
    path = tmp_path / "acme.toml"
    path.write_text(ACME)
    return path


def made(path: Path, **parameters: Any) -> Recipe:
    return Recipe(recipe=str(path), url=ADDRESS, **parameters)


def drawn(adapter: Recipe, *answers: Answer) -> Any:
    shown = answers or adapter.example_exchange().filled(PICTURE, ADDRESS)
    return drive(adapter, adapter.draw(upload(), seeded(adapter)), shown)


def failed(adapter: Recipe, *answers: Answer) -> VendorError:
    with pytest.raises(VendorError) as caught:
        drawn(adapter, *answers)
    return caught.value


def test_a_recipe_is_a_whole_adapter(acme):
    adapter = made(acme)
    exchange = drawn(adapter)
    submit, poll, download = exchange.sends
    assert (submit.method, submit.url) == ("POST", f"{ADDRESS}/models/sharp/jobs")
    assert key_of(submit, "authorization") == "Token made-up-acme-key"
    assert submit.headers["x-request-key"] == "key-of-draw-0"
    picture = submit.json["picture"]
    assert picture.startswith("data:image/png;base64,")
    assert submit.json == {"picture": picture, "factor": 2, "noise": 1, "note": "draw of 16 px"}
    assert (exchange.jobs, poll.url) == (["j 1"], f"{ADDRESS}/jobs/j%201")
    assert (download.url, download.public) == (f"{ADDRESS}/out.png", True)
    seen = exchange.observed[-1]
    assert (seen.cost_usd, seen.model, seen.seed) == (Decimal("0.02"), "sharp-3", 1)


def test_capabilities_are_the_recipes(acme):
    capabilities = made(acme, scale=4, result_hosts="cdn.example").capabilities
    assert (capabilities.scale_factors, capabilities.seed_range) == ((4,), (1, 99))
    assert capabilities.default_seed_hazard
    assert (capabilities.price.low_usd, capabilities.price.source) == (Decimal("0.01"), "the price list of 2026")
    assert capabilities.result_hosts == (".acme.example", "cdn.example")
    priced = made(acme, price_usd="0.5").capabilities.price
    assert priced.low_usd == Decimal("0.5")


def test_options_and_inputs_change_what_the_recipe_leaves_open(acme):
    exchange = drawn(made(acme, options='{"model": "soft/2"}', inputs='{"extra": true, "factor": 3}'))
    assert exchange.submit.url == f"{ADDRESS}/models/soft/2/jobs"
    assert (exchange.submit.json["extra"], exchange.submit.json["factor"]) == (True, 3)


def test_a_wrong_option_or_scale_is_named(acme):
    with pytest.raises(ValidationError, match="options among model; colour is not one"):
        made(acme, options={"colour": 1})
    with pytest.raises(ValidationError, match="magnifies by 2, 4"):
        made(acme, scale=3)


def test_a_recipe_counts_by_what_it_says(acme, tmp_path):
    same, other = tmp_path / "copy.toml", tmp_path / "other.toml"
    same.write_text("# another comment\n" + ACME.replace("price list of 2026", "price list of 2027"))
    other.write_text(ACME.replace('factor = "{scale}"', 'size = "{scale}"'))
    assert made(same).identity() == made(acme).identity()
    assert (
        made(acme, scale=2, options={"model": "sharp"}).identity()["parameters"]["recipe_digest"]
        == (made(acme).identity()["parameters"]["recipe_digest"])
    )
    assert made(other).identity() != made(acme).identity()
    assert made(acme, options={"model": "soft"}).identity() != made(acme).identity()
    assert str(tmp_path) not in json.dumps(made(acme).identity())


def test_what_a_calibration_keeps_builds_the_adapter_again_from_the_same_recipe_only(acme, tmp_path):
    kept = made(acme, scale=2).identity()["parameters"]
    again = load_adapter("recipe", **{**kept, "recipe": str(acme), "url": ADDRESS})
    assert again.identity() == made(acme, scale=2).identity()
    other = tmp_path / "other.toml"
    other.write_text(ACME.replace('factor = "{scale}"', 'size = "{scale}"'))
    with pytest.raises(UsageError, match="calibrate again"):
        load_adapter("recipe", **{**kept, "recipe": str(other)})
    with pytest.raises(UsageError, match="-p recipe=FILE"):
        load_adapter("recipe", **kept)


def test_states_and_refusals(acme):
    adapter = made(acme)
    accepted = says('{"job":{"id":"j"}}')
    broken = failed(adapter, accepted, says('{"state":"broken","problem":{"text":"too dark","code":"E7"}}'))
    assert isinstance(broken, VendorFailedError)
    assert ("too dark" in str(broken), broken.code, broken.request_id) == (True, "E7", "j")
    withheld = failed(adapter, accepted, says('{"state":"ready","result":{"safe":false,"url":null}}'))
    assert_error(withheld, RefusedError, "withheld")
    assert isinstance(failed(adapter, accepted, *[says('{"state":"ready"}')] * 3), PayloadError)
    assert isinstance(failed(adapter, says('{"jobs":[]}')), PayloadError)
    waited = drawn(
        adapter, accepted, says('{"state":"new word"}'), *adapter.example_exchange().filled(PICTURE, ADDRESS)[1:]
    )
    assert waited.waits == [3.0]


def test_statuses_with_a_meaning_of_their_own(acme):
    adapter = made(acme)
    body = '{"problem":{"text":"the words","code":"X1"}}'
    for status, expected in (
        (418, AccountRefusedError),
        (409, RefusedError),
        (420, TryLaterError),
        (402, AccountRefusedError),
    ):
        error = failed(adapter, says(body, status, x_trace="t-1"))
        assert type(error) is expected
        assert ("the words" in str(error), error.code, error.request_id) == (True, "X1", "t-1")
    assert_error(failed(adapter, says(body, 429)), TryLaterError, retry_after=7.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[submit]", "[submit]\npth = 1"), "line 30: submit.pth: there is no such key; did you mean path?"),
        (("[submit]", "[submit]\nzzz = 1"), "submit.zzz: there is no such key; there are method, path, headers, json"),
        (("[[example.answers]]", "[[example.answers]]\njsn = 1"), "example.answers.0.jsn: there is no such key; did"),
        (("[picture]", "[pictur]"), "pictur: there is no such key; did you mean picture?"),
        (("[picture]", "[pictur]"), "picture: it is required"),
        (('path = "/jobs/{job}"', 'path = "/jobs/{job}/{id}"'), "line 36: poll.path: expected a placeholder among"),
        (('noise = "{seed}"', 'noise = "{sed}"'), "got {sed}"),
        (("factors = [2, 4]", 'factors = "2"'), "line 13: scale.factors: expected a list; got '2'"),
        (("default = 2", 'default = "two"'), "line 14: scale.default: expected a whole number; got 'two'"),
        (
            ("factors = [2, 4]", "factors = [2, 1000000]"),
            "scale.factors.1: expected a number of at most 16; got 1000000",
        ),
        (("factors = [2, 4]", "factors = [0, 2, 4]"), "scale.factors.0: expected a number of at least 1; got 0"),
        (("default = 2", "default = 3"), "line 14: scale.default: expected one of factors [2, 4]; got 3"),
        (('link = "result.url"', 'link = "result.url"\nbody = true'), "picture: expected exactly one of body"),
        (("polls = 1\n", ""), "example: expected polls"),
        (('keep = { job = "job.id" }', ""), 'expected job = "path of the job'),
        (('variable = "ACME_API_KEY"', 'variable = "acme key"'), "line 8: auth.variable"),
        *(
            (('"ACME_API_KEY"', f'"{other}"'), "line 8: auth.variable: expected the name of an environment variable")
            for other in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN", "SSH_AUTH_SOCK", "API_KEY", "HOME")
        ),
        (("[auth]", "[auth"), "at line 7"),
        (('low = "0.01"', 'low = "-1"'), "price.low: expected a number of at least 0 and at most 1000000; got '-1'"),
        (('url = "https://', 'url = "'), "url: expected the address of the interface, beginning with https://; got"),
    ],
)
def test_errors_point_at_line_and_key(acme, change, said):
    assert change[0] in ACME
    acme.write_text(ACME.replace(*change, 1))
    with pytest.raises(UsageError) as caught:
        read_recipe(str(acme))
    assert said in str(caught.value)
    assert "acme.toml" in str(caught.value)


def test_a_recipe_that_is_nested_too_deeply_is_refused(acme):
    acme.write_text(ACME + "\n[[refusals]]\npath = 'x'\nmessage = 'x'\nequals = " + 3000 * "[" + 3000 * "]")
    with pytest.raises(UsageError, match=r"acme\.toml: expected a recipe; it is nested too deeply"):
        read_recipe(str(acme))


def test_a_recipe_that_is_too_large_is_refused_unread(acme):
    acme.write_text(ACME + "# " + "x" * (1 << 18))
    with pytest.raises(UsageError, match=r"acme\.toml: expected a recipe of at most 262144 bytes; it is larger"):
        read_recipe(str(acme))


@pytest.mark.parametrize("name", shipped_names())
def test_only_a_shipped_recipe_fixes_its_address(name, acme):
    adapter = Recipe(recipe=name, url=ADDRESS)
    assert (adapter.base_url, adapter.fixed_url) == (ADDRESS, read_recipe(name).url)
    assert {adapter.key_variable, adapter.secret_variable} - {None} == adapter.example_exchange().environment.keys()
    from_file = Recipe(recipe=str(acme))
    assert (from_file.fixed_url, from_file.key_variable) == ("", "ACME_API_KEY")


def test_a_recipe_that_sends_no_picture_is_none(acme):
    acme.write_text(ACME.replace('picture = "{image.link}", ', ""))
    with pytest.raises(UsageError, match=r"line 29: submit: expected the picture: file = NAME"):
        read_recipe(str(acme))


def test_a_key_in_the_place_of_its_variable_is_not_shown(acme):
    acme.write_text(ACME.replace("ACME_API_KEY", "sk-live-4711"))
    with pytest.raises(UsageError, match=r"auth\.variable: expected the name of an environment variable") as caught:
        load_adapter("recipe", recipe=str(acme))
    assert "4711" not in str(caught.value)


def test_a_recipe_that_is_not_there_lists_those_that_are():
    with pytest.raises(UsageError, match=f"one of {', '.join(shipped_names())}; 'nowhere.toml' is neither"):
        read_recipe("nowhere.toml")
    with pytest.raises(ValidationError, match="expected -p recipe=FILE"):
        Recipe(recipe="nowhere.toml")
    with pytest.raises(ValidationError, match="recipe"):
        Recipe()


def test_placeholders_are_names_and_nothing_is_evaluated(acme):
    acme.write_text(ACME.replace('note = "draw of', 'note = "{0} {scale!r} {{seed}} {} {A} of'))
    exchange = drawn(made(acme))
    assert exchange.submit.json["note"] == "{0} {scale!r} {1} {} {A} of 16 px"
    acme.write_text(ACME.replace('note = "draw of', 'note = "{image.__class__} of'))
    with pytest.raises(UsageError, match=r"got \{image.__class__\}"):
        read_recipe(str(acme))


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_recipes_run_by_name_of_the_recipe(name, monkeypatch):
    recipe = read_recipe(name)
    assert recipe.name == name
    adapter = Recipe(recipe=name, url=ADDRESS, poll_seconds=0.1)
    for variable, value in adapter.example_exchange().environment.items():
        monkeypatch.setenv(variable, value)
    assert drawn(adapter).picture == PICTURE


def test_shipped_recipes_are_adapters_of_their_own_name():
    kind = type(built("bria"))
    assert (kind.name, kind.auth_variable, kind.evidence) == ("bria", "BRIA_API_TOKEN", "openapi")
    assert adapter_class(describe("bria")["class"]) is kind
    assert built("bria").capabilities.seedable
    assert built("upscayl_cloud", scale=8).capabilities.scale_factors == (8,)


def test_bria_is_seeded_and_polled_at_the_status_service():
    exchange = replay("bria", 5)
    submit, *polls, _ = exchange.sends
    assert submit.url == f"{ADDRESS}/image/edit/enhance"
    assert {key: value for key, value in submit.json.items() if key != "image"} == {"seed": 5, "preserve_alpha": False}
    assert key_of(submit, "api_token") == "made-up-key-for-bria"
    assert [poll.url for poll in polls] == [f"{ADDRESS}/status/2c1f6f1a"] * 2
    unreachable = refused("bria", says('{"error":{"code":460,"message":"m","details":"no download"}}', 460))
    assert isinstance(unreachable, RefusedError)
    lost = unresumed("bria", "x", says('{"status":"ERROR","error":{"code":5,"message":"m","details":"moderated"}}'))
    assert "moderated" in str(lost)


def test_leonardo_uploads_to_the_place_it_is_given_without_its_key():
    exchange = replay("leonardo")
    reserve, place, submit, *_ = exchange.sends
    assert reserve.json == {"extension": "png"}
    assert (place.url, place.public, place.headers) == (f"{ADDRESS}/uploads", True, {})
    assert (place.form, place.files[0].name) == ({"Policy": "made-up", "key": "uploads/5b0c.png"}, "file")
    assert submit.json["initImageId"] == "5b0c2d63-4b5c-4d6e-9f70-1b2c3d4e5f60"
    assert exchange.observed[0].cost_usd == Decimal("0.0147")


def test_ideogram_writes_its_request_as_json_inside_a_form():
    submit = replay("ideogram", 3).submit
    assert submit.files[0].name == "image_file"
    assert json.loads((submit.form or {})["image_request"]) == {
        "resemblance": 50,
        "detail": 50,
        "magic_prompt_option": "OFF",
        "num_images": 1,
        "seed": 3,
    }
    unsafe = refused("ideogram", says('{"data":[{"url":"","is_image_safe":false}]}'))
    assert isinstance(unsafe, RefusedError)


def test_claid_takes_percentages_and_clipdrop_pixels():
    data = json.loads((replay("claid").submit.form or {})["data"])
    assert data["operations"]["resizing"] == {"width": "400%", "height": "400%"}
    assert data["output"]["format"] == {"type": "png"}
    assert replay("clipdrop").submit.form == {"target_width": "64", "target_height": "48"}


def test_a_json_answer_where_the_picture_should_be_is_a_payload_error():
    assert_error(refused("segmind", says('{"error":"unknown field scale"}')), PayloadError, "unknown field scale")


def test_a_link_in_the_answer_is_kept_whole_so_that_it_can_be_fetched_again():
    link = f"{ADDRESS}/out.png?signature={'x' * 900}"
    adapter = built("picsart")
    answers = [says(json.dumps({"data": {"url": link}})), shows()]
    exchange = drive(adapter, adapter.draw(upload(), seeded(adapter)), answers)
    assert exchange.jobs == [link]
    again = drive(adapter, adapter.resume(upload(), seeded(adapter), link), [shows()])
    assert [(send.purpose, send.url, send.public) for send in again.sends] == [("download", link, True)]


def test_a_relative_link_starts_at_the_vendors_address(acme):
    accepted, ready, picture = made(acme).example_exchange().filled(PICTURE, ADDRESS)
    for link, expected in (("/files/o.png", f"{ADDRESS}/files/o.png"), ("o.png", f"{ADDRESS}/api/o.png")):
        relative = Answer(200, ready.headers, ready.body.replace(f"{ADDRESS}/out.png".encode(), link.encode()))
        adapter = Recipe(recipe=str(acme), url=f"{ADDRESS}/api")
        assert drawn(adapter, accepted, relative, picture).sends[-1].url == expected


def test_a_link_that_asks_for_a_key_stops_the_run_and_names_the_cure(acme):
    accepted, ready, _ = made(acme).example_exchange().filled(PICTURE, ADDRESS)
    error = failed(made(acme), accepted, ready, says('{"why":"no token"}', 401))
    assert_error(error, AccountRefusedError, "key = true")


def test_a_model_with_a_seed_that_the_recipe_does_not_know():
    adapter = built("segmind", options={"model": "clarity-upscaler"}, seed_field="seed")
    assert adapter.capabilities.seedable
    assert not adapter.capabilities.deterministic
    submit = drive(adapter, adapter.draw(upload(), seeded(adapter, 4)), [shows()]).submit
    assert (submit.url, submit.json["seed"]) == (f"{ADDRESS}/clarity-upscaler", 4)


def test_upscayl_and_picsart_speak_their_own_forms():
    submit, poll, *_ = replay("upscayl_cloud").sends
    assert submit.form == {"model": "upscayl-standard-4x", "scale": "4", "saveImageAs": "png", "enhanceFace": "false"}
    assert (poll.method, poll.json) == ("POST", {"taskId": "30a89e69-c702-4247-9905-f0a53dfa45ab"})
    assert replay("picsart").submit.form == {"upscale_factor": "4", "format": "PNG"}
    assert replay("deepai").submit.files[0].name == "image"
    wavespeed = replay("wavespeed").sends
    assert wavespeed[0].url == f"{ADDRESS}/wavespeed-ai/ultimate-image-upscaler"
    assert wavespeed[1].url == f"{ADDRESS}/predictions/8f1d/result"


def test_a_vendor_of_ones_own_may_be_documented_at_an_http_address(acme):
    acme.write_text(ACME.replace("https://acme.example/docs", "http://intranet/docs"))
    assert load_adapter("recipe", recipe=str(acme)).base_url == "https://api.acme.example/v1"
