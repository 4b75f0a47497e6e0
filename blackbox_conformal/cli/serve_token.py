"""`serve-token`: who may use a gateway."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.support.text import dollars

if TYPE_CHECKING:
    from blackbox_conformal.gateway.tokens import Tokens

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
@click.option(
    "--max-cost", "max_cost", type=values.usd, help="The most that requests with it may cost in all, US dollars."
)
@click.option(
    "--pay-again",
    "pay_again",
    is_flag=True,
    help="Let it ask for a picture again whose draw may be paid for and is not usable ('Prefer: pay-again').",
)
@shared.output
def new(screen: Screen, name: str, file: str, max_cost: Decimal | None, pay_again: bool) -> None:
    """Make a token for NAME and print it, once; only a hash of it is kept."""
    token = _tokens(file).new(name, max_cost, pay_again=pay_again)
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
    """Who has a token, and what it may."""
    holders = _tokens(file).holders()
    for holder in holders:
        limit = "" if holder.max_cost_usd is None else f", {dollars(holder.max_cost_usd)} at most"
        screen.say(f"{holder.name}{limit}{', may pay again' if holder.pay_again else ''}")
    screen.data(
        [
            {
                "name": holder.name,
                "max_cost_usd": None if holder.max_cost_usd is None else str(holder.max_cost_usd),
                "pay_again": holder.pay_again,
            }
            for holder in holders
        ]
    )


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
    from blackbox_conformal.gateway.tokens import Tokens

    return Tokens(Path(file))
