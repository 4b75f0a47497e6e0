"""From one command to the next: folders that are found again, what is missing at once, what to type now."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image as PillowImage
from support.command_line import called, every_command
from support.report_material import make_calibration
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli import next_steps
from blackbox_conformal.cli.calibrate import level_to_mask_at
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.main import Commands, cli
from blackbox_conformal.testing.fault_server import FaultServer

CHOICES = ["--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]


class Desk:
    """A working folder with photographs and an `http` vendor whose address and price a calibration does not keep."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder, self.server = folder, server
        self.vendor = ["-p", f"url={server.url}/v1/upscale", "-p", "price-usd=0.01"]
        write_photographs(folder / "photographs", range(8))
        write_photographs(folder / "others", range(30, 33))
        small = PillowImage.fromarray(photograph(20)).resize((20, 16), PillowImage.Resampling.BICUBIC)
        small.save(folder / "small.png")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return called(*arguments, folder=self.folder, code=code)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with FaultServer() as server:
        yield Desk(tmp_path_factory.mktemp("desk"), server)


@pytest.fixture(scope="module")
def calibrated(desk: Desk) -> str:
    given = ["--adapter", "http", *desk.vendor, *CHOICES, "--max-cost", "1", "--run", "runs/my acme", "--alpha", "0.9"]
    return desk.run("calibrate", "photographs", *given).stdout


def the_next(said: str, command: str) -> list[str]:
    """The next command as it stands on the screen, ready to paste."""
    lines = [line for line in said.splitlines() if f"blackbox-conformal {command}" in line]
    assert lines, said
    return shlex.split(lines[0].partition("blackbox-conformal ")[2])


def test_what_a_calibration_is_bound_to_is_said_before_anything_is_paid(desk, tmp_path):
    bound = "will hold for this address alone"
    for command in ("plan", "calibrate"):
        words = [command, "photographs", "--adapter", "http", *desk.vendor, *CHOICES, "--run", str(tmp_path / command)]
        words += ["--max-cost", "1", *(["--dry-run"] if command == "calibrate" else [])]
        assert bound in " ".join(desk.run(*words).stderr.split())
        assert bound not in desk.run(*words, "-p", "label=workshop").stderr


def test_each_command_says_the_next_and_it_runs(desk, calibrated):
    mask = the_next(calibrated, "mask")
    assert mask[1] == "small.png"
    assert "price-usd=0.01" in mask
    assert mask[-2:] == ["--max-cost", "0.02"], "of two draws"
    said = desk.run(*mask).stdout
    audit = the_next(said, "audit")
    assert the_next(said, "report") == ["report", "--run", "runs/my acme"]
    assert audit[audit.index("--alpha") + 1] == "0.9"
    assert "--max-cost" not in audit, "nobody knows how many photographs there will be, so that it asks"
    audit[1] = "others"
    assert "add --max-cost 0.06, or --yes" in desk.run(*audit, code=4).stderr
    said = desk.run(*audit, "--max-cost", "0.06").stdout
    report = the_next(said, "report")
    said = desk.run(*report).stdout
    assert "pictures  1 masked, 3 audited" in said, "all went into the calibration's own folder"
    assert f"open '{desk.folder / 'runs/my acme/report.html'}'" in said
    assert not [path.name for path in (desk.folder / "runs").iterdir() if path.name != "my acme"]


def test_a_calibration_apart_from_its_draws_names_their_folder_for_the_mask(desk, calibrated):
    given = ["--adapter", "http", *desk.vendor, *CHOICES, "--max-calls", "0", "--run", "runs/my acme", "--alpha", "0.9"]
    mask = the_next(desk.run("calibrate", "photographs", *given, "--out", "apart of it.json").stdout, "mask")
    assert mask[mask.index("--calibration") + 1] == "apart of it.json"
    assert mask[mask.index("--run") + 1] == "runs/my acme"


