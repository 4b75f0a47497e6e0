"""Commands that can follow, word by word."""

import os
import shlex
import sys
import webbrowser
from collections.abc import Collection, Iterable, Mapping, Sequence
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


_SCREEN = frozenset({"as_json", "quiet", "verbose"})
_OPENERS = {"darwin": "open", "win32": "start"}


def with_calibration(
    command: str, pictures: str, path: str | Path, adapter: "Adapter", options: VendorOptions
) -> list[str]:
    """Write a command on `pictures` for the calibration at `path`, with the vendor options it does not keep.

    It sets no limit: the number of pictures is unknown, and without a limit the command asks.
    """
    named = ["--adapter", options.adapter] if options.adapter and ":" in options.adapter else []
    words = [command, pictures, "--calibration", str(path), *named, *_not_kept(adapter, options)]
    return words + typed("ledger")


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


def compare_with(others: Sequence[str], adapter: str, alpha: float) -> list[str]:
    """Write `compare` of the present vendor with itself under each of `others`, such as ``--delivery consistent``.

    On other photographs and in another run folder, since those by which something is chosen do not calibrate.
    """
    words = again("compare", without=("adapter", "alpha", "run", "out", "force", "yes"), paths=["other-photographs"])
    pairs = [(flag.lstrip("-"), value) for flag, value in map(str.split, others)]
    vendors = [adapter, *(f"{adapter}:{name}={value},label={value}" for name, value in pairs)]
    return [*words, *(word for vendor in vendors for word in ("--vendor", vendor)), "--alpha", f"{alpha:g}"]


def limit_for_one(setup: "Setup") -> list[str]:
    """Write a limit for the draws of one picture; empty if their price is unknown or zero."""
    if setup.adapter.in_tiles:
        # The number of tiles depends on the picture.
        return []
    vendors = [*[setup.adapter] * setup.procedure.draws, *([] if setup.second is None else [setup.second])]
    prices = [vendor.capabilities.price for vendor in vendors if not vendor.capabilities.local]
    most = sum((price.high_usd for price in prices if price is not None), Decimal(0))
    return ["--max-cost", limit_above(most)] if most and None not in prices else []


def report_on(run: Path, calibration: str) -> list[str]:
    """Write `report`, with the calibration's file unless it has its usual name."""
    return ["report", "--run", str(run), *_calibration_of(run, calibration), *typed("ledger")]


def view_of(run: Path, calibration: str) -> list[str]:
    return ["view", str(run), *_calibration_of(run, calibration), *typed("ledger")]


def _calibration_of(run: Path, calibration: str) -> list[str]:
    usual = Path(calibration).resolve() == (run / "calibration.json").resolve()
    return [] if usual else ["--calibration", calibration]


def again(
    command: str | None = None,
    *,
    without: Collection[str] = (),
    paths: Iterable[str] | None = None,
    added: Mapping[str, object] | None = None,
) -> list[str]:
    """Write the present command as it was typed, or `command` with the present options that it takes, too.

    Leave out parameters named in `without`; `paths` replace the present ones, and `added` options replace typed options
    of equal names (None adds nothing).
    """
    context = click.get_current_context()
    replaced = {name: value for name, value in (added or {}).items() if value is not None}
    target = context.command if command is None else find(command)
    assert target is not None
    if paths is None:
        given = (context.params[each.name or ""] for each in context.command.params if isinstance(each, click.Argument))
        paths = [str(path) for each in given for path in (each if isinstance(each, tuple) else filter(None, [each]))]
    now_given = {name.replace("-", "_") for name in replaced}
    taken = {each.name for each in target.params if each.name} - {*without, *now_given}
    words = context.command_path.split()[1:] if command is None else [command]
    words += [*paths, *typed(*(taken if command is None else taken - _SCREEN))]
    return [*words, *(word for name, value in replaced.items() for word in (f"--{name}", str(value)))]


def chosen_settings() -> set[str]:
    """List the parameters that the user set by option, environment or file."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return {name for name in context.params if context.get_parameter_source(name) is not default}


def typed(*wanted: str) -> list[str]:
    """Write the `wanted` options that were typed, in the command's order; the environment needs no repeating."""
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
    """Open a new page or picture if wanted and at a terminal; else say how."""
    at_terminal = sys.stderr.isatty() and not os.environ.get("CI")
    if not (opened and at_terminal and webbrowser.open(made.resolve().as_uri())):
        screen.say(f"Open it: {_OPENERS.get(sys.platform, 'xdg-open')} {shlex.quote(str(made))}")


def _not_kept(adapter: "Adapter", options: VendorOptions) -> list[str]:
    typed = vendor_parameters(options.parameters).items()
    words = option_words({key: value for key, value in typed if key in adapter.transient})
    if options.second_adapter and ":" in options.second_adapter:
        words += ["--second-adapter", options.second_adapter]
    return words + option_words(vendor_parameters(options.second_parameters), "--second")


def refuse_shift(shift: "InputShift") -> None:
    """End with exit code 3 if the inputs differ."""
    if not shift.differ:
        return
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
    raise CheckFailedError(f"{shift.moved[0].sentence}. {'. '.join(advice)}")
