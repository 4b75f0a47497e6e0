"""Recipes that build on a shipped one."""

import tomllib
from pathlib import Path

import pytest
from support.flow_driver import ADDRESS, PICTURE, drive, seeded, upload

from blackbox_adapters._recipe_reading import SHIPPED, read_recipe, shipped_names
from blackbox_adapters.recipe import Recipe
from blackbox_conformal.errors import UsageError

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
    assert exchange.submit.url == f"{ADDRESS}/image/edit/mine"
    assert (exchange.picture, exchange.waits) == (PICTURE, [9.0])
    assert adapter.fixed_url == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"bria"', '"brai"'), "line 2: extends: expected a shipped recipe, one of bria, bria-colorize"),
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
    with pytest.raises(UsageError) as caught:
        read_recipe(written(tmp_path, OWN.replace(*change)))
    assert said in str(caught.value)


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
