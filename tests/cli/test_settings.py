"""Settings from files and the environment: whose are believed, what they may set, and where a slip stands."""

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli import option_sources
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.option_sources import OTHERS, settings
from blackbox_conformal.testing.fault_server import FaultServer


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
        ("store = 's3://bucket/runs'", "there is no setting 'store'; answers are kept in the run folder, or for many"),
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
        ("STORE", "s3://bucket/runs", "there is no such setting; answers are kept in the run folder"),
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


def test_every_command_has_its_settings_searched_for_once(plan, monkeypatch):
    known = settings()
    assert known["calibrate"] >= {"adapter", "p", "draws", "max-cost", "memory", "json"}
    assert "draws" not in known["mask"]
    assert known["ls"] >= {"run", "json"}
    assert not set(OTHERS) & set().union(*known.values())
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


def test_files_above_the_working_folder_may_set_most_and_outside_the_project_nothing(here, capsys):
    (here.parent / FILE).write_text('draws = 3\nadapter = "http"\nscale = 2\n')
    assert run(["plan", "photographs", "-p", "url=http://127.0.0.1:9/", "-p", "price-usd=1", "--json"]) == 0
    assert '"cost_usd": [6.0, 6.0]' in capsys.readouterr().out
    (here.parent / FILE).unlink()
    (here.parents[2] / FILE).write_text("draws = 4\n")
    assert "files read, strongest first: none" in ended(capsys, ["config", "show", "--origin"]).out
    (here.parents[1] / FILE).write_text("draws = 5\n")
    assert f"files read, strongest first: {here.parents[1] / FILE}" in ended(capsys, ["config", "show", "--origin"]).out
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


COMMAND = ["calibrate", "photographs", "--draws", "2", "--run", "run", "-q"]


@pytest.fixture
def project_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A vendor that a project's file can name, for photographs in the working folder."""
    write_photographs(tmp_path / "photographs", range(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    with FaultServer() as project_server:
        yield project_server


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
def test_a_projects_limit_is_no_consent(project_server, tmp_path, content, capsys):
    project(project_server, content)
    assert "cannot ask for confirmation here" in ended(capsys, COMMAND, 4).err
    assert project_server.account.recorded == []
    own(tmp_path, "max-cost = 4\n")
    assert run(COMMAND) == 0
    assert project_server.account.paid == 4


def test_a_projects_price_or_limit_of_a_day_is_no_consent(project_server, capsys):
    project(project_server, "", price="0")
    assert "cannot ask for confirmation here" in ended(capsys, COMMAND, 4).err
    assert project_server.account.recorded == []
    assert run([*COMMAND, "--yes"]) == 0
    Path(FILE).write_text("max-cost-per-day = 1000\nmax-calls = 5\n")
    said = ended(capsys, ["serve", "--calibration", FILE, "--alpha", "0.1"], 4).err
    assert f"since max-cost-per-day in {Path.cwd() / FILE} can lower one and agrees to none" in said
    assert run(["serve", "--calibration", FILE, "--alpha", "0.1", "--max-calls", "9"]) not in (0, 4)


@pytest.mark.parametrize(("projects", "users"), [("0.01", "9"), ("9", "0.01")])
def test_of_two_limits_the_lower_one_counts(project_server, tmp_path, projects, users, capsys):
    project(project_server, f"max-cost = {projects}")
    own(tmp_path, f"max-cost = {users}\n")
    assert "reserved of 0.01 allowed; raise --max-cost" in ended(capsys, COMMAND, 4).err
    assert project_server.account.recorded == []
    assert run([*COMMAND, "--max-cost", "1"]) == 0, "what is typed goes before both"
