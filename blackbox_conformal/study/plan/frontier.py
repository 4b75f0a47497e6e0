"""Choose the rows to show, from the shares that ship with the package or from the curves of a pilot."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.study.plan.expected_shares import CurveOutlook, Prospect, measured_shares
from blackbox_conformal.study.plan.promises import Curves, Promise, further, promises, promises_detail
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE, ERROR_GUARANTEE
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.blocks import Block, Figure, How, Note, Table
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.plots import Dot, Dots
from blackbox_conformal.support.text import counted, dollars, money
from blackbox_conformal.support.wording import expected

# A row: promise, level, number and price, with the share to expect.

LEVELS = (0.5, 1, 2)  # Levels to compare where neither level nor share is wanted, as multiples of the usual level.

FINE_LEVELS = (*(step / 10 for step in range(2, 31)), *(step / 2 for step in range(7, 21)))
"""Levels among which the smallest that gives a wanted share is searched, as multiples of the usual level."""

NUMBERS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 300)  # Numbers of photographs to compare.
GAIN = 0.05  # A dearer row must trust this much more than the one before.
LOWER = 0.7  # A dearer row that reaches the wanted share must have a level this many times lower than the one before.

LITTLE = 0.01
"""Rows within this of the best share count as equal, so the cheapest is shown; a row that trusts less is hidden."""

Prospects = Callable[[Promise, Setup, Sequence[float], int], Sequence[Prospect | None]]
"""From promise, set-up, levels and number of photographs to the share to expect at each level; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Conditions on the rows: a level, a least trusted share, a highest price; None: any."""

    alpha: float | None = None
    share: float | None = None
    usd: Decimal | None = None
    usual: float = 0.1  # The metric's usual level; promises without their own usual level are compared around it.
    guarantee: str = ERROR_GUARANTEE  # The guarantee that `calibrate` gives by default.

    @property
    def less(self) -> str:
        """Say how to want less."""
        ways = {"raise --alpha": self.alpha, "want a smaller share": self.share, "raise --max-cost": self.usd}
        named = [way for way, wanted in ways.items() if wanted is not None]
        return " or ".join(named) or "add photographs"

    @property
    def of_detail(self) -> bool:
        return self.guarantee == DETAIL_GUARANTEE

    def levels(self, promise: Promise) -> tuple[float, ...]:
        """Return the levels to compare a promise at, ascending."""
        if self.alpha is not None:
            return (self.alpha,)
        usual = promise.usual_level or self.usual
        around = levels_around(usual, LEVELS if self.share is None else FINE_LEVELS)
        return tuple(level for level in around if not promise.of_detail or level < 1)


def levels_around(usual: float, parts: Sequence[float] = FINE_LEVELS) -> tuple[float, ...]:
    """Return multiples of the usual level, as short decimals."""
    return tuple(float(f"{usual * part:.6g}") for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierRow:
    """One way to calibrate, and the share that it is expected to trust.

    `n`, `calls`: Calibration photographs, and the calls to the vendor for all of them.
    `usual`: The default guarantee, which need not be named.
    `usd`: Lowest and highest price of these calls; None: not known.
    """

    promise: Promise
    alpha: float
    n: int
    way: Setup
    usd: tuple[Decimal, Decimal] | None
    prospect: Prospect
    usual: str = ERROR_GUARANTEE

    @property
    def draws(self) -> int:
        return self.way.procedure.draws

    @property
    def calls(self) -> int:
        return self.n * self.draws

    @property
    def cost(self) -> Decimal:
        """Return the highest price; the number of calls where the price is 0 or not known."""
        return self.usd[1] if self.usd is not None and self.usd[1] else Decimal(self.calls)

    @property
    def weighed(self) -> tuple[float, Decimal, float]:
        """Return (level, cost, share that is not trusted): less is better."""
        return self.alpha, self.cost, -round(self.prospect.share, 3)

    def beats(self, other: "FrontierRow") -> bool:
        """Tell whether it makes the same promise, but is better at level, cost or share and worse at none."""
        if self.promise != other.promise or self.weighed == other.weighed:
            return False
        (level, cost, untrusted), (its_level, its_cost, its_untrusted) = self.weighed, other.weighed
        return level <= its_level and cost <= its_cost and untrusted <= its_untrusted

    @property
    def dot(self) -> Dot:
        """Return the share to expect, as a dot in a plot."""
        share, error = self.prospect.share, self.prospect.error
        interval = 100 * max(0.0, share - error), 100 * min(1.0, share + error)
        label = f"{self.promise.name}, alpha {self.alpha:g}, {self.n} photographs, {counted(self.draws, 'draw')}"
        return Dot(label, f"{share:.0%}", 100 * share, "promised", interval)

    @property
    def options(self) -> dict[str, str]:
        """Return the options that ask for the row's promise, beside its level."""
        options = {} if self.promise.guarantee == self.usual else {"guarantee": self.promise.guarantee}
        if self.promise.cap != self.way.metric.cap:
            options["metric"] = specification_text(self.way.metric.model_copy(update={"cap": self.promise.cap}))
        return options

    def json(self) -> dict[str, Any]:
        procedure = self.way.procedure
        return {
            "promise": self.promise.name,
            "guarantee": self.promise.guarantee,
            "cap": self.promise.cap,
            "alpha": self.alpha,
            "n": self.n,
            "draws": self.draws,
            "delivery": procedure.delivery,
            "score": procedure.score["name"],
            "calls": self.calls,
            "cost_usd": self.usd,
            "expected_share": round(self.prospect.share, 4),
            "error": round(self.prospect.error, 4),
        }


