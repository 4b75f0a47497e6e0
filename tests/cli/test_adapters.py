"""What `adapters` tells people: whole variable names, what is required, and checks of one's own recipe."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blackbox_conformal.cli.adapters import command

README = Path(__file__).parents[2] / "adapters" / "README.md"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    found = re.search(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    path = tmp_path / "acme.toml"
    path.write_text(found.group(1), encoding="utf-8")
    return path


def test_the_list_never_shortens_what_has_to_be_typed() -> None:
    said = run("list").stdout
    assert "GOOGLE_OAUTH_ACCESS_TOKEN" in said
    assert "HF_TOKEN (with authenticate=true)" in said
    assert "the recipe names it" in said
    assert "…" not in said


def test_show_says_what_is_required_and_what_hangs_on_it() -> None:
    said = run("show", "replicate").stdout
    assert "model  (str, required)" in said
    assert "depend on model" in said
    assert "REPLICATE_API_TOKEN" in said
    assert "url *  (str, default https://api.replicate.com/v1)" in said


def test_ones_own_recipe_is_checked(recipe: Path) -> None:
    found = run("check", "recipe", "-p", f"recipe={recipe}", "--json")
    assert found.exit_code == 0
    results = json.loads(found.stdout)
    assert {one["passed"] for one in results} == {True}
    assert f"{len(results)} of {len(results)} checks passed" in found.stderr


def test_a_recipe_whose_example_does_not_fit_fails(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace('keep = { job = "upscale.id" }', 'keep = { job = "upscale.number" }'))
    found = run("check", "recipe", "-p", f"recipe={recipe}")
    assert found.exit_code != 0
    assert "FAILED" in found.stdout
    assert "upscale.number" in found.stdout


def test_an_adapter_is_checked_with_other_parameters_than_its_examples() -> None:
    found = run("check", "cog", "-p", "image-input=picture", "--json")
    assert found.exit_code == 0
    assert {one["passed"] for one in json.loads(found.stdout)} == {True}


def test_an_adapter_of_this_machines_disk_has_no_contract_to_check() -> None:
    found = run("check", "folder")
    assert "no contract to check" in str(found.exception)


def test_one_parameter_is_changed_where_others_are_required() -> None:
    found = run("check", "replicate", "-p", "scale=2", "--json")
    assert found.exit_code == 0, found.output
    wrong = run("check", "replicate", "-p", "scal=2")
    assert "there is no parameter 'scal' (did you mean scale?)" in str(wrong.exception)
