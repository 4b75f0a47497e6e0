"""`config`: every setting and where it came from."""

from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.config_file import FILE_NAME, Configured, files, lookup, user_file
from blackbox_conformal.cli.console import Screen


@click.group("config")
def command() -> None:
    """Every setting and where it came from."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@click.option("--command", "of", default="calibrate", show_default=True, help="The command whose settings are shown.")
@shared.output
def show(origin: bool, of: str, **options: Any) -> None:
    """The settings that a command would use, given the environment and the configuration files."""
    from blackbox_conformal.cli.main import Commands
    from blackbox_conformal.errors import UsageError

    target = Commands().get_command(click.Context(command), of)
    if target is None:
        raise UsageError(f"expected --command to be one of the commands; got {of!r}")
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found: dict[str, dict[str, Any]] = {}
    for parameter in target.params:
        if not isinstance(parameter, Configured):
            continue
        name = parameter.setting
        setting = lookup(name, of)
        default = parameter.to_info_dict()["default"]
        found[name] = {
            "value": setting.value if setting else default,
            "origin": setting.origin if setting else "default",
        }
    columns = ["setting", "value", *(["origin"] if origin else [])]
    rows = [[name, _shown(name, one["value"]), *([one["origin"]] if origin else [])] for name, one in found.items()]
    screen.table(f"Settings of {of}", columns, rows)
    read = ", ".join(map(str, files())) or "none"
    screen.say(
        f"configuration files read, strongest first: {read}\n"
        f"looked for: {FILE_NAME} in this folder and those above it in its repository or home, then {user_file()}"
    )
    screen.data(found if origin else {name: one["value"] for name, one in found.items()})


def _shown(name: str, value: Any) -> str:
    """A setting's value as it would be typed; what stands for "not set" where there is a default behind it."""
    from blackbox_conformal.pipeline.stages.settings import DEFAULT_FIDELITY, DEFAULT_INDECISION

    if value is None or value == ():
        return {
            "indecision": DEFAULT_INDECISION,
            "fidelity": DEFAULT_FIDELITY,
            "guarantee": "expected",
            "run": "runs/<procedure>",
        }.get(name, "not set")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)
