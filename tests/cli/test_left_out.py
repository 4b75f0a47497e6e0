"""What a folder of pictures holds and is not read is counted and named, in every command."""

from pathlib import Path

import click
import pytest
from support.command_line import every_command
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import cli, run
from blackbox_conformal.cli.options import PicturesPath


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three pictures, two of another kind and an animation."""
    write_photographs(tmp_path / "phone", range(3))
    for name in ("1.jxl", "2.JXL", "3.gif"):
        (tmp_path / "phone" / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "phone"


EMBEDDED = ["--adapter", "embedded"]


@pytest.mark.parametrize(
    "command",
    [
        ["plan", "phone", *EMBEDDED],
        ["calibrate", "phone", "--adapter", "folder", "-p", "path=phone", "-p", "label=a"],
        ["degrade", "phone", "--out", "inputs"],
        ["inputs", "phone", "--suggest", "--photographs", "phone"],
        ["compare", "phone", "--vendor", "embedded", "--vendor", "embedded:draws=2", "--max-calls", "0"],
        ["tune", "phone", *EMBEDDED, "--learn"],
    ],
)
def test_files_that_are_left_out_are_counted_by_kind(phone, command, capsys):
    run(command)
    assert capsys.readouterr().err.count("note: 3 files left out: 2 .jxl, 1 .gif; what is read is") == 1


def test_nothing_is_said_of_whole_folders_and_in_quiet(phone, capsys):
    assert run(["plan", "phone", *EMBEDDED, "-q"]) == 0
    assert "left out" not in capsys.readouterr().err
    for path in [*phone.glob("*.jxl"), *phone.glob("*.JXL"), *phone.glob("*.gif")]:
        path.unlink()
    assert run(["plan", "phone", *EMBEDDED]) == 0
    assert "left out" not in capsys.readouterr().err


OTHER_PATHS = {
    " calibrate tuning": "files, each named by itself",
    " verify papers": "papers, each named by itself",
    " verify inputs": "files, each named by itself",
    " sign papers": "papers, each named by itself",
    " layers certificates": "papers, each named by itself",
    " geotiff write certificates": "papers, each named by itself",
    " geotiff write inputs": "files, each named by itself",
}


def test_every_option_that_takes_several_places_names_what_it_leaves_out():
    several = {
        f"{name} {parameter.name}"
        for name, command in every_command(cli, "")
        for parameter in command.params
        if (parameter.nargs == -1 or parameter.multiple)
        and isinstance(parameter.type, click.Path)
        and not isinstance(parameter.type, PicturesPath)
    }
    assert several == set(OTHER_PATHS)
