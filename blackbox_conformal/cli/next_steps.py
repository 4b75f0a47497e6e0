"""What to type next, ready to paste."""

import shlex
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli.console import limit_above

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter

_OPENERS = {"darwin": "open", "win32": "start"}


def next_command(*words: str) -> str:
    """The line that says what to type next."""
    return f"Next: {shlex.join(('blackbox-conformal', *words))}"


def with_calibration(command: str, pictures: str, path: Path, adapter: "Adapter", options: dict[str, Any]) -> list[str]:
    """A command on `pictures` for a calibration in `path`, with what that does not keep and a limit if draws cost."""
    price = adapter.capabilities.price
    free = adapter.capabilities.local or (price is not None and price.high_usd == 0)
    limit = [] if free else ["--max-calls", "100"] if price is None else ["--max-cost", "1"]
    named = ["--adapter", options["adapter"]] if ":" in (options["adapter"] or "") else []
    return [command, pictures, "--calibration", str(path), *named, *_not_kept(adapter, options), *limit]


def report_on(run: Path, calibration: str) -> str:
    """The line for `report`, with the calibration's file unless the run folder has it under its usual name."""
    usual = Path(calibration).resolve() == (run / "calibration.json").resolve()
    return next_command("report", "--run", str(run), *([] if usual else ["--calibration", calibration]))


def calibrate_with(score: str, draws: int, tuning: Path, run: Path, *, second: bool) -> list[str]:
    """`calibrate` with what the present command was given, for a score that it chose.

    `second` says whether that score compares with a second vendor.
    """
    elsewhere = {"score", "draws", "run", "out", "memory"}
    words = _calibrate_again(elsewhere | (set() if second else {"second_adapter", "second_parameters"}))
    return [*words, "--score", score, "--draws", str(draws), "--run", str(run), "--tuning", str(tuning)]


def calibrate_as_planned(highest_usd: Decimal | None) -> list[str]:
    """`calibrate` with what the present command was given, and a limit for `highest_usd` where there is none."""
    words = _calibrate_again({"dry_run"})
    if highest_usd and not {"--max-cost", "--max-calls", "--yes"} & set(words):
        words += ["--max-cost", limit_above(highest_usd)]
    return words


def _calibrate_again(without: set[str]) -> list[str]:
    """`calibrate` with the images and the options that were typed for the present command and that it takes, too."""
    from blackbox_conformal.cli.calibrate import command

    context = click.get_current_context()
    wanted = {one.name for one in command.params} - {"as_json", "quiet", "verbose", *without}
    words = ["calibrate", *context.params["images"]]
    for one in context.command.params:
        if not isinstance(one, click.Option) or one.name not in wanted or one.name is None:
            continue
        if context.get_parameter_source(one.name) != click.core.ParameterSource.COMMANDLINE:
            continue
        value, name = context.params[one.name], max(one.opts, key=len)
        if one.is_flag:
            words += [name] if value else []
            continue
        for each in value if one.multiple else [value]:
            words += [name, str(each)]
    return words


def open_line(path: Path) -> str:
    """How to look at a file in a browser."""
    return f"{_OPENERS.get(sys.platform, 'xdg-open')} {shlex.quote(str(path))}"


def _not_kept(adapter: "Adapter", options: dict[str, Any]) -> list[str]:
    """The vendor parameters that were typed and that a calibration does not keep."""
    from blackbox_conformal.cli.session import vendor_parameters

    typed = vendor_parameters(options["parameters"])
    return [
        word
        for key, value in typed.items()
        if key in adapter.transient
        for word in ("-p", f"{key.replace('_', '-')}={value}")
    ]
