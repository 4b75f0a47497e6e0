"""Commands that can follow, word by word."""

import os
import shlex
import sys
import webbrowser
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli.commands import find
from blackbox_conformal.cli.console import Screen, limit_above
from blackbox_conformal.cli.options import VendorOptions
from blackbox_conformal.cli.values import vendor_parameters
from blackbox_conformal.errors import CheckFailedError
from blackbox_conformal.support.wording import option_words

if TYPE_CHECKING:
    from blackbox_conformal.method.audits.input_shift import InputShift
    from blackbox_conformal.study.stages.settings import Setup
    from blackbox_conformal.vendor.adapter import Adapter


_SCREEN = ("as_json", "quiet", "verbose")
_OPENERS = {"darwin": "open", "win32": "start"}


def with_calibration(
    command: str, pictures: str, path: str | Path, adapter: "Adapter", options: VendorOptions
) -> list[str]:
    """Write a command on `pictures` for the calibration at `path`, with the vendor options it does not keep.

    It sets no limit: the number of pictures is unknown, and without a limit the command asks.
    """
    named = ["--adapter", options.adapter] if options.adapter and ":" in options.adapter else []
    words = [command, pictures, "--calibration", str(path), *named, *_not_kept(adapter, options)]
    return words + typed("ledger", "store")


def calibrate_by_group(setup: "Setup", options: VendorOptions) -> list[str]:
    """Write `calibrate` as for the present calibration, on other photographs with groups."""
    from blackbox_conformal.support.catalog import specification_text

    procedure = setup.procedure
    identity = {key: str(value) for key, value in procedure.vendor["parameters"].items() if value is not None}
    words = ["calibrate", "other-photographs", "--groups", "groups.csv"]
    words += ["--adapter", options.adapter or str(procedure.vendor["adapter"]), *option_words(identity)]
    words += _not_kept(setup.adapter, options)
    words += ["--degradation", procedure.mixture.text, "--draws", str(procedure.draws)]
    words += ["--score", specification_text(setup.score), "--metric", specification_text(setup.metric)]
    return words + (["--delivery", procedure.delivery] if procedure.delivery != "first" else [])


def limit_for_one(setup: "Setup") -> list[str]:
    """Write a limit for the draws of one picture; empty if their price is unknown or zero."""
    if setup.adapter.in_tiles:
        # How many tiles there are depends on the picture.
        return []
    vendors = [*[setup.adapter] * setup.procedure.draws, *([] if setup.second is None else [setup.second])]
    prices = [vendor.capabilities.price for vendor in vendors if not vendor.capabilities.local]
    most = sum((price.high_usd for price in prices if price is not None), Decimal(0))
    return ["--max-cost", limit_above(most)] if most and None not in prices else []


def typed(*names: str) -> list[str]:
    """Write options as they were typed; those from the environment need no repeating."""
    return _typed(names)


def report_on(run: Path, calibration: str) -> list[str]:
    """Write `report`, with the calibration's file unless it has its usual name."""
    return ["report", "--run", str(run), *_calibration_of(run, calibration), *typed("ledger", "store")]


def view_of(run: Path, calibration: str) -> list[str]:
    return ["view", str(run), *_calibration_of(run, calibration), *typed("ledger")]


def _calibration_of(run: Path, calibration: str) -> list[str]:
    usual = Path(calibration).resolve() == (run / "calibration.json").resolve()
    return [] if usual else ["--calibration", calibration]


def calibrate_with(
    score: str, draws: int, tuning: Path, run: Path, *, second: bool, guarantee: str | None = None
) -> list[str]:
    """Write `calibrate` with the present options, for a chosen score and perhaps guarantee.

    `second`: that score compares with a second vendor.
    """
    elsewhere = {"score", "draws", "run", "out", "memory", *(() if guarantee is None else ("guarantee",))}
    words = _calibrate(elsewhere | (set() if second else {"second_adapter", "second_parameters"}))
    words += [] if guarantee is None else ["--guarantee", guarantee]
    return [*words, "--score", score, "--draws", str(draws), "--run", str(run), "--tuning", str(tuning)]


def again(without: set[str]) -> list[str]:
    """Write the present command as it was typed, paths first, without some options."""
    context = click.get_current_context()
    words = context.command_path.split()[1:]
    for parameter in context.command.params:
        if isinstance(parameter, click.Argument) and parameter.name is not None:
            value = context.params[parameter.name]
            words += [str(each) for each in (value if isinstance(value, tuple) else filter(None, [value]))]
    return words + _typed({parameter.name for parameter in context.command.params if parameter.name} - without)


def calibrate_learned(score: str, tuning: Path, run: Path) -> list[str]:
    """Write `calibrate` with the present options for a learned score, on other photographs."""
    elsewhere = {"score", "run", "out", "force", "memory", "max_cost", "max_calls"}
    words = ["calibrate", "other-photographs", *_typed_options(elsewhere), "--score", score]
    return [*words, "--run", str(run), "--tuning", str(tuning)]


