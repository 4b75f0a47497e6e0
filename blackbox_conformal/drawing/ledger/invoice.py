"""Reads a vendor's invoice as a CSV file, and matches its calls with the attempts in a ledger."""

import csv
import heapq
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from blackbox_conformal.drawing.ledger.attempts import Attempt
from blackbox_conformal.drawing.ledger.money import to_nano
from blackbox_conformal.drawing.task import idempotency_key
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import printable

_HEADINGS: dict[str, tuple[str, ...]] = {
    "id": ("request_id", "prediction_id", "job_id", "task_id", "generation_id", "request", "prediction", "job", "id"),
    "key": ("idempotency_key",),
    "cost": ("cost", "amount", "price", "charge", "charged", "total", "total_cost", "total_price", "total_amount"),
    "time": (
        "created_at",
        "created",
        "timestamp",
        "time",
        "datetime",
        "started_at",
        "start_time",
        "date",
        "usage_date",
    ),
    "count": ("quantity", "count", "calls", "requests"),
    "currency": ("currency", "currency_code"),
}
ROLES = tuple(_HEADINGS)  # Roles of an invoice's columns.
_SEVERAL = ("id", "time")  # Roles that several columns may have: all ids count, and the first time in the list.
_SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "JPY or CNY", "₹": "INR", "₩": "KRW"}
_CODES = (
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR", "JPY", "KRW", "MXN"),
    *("NOK", "NZD", "PLN", "RMB", "SEK", "SGD", "THB", "TRY", "ZAR"),
)
_DAY_S = 86400.0
_EARLIEST = 946684800.0
_MILLISECONDS_FROM = 1e11


@dataclass(frozen=True, slots=True)
class Line:
    """One call on an invoice."""

    number: int  # Line in the file, from 1.
    ids: tuple[str, ...]  # Ids and keys by which a vendor may name a call.
    cost_nanousd: int  # Cost in nano-dollars.
    span: tuple[float, float] | None  # First and last second since 1970 of its possible time; None: not said.


@dataclass(frozen=True, slots=True)
class Invoice:
    """The calls of an invoice, and the columns that were taken for each role."""

    lines: tuple[Line, ...]
    columns: Mapping[str, str]

    @property
    def period(self) -> tuple[float, float] | None:
        """Return the seconds since 1970 of the first and the last call; None without a column of times."""
        spans = [line.span for line in self.lines if line.span is not None]
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else None


def read_invoice(path: Path, named: Mapping[str, str]) -> Invoice:
    """Read the calls that an invoice lists.

    `named`: headings of columns by role, one of `ROLES`; other columns are found by common headings.
    """
    rows = _rows(path)
    _, headings = next(rows, (0, list[str]()))
    if not headings:
        raise UsageError(f"expected a CSV file whose first line names its columns; {path} is empty")
    names = _names(headings)
    columns = {role: _columns(path, role, headings, named) for role in ROLES}
    if not columns["cost"]:
        raise UsageError(f"expected a column with what each call cost; {path} has {names}. Name it: --column cost=NAME")
    lines = [line for number, cells in rows for line in _lines(path, number, headings, cells, columns)]
    if not lines:
        raise UsageError(f"expected an invoice that lists calls; {path} has a line of headings and no other")
    shown = {role: ", ".join(headings[index] for index in found) for role, found in columns.items() if found}
    return Invoice(tuple(_netted(path, lines)), shown)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"expected a CSV file in UTF-8; {path} is not, from byte {error.start}: export it again"
        ) from None
    except OSError as error:
        raise UsageError(f"expected an invoice that can be read; {path}: {error.strerror}") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    # Spreadsheets write commas, semicolons or tabs, by their user's language: the first line tells.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UsageError(f"expected a CSV file; line {reader.line_num} of {path}: {error}") from None


def _names(headings: Sequence[str]) -> str:
    return ", ".join(repr(printable(heading, 40)) for heading in headings)


def _plain(heading: str) -> str:
    # Exports write one heading in many ways: "Cost (USD)", "totalCost", "total_cost".
    words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", heading).lower()).strip("_")
    return re.sub(r"(_in)?_(usd|us_dollars)$", "", words)


