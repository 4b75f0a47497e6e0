"""Tell whether inputs are like a calibration's inputs, before anything is paid.

`compare` ranks each statistic over all n + m inputs (mean ranks for equal values) and standardises its rank sum over
the new ones (Mann & Whitney 1947). It compares the largest rank sum in absolute value with the largest under random
permutations: (1 + permutations at least as large) / (1 + permutations) is exact whatever the ties and however
statistics depend on each other (Phipson & Smyth 2010). Each statistic is compared with the same largest ones, so the
probability of naming any that has not moved is at most the level (Westfall & Young 1993).

`place` asks the same about one input. It pools the input with the calibration's n and ranks squared Mahalanobis
distances from the mean of the pool: p = (1 + calibration inputs at least as far) / (n + 1) (Vovk, Gammerman & Shafer
2005; Bates, Candès, Lei, Romano & Sesia 2023 for outliers). Equal distances count as at least as far, which is
conservative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.permutation import random_orders
from blackbox_conformal.method.images.input_statistics import SIZE, STATISTICS, InputStatistics, Statistic
from blackbox_conformal.support.blocks import Block, Faces, Figure, How, Note, Table
from blackbox_conformal.support.plots import Chart, Point, Series

OUTLYING = 0.01  # At this p-value and below the calibration does not cover an input.

_BUT_SIZE = np.array([statistic.name != SIZE for statistic in STATISTICS])
"""Certificates have a note of their own on sizes."""

_ROUNDING = 1e-9  # Relative; distances that differ by less are equal, whatever the order of their sums.


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an input lies among the `n` inputs of a calibration; `p_value` is at least 1 / (n + 1).

    `statistic` contributes most to its distance; `value` is the input's, `least` to `largest` the calibration's.
    `beyond` says whether a statistic other than the size lies farther outside that range than the range is wide: worth
    a note even where the p-value cannot be small.
    """

    p_value: float
    n: int
    statistic: Statistic
    value: float
    least: float
    largest: float
    beyond: bool

    @property
    def sentence(self) -> str:
        """Say in which statistic the input differs most."""
        shown = self.statistic.shown
        return (
            f"this input's {self.statistic.name} is {shown(self.value)}, that of the calibration's {self.n} inputs "
            f"{shown(self.least)} to {shown(self.largest)}"
        )


def place(known: InputStatistics, new: InputStatistics) -> Placement | None:
    """Place `new`, one input, among `known` ones; None where nothing is known about either."""
    known, new = known.known, new.known
    if not len(known) or not len(new):
        return None
    rows = np.concatenate([known.values, new.values]).astype(np.float64)
    # The least difference that matters in each statistic.
    least = np.array([statistic.least for statistic in STATISTICS])
    differences = rows - rows.mean(axis=0)
    # That difference widens the spread, since a statistic that hardly varies would make any input an outlier.
    covariance = differences.T @ differences / len(rows) + np.diag(least**2)
    # Each statistic's share of the distance, so that the largest one can be named.
    shares = differences * np.linalg.solve(covariance, differences.T).T
    distances = shares.sum(axis=1)
    at_least = int(np.count_nonzero(distances[:-1] >= distances[-1] * (1 - _ROUNDING)))
    low, high = rows[:-1].min(axis=0), rows[:-1].max(axis=0)
    outside = np.maximum(low - rows[-1], rows[-1] - high)
    # Farther outside than the known values are apart: a p-value of n inputs cannot fall below 1 / (n + 1).
    beyond = (outside > high - low + least) & _BUT_SIZE
    column = int((np.where(beyond, outside / (high - low + least), 0) if beyond.any() else shares[-1]).argmax())
    return Placement(
        (1 + at_least) / len(rows),
        len(known),
        STATISTICS[column],
        float(rows[-1][column]),
        float(low[column]),
        float(high[column]),
        bool(beyond.any()),
    )


def check_level(level: float) -> float:
    """Return `level`, which must be at least 0 and below 1; 0 marks nothing."""
    if not 0 <= level < 1:
        raise UsageError(f"expected --outside (outside in Python) at least 0 and below 1, such as 0.01; got {level!r}")
    return level


LEVEL = 0.05
PERMUTATIONS = 9999
SEED = 0

_MOST_KEPT = 2**21  # How many numbers of the random orders are kept for the next comparison: 16 MB.


