"""Each setting is described once: option, keyword, refusal and row of the page follow, or it says why not."""

import inspect
import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import is_typeddict

import click
import pytest
from support.command_line import every_command
from support.documentation import DOCS, ROOT, text_of

import blackbox_conformal
import blackbox_conformal as bc
from blackbox_conformal.cli.main import cli, run
from blackbox_conformal.cli.option_sources import Described
from blackbox_conformal.cli.options import Command, setting, takes
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.study import settings_table
from blackbox_conformal.study.settings_table import described

FUNCTIONS = {
    "calibrate": ["calibrate"],
    "audit": ["audit", "audit_claim"],
    "mask": ["mask_all"],
    "compare": ["compare"],
    "tune": ["tune", "learn_score"],
    "plan": ["plan"],
    "watch": ["watch"],
    "degrade": ["degrade"],
    "check": ["check"],
    "inputs": ["compare_inputs", "suggest_degradation"],
    "serve": ["Session"],
}
"""Commands, and the functions that are their faces in Python."""

NOT_SERVED = {"degradation", "empty_masks"}
"""Keywords of `Session` for one's own pictures: a gateway answers clients, who send theirs as they are."""

OF_A_PROGRAM = {
    *("vendor", "vendors", "photographs", "pictures", "inputs", "small", "big"),
    *("progress", "on_result", "on_failure", "on_drift", "check_payer"),
}
"""What a person says by arguments, and what a person sees."""

COMMANDS = {name.strip(): command for name, command in every_command(cli, "")}


SETTINGS = [described(kind) for kind in vars(settings_table).values() if is_typeddict(kind)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_is_a_keyword_or_says_why_not(name: str) -> None:
    keywords = {word for function in FUNCTIONS[name] for word in inspect.signature(getattr(bc, function)).parameters}
    for option in COMMANDS[name].params:
        if isinstance(option, Described) and not {setting_of(option), option.name} & keywords:
            assert option.no_keyword, (
                f"{option.opts[-1]} of `{name}` is no keyword of bc.{FUNCTIONS[name][0]}: describe it in the class of "
                "its settings in study/settings_table.py, or say no_keyword='why not' where it is declared"
            )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_keyword_is_an_option_or_says_why_not(name: str) -> None:
    options = {word for option in COMMANDS[name].params for word in (setting_of(option), option.name)}
    keywords = {word for function in FUNCTIONS[name] for word in inspect.signature(getattr(bc, function)).parameters}
    explained = {word for settings in SETTINGS for word, setting in settings.items() if setting.no_option}
    explained |= NOT_SERVED if name == "serve" else set()
    without = sorted(keywords - options - explained - OF_A_PROGRAM)
    assert not without, (
        f"no option of `{name}` sets {', '.join(without)}: add a field `{without[0]}: … = setting()` to its options in "
        "cli/options.py or the file of the command, or say no_option='why not' in study/settings_table.py"
    )


def setting_of(option: click.Parameter) -> str:
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


def test_every_setting_is_described_and_checked_in_one_place() -> None:
    for settings in SETTINGS:
        for name, each in settings.items():
            assert each.help, f'say what {name} is in """a text""" under its key in study/settings_table.py'
            assert each.default is None or each.of(each.default, name) == each.default


def test_every_setting_does_something() -> None:
    """It is a limit, or a use case reads it by its name."""
    package, limits = Path(blackbox_conformal.__file__).parent, Limits()
    files = [path for room in ("study", "watching") for path in (package / room).rglob("*.py")]
    read = {
        word
        for path in files
        if path.name != "settings_table.py"
        for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
    }
    for settings in SETTINGS:
        for name, each in settings.items():
            if each.limit:
                assert hasattr(limits, each.limit), f"{name} limits {each.limit}: write this field in drawing/limits.py"
                usual = getattr(limits, each.limit)
                assert each.default in (None, usual), (
                    f"give {name} one default: study/settings_table.py has {each.default}, Limits {usual}"
                )
            else:
                assert name in read, (
                    f"nothing reads {name}: say limit='FIELD' in its Setting where it is a field of drawing/limits.py, "
                    "or read it in the use case of study that it changes"
                )


def test_the_page_of_settings_is_what_the_code_gives() -> None:
    page = runpy.run_path(str(ROOT / ".ci" / "site" / "options_page.py"))["page"]
    assert text_of(DOCS / "options.md") == page(), (
        "write it anew: python .ci/site/options_page.py > blackbox_conformal/docs/options.md"
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_shows_what_most_people_need_with_two_examples_that_parse(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert run([name, "--help-all"]) == 0 if "--help-all" in said else True
    whole = capsys.readouterr().out or said
    options = [option for option in COMMANDS[name].params if isinstance(option, Described)]
    assert all(f" {max(option.opts, key=len)}" in whole for option in options)
    shown = [line.split()[0] for line in said.splitlines() if line.startswith("  -")]
    assert len(set(shown) - {"-h,", "--help", "--help-all"}) <= 16
    command = COMMANDS[name]
    assert isinstance(command, Command)
    assert len(command.examples) == 2
    for line in command.examples:
        words = shlex.split(line)[2:]
        command.make_parser(click.Context(command)).parse_args(words)


def test_the_first_screen_of_calibrate_has_fourteen_options() -> None:
    main = [option.opts[-1] for option in COMMANDS["calibrate"].params if getattr(option, "main", False)]
    assert len(main) == 14
    assert "--alpha" in main


def test_an_option_that_only_a_command_has_is_red_with_words_that_help() -> None:
    @dataclass(frozen=True)
    class Alone:
        told_nowhere: float = setting()

    with pytest.raises(LookupError, match=r"Alone\.told_nowhere is a setting that nothing describes.*CalibrateSet"):
        takes(Alone, settings_table.CalibrateSettings)(lambda screen, options: None)
