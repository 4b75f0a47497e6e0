"""How an input compares with those of a calibration: a conformal p-value.

The rule. The input and the calibration's n inputs are pooled, and each gets its squared Mahalanobis distance from the
mean of the pool, in which all n + 1 take part alike. Were the input exchangeable with the others, its rank among these
distances would be uniform, so P(p <= e) <= e for p = (1 + calibration inputs at least as far) / (n + 1) (Vovk,
Gammerman & Shafer 2005; Bates, Candès, Lei, Romano & Sesia 2023 for outliers). Equal distances count as at least as
far, which makes p larger: it is conservative, not smoothed.
"""

from dataclasses import dataclass

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.input_statistics.statistics import SIZE, STATISTICS, InputStatistics, Statistic

LEVEL = 0.01
"""At this p-value and below an input is taken for one that the calibration does not speak of."""

_BUT_SIZE = np.array([statistic.name != SIZE for statistic in STATISTICS])
"""Certificates have a note of their own on sizes."""

_ROUNDING = 1e-9
"""Relative; distances that differ by less are equal, whatever the order of the sums."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an input lies among the calibration's.

    Attributes
    ----------
    p_value
        At least 1 / (n + 1).
    n
        How many inputs it was compared with.
    statistic, value
        The statistic that contributes most to its distance, and the input's value of it.
    least, largest
        The values of that statistic that the calibration's inputs have.
    beyond
        Whether a statistic other than the size lies farther outside the calibration's values than these are apart:
        worth a note even where the p-value cannot be small.
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
        """By what the input differs most."""
        shown = self.statistic.shown
        return (
            f"this input's {self.statistic.name} is {shown(self.value)}, that of the calibration's {self.n} inputs "
            f"{shown(self.least)} to {shown(self.largest)}"
        )


def place(known: InputStatistics, new: InputStatistics) -> Placement | None:
    """Where `new`, one input, lies among `known` ones; None where nothing is known of either."""
    known, new = known.known, new.known
    if not len(known) or not len(new):
        return None
    rows = np.concatenate([known.values, new.values]).astype(np.float64)
    # The least difference that matters in each statistic.
    least = np.array([statistic.least for statistic in STATISTICS])
    differences = rows - rows.mean(axis=0)
    # Adds that to the spread: without it a statistic that hardly varies would make any input an outlier.
    covariance = differences.T @ differences / len(rows) + np.diag(least**2)
    # Each statistic's share of the distance, so that the largest one can be named.
    shares = differences * np.linalg.solve(covariance, differences.T).T
    distances = shares.sum(axis=1)
    # The new input is the last row; it counts itself through the 1 in the p-value.
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
    """`level`, which must be at least 0 and below 1; 0 marks nothing."""
    if not 0 <= level < 1:
        raise UsageError(f"expected --outside (outside in Python) at least 0 and below 1, such as 0.01; got {level!r}")
    return level
