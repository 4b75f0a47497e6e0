"""`ledger`: every call ever paid for."""

import csv
import sys
from dataclasses import asdict
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import reopen, settle, values
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import run_named
from blackbox_conformal.cli.run_folders import folder_of, place_of, run_folders
from blackbox_conformal.cli.terminal_text import json_line
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.support.text import dollars, printable, visible

run_option = shared.option("--run", type=shared.FOLDER, help="Run folder.  [default: the only one there is]")
ledger_option = shared.ledger_address


@click.group("ledger", cls=Group)
def command() -> None:
    """Every call ever paid for."""


command.add_command(settle.command)
command.add_command(reopen.command)


@command.command("ls")
@run_option
@ledger_option
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only attempts in this state; repeatable.")
@shared.output
def ls(screen: Screen, run: str | None, ledger: str | None, states: tuple[str, ...]) -> None:
    """Every attempt: picture, draw, state, price."""
    from blackbox_conformal.drawing.ledger.queries import ledger_ls
    from blackbox_conformal.drawing.ledger.states import STATES

    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise UsageError(f"expected --state to be one of {', '.join(STATES)}; got {unknown[0]!r}")
    attempts = ledger_ls(place_of(run, ledger, screen.note), states)
    costs = [None if attempt.known_cost_usd is None else str(attempt.known_cost_usd) for attempt in attempts]
    screen.table(
        "Attempts",
        ["id", "picture", "draw", "state", "cost", "error"],
        [
            [
                str(attempt.id),
                printable(attempt.upload_name),
                str(attempt.draw),
                f"{attempt.state}, reopened" if attempt.reopened else attempt.state,
                "unknown" if cost is None else dollars(cost),
                printable(attempt.error or "", 80),
            ]
            for attempt, cost in zip(attempts, costs, strict=True)
        ],
    )
    screen.next("ledger", "verify", *run_named(run))
    screen.data([{**asdict(attempt), "cost_usd": cost} for attempt, cost in zip(attempts, costs, strict=True)])


@command.command("sum")
@run_option
@ledger_option
@shared.output
def ledger_total(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Counts and money; without --run of all run folders together."""
    from blackbox_conformal.drawing.ledger.places import Where, address_at
    from blackbox_conformal.drawing.ledger.queries import ledger_sum

    folders: list[Where] = [*run_folders(run, screen.note)] if ledger is None else [place_of(run, ledger, screen.note)]
    # Several folders may have one ledger.
    sums = [ledger_sum(place) for place in {address_at(folder) or folder: None for folder in folders}]
    total = {name: sum(folder_sum[name] for folder_sum in sums) for name in sums[0]}
    if len(folders) > 1:
        screen.note(f"of {len(folders)} run folders: {', '.join(map(str, folders))}")
    lines = {
        name.replace("_usd", ", US dollars"): dollars(value)[1:] if name.endswith("_usd") else str(value)
        for name, value in total.items()
    }
    document: dict[str, Any] = {name: float(value) if name.endswith("_usd") else value for name, value in total.items()}
    if total["unpriced"]:
        others = f"{dollars(total['cost_usd'])} for the others" if total["cost_usd"] else "nothing is known"
        lines["cost, US dollars"] = f"unknown: {total['unpriced']} calls were made at an unknown price; {others}"
        document["cost_usd"] = None
    screen.summary(lines)
    screen.next("ledger", "ls", *run_named(run))
    screen.data(document)


@command.command("limit")
@click.argument("amount", required=False)
@ledger_option
@shared.output
def limit(screen: Screen, amount: str | None, ledger: str | None) -> None:
    """The most that everything with one PostgreSQL ledger may cost, on all machines together, in US dollars.

    AMOUNT is the new limit, or `none`; without it, the limit is shown.
    """
    from blackbox_conformal.drawing.ledger.address import LEDGERS
    from blackbox_conformal.drawing.ledger.places import set_limit
    from blackbox_conformal.drawing.ledger.queries import ledger_limit, ledger_sum

    if ledger is None:
        raise UsageError("expected --ledger postgresql://user@host/name; a ledger in a run folder has no such limit")
    address = LEDGERS.name(ledger)
    if amount is not None:
        set_limit(address, None if amount == "none" else values.usd(amount))
    most, sums = ledger_limit(address), ledger_sum(address)
    spent, held = sums["cost_usd"], sums["reserved_usd"]
    screen.summary(
        {
            "limit, all machines together": "none" if most is None else dollars(most),
            "spent": dollars(spent),
            "held for draws under way": dollars(held),
        }
    )
    screen.data(
        {
            "limit_usd": None if most is None else float(most),
            "cost_usd": float(spent),
            "reserved_usd": float(held),
        }
    )


@command.command("remember")
@run_option
@ledger_option
@shared.output
def remember(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Let a ledger that was restored from an older copy know again what lies beside it of calls that it forgot.

    Every command that draws does the same before it buys anything. This one buys nothing.
    """
    from contextlib import closing

    from blackbox_conformal.drawing.owned_folder import OwnedFolder

    folder = folder_of(run, ledger, screen.note)
    with closing(OwnedFolder(folder)) as owned:
        remembered = owned.remembered
    screen.say(remembered or f"the ledger of {folder} knows all calls whose receipts are kept")
    screen.next("ledger", "verify", *run_named(run))
    screen.data({"remembered": remembered or None})


@command.command("export")
@run_option
@ledger_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines, or a CSV table.",
)
@shared.output
def export(screen: Screen, run: str | None, ledger: str | None, kind: str) -> None:
    """Every attempt with every column, on stdout."""
    from blackbox_conformal.drawing.ledger.queries import csv_cell, ledger_export

    rows = ledger_export(place_of(run, ledger, screen.note))
    if screen.as_json:
        screen.data(list(rows))
        return
    if kind == "jsonl":
        for row in rows:
            click.echo(json_line(row))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([visible(cell) if isinstance(cell, str) else cell for cell in map(csv_cell, row.values())])


@command.command("verify")
@run_option
@ledger_option
@shared.output
def verify(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Hash every stored sample again and check states and sums; exit 3 when something is wrong."""
    from blackbox_conformal.drawing.ledger.queries import ledger_verify

    folder = place_of(run, ledger, screen.note, whole=False)
    check = ledger_verify(folder)
    screen.say(f"{check.attempts} draws on record, {check.samples} stored samples, {len(check.problems)} problems")
    for problem in check.problems:
        screen.say(f"  {problem}")
    if not check.problems:
        screen.next("ledger", "export", *run_named(run))
    screen.data(asdict(check))
    if check.problems:
        raise CheckFailedError(f"the ledger in {folder} is inconsistent: {check.problems[0]}")
