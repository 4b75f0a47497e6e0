"""`ledger reopen`: refusals that do not count any more."""

from contextlib import closing
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import run_named
from blackbox_conformal.cli.run_folders import folder_of
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import counted, dollars, name_of, printable

if TYPE_CHECKING:
    from blackbox_conformal.drawing.ledger.attempts import Attempt


@click.command("reopen")
@shared.option("--run", type=shared.FOLDER, help="Run folder.  [default: the only one there is]")
@shared.ledger_address
@click.option("--state", type=click.Choice(["refused"]), help="All draws that the vendor refused.")
@click.option("--code", "codes", multiple=True, metavar="CODE", help="Only those refused with it, as 400; repeatable.")
@click.option("--picture", "pictures", multiple=True, metavar="NAME", help="Only those of this picture; repeatable.")
@click.option("--draw", "draws", multiple=True, type=int, metavar="N", help="Only these draws, from 0; repeatable.")
@shared.output
def command(
    screen: Screen,
    run: str | None,
    ledger: str | None,
    state: str | None,
    codes: tuple[str, ...],
    pictures: tuple[str, ...],
    draws: tuple[int, ...],
) -> None:
    """Undo refusals: the command that drew asks again for these draws.

    Nothing is bought now. What the vendor billed for a refusal stays booked, and a calibration says how many of its
    refusals were reopened.
    """
    from blackbox_conformal.drawing.ledger.queries import ledger_ls
    from blackbox_conformal.drawing.owned_folder import OwnedFolder

    if not (state or codes or pictures or draws):
        raise UsageError("expected which refusals: --state refused for all, or --code, --picture or --draw; got none")
    folder, wanted_pictures = folder_of(run, ledger, screen.note), {name_of(name) for name in pictures}

    def wanted(one: "Attempt") -> bool:
        of_picture = not pictures or {one.upload_name, name_of(one.upload_name)} & {*pictures, *wanted_pictures}
        return (not codes or one.code in codes) and bool(of_picture) and (not draws or one.draw in draws)

    with closing(OwnedFolder(folder)) as owned:
        refused = [one for one in ledger_ls(folder, ("refused",)) if not one.reopened]
        found = list(filter(wanted, refused))
        count = owned.ledger.reopen([one.id for one in found])
    if not found:
        known = ", ".join(sorted({one.code or "no code" for one in refused})) or "none"
        raise UsageError(
            f"expected refusals to reopen in {folder}; none is as asked for. Codes of those there: {known}"
        )
    booked = sum(one.cost_usd for one in found)
    screen.say(f"{counted(count, 'refusal')} reopened: the same command asks for these draws again")
    if booked:
        screen.say(f"  {dollars(booked)} that the vendor billed for them stay booked")
    names = dict.fromkeys(printable(one.upload_name) for one in found)
    screen.say(f"  pictures: {', '.join(list(names)[:10])}{f' and {len(names) - 10} more' if len(names) > 10 else ''}")
    screen.next("ledger", "ls", "--state", "refused", *run_named(run))
    screen.data({"reopened": [one.id for one in found], "booked_usd": float(booked)})
