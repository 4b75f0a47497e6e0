"""A project's settings file lowers what is spent; it consents to nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

FILE = "blackbox-conformal.toml"
COMMAND = ["calibrate", "photographs", "--draws", "2", "--run", "run", "-q"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A vendor that a project's file can name, for photographs in the working folder."""
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    with FaultServer() as server:
        yield server


def project(server: FaultServer, content: str, price: str = "0.01") -> None:
    Path(FILE).write_text(
        f'{content}\nadapter = "http"\n[p]\nurl = "{server.url}/v1/upscale"\nlabel = "x"\nprice-usd = "{price}"\n'
    )


def own(tmp_path: Path, content: str) -> None:
    (tmp_path / "home" / "blackbox-conformal").mkdir(parents=True, exist_ok=True)
    (tmp_path / "home" / "blackbox-conformal" / "config.toml").write_text(content)


@pytest.mark.parametrize(
    "setting", ["yes", "max-resample", "max_resample", "retry-ambiguous", "accept-refusals", "insecure-http"]
)
@pytest.mark.parametrize("table", ["", "[calibrate]\n"])
@pytest.mark.parametrize("where", [".", ".."])
def test_a_projects_file_agrees_to_nothing(tmp_path, monkeypatch, setting, table, where, capsys):
    (tmp_path / "project" / ".git").mkdir(parents=True)
    here = tmp_path / "project" / "deep"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (here / where / FILE).write_text(f"{table}{setting} = 1\n")
    said = ended(capsys, ["config", "show"], 2).err
    assert f"which a project's settings file may not; type --{setting.replace('_', '-')}, or set it in" in said
    own(tmp_path, f"{table}{setting} = 1\n")
    (here / where / FILE).unlink()
    assert run(["config", "show"]) == 0


@pytest.mark.parametrize("content", ["max-cost = 5", "max-calls = 1000", "max-cost = 5\nmax-calls = 1000"])
def test_a_projects_limit_is_no_consent(server, tmp_path, content, capsys):
    project(server, content)
    assert "cannot ask for confirmation here" in ended(capsys, COMMAND, 4).err
    assert server.account.recorded == []
    own(tmp_path, "max-cost = 4\n")
    assert run(COMMAND) == 0
    assert server.account.paid == 4


def test_a_projects_price_of_nothing_is_no_consent(server, capsys):
    project(server, "", price="0")
    assert "cannot ask for confirmation here" in ended(capsys, COMMAND, 4).err
    assert server.account.recorded == []
    assert run([*COMMAND, "--yes"]) == 0


@pytest.mark.parametrize(("projects", "users"), [("0.01", "9"), ("9", "0.01")])
def test_of_two_limits_the_lower_one_counts(server, tmp_path, projects, users, capsys):
    project(server, f"max-cost = {projects}")
    own(tmp_path, f"max-cost = {users}\n")
    assert "reserved of 0.01 allowed; raise --max-cost" in ended(capsys, COMMAND, 4).err
    assert server.account.recorded == []
    assert run([*COMMAND, "--max-cost", "1"]) == 0, "what is typed goes before both"


def test_serve_needs_a_limit_of_the_users(server, capsys):
    Path(FILE).write_text("max-cost-per-day = 1000\nmax-calls = 5\n")
    said = ended(capsys, ["serve", "--calibration", FILE, "--alpha", "0.1"], 4).err
    assert f"since max-cost-per-day in {Path.cwd() / FILE} can lower one and agrees to none" in said
    assert run(["serve", "--calibration", FILE, "--alpha", "0.1", "--max-calls", "9"]) not in (0, 4)