def _columns(path: Path, role: str, headings: Sequence[str], named: Mapping[str, str]) -> list[int]:
    if role in named:
        found = [index for index, heading in enumerate(headings) if heading == named[role]]
        if len(found) != 1:
            raise UsageError(
                f"expected --column {role}= to name one column of {path}, which has {_names(headings)}; got"
                f" {named[role]!r}"
            )
        return found
    plain = [_plain(heading) for heading in headings]
    known = [index for index, heading in enumerate(plain) if heading in _HEADINGS[role]]
    columns = sorted(known, key=lambda index: _HEADINGS[role].index(plain[index]))
    if role == "cost":
        _refuse_other_currencies(path, headings, plain, columns)
    if len(columns) > 1 and role not in _SEVERAL:
        both = " and ".join(repr(headings[index]) for index in sorted(columns))
        raise UsageError(
            f"{both} may both be the {role} in {path}; say which one is: --column {role}={headings[columns[0]]!r}"
        )
    return columns[:1] if role == "time" else columns


def _refuse_other_currencies(path: Path, headings: Sequence[str], plain: Sequence[str], found: Sequence[int]) -> None:
    for index, heading in enumerate(headings):
        word, _, end = plain[index].rpartition("_")
        symbol = next((code for sign, code in _SYMBOLS.items() if sign in heading), None)
        code = symbol or (end.upper() if end.upper() in _CODES else None)
        base = plain[index] if symbol else word.removesuffix("_in")
        if code and base in _HEADINGS["cost"] and (not found or index in found):
            raise _foreign(path, 1, code)


def _foreign(path: Path, number: int, currency: str) -> UsageError:
    return UsageError(
        f"expected an invoice in US dollars, as the ledger is kept; line {number} of {path} is in"
        f" {printable(currency, 20)}. Give a file in which the cost is converted"
    )