def test_the_level_that_is_proposed_is_the_one_asked_for_or_the_usual_one_or_the_smallest_that_trusts():
    calibration, usual = make_calibration(hostile=False), [0.001, 0.05, 0.1, 0.2, 0.3]
    assert calibration.threshold(0.001) == float("-inf")
    trusting = [level for level in usual if calibration.threshold(level) > float("-inf")]
    assert trusting[0] < 0.1
    assert level_to_mask_at(calibration, [], usual) == 0.1
    assert level_to_mask_at(calibration, [0.3], usual) == 0.3
    assert level_to_mask_at(calibration, [0.001], usual) == 0.1
    assert level_to_mask_at(calibration, [0.2, 0.3], [0.2, 0.3]) == 0.2, "several hold together, the usual is not there"
    assert level_to_mask_at(calibration, [], [0.001, 0.2, 0.3]) == 0.2
    assert level_to_mask_at(calibration, [0.001], [0.001]) is None


def test_a_plan_says_how_to_carry_it_out_and_counts_what_was_paid_before(desk):
    given = ["--adapter", "http", *desk.vendor, *CHOICES, "-p", "label=planned", "--run", "runs/planned"]
    for command in (["plan"], ["calibrate", "--dry-run"]):
        calibrate = the_next(desk.run(*command, "photographs", *given).stdout, "calibrate")
        assert calibrate[:2] == ["calibrate", "photographs"]
        assert calibrate[-2:] == ["--max-cost", "0.16"]
        assert "--dry-run" not in calibrate
    desk.run(*calibrate)
    assert (desk.folder / "runs" / "planned" / "calibration.json").is_file()
    given = ["--adapter", "http", *desk.vendor, *CHOICES, "-p", "label=part", "--run", "runs/part"]
    desk.run("calibrate", *(f"photographs/p{index}.png" for index in range(3)), *given, "--max-cost", "1")
    calibrate = the_next(desk.run("plan", "photographs", *given).stdout, "calibrate")
    assert "--max-cost" not in calibrate, "it would have to cover earlier draws too, and the command asks all the same"
    said = desk.run(*calibrate, "--out", "part.json", code=4).stderr
    assert "The estimate is $0.10 more: add --yes, or --max-cost for all these draws, earlier ones included" in said


def test_a_comparison_says_how_to_calibrate_what_trusts_most_and_it_runs(desk):
    vendors = ["--vendor", "http:draws=3,label=three", "--vendor", "http:score=[weighted:weight=0.5],label=two"]
    given = [*desk.vendor, "--draws", "2", "--metric", "rgb-linf", "--alpha", "0.9", "--max-cost", "2"]
    said = desk.run("compare", "photographs", *vendors, *given, "--run", "far/compared", "--no-baselines").stdout
    calibrate = the_next(said, "calibrate")
    assert calibrate[:4] == ["calibrate", "other-photographs", "--adapter", "http"]
    assert "--max-cost" not in calibrate
    assert {"url" in calibrate[place + 1] for place, word in enumerate(calibrate) if word == "-p"} == {True, False}
    calibrate[1] = "others"
    said = desk.run(*calibrate, "--run", "runs/chosen", "--yes").stdout
    draws = 3 if "label=three" in calibrate else 2
    assert f"photographs  3, {draws} draws each" in said


def test_a_calibration_that_lies_elsewhere_finds_its_run_folder(desk):
    given = ["--adapter", "http", *desk.vendor, *CHOICES, "--max-cost", "1"]
    given += ["-p", "label=origin", "--run", "runs/origin", "--out", "far.json"]
    desk.run("calibrate", "photographs", *given)
    PillowImage.fromarray(photograph(25)[:16, :20]).save(desk.folder / "other.png")
    mask = ["mask", "other.png", "--alpha", "0.9", *desk.vendor, "--max-cost", "1", "--calibration", "far.json"]
    assert "run folder: runs/origin" in desk.run(*mask, "--out", "far").stderr


