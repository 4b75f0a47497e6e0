"""`ledger`: every call ever paid for."""

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import again, run_named
from blackbox_conformal.cli.run_folders import folder_of, place_of, run_folders
from blackbox_conformal.cli.terminal_text import json_line
from blackbox_conformal.errors import CheckFailedError, UsageError
from blackbox_conformal.support.text import counted, dollars, name_of, printable, visible

if TYPE_CHECKING:
    from blackbox_conformal.drawing.ledger.attempts import Attempt
    from blackbox_conformal.drawing.ledger.invoice import Invoice, InvoiceComparison, Match


_MOST_SHOWN = 20
_MOST_LISTED = 1000
_UNSENT = ("planned", "claimed", "intent", "cancelled")


@click.group("ledger", cls=Group)
def command() -> None:
    """Every call ever paid for."""


@command.command("ls")
@shared.run_folder
@shared.ledger_address
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only attempts in this state; repeatable.")
@click.option(
    "--limit",
    type=values.whole(1),
    metavar="N",
    help=f"Only the last N attempts.  [default: {_MOST_LISTED}; with --json all]",
)
@shared.output
def ls(screen: Screen, run: str | None, ledger: str | None, states: tuple[str, ...], limit: int | None) -> None:
    """Attempts: picture, draw, state, price."""
    from blackbox_conformal.drawing.ledger.queries import ledger_ls
    from blackbox_conformal.drawing.ledger.states import STATES

    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise UsageError(f"expected --state to be one of {', '.join(STATES)}; got {unknown[0]!r}")
    most = limit or _MOST_LISTED
    # One more tells whether there are more. A document is whole unless a limit is given.
    wanted = None if screen.as_json and limit is None else most + 1
    attempts = ledger_ls(place_of(run, ledger, screen.note), states, wanted)
    if len(attempts) > most:
        screen.note(f"the last {most} attempts are shown; --limit N shows more, and `ledger export` gives all")
        attempts = attempts if wanted is None else attempts[-most:]
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
            for attempt, cost in zip(attempts[-most:], costs[-most:], strict=True)
        ],
    )
    screen.next("ledger", "verify", *run_named(run))
    screen.data([{**asdict(attempt), "cost_usd": cost} for attempt, cost in zip(attempts, costs, strict=True)])


