"""`ledger settle`: a vendor's invoice beside the ledger."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import again, run_named
from blackbox_conformal.cli.run_folders import folder_of, place_of
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import counted, dollars, printable

if TYPE_CHECKING:
    from blackbox_conformal.drawing.ledger.attempts import Attempt
    from blackbox_conformal.drawing.ledger.invoice import Invoice
    from blackbox_conformal.drawing.ledger.settling import InvoiceComparison, Match, Period

_MOST_SHOWN = 20
_UNSENT = ("planned", "claimed", "intent", "cancelled")


@click.command("settle")
@click.argument("invoice", type=shared.FILE)
@shared.option("--run", type=shared.FOLDER, help="Run folder.  [default: the only one there is]")
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
def command(
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
    With it, ambiguous calls that the invoice has are booked at its cost, and the booked cost of those that it lacks is
    given back.
    """
    from blackbox_conformal.drawing.ledger.invoice import read_invoice
    from blackbox_conformal.drawing.ledger.queries import ledger_ls
    from blackbox_conformal.drawing.ledger.settling import compare

    listed = read_invoice(Path(invoice), _named(columns))
    period = _period(listed, first, last)
    if write and period is None:
        raise UsageError(
            f"expected the days that {invoice} covers, since it dates no call, and one that it lacks may be on another:"
            " add --from 2026-11-01 --until 2026-11-30"
        )

    def found() -> "InvoiceComparison":
        attempts = ledger_ls(place_of(run, ledger, screen.note))
        return compare(_of_vendor([one for one in attempts if one.state not in _UNSENT], adapter), listed, period)

    if not write:
        comparison = found()
        settled: list[Match] = []
    else:
        comparison, settled = _settle(folder_of(run, ledger, screen.note), found)
    _show(screen, listed, comparison)
    _show_settled(screen, comparison, settled, write=write)
    if comparison.to_settle and not write:
        screen.next(*again({"as_json", "quiet", "verbose"}), "--write")
    else:
        screen.next("ledger", "sum", *run_named(run))
    screen.data(_document(listed, comparison, settled))


def _settle(folder: Path, found: Any) -> "tuple[InvoiceComparison, list[Match]]":
    """End the calls of a run folder that may have been billed; what was found, and those that were ended."""
    from blackbox_conformal.drawing.owned_folder import OwnedFolder

    with closing(OwnedFolder(folder)) as owned:
        comparison: InvoiceComparison = found()
        settled = []
        for match in comparison.to_settle:
            if owned.ledger.settle(match.attempt, match.invoiced_nanousd):
                owned.store.keep_receipt(owned.ledger.receipt(match.attempt.id))
                settled.append(match)
    return comparison, settled


def _named(columns: Sequence[str]) -> dict[str, str]:
    from blackbox_conformal.drawing.ledger.invoice import ROLES

    named = {}
    for text in columns:
        role, equals, heading = text.partition("=")
        if not equals or role not in ROLES:
            raise UsageError(f"expected --column KIND=HEADING with one of {', '.join(ROLES)}; got {text!r}")
        named[role] = heading
    return named


def _period(invoice: "Invoice", first: str | None, last: str | None) -> "Period":
    """The first and last second that an invoice covers."""
    from blackbox_conformal.drawing.ledger.invoice import day

    try:
        ends = (None if first is None else day(first), None if last is None else day(last) + 86400.0)
    except ValueError:
        raise UsageError(f"expected --from and --until to be days such as 2026-11-30; got {first or last!r}") from None
    dated = invoice.period
    if dated is None and None in ends:
        if ends != (None, None):
            raise UsageError("expected both --from and --until, since the invoice dates no call")
        return None
    start, end = (given if given is not None else dated[number] for number, given in enumerate(ends))  # type: ignore[index]
    return start, end


def _of_vendor(attempts: "list[Attempt]", adapter: str | None) -> "list[Attempt]":
    vendors = sorted({attempt.adapter for attempt in attempts})
    if adapter is None and len(vendors) > 1:
        raise UsageError(f"expected --adapter, since the ledger holds calls to {', '.join(vendors)}")
    if adapter is not None and adapter not in vendors:
        raise UsageError(
            f"expected --adapter to be one that was called: {', '.join(vendors) or 'none was'}; got {adapter!r}"
        )
    return [one for one in attempts if adapter in (None, one.adapter)]


def _show(screen: Screen, invoice: "Invoice", comparison: "InvoiceComparison") -> None:
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


def _show_settled(screen: Screen, comparison: "InvoiceComparison", settled: "list[Match]", *, write: bool) -> None:
    if not write:
        return
    if not comparison.to_settle:
        screen.say("no call is ambiguous, so nothing was changed")
        return
    billed = [match for match in settled if match.invoiced_nanousd]
    free = [match for match in settled if not match.invoiced_nanousd]
    screen.say(
        f"settled: {counted(len(billed), 'call')} as billed, {_sum(match.invoiced_nanousd for match in billed)};"
        f" {len(free)} as not billed, {_booked(free)} given back"
    )
    if len(settled) < len(comparison.to_settle):
        screen.note(f"note: {len(comparison.to_settle) - len(settled)} are under way in another process, and were left")


def _booked(matches: "Sequence[Match]") -> str:
    return _sum(match.attempt.cost_nanousd for match in matches)


def _sum(costs: Any) -> str:
    from blackbox_conformal.drawing.money import to_usd

    return dollars(to_usd(sum(costs)))


def _document(invoice: "Invoice", comparison: "InvoiceComparison", settled: "list[Match]") -> dict[str, Any]:
    from blackbox_conformal.drawing.money import to_usd

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
