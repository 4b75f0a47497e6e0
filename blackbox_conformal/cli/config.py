"""`config`: every setting and where it came from."""

import difflib
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.command_groups import Group
from blackbox_conformal.cli.config_file import FILE_NAME, Configured, files, lookup, user_file
from blackbox_conformal.cli.console import Screen


@click.group("config", cls=Group)
def command() -> None:
    """Every setting and where it came from."""


@command.command("show")
@click.argument("of", metavar="[COMMAND]", nargs=-1)
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@shared.output
def show(of: tuple[str, ...], origin: bool, **options: Any) -> None:
    """The settings that COMMAND (such as `mask` or `ledger ls`; `calibrate` if none is named) would use, given the
    environment and the configuration files.
    """
    target, of_words = _command(of or ("calibrate",))
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found: dict[str, dict[str, Any]] = {}
    for parameter in target.params:
        if not isinstance(parameter, Configured):
            continue
        name = parameter.setting
        setting = lookup(name, target.name)
        default = parameter.to_info_dict()["default"]
        found[name] = {
            "value": setting.value if setting else default,
            "origin": setting.origin if setting else "default",
        }
    columns = ["setting", "value", *(["origin"] if origin else [])]
    rows = [[name, _shown(name, one["value"]), *([one["origin"]] if origin else [])] for name, one in found.items()]
    screen.table(f"Settings of {of_words}", columns, rows)
    read = ", ".join(map(str, files())) or "none"
    screen.say(
        f"configuration files read, strongest first: {read}\n"
        f"looked for: {FILE_NAME} in this folder and those above it in its repository or home, then {user_file()}"
    )
    screen.data(found if origin else {name: one["value"] for name, one in found.items()})


def _command(words: tuple[str, ...]) -> tuple[click.Command, str]:
    """The command that is called by these words."""
    from blackbox_conformal.cli.main import cli
    from blackbox_conformal.errors import UsageError

    found: click.Command = cli
    for place, word in enumerate(words, 1):
        names = found.list_commands(click.Context(found)) if isinstance(found, click.Group) else []
        below = found.get_command(click.Context(found), word) if isinstance(found, click.Group) else None
        if below is None:
            near = difflib.get_close_matches(word, names, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names) or 'none below'}"
            raise UsageError(f"expected a command; got {' '.join(words[:place])!r}{hint}")
        found = below
    if isinstance(found, click.Group):
        names = list(found.commands)
        raise UsageError(f"expected one of {', '.join(names)} after {' '.join(words)}; got nothing")
    return found, " ".join(words)


def _shown(name: str, value: Any) -> str:
    """A setting's value as it would be typed; what stands for "not set" where there is a default behind it."""
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
