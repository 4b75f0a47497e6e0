"""`config`: every setting and where it came from."""

from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.config_file import Configured, files, lookup, option_name
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
        name = option_name(parameter)
        setting = lookup(name, of)
        default = parameter.to_info_dict()["default"]
        found[name] = {
            "value": setting.value if setting else default,
            "origin": setting.origin if setting else "default",
        }
    columns = ["setting", "value", *(["origin"] if origin else [])]
    rows = [[name, str(one["value"]), *([one["origin"]] if origin else [])] for name, one in found.items()]
    screen.table(f"Settings of {of}", columns, rows)
    screen.say("configuration files, strongest first: " + (", ".join(map(str, files())) or "none"))
    screen.data(found if origin else {name: one["value"] for name, one in found.items()})
