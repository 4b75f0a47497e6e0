"""The rows to show, from the shares that ship with the package or from the curves of a pilot."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.plan.frontier_rows import FrontierRow, Prospects, Wish, candidates, frontier
from blackbox_conformal.study.plan.measured import measured_shares
from blackbox_conformal.study.plan.prospects import CurveOutlook, Prospect
from blackbox_conformal.study.plan.ways import Curves, Promise, further, promises, promises_detail
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.blocks import Block, Figure, How, Note, Table
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.plots import Dots
from blackbox_conformal.support.text import counted, dollars, money
from blackbox_conformal.support.wording import expected

FEWEST = 5
"""Photographs of which a pilot can say anything."""

UNMEASURED = "nothing was measured with this score, metric, scale, degradation or guarantee"

NOT_FORETOLD = "what this guarantee trusts is not foretold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """Some of the user's own photographs, drawn to be looked at; they never calibrate.

    Attributes
    ----------
    photographs
        How many there are.
    calls, cached, cost_usd
        Calls to the vendor, draws that were stored before, and what the calls cost.
    stand_in
        The vendor that drew them where it is not the one that is planned for.
    """

    photographs: int
    calls: int
    cached: int
    cost_usd: Decimal
    stand_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Rows of promise, level, number and price.

    Attributes
    ----------
    rows
        Those that no other one beats, few of each promise; none where nothing keeps what is wanted.
    source
        Where the expected shares come from, or why there are none, in words.
    pilot
        What they were measured on; None: on the vendors and photographs of `source`.
    less
        How to want less, in words.
    """

    rows: tuple[FrontierRow, ...]
    source: str
    pilot: Pilot | None = None
    less: str = ""

    def blocks(self, number: int) -> Iterator[Block]:
        """The rows, and what they rest on; there are `number` photographs, and a row says how many it lacks."""
        data = {"frontier": [row.json() for row in self.rows], "frontier_source": self.source}
        if not self.rows:
            yield Note(f"Expected trusted shares: {self._none}", data)
        else:
            rows = [row.json() for row in self.rows]
            yield Table("frontier", _columns(number), rows, data, title="Expected trusted shares")
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

    @property
    def _none(self) -> str:
        """Why there is no row, and what to do."""
        if self.source == NOT_FORETOLD:
            return f"{self.source}. Leave --guarantee out to see those that are"
        if self.source == UNMEASURED:
            return f"{self.source}. Add --pilot 20 to measure on your own photographs, which costs their draws"
        return f"nothing keeps what is wanted, by {self.source}. To go on, {self.less}"

    def _notes(self, number: int) -> list[str]:
        """How to ask for each promise, and where the shares come from."""
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


MARK = "*"
"""Beside the number of draws where the delivered picture is made consistent with its input."""


def _columns(number: int) -> dict[str, How]:
    return {
        "promise": "{promise}",
        "alpha": "{alpha:g}",
        "n": lambda row: f"{row['n']} +{row['n'] - number}" if row["n"] > number else str(row["n"]),
        "draws": lambda row: f"{row['draws']}{'' if row['delivery'] == 'first' else MARK}",
        "calls": "{calls}",
        "price": lambda row: "unknown" if row["cost_usd"] is None else money(*map(_short, row["cost_usd"])),
        "trusted share": lambda row: expected(row["expected_share"], row["error"]),
    }


def _short(usd: Decimal) -> Decimal:
    """Cents are enough for a table, where there are any."""
    return usd.quantize(Decimal("0.01")) if usd >= Decimal("0.01") else usd.normalize()


def measured_frontier(
    ways: Sequence[Setup],
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
    guarantee: str | Guarantee | None,
) -> Frontier:
    """The rows for `number` photographs and others, by the shares that ship with the package."""
    compared, more = piloted_promises(ways[0], guarantee, wish)
    fitting = [one for one in compared if any(map(measured_shares(of_detail=one.of_detail).fits, ways))]
    if not fitting:
        return Frontier(rows=(), source=UNMEASURED if compared or more else NOT_FORETOLD)

    def prospects(promise: Promise, way: Setup, levels: Sequence[float], n: int) -> Sequence[Prospect | None]:
        return measured_shares(of_detail=promise.of_detail).prospects(promise, way, levels, n)

    rows = _rows(fitting, ways, prospects, wish, usd_a_draw, number)
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
    """The rows for `number` photographs and others, by the curves of a pilot; `curves`: those of each of `ways`."""
    outlooks: dict[tuple[Promise, int], CurveOutlook] = {}
    mixed = len(set(map(promises_detail, ways))) > 1
    compared, more = piloted_promises(ways[0], guarantee, wish)

    def prospects(promise: Promise, way: Setup, levels: Sequence[float], n: int) -> Sequence[Prospect | None]:
        # A score of detail is measured for errors only where it was chosen for them, and no other one for detail.
        if promise.of_detail != promises_detail(way) and (promise.of_detail or mixed):
            return [None] * len(levels)
        key = promise, next(place for place, one in enumerate(ways) if one is way)
        if key not in outlooks:
            outlooks[key] = CurveOutlook.of(*_measured(promise, more, curves[key[1]]))
        found = outlooks[key].prospects(promise.rule, levels, n)
        if pilot.stand_in is None:
            return found
        # Independent of each other: how little the photographs tell, and how far vendors are apart. That was measured
        # with one score for each number of draws, and counts for others.
        measured = measured_shares(of_detail=promise.of_detail)
        apart = measured.vendor_errors(promise, measured.as_measured(way), levels, n)
        return [
            None if further is None else replace(one, error=math.hypot(one.error, further))
            for one, further in zip(found, apart, strict=True)
        ]

    rows = _rows([*compared, *more], ways, prospects, wish, usd_a_draw, number)
    drawn_by = "" if pilot.stand_in is None else f", drawn by the vendor {pilot.stand_in} in place of yours"
    source = f"{pilot.photographs} of your photographs{drawn_by}"
    return Frontier(rows=rows, source=source, pilot=pilot, less=wish.less)


def _measured(promise: Promise, more: Sequence[Promise], found: Curves) -> tuple[CurveSet, CurveSet, CurveSet | None]:
    """The curves that a promise is about, those of the largest error, and bounds of single pictures' own losses."""
    if promise not in more:
        return promise.curves(found), found[0], None
    curves, own = found[len(found) - 2 * (len(more) - more.index(promise)) :][:2]
    return curves, found[0], None if promise.rule.bound_source == "metric" else own


def piloted_promises(
    setup: Setup, guarantee: str | Guarantee | None, wish: Wish
) -> tuple[tuple[Promise, ...], tuple[Promise, ...]]:
    """What is compared: where a level is given and no guarantee, the usual one, whose level it is.

    Returns
    -------
    Those of `promises`, and further ones.
    """
    detail = promises_detail(setup)
    if guarantee is None and detail and wish.alpha is not None:
        guarantee = DETAIL_GUARANTEE
    return promises(setup.metric, guarantee, detail=detail), further(setup, guarantee)


def _rows(
    promised: Sequence[Promise],
    ways: Sequence[Setup],
    prospects: Prospects,
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
) -> tuple[FrontierRow, ...]:
    return tuple(frontier(candidates(promised, ways, prospects, usd_a_draw, wish, number), wish, number))
