"""Which measures of a pair are larger than usual: beside honest answers of several vendors, and beside a vendor's own.

A difference is told where no pair of the table comes near. Where a vendor's own pairs are known, a measure of place,
such as a seam, must be larger than in them, too. Habits, such as a tint, are judged beside the vendor's own pairs
alone: each is brought to a common scale, the largest of a pair is its score (the maximum statistic of Westfall
and Young 1993), and a conformal p-value counts the pairs that score as high. The scale is made with the new pair among
them, so that the p-value holds for pairs that come as the others did, of any number.
"""

import base64
import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.facts.statistics import CONTEXT, HABITS, STATISTICS, FactMeasure, FactStatistic, kind_of
from blackbox_conformal.method.risk.rows import Rows

LEVEL = 0.01  # Of all facts of a pair together.
LEAST_PAIRS = 20  # Of one's own pairs fewer say nothing: the least p-value is 1 / (pairs + 1).
MARGIN = 1.2  # How many times what the table holds a difference must be: other vendors and photographs reach farther.
NOT_COMPARED = 0.0  # The strangeness of a pair that is not compared, such as a small one.
_MOST_SHAPE = 0.3  # Of tails: heavier ones would make every difference usual.
_LEAST_SCALE = 0.15  # Of what hardly matters: a finer scale would tell differences that nobody sees.
Sizes = Mapping[str, float]

_MEASURED = (*STATISTICS, *CONTEXT)

_OWN = np.array([kind_of(name) in HABITS for name in STATISTICS])


@dataclass(frozen=True)
class Levels:
    """What is usual."""

    about: str  # In words, what is compared with: ``2,600 answers of honest vendors``.
    pairs: int  # How many answers the table holds.
    # The largest sizes in the table by statistic, falling; the smallest of signed ones, rising.
    largest: Mapping[str, Sequence[float]]
    smallest: Mapping[str, Sequence[float]]
    # (pairs, statistics) float64, `transformed`: the vendor's own pairs; None where they are not known.
    own: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, pairs: Iterable[Sizes], about: str) -> "Levels":
        """Return the shipped levels with pairs of one vendor that were measured; at least `LEAST_PAIRS`."""
        rows = [[one.get(name, 0.0) for name in _MEASURED] for one in pairs]
        if len(rows) < LEAST_PAIRS:
            raise UsageError(f"expected at least {LEAST_PAIRS} pairs to compare with; got {len(rows)}. Give more")
        table = shipped()
        return cls(about, table.pairs, table.largest, table.smallest, transformed(np.array(rows, np.float32)))

    @property
    def own_pairs(self) -> int:
        """Return how many of the vendor's own pairs are known."""
        return 0 if self.own is None else len(self.own)

    def judged(self, measures: Sequence[FactMeasure], level: float = LEVEL) -> "Judged":
        """Return the p-value of each measure, all together, and of the pair."""
        sizes = {one.name: one.size for one in measures}
        # As kept pairs are stored, so that equal sizes stay equal.
        new = transformed(PairSizes.of(sizes).values)
        p_values = self._beside_table(sizes)
        if self.own is None:
            reached = max(level, _tests(p_values) / (self.pairs + 1))
            return Judged(self.about, reached, p_values, _told(p_values, reached))
        count = len(self.own)
        scores = tail_scores(np.vstack([self.own, new]))
        usual = np.sort(scores[:-1][:, _OWN].max(1))
        above = count - np.searchsorted(usual, scores[-1], "left")
        # Beyond all pairs the common scale's tail is exponential; other kinds of photographs make it longer.
        tail = np.exp(-np.maximum(scores[-1] / MARGIN - usual[-1], 0))
        habits = 2 * np.where(above > 0, 1 + above, tail) / (count + 1)
        beyond = scores[-1] > scores[:-1].max(0)
        for index, name in enumerate(STATISTICS):
            p_values[name] = float(min(1, habits[index])) if _OWN[index] else p_values[name] if beyond[index] else 1.0
        # The exponential tail is an assumption; without it, a pair beyond all of few others is told once in so many.
        proved = max(level, level / 2 + 1 / (count + 1))
        return Judged(self.about, proved, p_values, _told(p_values, level))

    def _beside_table(self, sizes: Sizes) -> dict[str, float]:
        """Return p-values beside the table, multiplied by the number of tests (Bonferroni): of habits or all."""
        found = {}
        for name, one in STATISTICS.items():
            size = _even(sizes.get(name, 0.0), one) / MARGIN
            above = bisect_right(self.largest[name], -size, key=lambda other: -_even(other, one))
            if one.signed:
                above = min(above, bisect_right(self.smallest[name], size, key=lambda other: _even(other, one)))
            found[name] = (1 + above) / (self.pairs + 1)
        tests = _tests(found) if self.own is None else 2 * _tests(name for name in found if kind_of(name) not in HABITS)
        return {name: min(1.0, tests * p_value) for name, p_value in found.items()}


def _tests(names: Iterable[str]) -> int:
    return sum(1 + STATISTICS[name].signed for name in names)


def _told(p_values: Mapping[str, float], level: float) -> tuple[str, ...]:
    return tuple(sorted((name for name in STATISTICS if p_values[name] <= level), key=lambda name: p_values[name]))


@dataclass(frozen=True)
class Judged:
    """The measures of a pair beside what is usual; `told` are those that are not.

    A pair that came as the others did has any with probability `level` at most.
    """

    about: str
    level: float
    p_values: Mapping[str, float]
    told: tuple[str, ...]