@command.command("sum")
@shared.run_folder
@shared.ledger_address
@shared.output
def ledger_total(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Counts and money; without --run of all run folders together."""
    from blackbox_conformal.drawing.ledger.backends import Where, address_at
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
@shared.ledger_address
@shared.output
def limit(screen: Screen, amount: str | None, ledger: str | None) -> None:
    """The most that everything with one PostgreSQL ledger may cost, on all machines together, in US dollars.

    AMOUNT is the new limit, or `none`; without it, the limit is shown.
    """
    from blackbox_conformal.drawing.ledger.addresses import LEDGERS
    from blackbox_conformal.drawing.ledger.backends import set_limit
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
        {"limit_usd": None if most is None else float(most), "cost_usd": float(spent), "reserved_usd": float(held)}
    )


@command.command("remember")
@shared.run_folder
@shared.ledger_address
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
@shared.run_folder
@shared.ledger_address
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
@shared.run_folder
@shared.ledger_address
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


@command.command("reopen")
@shared.run_folder
@shared.ledger_address
@click.option("--state", type=click.Choice(["refused"]), help="All draws that the vendor refused.")
@click.option("--code", "codes", multiple=True, metavar="CODE", help="Only those refused with it, as 400; repeatable.")
@click.option("--picture", "pictures", multiple=True, metavar="NAME", help="Only those of this picture; repeatable.")
@click.option("--draw", "draws", multiple=True, type=int, metavar="N", help="Only these draws, from 0; repeatable.")
@shared.output
def reopen(
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


@command.command("settle")
@click.argument("invoice", type=shared.FILE)
@shared.run_folder
@shared.ledger_address
@click.option("--adapter", metavar="NAME", help="The vendor whose invoice it is.  [default: the only one there is]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="KIND=HEADING",
    help="Which column holds the id, key, cost, time, count or currency; repeatable.  [default: by common headings]",
)
@click.option("--from", "first", metavar="DATE", help="First day (UTC) of the invoice.  [default: its first call]")
@click.option("--until", "last", metavar="DATE", help="Last day (UTC) of the invoice.  [default: its last call]")
@click.option("--write", is_flag=True, help="End the calls that may have been billed as the invoice says.")
@shared.output
def settle(
    screen: Screen,
    invoice: str,
    run: str | None,
    ledger: str | None,
    adapter: str | None,
    columns: tuple[str, ...],
    first: str | None,
    last: str | None,
    write: bool,
) -> None:
    """Compare a vendor's invoice, a CSV file in US dollars, with the ledger.

    Calls are matched by request id or idempotency key, else by time, else by count. Nothing is changed without --write.
    With it, ambiguous calls that the invoice lists are booked at the invoice's cost; the booked cost of calls that it
    lacks is given back.
    """
    from blackbox_conformal.drawing.ledger.invoice import ROLES, compare, day, read_invoice
    from blackbox_conformal.drawing.ledger.queries import ledger_ls
    from blackbox_conformal.drawing.owned_folder import OwnedFolder

    named = {}
    for text in columns:
        role, equals, heading = text.partition("=")
        if not equals or role not in ROLES:
            raise UsageError(f"expected --column KIND=HEADING with one of {', '.join(ROLES)}; got {text!r}")
        named[role] = heading
    listed = read_invoice(Path(invoice), named)
    try:
        ends = (None if first is None else day(first), None if last is None else day(last) + 86400.0)
    except ValueError:
        raise UsageError(f"expected --from and --until to be days such as 2026-11-30; got {first or last!r}") from None
    period = listed.period
    if period is None and None in ends and ends != (None, None):
        raise UsageError("expected both --from and --until, since the invoice dates no call")
    dated = (None, None) if period is None else period
    start, end = (given if given is not None else of_invoice for given, of_invoice in zip(ends, dated, strict=True))
    period = None if start is None or end is None else (start, end)
    if write and period is None:
        raise UsageError(
            f"expected the days that {invoice} covers, since it dates no call, and one that it lacks may be on another:"
            " add --from 2026-11-01 --until 2026-11-30"
        )

    def found() -> "InvoiceComparison":
        sent = [one for one in ledger_ls(place_of(run, ledger, screen.note)) if one.state not in _UNSENT]
        vendors = sorted({attempt.adapter for attempt in sent})
        if adapter is None and len(vendors) > 1:
            raise UsageError(f"expected --adapter, since the ledger holds calls to {', '.join(vendors)}")
        if adapter is not None and adapter not in vendors:
            called = ", ".join(vendors) or "none was"
            raise UsageError(f"expected --adapter to be one that was called: {called}; got {adapter!r}")
        return compare([one for one in sent if adapter in (None, one.adapter)], listed, period)

    settled: list[Match] = []
    if not write:
        comparison = found()
    else:
        with closing(OwnedFolder(folder_of(run, ledger, screen.note))) as owned:
            comparison = found()
            for match in comparison.to_settle:
                if owned.ledger.settle(match.attempt, match.invoiced_nanousd):
                    owned.store.keep_receipt(owned.ledger.receipt(match.attempt.id))
                    settled.append(match)
    _show_invoice(screen, listed, comparison)
    if write:
        _show_settled(screen, comparison, settled)
    if comparison.to_settle and not write:
        screen.next(*again(without={"as_json", "quiet", "verbose"}), "--write")
    else:
        screen.next("ledger", "sum", *run_named(run))
    screen.data(_document(listed, comparison, settled))


def _show_invoice(screen: Screen, invoice: "Invoice", comparison: "InvoiceComparison") -> None:
    columns = ", ".join(f"{role} in {printable(heading)!r}" for role, heading in invoice.columns.items())
    screen.say(f"the invoice has {counted(len(invoice.lines), 'call')}: {columns}")
    both = [match for match in comparison.calls if match.line is not None]
    by = Counter(match.by for match in both)
    differing = [match for match in both if not match.agrees and match.attempt.state != "ambiguous"]
    lacking = [match for match in comparison.calls if match.line is None and match.attempt.state != "ambiguous"]
    unknown = _sum(line.cost_nanousd for line in comparison.unknown)
    open_calls = comparison.to_settle
    on_it = [match for match in open_calls if match.line is not None]
    off_it = [match for match in open_calls if match.line is None]
    matched_by = f" (matched by {', '.join(f'{name}: {count}' for name, count in by.items())})" if by else ""
    screen.summary(
        {
            "on both": f"{counted(len(both), 'call')}{matched_by}",
            "at another cost": f"{counted(len(differing), 'call')}",
            "only on the invoice": f"{counted(len(comparison.unknown), 'call')}, {unknown}",
            "only in the ledger": f"{counted(len(lacking), 'call')}, {_booked(lacking)} booked",
            "ambiguous, on the invoice": f"{counted(len(on_it), 'call')}, {_booked(on_it)} booked",
            "ambiguous, not on it": f"{counted(len(off_it), 'call')}, {_booked(off_it)} booked",
        }
    )
    if comparison.elsewhere:
        screen.note(
            f"note: {counted(len(comparison.elsewhere), 'call')} outside the period of the invoice are not compared"
        )
    told = [*differing, *lacking, *open_calls]
    rows = [
        [
            str(match.attempt.id),
            printable(match.attempt.upload_name),
            str(match.attempt.draw),
            match.attempt.state,
            _sum([match.attempt.cost_nanousd]),
            "not on it" if match.line is None else f"{_sum([match.line.cost_nanousd])}, line {match.line.number}",
            match.by or "-",
        ]
        for match in told[:_MOST_SHOWN]
    ]
    if rows:
        screen.table("Differences", ["id", "picture", "draw", "state", "booked", "invoice", "matched by"], rows)
    if len(told) > _MOST_SHOWN:
        screen.say(f"and {len(told) - _MOST_SHOWN} more; --json lists all")


def _show_settled(screen: Screen, comparison: "InvoiceComparison", settled: "list[Match]") -> None:
    if not comparison.to_settle:
        screen.say("no call is ambiguous, so nothing was changed")
        return
    billed = [match for match in settled if match.invoiced_nanousd]
    free = [match for match in settled if not match.invoiced_nanousd]
    screen.say(
        f"settled: {counted(len(billed), 'call')} as billed, {_sum(match.invoiced_nanousd for match in billed)};"
        f" {len(free)} as not billed, {_booked(free)} given back"
    )
    if left := len(comparison.to_settle) - len(settled):
        screen.note(f"note: {left} are under way in another process, and were left")


def _booked(matches: "Sequence[Match]") -> str:
    return _sum(match.attempt.cost_nanousd for match in matches)


def _sum(costs: Any) -> str:
    from blackbox_conformal.drawing.ledger.money import to_usd

    return dollars(to_usd(sum(costs)))


def _document(invoice: "Invoice", comparison: "InvoiceComparison", settled: "list[Match]") -> dict[str, Any]:
    from blackbox_conformal.drawing.ledger.money import to_usd

    ended = {match.attempt.id for match in settled}
    return {
        "columns": dict(invoice.columns),
        "calls": [
            {
                "id": match.attempt.id,
                "picture": match.attempt.upload_name,
                "draw": match.attempt.draw,
                "state": match.attempt.state,
                "booked_usd": str(match.attempt.cost_usd),
                "invoiced_usd": None if match.line is None else str(to_usd(match.line.cost_nanousd)),
                "line": None if match.line is None else match.line.number,
                "matched_by": match.by or None,
                "agrees": match.agrees,
                "settled": match.attempt.id in ended,
            }
            for match in comparison.calls
        ],
        "only_on_invoice": [
            {
                "line": line.number,
                "ids": list(line.ids),
                "cost_usd": str(to_usd(line.cost_nanousd)),
                "time": None if line.span is None else datetime.fromtimestamp(line.span[0], UTC).isoformat(),
            }
            for line in comparison.unknown
        ],
        "not_compared": [attempt.id for attempt in comparison.elsewhere],
    }
