"""Settings from files and the environment: a slip is an error that says where it stands, never silence."""

import json
from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli import option_sources
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.option_sources import OTHERS, settings


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command that spends nothing, in a folder where nothing is set."""
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return ["plan", "photographs", "--adapter", "embedded", "--json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("drwas = 5", "there is no setting 'drwas'; did you mean draws?"),
        ("clusters = 'tiles.csv'", "there is no setting 'clusters'; did you mean tiles?"),
        ("max_cots = 5", "there is no setting 'max_cots'; did you mean max-cost?"),
        ("[calibrat]\nalpha = 0.5", "there is no setting 'calibrat'; did you mean calibrate?"),
        ("[mask]\nalpah = 0.5", "there is no setting '[mask] alpah'; did you mean alpha?"),
        ("[mask]\ndraws = 3", "there is no setting '[mask] draws'"),
        ("zebra = 1", "`blackbox-conformal config show` lists them"),
        ("[zebra]\ndraws = 1", "there is no setting 'zebra'"),
        ('draws = "five"', "(draws in {file})"),
        ('[plan]\ndraws = "five"', "([plan] draws in {file})"),
        ("draws = 0", "(draws in {file})"),
        ('quiet = "maybe"', "quiet in {file}: expected one of 1, true, yes, on, 0, false, no, off; got 'maybe'"),
    ],
)
def test_a_slip_in_a_file_is_told_with_its_place(plan, tmp_path, content, said, capsys):
    file = tmp_path / "blackbox-conformal.toml"
    file.write_text(content)
    assert run(plan) == 2
    out, err = capsys.readouterr()
    assert said.format(file=file) in err
    assert str(file) in err
    assert err.count("\n") == 1
    assert json.loads(out)["error"]["kind"] == "UsageError"


def test_what_a_file_may_hold(plan, tmp_path, capsys):
    (tmp_path / "blackbox-conformal.toml").write_text(
        'draws = 4\nmax_cost = 2.5\nmax-calls = 9\n[mask]\nout = "there"\n[compare]\nheld-out = 0.4\n[sum]\nrun = "r"\n'
        '[plan]\nadapter = "http"\n[plan.p]\nurl = "http://127.0.0.1:9/v1"\nprice_usd = 0.5\n'
    )
    assert run([word for word in plan if word not in ("--adapter", "embedded")]) == 0
    assert '"cost_usd": [4.0, 4.0]' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DRWAS", "5", "did you mean BLACKBOX_CONFORMAL_DRAWS?"),
        ("MAX_COSTS", "5", "did you mean BLACKBOX_CONFORMAL_MAX_COST?"),
        ("DRAWS", "five", "(environment BLACKBOX_CONFORMAL_DRAWS)"),
        ("YES", "maybe", "environment BLACKBOX_CONFORMAL_YES: expected one of"),
    ],
)
def test_a_slip_in_the_environment_is_told(plan, monkeypatch, name, value, said, capsys):
    monkeypatch.setenv(f"BLACKBOX_CONFORMAL_{name}", value)
    assert said in ended(capsys, plan, 2).err


@pytest.mark.parametrize("name", ["SPECS", "ANNOTATIONS", "KERNEL_CACHE", "YES", "TUNING_SHARE"])
def test_other_variables_are_left_alone(plan, monkeypatch, name):
    monkeypatch.setenv(f"BLACKBOX_CONFORMAL_{name}", "off")
    assert run([*plan, "-q"]) == 0


def test_a_flag_goes_before_what_is_wrong_elsewhere(plan, monkeypatch, capsys):
    monkeypatch.setenv("BLACKBOX_CONFORMAL_DRAWS", "five")
    assert run([*plan, "--draws", "3"]) == 0
    assert "environment" not in ended(capsys, [*plan, "--draws", "x"], 2).err


def test_every_command_has_its_settings():
    known = settings()
    assert known["calibrate"] >= {"adapter", "p", "draws", "max-cost", "memory", "json"}
    assert "draws" not in known["mask"]
    assert known["ls"] >= {"run", "json"}
    assert not set(OTHERS) & set().union(*known.values())


def test_the_environment_is_searched_for_mistyped_variables_once_a_command(plan, monkeypatch):
    searched: list[str] = []
    monkeypatch.setattr(option_sources, "refuse_near_variables", searched.append)
    assert run(plan) == 0
    assert len(searched) == 1


def test_parameters_in_a_file_are_for_the_adapter_that_it_names(plan, tmp_path, capsys):
    file, table = tmp_path / "blackbox-conformal.toml", '[p]\nurl = "http://127.0.0.1:9/v1"\nlabel = "mine"\n'
    file.write_text(f'adapter = "http"\n{table}')
    assert run(plan) == 0, "embedded takes no label"
    assert run(["plan", "photographs"]) == 0
    capsys.readouterr()
    file.write_text(table)
    said = ended(capsys, plan, 2).err
    assert "there is no parameter 'label'" in said
    assert f"Those given came from p in {file}: correct them there, or type -p KEY=VALUE instead of all of them" in said
    assert "Those given came from -p on the command line" in ended(capsys, [*plan, "-p", "labl=mine"], 2).err
    file.write_text('adapter = "http"\n[p]\nurl = "http://127.0.0.1:9/v1"\nlable = "mine"\n')
    assert str(file) in ended(capsys, ["plan", "photographs"], 2).err
