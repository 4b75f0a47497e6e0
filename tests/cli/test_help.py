"""The first screen of help, and commands that packages announce."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import ended

from blackbox_conformal.cli import commands
from blackbox_conformal.cli.main import run

ROOMS = ("annotations", "embedded", "gateway", "pages", "testing", "watching")
OWN = "import click\n\n@click.command()\ndef command():\n    click.echo('ran')\n"


def test_help_imports_nothing_that_the_core_can_do_without():
    code = (
        "import sys; from blackbox_conformal.cli.main import run; run(['--help']);"
        "print(*(name for name in sys.modules if name.startswith('blackbox_conformal.')), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {module.split(".")[1] for module in found.stderr.split()} & set(ROOMS)


def test_the_first_screen_has_every_command_under_its_section(capsys):
    said = ended(capsys, ["--help"]).out
    places = [said.index(f"\n{title}:\n") for title in commands.SECTIONS]
    assert places == sorted(places)
    assert 20 <= len(commands.names()) <= 25
    for name in commands.names():
        assert f"\n  {name} " in said
        assert isinstance(commands.find(name), click.Command)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    information = tmp_path / "own-1.0.dist-info"
    information.mkdir()
    (tmp_path / "own_command.py").write_text(OWN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\nSummary: Sends postcards.\n")
    (information / "entry_points.txt").write_text(
        f"[{commands.GROUP}]\npostcard = own_command:command\nserve = own_command:command\nmask = own_command:command\n"
        "broken = own_command:nothing\nnone = os:sep\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for kept in (commands._announced, commands.every_command):
        kept.cache_clear()
    yield tmp_path
    for kept in (commands._announced, commands.every_command):
        kept.cache_clear()


def test_a_command_of_another_package_is_listed_and_runs(site, capsys):
    assert "postcard  Sends postcards." in ended(capsys, ["--help"]).out.partition("From other packages:")[2]
    assert run(["postcard"]) == 0
    assert capsys.readouterr().out == "ran\n"


@pytest.mark.parametrize("name", ["serve", "mask"])
def test_a_name_of_ours_is_not_taken_over(site, name):
    found = commands.find(name)
    assert found is not None
    assert getattr(found, "alone", found).callback.__module__.startswith("blackbox_conformal.")


@pytest.mark.parametrize("name", ["broken", "none"])
def test_a_broken_command_is_named(site, name, capsys):
    assert run([name]) != 0
    assert f"command {name}" in capsys.readouterr().err
    assert {"postcard", "serve token new", "calibrate"} <= commands.every_command().keys()
    assert name not in commands.every_command()
