"""A service that its vendor has retired: told everywhere, and refused before anything is sent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import ended
from support.draws import draw, tasks
from support.recording_server import RecordingServer
from support.synthetic import write_photographs

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.cli.main import run
from blackbox_conformal.errors import NotFoundError
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response

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
def vendor() -> Iterator[RecordingServer]:
    def answer(head: Head) -> Response:
        return Response(200, {"Content-Type": "image/png"}, upscale(server.asked[-1].body, 4, len(server.asked)))

    with RecordingServer(answer) as server:
        yield server


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    write()


def write(retired: str = "") -> None:
    Path("acme.toml").write_text(RECIPE.replace('retired = ""', f'retired = "{retired}"'), encoding="utf-8")


def command(verb: str, url: str, *more: str) -> list[str]:
    vendor = ["--adapter", "recipe", "-p", "recipe=acme.toml", "-p", f"url={url}", "-p", "label=acme", "--draws", "2"]
    return [verb, "photographs", *vendor, "--run", "run", *more]


def test_lists_and_pages_tell_it(capsys):
    assert "novita is retired by its vendor: 2026-07-22, novita.ai/docs" in ended(capsys, ["list", "adapters"]).out
    assert run(["list", "adapters", "novita", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capabilities"]["retired"].startswith("2026-07-22, ")
    assert "nothing is drawn any more" in ended(capsys, ["list", "adapters", "novita"]).out
    assert "its vendor has retired" in ended(capsys, ["adapters", "check", "novita"], 2).err


@pytest.mark.parametrize("verb", ["plan", "calibrate"])
def test_nothing_is_sent_and_the_date_is_told(verb, vendor, capsys):
    write(SINCE)
    said = ended(capsys, command(verb, vendor.url, *["--yes"] * (verb == "calibrate")), 2).err
    assert f"a service that its vendor has retired ({SINCE}), so nothing is sent" in said
    assert "blackbox-conformal list adapters" in said
    assert vendor.asked == []


def test_a_retired_model_is_planned_for_by_nobody(vendor, capsys):
    openai = ["plan", "photographs", "--adapter", "openai", "-p", f"url={vendor.url}", "-p", "model=gpt-image-1.5"]
    said = ended(capsys, openai, 2).err
    assert "2026-12-01, developers.openai.com/api/docs/deprecations: gpt-image-1.5" in said
    assert vendor.asked == []
    assert run([*openai[:-1], "model=gpt-image-2.6-sunburst"]) == 0


def test_a_comparison_is_refused_before_anything_is_asked(vendor, capsys):
    write(SINCE)
    write_photographs(Path("photographs"), range(4))
    named = f"recipe:recipe=acme.toml,url={vendor.url},score=bicubic-gap,draws="
    both = [word for draws in (1, 2) for word in ("--vendor", f"{named}{draws},label=acme{draws}")]
    said = ended(capsys, ["compare", "photographs", *both, "--held-out", "0.5"], 2).err
    assert "its vendor has retired" in said
    assert "to make" not in said
    assert vendor.asked == []


def test_the_sampler_refuses_too(vendor, tmp_path):
    write(SINCE)
    drawn = draw(Recipe(recipe="acme.toml", url=vendor.url), tmp_path / "own", tasks())
    assert type(drawn.error) is NotFoundError
    assert (drawn.outcomes, vendor.asked) == ([], [])


def test_what_was_paid_for_before_is_used(vendor, capsys):
    assert run(command("calibrate", vendor.url, "--yes")) == 0
    bought = len(vendor.asked)
    assert bought == 4
    write(SINCE)
    assert run(command("calibrate", vendor.url, "--yes", "--force")) == 0, capsys.readouterr().err
    write_photographs(Path("photographs"), range(2, 3))
    assert run(command("calibrate", vendor.url, "--yes", "--force")) == 2
    assert len(vendor.asked) == bought


def test_the_day_and_the_source_are_asked_for(capsys):
    write("last summer")
    assert run(["list", "adapters", "recipe", "-p", "recipe=acme.toml"]) == 2
    assert "retired: expected the day and where the vendor says so" in capsys.readouterr().err
