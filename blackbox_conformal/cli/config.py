"""`config`: every setting and where it came from."""

import difflib
from collections.abc import Mapping
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.option_sources import FILE_NAME, Configured, ConfiguredSetting, files, lookup, user_file
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.stages.defaults import DEFAULT_METRIC, DETAIL_GUARANTEE, ERROR_GUARANTEE, default_score
from blackbox_conformal.support.secrets import redact


@click.group("config", cls=Group)
def command() -> None:
    """Every setting and where it came from."""


@command.command("show")
@click.argument("of", metavar="[COMMAND]", nargs=-1)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@click.option("--preset", metavar="NAME", help="Show the settings with this preset, such as paper.")
@shared.output
def show(screen: Screen, of: tuple[str, ...], origin: bool, preset: str | None) -> None:
    """The settings that COMMAND (such as `mask` or `ledger ls`; `calibrate` if none is named) would use, given the
    environment and the configuration files.
    """
    target, of_words = _command(of or ("calibrate",))
    settings: dict[str, dict[str, Any]] = {}
    parameters = [parameter for parameter in target.params if isinstance(parameter, Configured)]
    chosen = None
    if "preset" in [parameter.setting for parameter in parameters]:
        chosen = ConfiguredSetting(preset, "--preset") if preset else lookup("preset", target.name)
    elif preset:
        raise UsageError(f"expected --preset with a command that takes it, such as calibrate; got {target.name}")
    for parameter in parameters:
        name = parameter.setting
        setting = chosen if name == "preset" else lookup(name, target.name, chosen.value if chosen else None)
        default = parameter.to_info_dict()["default"]
        settings[name] = {
            "value": _without_secrets(setting.value) if setting else default,
            "origin": setting.origin if setting else "default",
        }
    columns = ["setting", "value", *(["origin"] if origin else [])]
    rows = [
        [name, _typed(name, entry["value"], settings), *([entry["origin"]] if origin else [])]
        for name, entry in settings.items()
    ]
    screen.table(f"Settings of {of_words}", columns, rows)
    read = ", ".join(map(str, files())) or "none"
    screen.say(
        f"configuration files read, strongest first: {read}\n"
        f"looked for: {FILE_NAME} in this folder and those above it in its repository or home, then {user_file()}"
    )
    screen.data(settings if origin else {name: entry["value"] for name, entry in settings.items()})


def _without_secrets(value: Any) -> Any:
    # An address may hold a password.
    if isinstance(value, dict):
        return {name: _without_secrets(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return list(map(_without_secrets, value))
    return redact(value) if isinstance(value, str) else value


def _command(words: tuple[str, ...]) -> tuple[click.Command, str]:
    from blackbox_conformal.cli.main import cli

    target: click.Command = cli
    for place, word in enumerate(words, 1):
        names = target.list_commands(click.Context(target)) if isinstance(target, click.Group) else []
        below = target.get_command(click.Context(target), word) if isinstance(target, click.Group) else None
        if below is None:
            near = difflib.get_close_matches(word, names, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names) or 'none below'}"
            raise UsageError(f"expected a command; got {' '.join(words[:place])!r}{hint}")
        target = below
    if isinstance(target, Group) and target.alone is not None:
        target = target.alone
    if isinstance(target, click.Group):
        names = list(target.commands)
        raise UsageError(f"expected one of {', '.join(names)} after {' '.join(words)}; got nothing")
    return target, " ".join(words)


def _typed(name: str, value: Any, settings: Mapping[str, Mapping[str, Any]]) -> str:
    from blackbox_conformal.study.stages.settings import member

    if value is None or value == ():
        usual = {"metric": DEFAULT_METRIC, "run": "runs/<procedure>"}
        set_to = {name: entry["value"] for name, entry in settings.items()}
        draws, scale, named = set_to.get("draws"), set_to.get("scale"), set_to.get("guarantee")
        if draws is not None:
            # Score and guarantee at the vendor's scale if it is set, else at 4.
            usual_metric = set_to.get("metric") in (None, DEFAULT_METRIC)
            of_detail = usual_metric if named is None else member("guarantees", named).threshold_ceiling is not None
            score = set_to.get("score") or default_score(int(draws), int(scale or 4), of_detail=of_detail)
            detail = usual_metric and member("scores", score).is_share
            usual |= {"score": score, "guarantee": DETAIL_GUARANTEE if detail else ERROR_GUARANTEE}
        return usual.get(name, "not set")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)
