"""`ledger`: every call ever paid for."""

import csv
import sys
from dataclasses import asdict
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.command_groups import Group
from blackbox_conformal.cli.console import Screen, summary
from blackbox_conformal.cli.run_folders import run_folder_of, run_folders
from blackbox_conformal.cli.terminal_text import json_line

run_option = shared.option(
    "--run", type=click.Path(file_okay=False), help="Run folder.  [default: the only one there is]"
)


@click.group("ledger", cls=Group)
def command() -> None:
    """Every call ever paid for."""


@command.command("ls")
@run_option
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only attempts in this state; repeatable.")
@shared.output
def ls(run: str | None, states: tuple[str, ...], **options: Any) -> None:
    """Every attempt: picture, draw, state, price."""
    from blackbox_conformal.errors import UsageError
    from blackbox_conformal.sampling.ledger.queries import ledger_ls
    from blackbox_conformal.sampling.ledger.states import STATES
    from blackbox_conformal.text import printable

    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise UsageError(f"expected --state to be one of {', '.join(STATES)}; got {unknown[0]!r}")
    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found = ledger_ls(run_folder_of(run, screen.note), states)
    screen.table(
        "Attempts",
        ["id", "picture", "draw", "state", "cost", "error"],
        [
            [
                str(one.id),
                printable(one.upload_name),
                str(one.draw),
                one.state,
                "unknown" if one.known_cost_usd is None else f"${one.known_cost_usd}",
                printable(one.error or "", 80),
            ]
            for one in found
        ],
    )
    costs = [None if one.known_cost_usd is None else str(one.known_cost_usd) for one in found]
    screen.data([{**asdict(one), "cost_usd": cost} for one, cost in zip(found, costs, strict=True)])


@command.command("sum")
@run_option
@shared.output
def total(run: str | None, **options: Any) -> None:
    """Counts and money; without --run of all run folders together."""
    from blackbox_conformal.sampling.ledger.queries import ledger_sum

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    folders = run_folders(run, screen.note)
    sums = [ledger_sum(folder) for folder in folders]
    found = {name: sum(one[name] for one in sums) for name in sums[0]}
    if len(folders) > 1:
        screen.note(f"of {len(folders)} run folders: {', '.join(map(str, folders))}")
    shown = {name.replace("_usd", ", US dollars"): str(value) for name, value in found.items()}
    known: dict[str, Any] = {name: float(value) if name.endswith("_usd") else value for name, value in found.items()}
    if found["unpriced"]:
        cost = f"${found['cost_usd']} for the others" if found["cost_usd"] else "nothing is known"
        shown["cost, US dollars"] = f"unknown: {found['unpriced']} calls were made at an unknown price; {cost}"
        known["cost_usd"] = None
    screen.say(summary(shown))
    screen.data(known)


@command.command("export")
@run_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="Lines of JSON or a table.",
)
@shared.output
def export(run: str | None, kind: str, **options: Any) -> None:
    """Every attempt with every column, on stdout."""
    from blackbox_conformal.sampling.ledger.queries import csv_cell, ledger_export
    from blackbox_conformal.text import visible

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    rows = ledger_export(run_folder_of(run, screen.note))
    if options["as_json"]:
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
@shared.output
def verify(run: str | None, **options: Any) -> None:
    """Hash every stored sample again and check states and sums; exit 3 when something is wrong."""
    from blackbox_conformal.errors import CheckFailedError
    from blackbox_conformal.sampling.ledger.queries import ledger_verify

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    folder = run_folder_of(run, screen.note, whole=False)
    found = ledger_verify(folder)
    screen.say(f"{found.attempts} draws on record, {found.samples} stored samples, {len(found.problems)} problems")
    for problem in found.problems:
        screen.say(f"  {problem}")
    screen.data(asdict(found))
    if found.problems:
        raise CheckFailedError(f"the ledger in {folder} is inconsistent: {found.problems[0]}")