def candidates(
    promises: Sequence[Promise],
    ways: Sequence[Setup],
    prospects: Prospects,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    wish: Wish,
    number: int,
) -> Iterator[FrontierRow]:
    """Give every row that keeps the wish, of `NUMBERS`, of `number` photographs, and of as many as the money buys.

    Where a share is wanted and no level, the smallest level at which it is expected stands for all.
    """
    for promise, way in itertools.product(promises, ways):
        levels = wish.levels(promise)
        draws = way.procedure.draws
        price = None if usd_a_draw is None else (usd_a_draw[0] * draws, usd_a_draw[1] * draws)
        numbers = {*NUMBERS, number}
        if wish.usd is not None and price is not None and price[1]:
            affordable = int(wish.usd / price[1])
            numbers = {n for n in (*numbers, affordable) if 0 < n <= affordable}
        for n in sorted(numbers):
            usd = None if price is None else (price[0] * n, price[1] * n)
            for alpha, prospect in zip(levels, prospects(promise, way, levels, n), strict=True):
                if prospect is None or prospect.share < max(wish.share or 0, LITTLE):
                    continue
                if n < promise.fewest(alpha, way.metric):
                    # Shares are interpolated over n, and below this number nothing can be trusted.
                    continue
                row = FrontierRow(promise=promise, alpha=alpha, n=n, way=way, usd=usd, prospect=prospect)
                yield replace(row, usual=wish.guarantee)
                if wish.share is not None:
                    break


def frontier(rows: Iterable[FrontierRow], wish: Wish, number: int) -> list[FrontierRow]:
    """Return, of the rows that no other one beats, a few of each promise that tell most.

    The first promise also has a row of `number` photographs, all at hand, at each level that they reach.
    """
    found: dict[tuple[Promise, tuple[float, Decimal, float]], FrontierRow] = {}
    for row in rows:
        found.setdefault((row.promise, row.weighed), row)
    unbeaten = [row for row in found.values() if not any(other.beats(row) for other in found.values())]
    shown: list[FrontierRow] = []
    for promise in dict.fromkeys(row.promise for row in unbeaten):
        of_promise = sorted((row for row in unbeaten if row.promise == promise), key=lambda row: row.cost)
        if wish.share is not None:
            lower = _spaced(of_promise, lambda row, last: row.alpha <= LOWER * last.alpha)
            shown += lower if wish.alpha is None else of_promise[:1]
            continue
        for alpha in sorted({row.alpha for row in of_promise}):
            at_level = [row for row in of_promise if row.alpha == alpha]
            before = len(shown)
            if wish.alpha is None or wish.usd is not None:
                most = max(row.prospect.share for row in at_level)
                shown.append(next(row for row in at_level if row.prospect.share >= most - LITTLE))
            else:
                shown += _spaced(at_level, lambda row, last: row.prospect.share >= last.prospect.share + GAIN)
            at_hand = next((row for row in at_level if row.n == number), None)
            if promise == unbeaten[0].promise and at_hand is not None and at_hand not in shown[before:]:
                shown[before:] = sorted([at_hand, *shown[before:]], key=lambda row: row.n)
    return shown