@dataclass(frozen=True, slots=True)
class Movement:
    """One statistic of the new inputs beside the calibration's.

    `known` and `new` are its values, ascending; `standardised` is the rank sum of the new ones, positive where they are
    larger; `p_value` is adjusted for all statistics.
    """

    statistic: Statistic
    known: tuple[float, ...]
    new: tuple[float, ...]
    standardised: float
    p_value: float

    @property
    def medians(self) -> tuple[float, float]:
        """Return the medians of the calibration's inputs and of the new ones."""
        return float(np.median(self.known)), float(np.median(self.new))

    @property
    def matters(self) -> bool:
        """Tell whether the medians differ by enough to be worth a word."""
        known, new = self.medians
        return abs(new - known) >= self.statistic.least

    @property
    def chart(self) -> Chart:
        """Plot the share of the inputs on each side with at most a value."""
        name = self.statistic.name
        low, high = min(self.known[0], self.new[0]), max(self.known[-1], self.new[-1])
        # Equal values alone would give an axis of no length.
        margin = 0.05 * (high - low) or self.statistic.least
        ends = (low - margin, high + margin)
        series = [
            Series("the calibration's inputs", "bound", _steps(self.known, ends), "step"),
            Series("your inputs", "realised", _steps(self.new, ends), "step"),
        ]
        label = f"{name}, base-2 logarithm of pixels" if name == SIZE else name
        return Chart(
            name.capitalize(), label, "inputs", series, x_range=ends, y_range=(0.0, 1.0), percent=True, slider=False
        )

    @property
    def sentence(self) -> str:
        """Say in which direction it moved."""
        known, new = self.medians
        kind = self.statistic.more if self.standardised > 0 else self.statistic.less
        shown = self.statistic.shown
        return f"your inputs are {kind}: {self.statistic.name} median {shown(new)} against {shown(known)}"


def _steps(values: Sequence[float], ends: Point) -> tuple[Point, ...]:
    inner = [(value, place / len(values)) for place, value in enumerate(values, 1)]
    last = [point for point, after in pairwise([*inner, (ends[1], 1.0)]) if point[0] != after[0]]
    return ((ends[0], 0.0), *last, (ends[1], 1.0))


@dataclass(frozen=True, slots=True, repr=False)
class InputShift(Faces):
    """A comparison of `m` inputs with the `n` of a calibration.

    `p_value` tests that both are of one kind, at `level`. `movements` begin with the statistic that moved most. `files`
    says why the format of the files alone leaves inputs without a guarantee; None: it does not.
    """

    n: int
    m: int
    p_value: float
    level: float
    movements: tuple[Movement, ...]
    seed: int = SEED
    permutations: int = PERMUTATIONS
    files: str | None = None

    @property
    def moved(self) -> tuple[Movement, ...]:
        """Return the statistics that differ at the level and by enough to matter."""
        return tuple(movement for movement in self.movements if movement.p_value <= self.level and movement.matters)

    @property
    def differ(self) -> bool:
        """Tell whether the new inputs are of another kind, in a way that matters."""
        return bool(self.moved)

    @property
    def size_factor(self) -> float | None:
        """Return how many times as many pixels the new inputs have, by medians; None where the size did not move."""
        for movement in self.moved:
            if movement.statistic.name == SIZE:
                known, new = movement.medians
                return float(2 ** (new - known))
        return None

    @property
    def more_than_size(self) -> bool:
        """Tell whether anything moved that a degradation can change."""
        return any(movement.statistic.name != SIZE for movement in self.moved)

    @property
    def too_few(self) -> bool:
        """Tell whether no difference could have been found, however large."""
        # The least p-value that these numbers allow, exactly and by random permutations.
        return max(1 / comb(self.n + self.m, self.m), 1 / (self.permutations + 1)) > self.level

    @property
    def verdict(self) -> str:
        """Say whether the inputs differ."""
        which = f"{self.m} inputs and the calibration's {self.n}"
        if self.differ:
            return f"the inputs differ from the calibration's, so its guarantee does not speak of them ({which})"
        if self.too_few:
            return f"nothing can be said at level {self.level:g}: too few inputs ({which}). Give more"
        # Many inputs make differences significant that are too small to matter.
        if self.p_value <= self.level:
            return f"the inputs differ from the calibration's, but by less than matters ({which})"
        return f"no difference was found at level {self.level:g} ({which}); a small one may be there all the same"

    def blocks(self, made_by: str = "", verdict: str | None = None) -> Iterator[Block]:
        """Yield the verdict, every statistic on both sides, and its distributions.

        `made_by` says how the known inputs were made; `verdict` replaces the verdict where these are no calibration's.
        """
        rows = [
            {
                "name": movement.statistic.name,
                "moved": movement in self.moved,
                "p_value": movement.p_value,
                "median": movement.medians[1],
                "calibration_median": movement.medians[0],
                "sentence": movement.sentence if movement in self.moved else None,
            }
            for movement in self.movements
        ]
        shown = {movement.statistic.name: movement.statistic.shown for movement in self.movements}
        known = "median of the calibration's" if verdict is None else "median of those made"
        columns: dict[str, How] = {
            "statistic": "{name}",
            known: lambda row: shown[row["name"]](row["calibration_median"]),
            "median of yours": lambda row: shown[row["name"]](row["median"]),
            "p, for all statistics": lambda row: f"{row['p_value']:.2g}" + (" *" if row["moved"] else ""),
        }
        beside = f"{self.m} inputs beside {self.n}" + (f" made by {made_by}" if made_by else "")
        yield Table("statistics", columns, rows, title=beside)
        for movement in self.moved:
            yield Note(f"* {movement.sentence}")
        yield Note(
            f"p = {self.p_value:.2g}: {verdict or self.verdict}",
            {
                "differ": self.differ,
                "verdict": self.verdict if verdict is None else verdict,
                "p_value": self.p_value,
                "level": self.level,
                "inputs": self.m,
                "calibration_inputs": self.n,
                "seed": self.seed,
                "permutations": self.permutations,
            },
        )
        yield Note(self.files or "", {"files": self.files}, remark="warning")
        yield Note(
            f"The p-value is from {self.permutations} random permutations with seed {self.seed}. Inputs of one kind "
            f"are called different with a probability of at most {self.level:g}.",
            detail=True,
        )
        yield Note(
            "Each line gives the share of inputs whose value is at most that on the axis. Statistics that moved most "
            "come first.",
            title="Both distributions",
            detail=True,
        )
        yield Figure(lambda: [movement.chart for movement in self.movements])

    def __repr__(self) -> str:
        moved = ", ".join(movement.statistic.name for movement in self.moved) or "nothing"
        return f"<InputShift of {self.m} inputs against {self.n}: p={self.p_value:.4g}, {moved} moved>"


