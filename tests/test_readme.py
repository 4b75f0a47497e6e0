"""The README is true of the code: its commands parse, its names exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest
from PIL import Image
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal import errors
from blackbox_conformal.cli.main import COMMANDS, Commands, run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SHELL = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
CALLS = [line.split("blackbox-conformal ", 1)[1] for line in SHELL if "blackbox-conformal " in line]

PAGES = [ROOT / "adapters" / "README.md", *sorted((Path(bc.__file__).parent / "docs").glob("*.md"))]
OTHER_CALLS = [
    line
    for page in PAGES
    for line in re.findall(r"^(?:\$ )?blackbox-conformal (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and what is left of the line."""
    command = Commands().get_command(click.Context(click.Command("x")), words[0])
    assert command is not None, words
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        assert inner is not None, words
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize("line", [*CALLS, *OTHER_CALLS])
def test_every_command_line_parses(line: str) -> None:
    command, rest = command_of(shlex.split(line, comments=True))
    command.make_parser(click.Context(command)).parse_args(rest)


@pytest.mark.parametrize("line", [line for line in CALLS if line.startswith("calibrate ")])
def test_every_calibration_is_accepted_by_its_vendor(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the budget, which the last option makes too small, so that nothing is sent."""
    words = shlex.split(line)
    names = write_photographs(tmp_path / words[1], range(4))
    for path in names:
        Image.open(path).resize((320, 256)).save(path)
    for table in ("groups.csv", "scenes.csv"):
        (tmp_path / table).write_text("".join(f"{path.name},{path.stem[-1]}\n" for path in names))
    monkeypatch.chdir(tmp_path)
    for variable in ("REPLICATE_API_TOKEN", "TOPAZ_API_KEY", "STABILITY_API_KEY"):
        monkeypatch.setenv(variable, "made-up-key")
    code = run([*words, "--max-calls", "0"])
    assert code == errors.BudgetError.exit_code, capsys.readouterr().err


def test_the_lines_were_found() -> None:
    assert {line.split()[0] for line in CALLS} >= {"demo", "adapters", "plan", "calibrate", "mask", "audit"}
    assert {line.split()[0] for line in OTHER_CALLS} >= {
        "plan",
        "calibrate",
        "mask",
        "audit",
        "report",
        "verify",
        "ledger",
    }


def test_options_named_in_the_text_exist() -> None:
    options = {
        option
        for name in COMMANDS
        for command in _leaves(Commands().get_command(click.Context(click.Command("x")), name))
        for parameter in command.params
        for option in parameter.opts
    }
    named = set(re.findall(r"`[^`\n]*?(--[a-z-]+)", README))
    assert named >= {"--json", "--memory", "--out", "--max-cost", "--yes", "--guarantee", "--origin"}
    assert named <= options


def _leaves(command: click.Command | None) -> list[click.Command]:
    assert command is not None
    return (
        [leaf for inner in command.commands.values() for leaf in _leaves(inner)]
        if isinstance(command, click.Group)
        else [command]
    )


def test_commands_named_in_the_text_exist() -> None:
    listed = README.split("Further commands:")[1].split("`--memory")[0]
    first = {name.split()[0] for name in re.findall(r"`([a-z][a-z ]+?)[` ]", listed)}
    assert first >= {"compare", "tune", "report", "ledger", "cache", "doctor", "config"}
    assert first <= set(COMMANDS)


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = dict(re.findall(r"^\| (\d) \| (the budget|the vendor|a check|usage|incomplete)", README, re.MULTILINE))
    assert listed == {"2": "usage", "3": "a check", "4": "the budget", "5": "the vendor", "6": "incomplete"}
    assert errors.UsageError.exit_code == 2
    assert errors.CheckFailedError.exit_code == 3
    assert errors.BudgetError.exit_code == 4
    assert errors.AccountRefusedError.exit_code == 5
    assert errors.IncompleteError.exit_code == errors.VendorError.exit_code == 6


def test_names_in_the_python_example_exist() -> None:
    (example,) = [block for kind, block in BLOCKS if kind == "python"]
    for name in re.findall(r"\bbc\.(\w+)", README):
        assert hasattr(bc, name)
    compile(example, "README", "exec")
    for name in ("threshold", "risk", "alphas", "save"):
        assert hasattr(bc.Calibration, name)


def test_the_number_of_photographs_is_right() -> None:
    count, alpha = re.search(r": (\d+) for `lab-l1` at\s+`alpha = ([\d.]+)`", README).groups()
    bound = bc.metric_bound("lab-l1")
    assert int(count) == -(-(bound / float(alpha) - 1) // 1)


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {bc.__version__}\n" in citation
