"""Commands in the documentation can be typed: they parse, and their scripts and options exist."""

import ast
import configparser
import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from PIL import Image
from support.documentation import DOCS, PACKAGE, PAGES, ROOT, Block, blocks, command_lines, text_of
from support.synthetic import write_photographs

from blackbox_conformal import errors
from blackbox_conformal.cli.commands import Group, every_command, find
from blackbox_conformal.cli.main import run
from blackbox_conformal.study.plugins import adapter_class

pytestmark = pytest.mark.usual_promise

BLOCKS = blocks("sh", "console")
LINES = sorted({line for block in BLOCKS for line in command_lines(block)})
# In the shell's blocks, and in the files that others show, such as a table of cron.
CALLS = sorted(
    {line.partition("blackbox-conformal ")[2] for line in LINES if re.search(r"(^|/| )blackbox-conformal [a-z]", line)}
    | {
        line
        for block in blocks("text", "ini")
        for line in re.findall(r"/blackbox-conformal ([a-z].+)$", block.text, re.MULTILINE)
    }
)


def the_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and what is left of the line."""
    command = find(words[0])
    assert command is not None, words
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            break
        command, rest = inner, rest[1:]
    if isinstance(command, Group):
        assert command.alone is not None, words
        command = command.alone
    return command, rest


@pytest.mark.parametrize("line", CALLS)
def test_every_command_line_parses(line: str) -> None:
    words = shlex.split(line, comments=True)
    end = next((number for number, word in enumerate(words) if word in ("&&", "||", "|", ">")), len(words))
    words = words[:end]
    command, rest = the_command(words)
    command.make_parser(click.Context(command)).parse_args(rest)


def test_the_lines_were_found() -> None:
    assert {line.split()[0] for line in CALLS} >= {
        *("demo", "adapters", "plan", "calibrate", "mask", "audit", "report", "verify", "ledger", "watch", "serve"),
    }


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_the_shell_can_read_every_block(block: Block) -> None:
    lines = "\n".join(command_lines(block))
    # What the reader is to choose from or to fill in.
    lines = re.sub(r"\[[\w|]+\]\.\.\.", "", lines)
    read = subprocess.run(["bash", "-n"], input=lines, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("line", [line for line in LINES if "blackbox-conformal " not in line])
def test_every_other_line_runs_what_exists(line: str) -> None:
    bare = re.sub(r"""^\(?(cd [\w/.-]+ && )?([A-Z_]+=("[^"]*"|\S+)( |$))*""", "", line)
    program, *words = shlex.split(bare.rstrip(")"), comments=True) or ["export"]
    assert all((ROOT / word).exists() for word in words if "/" in word and word.startswith((".ci", "tests")))
    # Other programs are in blocks that say why they do not run: `test_docs_run.py`.
    if Path(program).name not in ("python", "python3") or words[:2] == ["-m", "venv"]:
        return
    source = script(words)
    if source is None:
        return
    literals = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    if "figures.save_option(" in source:
        literals.add("--save")
    options = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
    assert {option for option in options if option not in literals} == set()


def script(words: list[str]) -> str | None:
    """The source of what `python` runs; None where it is another project's."""
    if words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        assert found is not None, words
        assert found.origin is not None
        package = found.submodule_search_locations
        return Path(package[0], "__main__.py").read_text() if package else Path(found.origin).read_text()
    if words[0] in ("main.py", "launch.py"):
        return None
    path = ROOT / words[0].removeprefix("../../")
    assert path.is_file(), words
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line", [line for line in CALLS if line.startswith("calibrate ") and "NAME" not in line and "…" not in line]
)
def test_every_calibration_is_accepted_by_its_vendor(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the budget, which the last option makes too small, so that nothing is sent."""
    words = shlex.split(line)
    names = write_photographs(tmp_path / words[1], range(13 if "--score-groups" in words else 6))
    for path in names:
        Image.open(path).resize((320, 256)).save(path)
        (tmp_path / "outputs" / path.stem).mkdir(parents=True)
        Image.open(path).reduce(2).resize((320, 256)).save(tmp_path / "outputs" / path.stem / "0.png")
        if "inputs=inputs" in words:
            (tmp_path / "inputs").mkdir(exist_ok=True)
            Image.open(path).reduce(4).save(tmp_path / "inputs" / path.name)
    for table in ("groups.csv", "scenes.csv"):
        (tmp_path / table).write_text("".join(f"{path.name},{path.stem[-1]}\n" for path in names))
    cascade = re.search(r"```toml\n(.*?)```", (DOCS / "cascade.md").read_text(encoding="utf-8"), re.DOTALL)
    assert cascade is not None
    (tmp_path / "cascade.toml").write_text(cascade[1])
    monkeypatch.chdir(tmp_path)
    of_vendor = adapter_class(words[words.index("--adapter") + 1]).auth_variable
    for variable in (of_vendor or "HTTP_VENDOR_KEY", "STABILITY_API_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.setenv(variable, "made-up-key")
    code = run([*words, "--max-calls", "0"])
    # Stored answers need no budget.
    assert code == (0 if "folder" in words else errors.BudgetError.exit_code), capsys.readouterr().err


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of the commands, of the package's modules that are run by themselves, and of the examples."""
    found = {
        option
        for command in every_command().values()
        for parameter in command.params
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    sources = [text_of(path) for folder in (ROOT / "examples", PACKAGE) for path in folder.rglob("*.py")]
    return {"--help", *found, *(option for source in sources for option in re.findall(r'"(--[a-z-]+)"', source))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_the_text_exist(page: Path, options: set[str]) -> None:
    named = set(re.findall(r"`(--[a-z-]+)[^`\n]*`", text_of(page)))
    assert sorted(named - options) == []


def test_exit_codes_are_those_of_the_errors() -> None:
    page = text_of(DOCS / "commands.md")
    listed = dict(re.findall(r"^\| (\d) \| (the budget|the vendor|a check|usage|incomplete)", page, re.MULTILINE))
    assert listed == {"2": "usage", "3": "a check", "4": "the budget", "5": "the vendor", "6": "incomplete"}
    assert errors.UsageError.exit_code == 2
    assert errors.CheckFailedError.exit_code == 3
    assert errors.BudgetError.exit_code == 4
    assert errors.AccountRefusedError.exit_code == 5
    assert errors.IncompleteError.exit_code == errors.VendorError.exit_code == 6


@pytest.mark.parametrize("block", blocks("toml", "ini", "yaml"), ids=lambda block: block.name)
def test_settings_can_be_read(block: Block) -> None:
    if block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "yaml":
        assert pytest.importorskip("yaml").safe_load(block.text)
    else:
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(block.text)
        assert parser.sections()