def compare(
    known: InputStatistics,
    new: InputStatistics,
    *,
    level: float = LEVEL,
    seed: int = SEED,
    permutations: int = PERMUTATIONS,
) -> InputShift:
    """Compare `new` inputs with `known` ones.

    `level`: Probability of calling inputs of one kind different, between 0 and 1.
    `permutations`: How many random permutations; the least p-value is 1 / (permutations + 1).
    """
    if not 0 < level < 1:
        raise UsageError(f"expected a level between 0 and 1 such as {LEVEL:g}; got {level!r}")
    known, new = known.known, new.known
    n, m = len(known), len(new)
    if not n or not m:
        missing = "the calibration's" if not n else "new"
        raise UsageError(f"expected statistics of at least one of {missing} inputs; got none")
    standardised, p_values = joint_test(np.concatenate([known.values, new.values]), m, permutations, seed)
    found = []
    for column, statistic in enumerate(STATISTICS):
        before, after = (tuple(np.sort(side.values[:, column]).astype(float).tolist()) for side in (known, new))
        found.append(Movement(statistic, before, after, float(standardised[column]), float(p_values[column])))
    found.sort(key=lambda movement: -abs(movement.standardised))
    return InputShift(n, m, found[0].p_value, level, tuple(found), seed, permutations)


def joint_test(
    values: NDArray[np.floating[Any]], m: int, permutations: int = PERMUTATIONS, seed: int = SEED
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Test whether the last m of n + m rows are a random choice among all.

    `values`, (n + m, k), may hold NaN, which takes the mean rank of its column. Returns the standardised rank sums of
    the last m rows, (k,), positive where their values are larger, and p-values, (k,), adjusted for all columns.
    """
    n = len(values) - m
    ranks = centred_ranks(values).astype(np.float64)
    # Only the m new rows are summed, since the other sum follows. The sums are whole numbers, and so exact.
    few = len(values) * permutations <= _MOST_KEPT
    every = (_chosen_again if few else _chosen)(n, m, permutations, seed)
    sums = np.concatenate([chosen @ ranks for chosen in every])
    # The standard deviation of a rank sum when m of n + m are drawn without replacement.
    spread = np.sqrt((ranks**2).sum(axis=0) * n * m / ((n + m) * max(n + m - 1, 1)))
    # A column with one value has rank sums of 0: it must not divide by 0.
    spread[spread == 0] = 1.0
    standardised = ranks[n:].sum(axis=0) / spread
    largest = (np.abs(sums) / spread).max(axis=1)
    at_least = (largest[:, None] >= np.abs(standardised)).sum(axis=0)
    return standardised, (1 + at_least) / (1 + permutations)


def _chosen(n: int, m: int, permutations: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the m of n + m things that random orders put first: 1, the others 0, in blocks of (orders, n + m)."""
    for orders in random_orders(n + m, permutations, seed):
        chosen = np.zeros(orders.shape)
        np.put_along_axis(chosen, orders[:, :m], 1, axis=1)
        yield chosen


@lru_cache(2)
def _chosen_again(n: int, m: int, permutations: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    """Keep orders for a session, which compares as many inputs again and again."""
    return tuple(_chosen(n, m, permutations, seed))


def centred_ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return twice the mean rank of each value in its column, less the mean of all: whole numbers, 0 for NaN."""
    columns = []
    for column in values.T:
        known = column[~np.isnan(column)]
        ordered = np.sort(known)
        both = np.searchsorted(ordered, column, "left") + np.searchsorted(ordered, column, "right")
        # Twice the mean rank is a whole number with ties as well, so sums are exact.
        columns.append(np.where(np.isnan(column), 0, both - len(known)))
    return np.stack(columns, axis=1)
