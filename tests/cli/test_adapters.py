"""Adapters on the command line: what lists and checks say of them, drawn live too, and of those that are retired."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.command_line import VENDOR, ended
from support.draws import draw, tasks
from support.recording_server import RecordingServer
from support.synthetic import write_photographs

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.cli.console import default_text
from blackbox_conformal.cli.main import cli, run
from blackbox_conformal.errors import NotFoundError
from blackbox_conformal.support import catalog
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.live_check import check_picture
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response

README = Path(__file__).parents[2] / "adapters" / "README.md"


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    found = re.search(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    path = tmp_path / "acme.toml"
    path.write_text(found.group(1), encoding="utf-8")
    return path


def test_the_list_fits_into_a_hundred_columns_and_shortens_nothing_that_is_typed():
    said = invoked("list", "adapters").stdout
    assert "GOOGLE_OAUTH_ACCESS_TOKEN" in said
    assert "(HF_TOKEN)" in said
    assert "(in parentheses): sent only with the options that `list adapters NAME` names" in said
    assert "the recipe names it" in said
    assert [line for line in invoked("list", "adapters").stdout.splitlines() if len(line) > 100] == []


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
    lines = [" ".join(line.split()) for line in invoked("list", "adapters").stdout.splitlines()]
    assert [line for line in lines if line.startswith(f"{name} ")] == [f"{name} {choice}", f"{name} {behaviour}"]


def test_the_list_as_json_says_the_same():
    listed = {one["name"]: one for one in json.loads(invoked("list", "adapters", "--json").stdout)}
    assert [listed[name]["capabilities"]["price"]["by_size"] for name in ("fal", "topaz", "stability")] == [
        True,
        True,
        False,
    ]
    assert [listed[name]["jobs"] for name in ("fal", "recraft", "folder")] == [True, False, None]
    assert listed["fal"]["assumed"] == {"model": "fal-ai/clarity-upscaler"}
    assert listed["stability"]["assumed"] == {}
    assert listed["fal"]["capabilities"]["cancels"] is True


def test_show_says_what_is_required_and_tells_the_figures_of_the_parameters_given():
    said = invoked("list", "adapters", "replicate").stdout
    assert "model  (str, required)" in said
    assert "These figures are those of an example (model=philz1337x/clarity-upscaler). Add -p model=… to see" in said
    assert "REPLICATE_API_TOKEN" in said
    assert "url *  (str, default https://api.replicate.com/v1)" in said
    said = invoked("list", "adapters", "fal", "-p", "model=fal-ai/ideogram/upscale").stdout
    assert "  $0.06, the same for every size (the model's page at fal" in said
    assert "×4" in said
    assert "example" not in said
    wrong = invoked("list", "adapters", "fal", "-p", "modle=x")
    assert "there is no parameter 'modle' (did you mean model?)" in str(wrong.exception)


@pytest.mark.parametrize("name", ["vertex-imagen", "comfy-cloud"])
def test_show_says_what_to_do_where_the_price_is_unknown(name):
    said = invoked("list", "adapters", name).stdout
    assert "unknown: give -p price-usd=… with your vendor's price to limit the cost, or --max-calls to limit" in said
    assert "unknown: give -p price-usd=… with your" in invoked("list", "adapters").stdout


@pytest.mark.parametrize(("value", "said"), [(None, "default none"), ("", "default empty"), (4, "default 4")])
def test_a_default_is_told_in_words(value, said):
    assert default_text(value) == said


def test_ones_own_recipe_is_checked_and_the_next_command_has_its_parameters(recipe):
    found = invoked("adapters", "check", "recipe", "-p", f"recipe={recipe}", "--json")
    assert found.exit_code == 0
    results = json.loads(found.stdout)
    assert {one["passed"] for one in results} == {True}
    assert f"{len(results)} of {len(results)} checks passed" in found.stderr
    found = invoked("adapters", "check", "recipe", "-p", f"recipe={recipe}")
    line = found.stdout.partition("Next: blackbox-conformal ")[2].splitlines()[0]
    assert shlex.split(line) == ["plan", "photographs/", "--adapter", "recipe", "-p", f"recipe={recipe}"]
    recipe.write_text(recipe.read_text().replace('keep = { job = "upscale.id" }', 'keep = { job = "upscale.number" }'))
    found = invoked("adapters", "check", "recipe", "-p", f"recipe={recipe}")
    assert found.exit_code != 0
    assert "FAILED" in found.stdout
    assert "upscale.number" in found.stdout


def test_an_adapter_is_checked_with_parameters_of_ones_own():
    found = invoked("adapters", "check", "cog", "-p", "image-input=picture", "--json")
    assert found.exit_code == 0
    assert {one["passed"] for one in json.loads(found.stdout)} == {True}
    found = invoked("adapters", "check", "folder")
    assert "no contract to check" in str(found.exception)
    found = invoked("adapters", "check", "replicate", "-p", "scale=2", "--json")
    assert found.exit_code == 0, found.output
    wrong = invoked("adapters", "check", "replicate", "-p", "scal=2")
    assert "there is no parameter 'scal' (did you mean scale?)" in str(wrong.exception)


@pytest.mark.parametrize("name", ["openai", "flux", "segmind", "firefly"])
def test_what_nobody_could_find_out_of_a_vendor_is_shown(name):
    uncertain = json.loads(invoked("list", "adapters", name, "--json").stdout)["uncertain"]
    assert uncertain
    (line,) = [
        line for line in invoked("list", "adapters", name).stdout.splitlines() if line.strip().startswith("not known")
    ]
    assert [doubt for doubt in uncertain if doubt not in line] == []


FAMILIES = {
    "scores": "scores",
    "metrics": "metrics",
    "guarantees": "guarantees",
    "degradations": "degradations",
    "perturbations": "images.perturbation",
}
EVERY = [(command, name) for command, family in FAMILIES.items() for name in catalog.names(family)]


@pytest.mark.parametrize("command", FAMILIES)
def test_the_list_names_every_member_with_its_first_sentence(command, capsys):
    out = ended(capsys, ["list", command, "--json"])
    found = json.loads(out.out)
    names = catalog.names(FAMILIES[command])
    assert [one["name"] for one in found] == names
    assert all(one["summary"] and one["error"] is None and one["origin"] == "blackbox-conformal" for one in found)
    for name in names:
        assert any(line.startswith(f"{name} ") and len(line.split()) > 3 for line in out.err.splitlines())
    assert catalog.names(FAMILIES[command])[0] in ended(capsys, ["list", command, "nothing"], 2).err


@pytest.mark.parametrize(("command", "name"), EVERY)
def test_every_member_shows_and_explains_what_it_takes(command, name, capsys):
    said = ended(capsys, ["list", command, name]).out
    for parameter, field in catalog.member(FAMILIES[command], name).model_fields.items():
        assert f"\n  {parameter.replace('_', '-')}  (" in said
        assert ("required)" in said) or not field.is_required()
    found = json.loads(ended(capsys, ["list", command, name, "--json"]).out)
    assert [one["name"] for one in found["parameters"] if not one["help"]] == []


def test_what_follows_from_the_usual_parameters_is_shown(capsys):
    said = ended(capsys, ["list", "metrics", "lab-l1"]).out
    assert "0 to 1.9576" in said
    assert "normalised Lab" in said
    assert "a second vendor's picture" in ended(capsys, ["list", "scores", "second-opinion"]).out
    said = ended(capsys, ["list", "guarantees", "high-probability"]).out
    assert "Bates, Angelopoulos" in said
    assert "independent draws" in said
    assert "all but 0.1 of the calibration sets" in said
    said = ended(capsys, ["list", "degradations", "jpeg"]).out
    assert "jpeg:QUALITY, short for quality=QUALITY" in said
    assert "quality  (number | range, default 75)" in said


WHOLE = "colours and place are those of what was sent"
SHOWN, FORMAT, VARIETY, PRICE, MODEL = (
    "the picture that was sent comes back, at the promised size",
    "the format is as declared",
    "draws of one picture differ",
    "it costs what is declared",
    "the model is named",
)

Checked = tuple[int, dict[str, tuple[bool, str]], str]
Check = Callable[..., Checked]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    monkeypatch.chdir(tmp_path)

    def checked(
        server: FaultServer, *more: str, consent: str = "--yes"
    ) -> tuple[int, dict[str, tuple[bool, str]], str]:
        command = ["adapters", "check", VENDOR, "-p", f"url={server.url}", "--live", "--json"]
        code = run([*command, *([consent] if consent else []), *more])
        said = capsys.readouterr()
        found = json.loads(said.out) if said.out.strip() else []
        return code, {one["check"]: (one["passed"], one["detail"]) for one in found if "check" in one}, said.err

    return checked


def test_a_vendor_that_is_what_its_adapter_says_passes(server, check, tmp_path):
    code, found, said = check(server)
    assert code == 0, said
    assert server.account.paid == 2
    assert list(found) == [SHOWN, WHOLE, FORMAT, VARIETY, PRICE, MODEL]
    assert all(passed for passed, _ in found.values())
    assert found[SHOWN][1].startswith("2 of 512×512; edges correlate with the input's at 0.9")
    assert found[PRICE][1] == "booked at $0.01 a draw; declared $0.01"
    assert found[MODEL][1] == "fault-vendor-1"
    assert "6 of 6 checks passed" in said
    assert (tmp_path / "runs" / "check-fault-synchronous" / "ledger.sqlite").is_file()


def test_what_was_drawn_is_not_paid_again(server, check):
    assert check(server)[0] == 0
    code, found, said = check(server, consent="")
    assert (code, server.account.paid) == (0, 2), said
    assert "2 of them drawn before" in found[SHOWN][1]
    assert "nothing is bought" in said
    assert check(server, "--run", "again")[0] == 0
    assert server.account.paid == 4


def test_nothing_is_sent_without_consent(server, check):
    code, _, said = check(server, consent="")
    assert (code, server.account.recorded) == (4, [])
    assert "2 calls to make" in said
    assert "add --max-cost 0.02, or --yes" in said


def test_a_vendor_that_takes_no_notice_of_the_seed(check):
    with FaultServer(ignores_seed=True) as server:
        code, found, said = check(server)
    assert code == 3
    assert not found[VARIETY][0]
    assert "--perturbation dihedral" in found[VARIETY][1]
    assert "is not what its vendor does: draws of one picture differ" in said


@pytest.mark.parametrize(("kind", "told"), [("foreign", "Look at the picture"), ("wrong-size", "256×256")])
def test_a_picture_of_something_else_or_of_another_size(check, kind, told):
    with FaultServer({"submit": f"picture:kind={kind}"}) as server:
        code, found, _ = check(server)
    assert code == 3
    assert list(found) == [SHOWN]
    assert told in found[SHOWN][1]


def test_a_jpeg_where_none_is_declared(check):
    with FaultServer({"submit": "picture:kind=jpeg"}) as server:
        code, found, said = check(server)
    assert code == 3, said
    assert not found[FORMAT][0]
    assert "a lossy JPEG came" in found[FORMAT][1]


def test_a_vendor_that_takes_more_than_it_says(check):
    with FaultServer(reported_price="0.05") as server:
        code, found, _ = check(server)
    assert code == 3
    assert found[PRICE] == (False, "booked at $0.05 a draw; the adapter declares $0.01. Give -p price-usd=…")


def test_two_models(check):
    with FaultServer({"submit": [None, "model:name=fault-vendor-2"]}) as server:
        code, found, said = check(server, "--concurrency", "1")
    assert (code, found) == (3, {})
    assert "draws came from 'fault-vendor-1' and from 'fault-vendor-2'" in said


def test_a_key_that_is_refused(check):
    with FaultServer({"submit": "status:code=401"}) as server:
        code, found, said = check(server)
    assert (code, found) == (5, {})
    assert "refused this key" in said


def test_ones_own_picture_and_scale(server, check, tmp_path):
    Image.fromarray(check_picture(40)[:, :30]).save(tmp_path / "own.png")
    code, found, said = check(server, "--image", "own.png", "--scale", "2")
    assert code == 0, said
    assert found[SHOWN][1].startswith("2 of 60×80; ")


def test_options_of_the_live_check_are_refused_without_it(capsys):
    assert "together with --live" in ended(capsys, ["adapters", "check", "stability", "--scale", "4"], 2).err


def test_the_picture_has_structure_everywhere_it_is_asked_for():
    for side in (16, 64, 128, 512):
        picture = check_picture(side)
        assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
        assert picture.std() > 30


RECIPE = """
name = "acme"
title = "Acme"
documentation = "https://acme.example/docs"
url = "https://api.acme.example"
retired = ""
scale = { factors = [4], default = 4 }
price = { low = "0.01", high = "0.01", source = "nowhere" }
seed = {}
submit = { path = "/enlarge", body = true, query = { seed = "{seed}" } }
picture = { body = true }
example = { answers = [{ picture = true }] }
"""
SINCE = "2026-08-19, acme.example/news"


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    """A vendor and its recipe, with photographs in the working folder."""
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    write()

    def answer(head: Head) -> Response:
        return Response(200, {"Content-Type": "image/png"}, upscale(server.asked[-1].body, 4, len(server.asked)))

    with RecordingServer(answer) as server:
        yield server


def write(retired: str = "") -> None:
    Path("acme.toml").write_text(RECIPE.replace('retired = ""', f'retired = "{retired}"'), encoding="utf-8")


def command(verb: str, url: str, *more: str) -> list[str]:
    vendor = ["--adapter", "recipe", "-p", "recipe=acme.toml", "-p", f"url={url}", "-p", "label=acme", "--draws", "2"]
    return [verb, "photographs", *vendor, "--run", "run", *more]


def test_lists_and_pages_tell_that_a_service_is_retired(capsys, vendor):
    assert "novita is retired by its vendor: 2026-07-22, novita.ai/docs" in ended(capsys, ["list", "adapters"]).out
    assert run(["list", "adapters", "novita", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capabilities"]["retired"].startswith("2026-07-22, ")
    assert "nothing is drawn any more" in ended(capsys, ["list", "adapters", "novita"]).out
    assert "its vendor has retired" in ended(capsys, ["adapters", "check", "novita"], 2).err
    write("last summer")
    assert run(["list", "adapters", "recipe", "-p", "recipe=acme.toml"]) == 2
    assert "retired: expected the day and where the vendor says so" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["plan", "calibrate"])
def test_nothing_is_sent_and_the_date_is_told(verb, vendor, capsys):
    write(SINCE)
    said = ended(capsys, command(verb, vendor.url, *["--yes"] * (verb == "calibrate")), 2).err
    assert f"a service that its vendor has retired ({SINCE}), so nothing is sent" in said
    assert "blackbox-conformal list adapters" in said
    assert vendor.asked == []


def test_a_retired_model_is_planned_for_by_nobody_and_never_sampled(vendor, capsys, tmp_path):
    openai = ["plan", "photographs", "--adapter", "openai", "-p", f"url={vendor.url}", "-p", "model=gpt-image-1.5"]
    said = ended(capsys, openai, 2).err
    assert "2026-12-01, developers.openai.com/api/docs/deprecations: gpt-image-1.5" in said
    assert vendor.asked == []
    assert run([*openai[:-1], "model=gpt-image-2.6-sunburst"]) == 0
    write(SINCE)
    drawn = draw(Recipe(recipe="acme.toml", url=vendor.url), tmp_path / "own", tasks())
    assert type(drawn.error) is NotFoundError
    assert (drawn.outcomes, vendor.asked) == ([], [])


def test_a_comparison_is_refused_before_anything_is_asked(vendor, capsys):
    write(SINCE)
    write_photographs(Path("photographs"), range(4))
    named = f"recipe:recipe=acme.toml,url={vendor.url},score=bicubic-gap,draws="
    both = [word for draws in (1, 2) for word in ("--vendor", f"{named}{draws},label=acme{draws}")]
    said = ended(capsys, ["compare", "photographs", *both, "--held-out", "0.5"], 2).err
    assert "its vendor has retired" in said
    assert "to make" not in said
    assert vendor.asked == []


def test_what_was_paid_for_before_is_used(vendor, capsys):
    assert run(command("calibrate", vendor.url, "--yes")) == 0
    bought = len(vendor.asked)
    assert bought == 4
    write(SINCE)
    assert run(command("calibrate", vendor.url, "--yes", "--force")) == 0, capsys.readouterr().err
    write_photographs(Path("photographs"), range(2, 3))
    assert run(command("calibrate", vendor.url, "--yes", "--force")) == 2
    assert len(vendor.asked) == bought