def test_a_second_calibration_pays_for_no_stored_draw_without_a_yes(desk):
    PillowImage.fromarray(photograph(26)[:16, :20]).save(desk.folder / "again.png")
    limits = ["--max-cost", "0.20", "--run"]
    for metric in ("rgb-linf", "rgb-l1"):
        given = ["--adapter", "http", *desk.vendor, *CHOICES, "-p", "label=twice"]
        given += ["--metric", metric, *limits, f"runs/of-{metric}", "--yes"]
        desk.run("calibrate", "others", *given)
    first, second = ("runs/of-rgb-linf/calibration.json", "runs/of-rgb-l1/calibration.json")
    mask = ["mask", "again.png", "--alpha", "0.9", *desk.vendor, "--max-cost", "1"]
    desk.run(*mask, "--calibration", first, "--out", "by first")
    paid = desk.server.account.paid
    mask += ["--calibration", second, "--out", "by second"]
    for more in ([], ["--run", "runs/of-rgb-l1"]):
        said = desk.run(*mask, *more, code=4).stderr
        assert "2 of these 2 draws are stored in runs/of-rgb-linf" in said
        assert "lacks for $0.02, which buys them again, add --run runs/of-rgb-l1 --yes" in said
    line = said.partition("To use them: blackbox-conformal ")[2].partition(" (to draw all")[0]
    assert "again: " in desk.run(*shlex.split(line)).stdout
    assert desk.server.account.paid == paid
    desk.run(*mask, "--run", "runs/of-rgb-l1", "--yes", "--force")
    assert desk.server.account.paid == paid + 2


def test_what_a_calibration_does_not_keep_is_asked_for_at_once(desk, calibrated):
    given = ["small.png", "--calibration", "runs/my acme/calibration.json", "--alpha", "0.9", "--max-cost", "1"]
    for command in ("mask", "audit"):
        said = desk.run(command, *given, code=2).stderr
        assert "-p url=… -p price-usd=…" in said
        assert said.count("\n") == 1
    assert "price-usd" not in desk.run("mask", *given[:-2], code=2).stderr, "without a limit no price is needed"
    assert blanks(desk.run("verify", "runs/my acme/calibration.json").stdout) == ["url=…", "price-usd=…"]


def test_what_a_settings_file_has_is_no_blank_of_the_next_command(desk, calibrated, tmp_path):
    report = ["report", "--run", str(desk.folder / "runs" / "my acme")]
    # After an audit of this run folder it is another command, with the same blanks.
    assert blanks(called(*report, folder=tmp_path).stdout) == ["url=…", "price-usd=…"]
    file = tmp_path / "blackbox-conformal.toml"
    file.write_text(f'adapter = "http"\n[p]\nurl = "{desk.server.url}/v1/upscale"\nprice-usd = "0.01"\n')
    assert blanks(called(*report, folder=tmp_path).stdout) == []


def blanks(said: str) -> list[str]:
    """What the commands named as next leave to be filled in."""
    lines = [line for line in said.splitlines() if line.startswith("Next: ")]
    assert lines
    return [word for line in lines for word in shlex.split(line) if word.endswith("…")]


def test_the_run_folder_that_is_used_is_named(desk, calibrated, tmp_path):
    kept = desk.folder / "runs" / "my acme" / "calibration.json"
    mask = ["mask", "small.png", "--alpha", "0.9", *desk.vendor, "--max-cost", "1"]
    said = desk.run(*mask, "--calibration", str(kept), "--out", "a").stderr
    assert f"run folder: {kept.parent}" in said
    (desk.folder / "apart.json").write_bytes(kept.read_bytes())
    assert "run folder: runs/http-" in desk.run(*mask, "--calibration", "apart.json", "--out", "b", code=4).stderr
    named = desk.run(*mask, "--calibration", str(kept), "--run", "runs/named", "--yes", "--out", "c")
    assert (desk.folder / "runs" / "named" / "ledger.sqlite").is_file()
    assert "run folder:" not in named.stderr


