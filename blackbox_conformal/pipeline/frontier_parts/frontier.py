"""The rows to show, from the shares that ship with the package or from the curves of a pilot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.pipeline.frontier_parts.measured import measured_shares
from blackbox_conformal.pipeline.frontier_parts.prospects import Outlook, Prospect
from blackbox_conformal.pipeline.frontier_parts.rows import Prospects, Row, Wish, candidates, frontier
from blackbox_conformal.pipeline.frontier_parts.ways import Promise, promises
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.risk.curve_set import CurveSet

Curves = tuple[CurveSet, CurveSet]
"""Those of the largest error, and of the largest error but for a share of the picture."""

UNMEASURED = "nothing was measured with this score, metric, scale, degradation or guarantee"


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
    """

    rows: tuple[Row, ...]
    source: str
    pilot: Pilot | None = None

    @property
    def measured(self) -> bool:
        """Whether anything is known of such a set-up."""
        return self.source != UNMEASURED


def measured_frontier(
    ways: Sequence[Setup],
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
    guarantee: str | Guarantee | None,
) -> Frontier:
    """The rows for `number` photographs and others, by the shares that ship with the package."""
    measured = measured_shares()
    if not any(map(measured.fits, ways)) or not promises(ways[0].metric, guarantee):
        return Frontier(rows=(), source=UNMEASURED)
    rows = _rows(ways[0].metric, ways, measured.prospects, wish, usd_a_draw, number, guarantee)
    return Frontier(rows=rows, source=measured.source)


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
    outlooks: dict[tuple[Promise, int], Outlook] = {}

    def prospects(promise: Promise, way: Setup, levels: Sequence[float], n: int) -> Sequence[Prospect | None]:
        key = promise, next(place for place, one in enumerate(ways) if one is way)
        if key not in outlooks:
            outlooks[key] = Outlook.of(promise.curves(*curves[key[1]]))
        found = outlooks[key].prospects(promise.rule, levels, n)
        if pilot.stand_in is None:
            return found
        # Independent of each other: how little the photographs tell, and how far vendors are apart.
        apart = measured_shares().vendor_errors(promise, way, levels, n)
        return [
            None if further is None else replace(one, error=math.hypot(one.error, further))
            for one, further in zip(found, apart, strict=True)
        ]

    rows = _rows(ways[0].metric, ways, prospects, wish, usd_a_draw, number, guarantee)
    drawn_by = "" if pilot.stand_in is None else f", drawn by the vendor {pilot.stand_in} in place of yours"
    return Frontier(rows=rows, source=f"{pilot.photographs} of your photographs{drawn_by}", pilot=pilot)


def _rows(
    metric: Metric,
    ways: Sequence[Setup],
    prospects: Prospects,
    wish: Wish,
    usd_a_draw: tuple[Decimal, Decimal] | None,
    number: int,
    guarantee: str | Guarantee | None,
) -> tuple[Row, ...]:
    promised = promises(metric, guarantee)
    return tuple(frontier(candidates(promised, ways, prospects, usd_a_draw, wish, number), wish, number))
