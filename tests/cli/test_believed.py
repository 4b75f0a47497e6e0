"""Whose settings file is believed, and what it may set: a file from somebody else is no command."""

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run

FILE = "blackbox-conformal.toml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in a repository of its own, with photographs in it."""
    (tmp_path / "project" / ".git").mkdir(parents=True)
    folder = tmp_path / "project" / "deep" / "er"
    write_photographs(folder / "photographs", range(2))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return folder


def planned(*more: str) -> int:
    """A command that spends nothing."""
    return run(["plan", "photographs", "--adapter", "embedded", "-q", *more])


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make `path` another user's, as far as the user who runs the tests may; the owner that it then has."""
    if os.geteuid() == 0:
        os.lchown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65533)
    return path.lstat().st_uid


def group(name: str) -> Callable[[int], grp.struct_group]:
    """Every group is called so and has no further members."""
    return lambda gid: grp.struct_group((name, "x", gid, []))


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence."""
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


@pytest.mark.parametrize("where", [".", ".."])
def test_a_file_of_another_user_is_not_believed(here, where, monkeypatch, capsys):
    path = (here / where).resolve() / FILE
    path.write_text("draws = 4\n")
    assert planned() == 0
    capsys.readouterr()
    owner = give_away(path, monkeypatch)
    assert planned() == 2
    said = refusal(capsys)
    assert f"{path} belongs to user {owner} and not to you ({os.geteuid()})" in said
    assert "chown" in said


def test_a_link_of_another_user_is_not_believed(here, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text("draws = 4\n")
    (here / FILE).symlink_to(tmp_path / "mine.toml")
    assert planned() == 0
    capsys.readouterr()
    owner = give_away(here / FILE, monkeypatch)
    assert planned() == 2
    assert f"belongs to user {owner} and" in refusal(capsys)


def test_a_user_without_rights_believes_nobody_elses_file(here):
    here.joinpath(FILE).write_text("draws = 4\n")
    here.joinpath(FILE).chmod(0o644)
    script = (
        "import os, sys; sys.path[:] = sys.argv[1].split(os.pathsep);"
        "from blackbox_conformal.cli.option_sources import read_own; from pathlib import Path;"
        "uid = os.geteuid(); os.seteuid(65534) if uid == 0 else setattr(os, 'geteuid', lambda: 65534); os.chdir('/');"
        "print(read_own(Path(sys.argv[2])))"
    )
    for folder in [here, *here.parents[:8]]:
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    command = [sys.executable, "-c", script, os.pathsep.join(filter(None, sys.path)), str(here / FILE)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"belongs to user {os.geteuid()} and not to you (65534)" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o664])
def test_a_file_that_others_can_write_is_not_believed(here, mode, monkeypatch, capsys):
    path = here / FILE
    path.write_text("draws = 4\n")
    monkeypatch.setattr(grp, "getgrgid", group("staff"))
    path.chmod(mode)
    assert planned() == 2
    said = refusal(capsys)
    assert f"{path} can be written by others" in said
    assert f"chmod go-w {path}" in said


def test_a_file_of_a_group_that_is_the_users_own_is_believed(here, monkeypatch):
    path = here / FILE
    path.write_text("draws = 4\n")
    monkeypatch.setattr(grp, "getgrgid", group(pwd.getpwuid(os.geteuid()).pw_name))
    path.chmod(0o664)
    assert planned() == 0


def test_files_outside_the_project_are_not_looked_for(here, capsys):
    (here.parents[2] / FILE).write_text("draws = 4\n")
    assert "files read, strongest first: none" in ended(capsys, ["config", "show", "--origin"]).out
    (here.parents[1] / FILE).write_text("draws = 5\n")
    assert run(["config", "show", "--origin"]) == 0
    assert f"files read, strongest first: {here.parents[1] / FILE}" in capsys.readouterr().out
    (here.parents[1] / ".git").rmdir()
    assert "files read, strongest first: none" in ended(capsys, ["config", "show", "--origin"]).out


@pytest.mark.parametrize(
    ("content", "shown", "cure"),
    [
        ('[p]\nurl = "http://evil.example"', "p", "type it"),
        ('p = ["url=https://evil.example"]', "p", "type it"),
        ('[plan.p]\nurl = "https://evil.example"', "[plan] p", "type it"),
        ('[second]\nurl = "https://evil.example"', "second", "type it"),
        ('[compare]\nvendor = ["http:url=https://evil.example"]', "[compare] vendor", "type it"),
    ],
)
def test_above_the_working_folder_a_file_names_no_address(here, content, shown, cure, capsys):
    above = here.parent / FILE
    above.write_text(content)
    assert planned() == 2
    said = refusal(capsys)
    assert str(above) in said
    assert f" {shown}, " in said
    assert cure in said
    above.rename(here / FILE)
    assert planned() == 0


def test_above_the_working_folder_a_file_may_set_the_rest(here, capsys):
    (here.parent / FILE).write_text('draws = 3\nadapter = "http"\nscale = 2\n')
    assert run(["plan", "photographs", "-p", "url=http://127.0.0.1:9/", "-p", "price-usd=1", "--json"]) == 0
    assert '"cost_usd": [6.0, 6.0]' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ('adapter = "evilmod:X"', "adapter"),
        ('[plan]\nsecond-adapter = "evilmod:X"', "[plan] second-adapter"),
        ('second_adapter = "evilmod:X"', "second_adapter"),
        ('[compare]\nvendor = ["embedded", "evil.mod:X:url=x"]', "[compare] vendor"),
        ('vendor = "embedded evil.mod:X"', "vendor"),
    ],
)
def test_no_file_names_code_to_run(here, tmp_path, content, shown, capsys):
    users = tmp_path / "home" / "blackbox-conformal" / "config.toml"
    users.parent.mkdir(parents=True)
    for path in (here.parent / FILE, here / FILE, users):
        path.write_text(content)
        assert planned() == 2
        said = refusal(capsys)
        assert f"{shown} in {path}: expected the name of an installed adapter; got 'evil" in said
        assert "type --" in said
        path.unlink()


@pytest.mark.parametrize("content", ["draws = " + 3000 * "[" + 3000 * "]", "a" + 3000 * ".a" + " = 1"])
def test_settings_nested_too_deeply_are_refused(here, content, capsys):
    (here / FILE).write_text(content)
    assert planned() == 2
    assert str(here / FILE) in refusal(capsys)