class PairSizes(Rows):
    """Sizes of the measures of n pairs: `values`, (n, statistics and context) float32; a pair without is all NaN."""

    row: ClassVar[tuple[int, ...]] = (len(_MEASURED),)

    @classmethod
    def of(cls, sizes: Sizes) -> Self:
        """Return one pair; what is not measured of it, such as detail where nothing is enlarged, is 0."""
        return cls(np.array([[sizes.get(name, 0.0) for name in _MEASURED]], np.float32))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Return sizes in units of what honest answers reach, (n, statistics) at least 0, NaN where unknown.

        They depend on the pair alone, unlike `tail_scores` beside other pairs, so that those of any time compare.
        """
        sizes, _ = np.split(transformed(self.values), [len(STATISTICS)], axis=1)
        signed, reach = np.array([(one.signed, _even(one.reach, one)) for one in STATISTICS.values()], np.float64).T
        return np.asarray(np.where(signed == 1, np.abs(sizes), np.maximum(sizes, 0)) / reach)

    @property
    def strangeness(self) -> NDArray[np.float64]:
        """Return how far all differences of each pair reach together, (n,), NaN where unknown."""
        # A sum, since the largest alone would hide all else behind a vendor's strongest habit.
        return np.asarray(np.round(np.sqrt(np.square(self.shares).sum(axis=1)), 4))

    @property
    def named(self) -> list[dict[str, float]]:
        """Return the sizes of each pair by name."""
        return [dict(zip(_MEASURED, row, strict=True)) for row in self.values.astype(float).tolist()]

    @property
    def columns(self) -> dict[str, str]:
        """Write the sizes by name: little-endian float32 of all pairs, in base64."""
        stored = self.values.astype(self.stored)
        return {name: base64.b64encode(stored[:, at].tobytes()).decode() for at, name in enumerate(_MEASURED)}

    @classmethod
    def from_columns(cls, columns: Mapping[str, str]) -> Self:
        """Read what `columns` wrote."""
        if columns.keys() != set(_MEASURED):
            raise ValueError("expected the sizes of these measures by name; got others")
        read = [np.frombuffer(base64.b64decode(columns[name], validate=True), cls.stored) for name in _MEASURED]
        values = np.stack(read, axis=1).astype(np.float32)
        known = ~np.isnan(values)
        if np.any(known.any(1) != known.all(1)) or np.isinf(values).any():
            raise ValueError("expected finite sizes of pairs; got others")
        return cls(values)


@cache
def shipped() -> Levels:
    """Return the levels that the package ships: of honest answers of several vendors; see docs/checking.md."""
    kept = json.loads(resources.files(__package__).joinpath("levels.json").read_text(encoding="utf-8"))
    if list(kept["largest"]) != list(STATISTICS):
        raise FileFormatError(
            "expected levels of these statistics; make them again: python examples/measure_facts.py levels --save"
        )
    about = f"{kept['pairs']:,} answers of honest vendors"
    return Levels(about, kept["pairs"], kept["largest"], kept["smallest"])


def _even(size: float, one: FactStatistic) -> float:
    """Return a size in units of what hardly matters, a ratio as its logarithm."""
    return math.log1p(max(size, 0.0) / one.least) if one.ratio else size / one.least


def transformed(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (pairs, statistics and context) sizes in units of what hardly matters, ratios as logarithms."""
    even = [[_even(size, one) for size, one in zip(row, STATISTICS.values(), strict=False)] for row in rows.tolist()]
    return np.hstack([np.array(even).reshape(len(rows), len(STATISTICS)), rows[:, len(STATISTICS) :]])


def tail_scores(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each measure of each pair lies from what the others lead one to expect, in units of its tail."""
    signed = np.array([one.signed for one in STATISTICS.values()])
    sizes, context = np.split(rows, [len(STATISTICS)], axis=1)
    # What depends on the picture is no strangeness: a vendor that darkens blue darkens blue pictures more.
    apart = sizes - _expected(sizes, context)
    apart = np.where(signed, np.abs(apart), apart)
    usual = np.quantile(apart, 0.8, axis=0)
    # The fifth above follows about a generalised Pareto distribution, whose moments tell scale and shape (Hosking and
    # Wallis 1987). Its survival function makes the tails of all measures alike.
    # Each pair is held against the others, so that a large difference does not hide itself.
    above = np.maximum(apart - usual, 0)
    squares = np.square(above)
    count = np.maximum((above > 0).sum(0) - (above > 0), 1)
    mean = (above.sum(0) - above) / count
    variance = np.maximum((squares.sum(0) - squares) / count - mean**2, 1e-12)
    shape = np.clip((1 - mean**2 / variance) / 2, 1e-3, _MOST_SHAPE)
    scale = np.maximum(mean * (1 - shape), _LEAST_SCALE)
    return np.asarray(np.where(apart > usual, np.log1p(shape * above / scale) / shape, np.minimum(apart - usual, 0)))


def _expected(sizes: NDArray[np.float64], context: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a robust linear fit on the context says of each size."""
    design = np.column_stack([np.ones(len(context)), context - np.median(context, 0)])
    ridge = np.diag([1e-9] + [0.05 * len(context)] * context.shape[1])
    expected = np.broadcast_to(np.median(sizes, 0), sizes.shape)
    for _ in range(3):
        apart = sizes - expected
        typical = np.maximum(1.5 * np.median(np.abs(apart), 0), 0.2)
        held = expected + np.clip(apart, -2 * typical, 2 * typical)
        expected = design @ np.linalg.solve(design.T @ design + ridge, design.T @ held)
    return expected