def test_config_show_takes_a_command_and_a_public_key_is_alone_on_standard_output(desk):
    assert "Settings of mask" in desk.run("config", "show", "mask").stdout
    assert "Settings of ledger ls" in desk.run("config", "show", "ledger", "ls").stdout
    assert "Settings of calibrate" in desk.run("config", "show").stdout
    assert "did you mean calibrate?" in desk.run("config", "show", "calibrat", code=2).stderr
    assert "ls, sum, limit, remember, export, verify" in desk.run("config", "show", "ledger", code=2).stderr
    assert json.loads(desk.run("config", "show", "mask", "--json").stdout)["out"] == "masked"
    made = desk.run("key", "new", "mine.pem", "--name", "Laboratory X")
    assert made.stdout == desk.run("key", "show", "mine.pem").stdout
    assert "Next: blackbox-conformal sign calibration.json --sign-with mine.pem" in made.stderr


ALL = dict(every_command(cli, "blackbox-conformal"))


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_every_option_has_help(name):
    command = ALL[name]
    assert command.help
    silent = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert silent == []


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if isinstance(command, click.Group)])
def test_no_summary_is_cut(name):
    group = ALL[name]
    assert isinstance(group, click.Group)
    said = " ".join(group.get_help(click.Context(group, info_name=name, max_content_width=100)).split())
    assert "..." not in said.partition("Commands:")[2]
    if not isinstance(group, Commands):
        for sub, command in group.commands.items():
            sentence = " ".join((command.help or "").split()).partition(". ")[0]
            assert f"{sub} {sentence}" in said


@pytest.mark.parametrize(
    ("terminal", "environment", "wanted", "opens"),
    [(True, {}, True, True), (True, {}, False, False), (False, {}, True, False), (True, {"CI": "true"}, True, False)],
    ids=["asked for at a terminal", "not asked for", "no terminal", "continuous integration"],
)
def test_what_was_made_is_opened_only_where_somebody_asks_and_looks(
    tmp_path, monkeypatch, capsys, terminal, environment, wanted, opens
):
    page, opened = tmp_path / "my report.html", []
    page.write_text("")
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(next_steps.webbrowser, "open", lambda address: not opened.append(address))
    screen = Screen(as_json=False, quiet=False, verbose=0)
    monkeypatch.setattr(next_steps.sys.stderr, "isatty", lambda: terminal, raising=False)
    next_steps.offer(screen, page, opened=wanted)
    assert opened == ([page.as_uri()] if opens else [])
    said = capsys.readouterr().out
    assert said == ("" if opens else f"Open it: xdg-open '{page}'\n")


@pytest.mark.parametrize(
    "command",
    [
        "list adapters",
        "list adapters embedded",
        "adapters check embedded",
        "list scores",
        "list scores texture",
        "list metrics",
        "list metrics lab-l1",
        "list guarantees",
        "list guarantees expected",
        "list degradations",
        "list perturbations",
        "list perturbations dihedral",
        "doctor",
        "ledger ls --run 'runs/my acme'",
        "ledger sum",
        "ledger verify --run 'runs/my acme'",
        "cache ls --run 'runs/my acme'",
        "cache verify --run 'runs/my acme'",
        "verify 'runs/my acme/calibration.json'",
        "plan photographs --adapter embedded",
        "report --run 'runs/my acme'",
    ],
)
def test_commands_that_only_look_name_the_next_one_too(desk, calibrated, command):
    said = desk.run(*shlex.split(command)).stdout.splitlines()
    (line,) = [line for line in said if line.startswith("Next: ")]
    following = shlex.split(line)[2:]
    name = following[0]
    group = ALL[f"blackbox-conformal {name}"]
    with click.Context(group, info_name=name) as context:
        if isinstance(group, click.Group):
            assert group.get_command(context, following[1]) is not None
        else:
            known = {option for parameter in group.params for option in parameter.opts}
            assert {word for word in following if word.startswith("-")} <= known