def calibrate_as_planned(
    highest_usd: Decimal | None, chosen: Mapping[str, str] | None, *, more: bool = False
) -> list[str]:
    """Write `calibrate` with the present options, and a limit for `highest_usd` unless one is set.

    `chosen`: options that replace those given. `more`: also on further photographs.
    """
    chosen = chosen or {}
    command, *words = _calibrate({"dry_run", *chosen})
    images = len(click.get_current_context().params["images"])
    words = [command, *words[:images], *(["more-photographs"] if more else []), *words[images:]]
    words += [word for name, value in chosen.items() for word in (f"--{name}", value)]
    if highest_usd and not {"--max-cost", "--max-calls", "--yes"} & set(words):
        words += ["--max-cost", limit_above(highest_usd)]
    return words


def calibrate_after_pilot(
    run: Path, tuning: Path, highest_usd: Decimal | None, chosen: Mapping[str, str] | None
) -> list[str]:
    """Write `calibrate` with the present options on the photographs that the pilot did not see."""
    chosen = chosen or {}
    words = [*_calibrate({"run", "max_cost", "max_calls", "memory", *chosen}), "--run", str(run)]
    words += ["--tuning", str(tuning), *(word for name, value in chosen.items() for word in (f"--{name}", value))]
    return [*words, "--max-cost", limit_above(highest_usd)] if highest_usd else words


def chosen_settings() -> set[str]:
    """List the parameters that the user set by option, environment or file."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return {name for name in context.params if context.get_parameter_source(name) is not default}


def suggest_degradation(scale: int) -> list[str]:
    """Write `inputs --suggest` for the present inputs and photographs."""
    given = click.get_current_context().params
    photographs = [word for image in given["images"] for word in ("--photographs", image)]
    return ["inputs", given["inputs"], "--suggest", *photographs, "--scale", str(scale)]


def calibrate_contestant(words: list[str]) -> list[str]:
    """Write `calibrate` with a compared vendor, whose options are `words`, on other photographs."""
    own = {word.removeprefix("--") for word in words if word.startswith("--")}
    elsewhere = {"adapter", "run", "out", "memory", "max_cost", "max_calls", "yes", "force", *own}
    return ["calibrate", "other-photographs", *words, *_typed_options(elsewhere)]


def _calibrate(without: set[str]) -> list[str]:
    """Write `calibrate` with the present images and the options that it takes, too."""
    return ["calibrate", *click.get_current_context().params["images"], *_typed_options(without)]


def _typed_options(without: set[str]) -> list[str]:
    calibrate = find("calibrate")
    assert calibrate is not None
    taken = {parameter.name for parameter in calibrate.params if parameter.name}
    return _typed(taken - {*_SCREEN, *without})


def _typed(wanted: Collection[str]) -> list[str]:
    """Write the `wanted` options that were typed, in the command's own order."""
    context, words = click.get_current_context(), list[str]()
    for option in context.command.params:
        if not isinstance(option, click.Option) or option.name not in wanted or option.name is None:
            continue
        if context.get_parameter_source(option.name) != click.core.ParameterSource.COMMANDLINE:
            continue
        value, flag = context.params[option.name], max(option.opts, key=len)
        if option.is_flag:
            words += [flag] if value else []
        else:
            words += [word for each in (value if option.multiple else [value]) for word in (flag, str(each))]
    return words


def run_named(run: str | None) -> list[str]:
    """Write the options that named a run folder and a ledger in a database."""
    return [*([] if run is None else ["--run", run]), *typed("ledger")]


def offer(screen: Screen, made: Path, *, opened: bool) -> None:
    """Open a new page or picture if wanted and somebody sits at a terminal; else say how."""
    at_terminal = sys.stderr.isatty() and not os.environ.get("CI")
    if not (opened and at_terminal and webbrowser.open(made.resolve().as_uri())):
        screen.say(f"Open it: {open_line(made)}")


def open_line(path: Path) -> str:
    return f"{_OPENERS.get(sys.platform, 'xdg-open')} {shlex.quote(str(path))}"


def _not_kept(adapter: "Adapter", options: VendorOptions) -> list[str]:
    """Write what was typed about the vendors that a calibration does not keep."""
    typed = vendor_parameters(options.parameters).items()
    words = option_words({key: value for key, value in typed if key in adapter.transient})
    if options.second_adapter and ":" in options.second_adapter:
        words += ["--second-adapter", options.second_adapter]
    return words + option_words(vendor_parameters(options.second_parameters), "--second")


def refuse_shift(shift: "InputShift") -> None:
    """End with exit code 3 where the inputs differ."""
    if shift.differ:
        raise CheckFailedError(f"{shift.moved[0].sentence}. {_how_to_agree(shift)}")


def _how_to_agree(shift: "InputShift") -> str:
    advice = []
    if shift.size_factor is not None:
        advice.append(
            f"No degradation changes the size: take photographs with about {shift.size_factor:.2g} times as many pixels"
        )
    if shift.more_than_size:
        advice.append(
            "Calibrate with a --degradation that makes such inputs "
            "(`blackbox-conformal inputs … --suggest --photographs FOLDER` finds one), or send others. If --suggest "
            "found the present one, give it more inputs, photographs more like them, or another --scale"
        )
    return ". ".join(advice)