def _lines(
    path: Path, number: int, headings: Sequence[str], cells: Sequence[str], columns: Mapping[str, Sequence[int]]
) -> Iterator[Line]:
    # A line stands for as many calls as its column of counts says.
    if len(cells) != len(headings):
        raise UsageError(
            f"line {number} of {path} has {len(cells)} cells, and the first line {len(headings)}: export it again"
        )
    cell = {role: cells[found[0]] for role, found in columns.items() if found}
    # A sum among the calls would be counted on top of them.
    if any(re.match(r"(sub|grand )?total\b", text, re.IGNORECASE) for text in cells):
        raise UsageError(f"line {number} of {path} is a sum and no call; remove it")
    # An amount in another currency would be booked as dollars.
    if cell.get("currency", "").upper() not in ("", "USD", "US$", "$"):
        raise _foreign(path, number, cell["currency"])
    cost = _amount(path, number, cell["cost"])
    ids = tuple(filter(None, (cells[index] for role in ("id", "key") for index in columns[role])))
    span = _span(path, number, cell["time"]) if cell.get("time") else None
    if not ids and span is None and (columns["id"] or columns["time"]):
        raise UsageError(f"line {number} of {path} has neither id nor time, so it is no call; remove it")
    count = cell.get("count", "1")
    whole = re.fullmatch(r"(\d{1,6})(\.0+)?", count)
    # A credit without an id cannot be set against its charge.
    if whole is None or (cost < 0 and not ids):
        what, said = ("a whole number of calls", count) if whole is None else ("a call and no credit", str(cost))
        raise UsageError(f"expected {what}; line {number} of {path} has {said!r}. Remove it, or name other columns")
    calls = int(whole[1])
    nanousd = to_nano(abs(cost)) * (-1 if cost < 0 else 1)
    for call in range(calls):
        # The first calls get the remainder, one nano-dollar each, so that the parts add up to the line.
        yield Line(number, ids, nanousd // calls + (call < nanousd % calls), span)


def _amount(path: Path, number: int, text: str) -> Decimal:
    plain = re.sub(r"^(-?)\s*(US\$|USD|\$)\s*|\s*USD$", r"\1", text)
    for sign, code in (*_SYMBOLS.items(), *zip(_CODES, _CODES, strict=True)):
        if sign in plain.upper():
            raise _foreign(path, number, code)
    try:
        amount = Decimal(plain)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or abs(amount) > 10**9:
        raise UsageError(
            f"expected an amount of US dollars such as 1234.50; line {number} of {path} has {printable(text, 40)!r}"
        )
    return amount


def _span(path: Path, number: int, text: str) -> tuple[float, float]:
    # A date stands for its first and last second in UTC.
    try:
        if re.fullmatch(r"\d{9,13}(\.\d+)?", text):
            # Thirteen digits are milliseconds: as seconds they would mean tens of thousands of years.
            seconds = float(text) / (1000 if float(text) > _MILLISECONDS_FROM else 1)
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return day(text), day(text) + _DAY_S
        else:
            moment = datetime.fromisoformat(re.sub(r"\s+UTC$", "+00:00", text))
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        seconds = 0.0
    # Numbers that are no times, such as counts, would fall into the first years after 1970.
    if seconds < _EARLIEST:
        raise UsageError(
            "expected times such as 2026-11-30, 2026-11-30 10:15:00 (UTC) or 2026-11-30T10:15:00+01:00;"
            f" line {number} of {path} has {printable(text, 40)!r}"
        )
    return seconds, seconds


def _netted(path: Path, lines: Sequence[Line]) -> Iterator[Line]:
    # A charge and its credit under the same ids become one line.
    charged: dict[tuple[str, ...], Line] = {}
    for line in lines:
        if not line.ids:
            yield line
            continue
        first = charged.get(line.ids, line)
        cost = line.cost_nanousd + (0 if first is line else first.cost_nanousd)
        charged[line.ids] = Line(first.number, line.ids, cost, first.span)
    for line in charged.values():
        if line.cost_nanousd < 0:
            raise UsageError(f"line {line.number} of {path} and those with the same id add up to less than nothing")
        yield line


def day(text: str) -> float:
    """Return the first second of a date (UTC) since 1970; raises `ValueError`."""
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp()


WINDOW_S = 1800.0  # Seconds at most between an invoice's time and the submission: a vendor may date a job by its end.

Period = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Match:
    """A call in the ledger, its line of the invoice (None: no line), and the kind of match."""

    attempt: Attempt
    line: Line | None
    by: str = ""

    @property
    def invoiced_nanousd(self) -> int:
        """Return the vendor's charge for the call."""
        return 0 if self.line is None else self.line.cost_nanousd

    @property
    def agrees(self) -> bool:
        """Tell whether ledger and invoice have the same cost."""
        return self.attempt.state != "ambiguous" and self.invoiced_nanousd == self.attempt.cost_nanousd


@dataclass(frozen=True, slots=True)
class InvoiceComparison:
    """An invoice beside a ledger."""

    calls: tuple[Match, ...]  # Each call that was or may have been billed, or that the invoice names.
    unknown: tuple[Line, ...]  # Lines of the invoice without a call in the ledger.
    elsewhere: tuple[Attempt, ...]  # Calls outside the invoice's period, which are not compared.

    @property
    def to_settle(self) -> list[Match]:
        """Return the calls that are booked because they may have been billed."""
        return [match for match in self.calls if match.attempt.state == "ambiguous"]


def compare(attempts: Sequence[Attempt], invoice: Invoice, period: Period) -> InvoiceComparison:
    """Match the calls of one vendor with the lines of its invoice.

    Matches go by request id or idempotency key; then by time, within half an hour and then a day; lines without a time
    go by count. Equal costs come first. Answered calls, which were certainly billed, come before calls that may have
    been billed: such a call counts as not billed only if no line can be its own.

    `attempts`: All submissions to this vendor.
    `period`: First and last second that the invoice covers; None: all times.
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
        # If the invoice lists ids of a call's kind, but not this call's, the call was not billed.
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
    # A vendor may name a call by any of its ids.
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
    # With `window_s` None, only lines without a time are paired.
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
    # This gives the most pairs: calls, in order of time, take the line whose time ends first.
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
        # A line that has ended fits no later call.
        while begun and begun[0][0] < at:
            heapq.heappop(begun)
        if begun:
            # The line that ends first: the remaining lines fit whatever this one could fit.
            yield call, lines[heapq.heappop(begun)[1]]
