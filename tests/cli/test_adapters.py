"""What `list adapters` and `adapters check` say: whole names, what is required, and whether a recipe is whole."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from blackbox_conformal.cli.console import default_text
from blackbox_conformal.cli.main import cli

README = Path(__file__).parents[2] / "adapters" / "README.md"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    found = re.search(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    path = tmp_path / "acme.toml"
    path.write_text(found.group(1), encoding="utf-8")
    return path


def test_the_list_never_shortens_what_has_to_be_typed():
    said = run("list", "adapters").stdout
    assert "GOOGLE_OAUTH_ACCESS_TOKEN" in said
    assert "(HF_TOKEN)" in said
    assert "(in parentheses): sent only with the options that `list adapters NAME` names" in said
    assert "the recipe names it" in said


def test_the_list_fits_into_a_hundred_columns():
    assert [line for line in run("list", "adapters").stdout.splitlines() if len(line) > 100] == []


@pytest.mark.parametrize(
    ("name", "choice", "behaviour"),
    [
        ("fal", "FAL_KEY $0.00–15.36 by size * model client", "– – named, not billed cancelled"),
        (
            "replicate",
            "REPLICATE_API_TOKEN unknown model openapi",
            "– 600/minute submit, 3000/minute poll named cancelled",
        ),
        ("stability", "STABILITY_API_KEY $0.40 seeded documents", "– 150/10 s named, not billed left"),
        ("recraft", "RECRAFT_API_KEY $0.25 vary openapi", "– – not named no jobs"),
        ("cog", "no key free model real-server", "1 – named no jobs"),
        ("flux", "BFL_API_KEY $0.04 seeded client", "24 – named left"),
    ],
)
def test_the_list_says_what_an_adapter_costs_and_does(name, choice, behaviour):
    lines = [" ".join(line.split()) for line in run("list", "adapters").stdout.splitlines()]
    assert [line for line in lines if line.startswith(f"{name} ")] == [f"{name} {choice}", f"{name} {behaviour}"]


def test_the_list_as_json_says_the_same():
    listed = {one["name"]: one for one in json.loads(run("list", "adapters", "--json").stdout)}
    assert [listed[name]["capabilities"]["price"]["by_size"] for name in ("fal", "topaz", "stability")] == [
        True,
        True,
        False,
    ]
    assert [listed[name]["jobs"] for name in ("fal", "recraft", "folder")] == [True, False, None]
    assert listed["fal"]["assumed"] == {"model": "fal-ai/clarity-upscaler"}
    assert listed["stability"]["assumed"] == {}
    assert listed["fal"]["capabilities"]["cancels"] is True


def test_show_says_what_is_required_and_whose_figures_it_shows():
    said = run("list", "adapters", "replicate").stdout
    assert "model  (str, required)" in said
    assert "These figures are those of an example (model=philz1337x/clarity-upscaler). Add -p model=… to see" in said
    assert "REPLICATE_API_TOKEN" in said
    assert "url *  (str, default https://api.replicate.com/v1)" in said


def test_show_tells_the_figures_of_the_parameters_given():
    said = run("list", "adapters", "fal", "-p", "model=fal-ai/ideogram/upscale").stdout
    assert "  $0.06, the same for every size (the model's page at fal" in said
    assert "×4" in said
    assert "example" not in said
    wrong = run("list", "adapters", "fal", "-p", "modle=x")
    assert "there is no parameter 'modle' (did you mean model?)" in str(wrong.exception)


@pytest.mark.parametrize("name", ["vertex-imagen", "comfy-cloud"])
def test_show_says_what_to_do_where_the_price_is_unknown(name):
    said = run("list", "adapters", name).stdout
    assert "unknown: give -p price-usd=… with your vendor's price to limit the cost, or --max-calls to limit" in said
    assert "unknown: give -p price-usd=… with your" in run("list", "adapters").stdout


@pytest.mark.parametrize(("value", "said"), [(None, "default none"), ("", "default empty"), (4, "default 4")])
def test_a_default_is_told_in_words(value, said):
    assert default_text(value) == said


def test_ones_own_recipe_is_checked(recipe):
    found = run("adapters", "check", "recipe", "-p", f"recipe={recipe}", "--json")
    assert found.exit_code == 0
    results = json.loads(found.stdout)
    assert {one["passed"] for one in results} == {True}
    assert f"{len(results)} of {len(results)} checks passed" in found.stderr


def test_the_command_after_a_check_has_the_parameters_that_were_checked(recipe):
    found = run("adapters", "check", "recipe", "-p", f"recipe={recipe}")
    line = found.stdout.partition("Next: blackbox-conformal ")[2].splitlines()[0]
    assert shlex.split(line) == ["plan", "photographs/", "--adapter", "recipe", "-p", f"recipe={recipe}"]


def test_a_recipe_whose_example_does_not_fit_fails(recipe):
    recipe.write_text(recipe.read_text().replace('keep = { job = "upscale.id" }', 'keep = { job = "upscale.number" }'))
    found = run("adapters", "check", "recipe", "-p", f"recipe={recipe}")
    assert found.exit_code != 0
    assert "FAILED" in found.stdout
    assert "upscale.number" in found.stdout


def test_an_adapter_is_checked_with_other_parameters_than_its_examples():
    found = run("adapters", "check", "cog", "-p", "image-input=picture", "--json")
    assert found.exit_code == 0
    assert {one["passed"] for one in json.loads(found.stdout)} == {True}


def test_an_adapter_of_this_machines_disk_has_no_contract_to_check():
    found = run("adapters", "check", "folder")
    assert "no contract to check" in str(found.exception)


def test_one_parameter_is_changed_where_others_are_required():
    found = run("adapters", "check", "replicate", "-p", "scale=2", "--json")
    assert found.exit_code == 0, found.output
    wrong = run("adapters", "check", "replicate", "-p", "scal=2")
    assert "there is no parameter 'scal' (did you mean scale?)" in str(wrong.exception)


@pytest.mark.parametrize("name", ["openai", "flux", "segmind", "firefly"])
def test_what_nobody_could_find_out_of_a_vendor_is_shown(name):
    uncertain = json.loads(run("list", "adapters", name, "--json").stdout)["uncertain"]
    assert uncertain
    (line,) = [
        line for line in run("list", "adapters", name).stdout.splitlines() if line.strip().startswith("not known")
    ]
    assert [doubt for doubt in uncertain if doubt not in line] == []
