"""What the simulations share: loss tables as curve sets, and a verdict with three standard errors."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.risk.curve_set import CurveSet


def table_as_curves(losses, bound=1.0, kind="supremum", tolerance=None):
    """A (n, K) table of losses, nondecreasing along rows: row i has lost column k once score k is trusted."""
    losses = np.asarray(losses, np.float32)
    previous = np.c_[np.zeros(len(losses), np.float32), losses[:, :-1]]
    row, column = np.nonzero(losses > previous)
    offsets = np.r_[0, np.cumsum(np.bincount(row, minlength=len(losses)))].astype(np.int64)
    nothing = np.empty(0, np.float32)
    scores = column.astype(np.float32)
    return CurveSet(
        offsets,
        scores,
        losses[row, column],
        np.zeros(len(losses) + 1, np.int64),
        nothing,
        nothing,
        bound,
        kind,
        tolerance,
    )


def losses_below(table, threshold):
    """The column of losses when scores < threshold are trusted."""
    count = math.ceil(min(max(threshold, 0), table.shape[1]))
    return table[:, count - 1] if count else np.zeros(len(table))


def losses_up_to(table, threshold):
    """The same for scores <= threshold: the rule as printed."""
    if threshold in (-math.inf, math.inf):
        return losses_below(table, threshold)
    return losses_below(table, math.floor(threshold) + 1)


class Verdict:
    """Mean of independent trials against a level."""

    def __init__(self, trials):
        self.trials = np.asarray(trials, float)
        self.mean = float(self.trials.mean())
        self.error = max(float(self.trials.std(ddof=1)) / math.sqrt(len(self.trials)), 1e-12)

    def keeps(self, level):
        return self.mean <= level + 3 * self.error

    def breaks(self, level):
        return self.mean > level + 3 * self.error


@pytest.fixture(scope="session")
def tools():
    """The functions above, for test modules that cannot import their folder."""

    class Tools:
        curves = staticmethod(table_as_curves)
        below = staticmethod(losses_below)
        up_to = staticmethod(losses_up_to)
        verdict = Verdict

    return Tools
