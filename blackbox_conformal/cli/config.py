"""`config`: every setting and where it came from."""

import difflib
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.config_file import FILE_NAME, Configured, files, lookup, user_file
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import UsageError


@click.group("config", cls=shared.Group)
def command() -> None:
    """Every setting and where it came from."""


@command.command("show")
@click.argument("of", metavar="[COMMAND]", nargs=-1)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@shared.output
def show(screen: Screen, of: tuple[str, ...], origin: bool) -> None:
    """The settings that COMMAND (such as `mask` or `ledger ls`; `calibrate` if none is named) would use, given the
    environment and the configuration files.
    """
    target, of_words = _command(of or ("calibrate",))
    settings: dict[str, dict[str, Any]] = {}
    for parameter in target.params:
        if not isinstance(parameter, Configured):
            continue
        name = parameter.setting
        setting = lookup(name, target.name)
        default = parameter.to_info_dict()["default"]
        settings[name] = {
            "value": setting.value if setting else default,
            "origin": setting.origin if setting else "default",
        }
    columns = ["setting", "value", *(["origin"] if origin else [])]
    rows = [
        [name, _typed(name, entry["value"]), *([entry["origin"]] if origin else [])] for name, entry in settings.items()
    ]
    screen.table(f"Settings of {of_words}", columns, rows)
    read = ", ".join(map(str, files())) or "none"
    screen.say(
        f"configuration files read, strongest first: {read}\n"
        f"looked for: {FILE_NAME} in this folder and those above it in its repository or home, then {user_file()}"
    )
    screen.data(settings if origin else {name: entry["value"] for name, entry in settings.items()})


def _command(words: tuple[str, ...]) -> tuple[click.Command, str]:
    """The command that is called by these words."""
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
    if isinstance(target, click.Group):
        names = list(target.commands)
        raise UsageError(f"expected one of {', '.join(names)} after {' '.join(words)}; got nothing")
    return target, " ".join(words)


def _typed(name: str, value: Any) -> str:
    """A setting's value as it would be typed; the default where none is set and the command has one."""
    from blackbox_conformal.pipeline.stages.settings import DEFAULT_METRIC, DEFAULT_SCORE

    if value is None or value == ():
        return {
            "score": DEFAULT_SCORE,
            "metric": DEFAULT_METRIC,
            "guarantee": "expected",
            "run": "runs/<procedure>",
        }.get(name, "not set")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)
