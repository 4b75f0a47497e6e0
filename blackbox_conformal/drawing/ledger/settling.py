"""What a vendor's invoice says of the attempts in a ledger."""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.invoice import Invoice, Line
from blackbox_conformal.drawing.task import idempotency_key

WINDOW_S = 1800.0
"""How far the time on an invoice may be from that of the submission: a vendor may date a job by its end."""

_DAY_S = 86400.0
"""The same where the vendor writes the time of its own place without saying so."""

Period = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Match:
    """A call in the ledger with its line of the invoice (None: it has none), and by what they were matched."""

    attempt: Attempt
    line: Line | None
    by: str = ""

    @property
    def invoiced_nanousd(self) -> int:
        """What the vendor charges for it."""
        return 0 if self.line is None else self.line.cost_nanousd

    @property
    def agrees(self) -> bool:
        """Whether ledger and invoice say the same cost."""
        return self.attempt.state != "ambiguous" and self.invoiced_nanousd == self.attempt.cost_nanousd


@dataclass(frozen=True, slots=True)
class InvoiceComparison:
    """An invoice beside a ledger.

    Attributes
    ----------
    calls
        Each call of the ledger that was, or may have been, billed, or that the invoice names.
    unknown
        Lines of the invoice that no call of the ledger accounts for.
    elsewhere
        Calls that were made outside the period of the invoice, and are not compared.
    """

    calls: tuple[Match, ...]
    unknown: tuple[Line, ...]
    elsewhere: tuple[Attempt, ...]

    @property
    def to_settle(self) -> list[Match]:
        """The calls that are booked because they may have been billed; the invoice says whether they were."""
        return [match for match in self.calls if match.attempt.state == "ambiguous"]


def compare(attempts: Sequence[Attempt], invoice: Invoice, period: Period) -> InvoiceComparison:
    """Match the calls of one vendor with the lines of its invoice.

    By request id or idempotency key; else by time, to half an hour and then to a day; lines without a time by count.
    Equal costs are matched first. Answered calls, which the vendor certainly billed, are matched before those that it
    may have billed: so of the latter one is not billed only where no line can be its own.

    Parameters
    ----------
    attempts
        All that were submitted to this vendor.
    period
        First and last second that the invoice covers; None: all times.
    """
    named = _named(attempts)
    matched: dict[int, tuple[Line, str]] = {}
    left: list[Line] = []
    for line in invoice.lines:
        attempt, by = next((named[one] for one in line.ids if one in named), (None, ""))
        if attempt is None or attempt.id in matched:
            left.append(line)
        else:
            matched[attempt.id] = (line, by)
    comparable = any(by == "request id" for _, by in matched.values())
    for uncertain in (False, True):
        # A call whose id the invoice does not list was not billed, where it lists ids of that kind.
        calls = [
            one
            for one in attempts
            if _may_be_billed(one)
            and (one.state == "ambiguous") is uncertain
            and not (comparable and (one.request_id or one.job))
            and _covers(period, one, WINDOW_S)
        ]
        for by, window in (("time", WINDOW_S), ("day", _DAY_S), ("count", None)):
            for same_cost in (True, False):
                free = [one for one in calls if one.id not in matched]
                found = list(_pairs(free, left, window, same_cost))
                matched |= {attempt.id: (line, by) for attempt, line in found}
                taken = {id(line) for _, line in found}
                left = [line for line in left if id(line) not in taken]
    compared, elsewhere = list[Match](), list[Attempt]()
    for attempt in attempts:
        if attempt.id in matched:
            compared.append(Match(attempt, *matched[attempt.id]))
        elif _may_be_billed(attempt):
            if _covers(period, attempt):
                compared.append(Match(attempt, None))
            else:
                elsewhere.append(attempt)
    return InvoiceComparison(tuple(compared), tuple(left), tuple(elsewhere))


def _named(attempts: Sequence[Attempt]) -> dict[str, tuple[Attempt, str]]:
    """Attempts by what a vendor may call them, and what that is."""
    named: dict[str, tuple[Attempt, str]] = {}
    for attempt in attempts:
        named[idempotency_key(attempt.task, attempt.generation)] = (attempt, "idempotency key")
        for name in (attempt.job, attempt.request_id):
            if name:
                named[name] = (attempt, "request id")
    return named


def _may_be_billed(attempt: Attempt) -> bool:
    return attempt.state == "ambiguous" or attempt.cost_nanousd > 0 or attempt.known_cost_usd is None


def _covers(period: Period, attempt: Attempt, window_s: float = 0.0) -> bool:
    return period is None or period[0] - window_s <= (attempt.sent_at or 0.0) <= period[1] + window_s


def _pairs(
    calls: Sequence[Attempt], lines: Sequence[Line], window_s: float | None, same_cost: bool
) -> Iterator[tuple[Attempt, Line]]:
    """Calls and lines that go together: of one cost, or all; by their times, or (None) as many as have no time."""
    by_cost: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        if (line.span is None) is (window_s is None):
            by_cost[line.cost_nanousd if same_cost else 0].append(line)
    for cost, some_lines in by_cost.items():
        some_calls = [one for one in calls if not same_cost or one.cost_nanousd == cost]
        if window_s is None:
            yield from zip(some_calls, some_lines, strict=False)
        else:
            yield from _by_time(some_calls, some_lines, window_s)


def _by_time(calls: Sequence[Attempt], lines: Sequence[Line], window_s: float) -> Iterator[tuple[Attempt, Line]]:
    """As many pairs as can be made: calls, in order, take the line whose time ends first."""
    spans = sorted(
        (line.span[0] - window_s, line.span[1] + window_s, number)
        for number, line in enumerate(lines)
        if line.span is not None
    )
    begun: list[tuple[float, int]] = []
    position = 0
    for call in sorted(calls, key=lambda one: one.sent_at or 0.0):
        at = call.sent_at or 0.0
        while position < len(spans) and spans[position][0] <= at:
            heapq.heappush(begun, spans[position][1:])
            position += 1
        # Calls still to come are later yet, so a line that has ended fits none of them.
        while begun and begun[0][0] < at:
            heapq.heappop(begun)
        if begun:
            # The one that ends first: whatever it could be paired with, the lines kept back can be, too.
            yield call, lines[heapq.heappop(begun)[1]]