def _spaced(rows: Sequence[FrontierRow], is_apart: Callable[[FrontierRow, FrontierRow], bool]) -> list[FrontierRow]:
    """Keep the first row, and each that `is_apart` from the one kept before it."""
    kept = [rows[0]]
    for row in rows[1:]:
        if is_apart(row, kept[-1]):
            kept.append(row)
    return kept


FEWEST = 5  # Photographs that a pilot needs at least.
UNMEASURED = "nothing was measured with this score, metric, scale, degradation or guarantee"

NOT_FORETOLD = "what this guarantee trusts is not foretold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """The user's photographs that were drawn to plan with; they never calibrate."""

    photographs: int
    # Calls made, draws that were stored before, and the price of the calls.
    calls: int
    cached: int
    cost_usd: Decimal
    stand_in: str | None = None  # The vendor that drew them in place of the planned one; None: the planned one did.


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Rows of promise, level, number and price."""

    rows: tuple[FrontierRow, ...]  # The best rows, few of each promise; empty where nothing fulfils the wish.
    source: str  # Where the expected shares come from, or why there are none, in words.
    pilot: Pilot | None = None  # What they were measured on; None: on the vendors and photographs of `source`.
    less: str = ""  # How to want less, in words.

    def blocks(self, number: int) -> Iterator[Block]:
        """Show the rows and their source, for a user who has `number` photographs."""
        data = {"frontier": [row.json() for row in self.rows], "frontier_source": self.source}
        if not self.rows:
            why = f"nothing keeps what is wanted, by {self.source}. To go on, {self.less}"
            if self.source == NOT_FORETOLD:
                why = f"{self.source}. Leave --guarantee out to see those that are"
            if self.source == UNMEASURED:
                why = f"{self.source}. Add --pilot 20 to measure on your own photographs, which costs their draws"
            yield Note(f"Expected trusted shares: {why}", data)
        else:
            columns: dict[str, How] = {
                "promise": "{promise}",
                "alpha": "{alpha:g}",
                "n": lambda row: f"{row['n']} +{row['n'] - number}" if row["n"] > number else str(row["n"]),
                "draws": lambda row: f"{row['draws']}{'' if row['delivery'] == 'first' else MARK}",
                "calls": "{calls}",
                "price": lambda row: "unknown" if row["cost_usd"] is None else money(*map(_short, row["cost_usd"])),
                "trusted share": lambda row: expected(row["expected_share"], row["error"]),
            }
            rows = [row.json() for row in self.rows]
            yield Table("frontier", columns, rows, data, title="Expected trusted shares")
            yield Note("\n".join(self._notes(number)))
            dots = [row.dot for row in self.rows]
            yield Figure([Dots("Trusted share to expect", dots, scale=(0.0, 100.0), unit="%")])
        if self.pilot is not None:
            pilot = self.pilot
            yield Note(
                f"The pilot: {pilot.calls} calls made, {pilot.cached} draws were stored, {dollars(pilot.cost_usd)} "
                f"spent. Its {pilot.photographs} photographs do not calibrate, so choose promise, level and n as you "
                "like.",
                {"pilot": asdict(pilot)},
            )

    def _notes(self, number: int) -> list[str]:
        options = {
            row.promise.name: " ".join(f"--{name} {value}" for name, value in row.options.items()) or "the default"
            for row in self.rows
        }
        notes = [f"  {name}: {words}" for name, words in options.items()]
        if any(row.n > number for row in self.rows):
            notes.append(f"  +…: out of reach of these {counted(number, 'photograph')}; so many are missing")
        if any("consistent" in row.way.procedure.delivery for row in self.rows):
            notes.append(f"  {MARK} --delivery consistent")
        scores = {(row.draws, specification_text(row.way.score)) for row in self.rows}
        measured = "measured with " * (self.pilot is None)
        notes += [f"  {counted(draws, 'draw')}: {measured}--score {score}" for draws, score in sorted(scores)]
        if self.pilot is not None:
            covered = "In nine cases of ten the share of a calibration lies in the range."
            return [*notes, f"From {self.source}. {covered}"]
        covered = "The range spans these: of kinds and vendors left out, up to one share in four lay outside."
        free = f"--pilot {min(40, number // 2)} --stand-in"
        pilot = f"First add {free}: at no cost it measures some of your photographs."
        return [*([pilot] if number >= 2 * FEWEST else []), *notes, f"From {self.source}. {covered}"]


MARK = "*"  # Marks a number of draws whose delivery is consistent with its input.


def _short(usd: Decimal) -> Decimal:
    return usd.quantize(Decimal("0.01")) if usd >= Decimal("0.01") else usd.normalize()


def measured_frontier(
    ways: Sequence[Setup],
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
    guarantee: str | Guarantee | None,
) -> Frontier:
    """Find the rows for a user with `number` photographs, by the shares that ship with the package."""
    compared, more = piloted_promises(ways[0], guarantee, wish)
    fitting = [one for one in compared if any(map(measured_shares(of_detail=one.of_detail).fits, ways))]
    if not fitting:
        return Frontier(rows=(), source=UNMEASURED if compared or more else NOT_FORETOLD)

    def prospects(promise: Promise, way: Setup, levels: Sequence[float], n: int) -> Sequence[Prospect | None]:
        return measured_shares(of_detail=promise.of_detail).prospects(promise, way, levels, n)

    found = candidates(fitting, ways, prospects, usd_a_draw, wish, number)
    rows = tuple(frontier(found, wish, number))
    sources = dict.fromkeys(measured_shares(of_detail=row.promise.of_detail).source for row in rows)
    return Frontier(rows=rows, source="; ".join(sources) or measured_shares().source, less=wish.less)


def pilot_frontier(
    curves: Sequence[Curves],
    ways: Sequence[Setup],
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
    guarantee: str | Guarantee | None,
    pilot: Pilot,
) -> Frontier:
    """Find the rows for a user with `number` photographs, by the curves of a pilot for each of `ways`."""
    outlooks: dict[tuple[Promise, int], CurveOutlook] = {}
    mixed = len(set(map(promises_detail, ways))) > 1
    compared, more = piloted_promises(ways[0], guarantee, wish)

    def prospects(promise: Promise, way: Setup, levels: Sequence[float], n: int) -> Sequence[Prospect | None]:
        # A score of detail is measured for errors only where it was chosen for them, and no other one for detail.
        if promise.of_detail != promises_detail(way) and (promise.of_detail or mixed):
            return [None] * len(levels)
        key = promise, next(place for place, one in enumerate(ways) if one is way)
        if key not in outlooks:
            of_way, own = curves[key[1]], None
            if promise in more:
                of_promise, own = of_way[len(of_way) - 2 * (len(more) - more.index(promise)) :][:2]
            else:
                of_promise = promise.curves(of_way)
            known = None if promise.rule.bound_source == "metric" else own
            outlooks[key] = CurveOutlook.of(of_promise, of_way[0], known)
        found = outlooks[key].prospects(promise.rule, levels, n)
        if pilot.stand_in is None:
            return found
        # How little the photographs tell, and how far vendors are apart, are independent. The latter was measured
        # with one score for each number of draws, and counts for other scores, too.
        measured = measured_shares(of_detail=promise.of_detail)
        apart = measured.vendor_errors(promise, measured.as_measured(way), levels, n)
        return [
            None if further is None else replace(one, error=math.hypot(one.error, further))
            for one, further in zip(found, apart, strict=True)
        ]

    possible = candidates([*compared, *more], ways, prospects, usd_a_draw, wish, number)
    rows = tuple(frontier(possible, wish, number))
    drawn_by = "" if pilot.stand_in is None else f", drawn by the vendor {pilot.stand_in} in place of yours"
    source = f"{pilot.photographs} of your photographs{drawn_by}"
    return Frontier(rows=rows, source=source, pilot=pilot, less=wish.less)


def piloted_promises(
    setup: Setup, guarantee: str | Guarantee | None, wish: Wish
) -> tuple[tuple[Promise, ...], tuple[Promise, ...]]:
    """Return the promises to compare, and the promises that only a pilot can compare.

    A level without a guarantee means the usual guarantee.
    """
    detail = promises_detail(setup)
    if guarantee is None and detail and wish.alpha is not None:
        guarantee = DETAIL_GUARANTEE
    return promises(setup.metric, guarantee, detail=detail), further(setup, guarantee)
