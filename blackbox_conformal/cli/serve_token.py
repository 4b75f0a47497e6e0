"""`serve-token`: who may use a gateway."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen

if TYPE_CHECKING:
    from blackbox_conformal.serving.tokens import Tokens

_file = shared.option(
    "--tokens",
    "file",
    type=shared.NAMED_FILE,
    required=True,
    help="File of the tokens, such as RUN/served/tokens.json.",
)


@click.group("serve-token", cls=shared.Group)
def command() -> None:
    """Bearer tokens for `serve`: new, list, revoke."""


@command.command("new")
@click.argument("name")
@_file
@shared.output
def new(screen: Screen, name: str, file: str) -> None:
    """Make a token for NAME and print it, once; only a hash of it is kept."""
    token = _tokens(file).new(name)
    # What is printed otherwise hides secrets.
    click.echo(token.reveal(), err=screen.as_json)
    screen.free_stdout()
    screen.note(f"This is the only time that the token of {name} is shown. `serve` reads {file} when it changes")
    screen.next("serve", "--calibration", "calibration.json", "--alpha", "0.1", "--tokens", file)
    screen.data({"name": name, "file": file})


@command.command("list")
@_file
@shared.output
def names(screen: Screen, file: str) -> None:
    """Who has a token."""
    found = _tokens(file).names()
    for name in found:
        screen.say(name)
    screen.data(found)


@command.command("revoke")
@click.argument("name")
@_file
@shared.output
def revoke(screen: Screen, name: str, file: str) -> None:
    """Take NAME's token away; a gateway that runs notices it."""
    _tokens(file).revoke(name)
    screen.say(f"{name} has no token any more")
    screen.data({"name": name, "file": file})


def _tokens(file: str) -> "Tokens":
    from blackbox_conformal.serving.tokens import Tokens

    return Tokens(Path(file))
