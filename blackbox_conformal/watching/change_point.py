"""Evidence that a vendor changed, from one p-value a visit: bets on each visit that a change may have come with.

While nothing changes, the p-values are independent and uniform. After a change that is larger than the vendor's own
spread, each new visit lies beyond all visits before the change. Its p-value is then uniform on a short stretch: the
first j of n parts, where it is the j-th visit since the change and the n-th in all. For every visit, a part of the
capital waits for a change with that visit, and then bets on that stretch, one half at either end. Each part is a
martingale of the same p-values, and so is their sum, which starts at 1 (a mixture over change points, as of Shiryaev).
"""

import math

import numpy as np
from numpy.typing import NDArray

HAZARD = 0.01
"""The share of the waiting capital that begins to bet with each visit: one change in a hundred visits is bet on."""

DOUBT = 0.1
"""The share of a bet that is kept back, so that a visit which does not look changed costs nine tenths of it at most."""


def log_wealth(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k): logarithm of the whole capital of each of k martingales after each of n visits.

    Parameters
    ----------
    p_values
        (n, k), each in [0, 1]; those of a column are independent and uniform while nothing has changed.
    """
    visits, many = p_values.shape
    begun, waiting = np.empty((visits, 2, many)), 0.0
    found = np.empty(p_values.shape)
    for visit, p_value in enumerate(p_values):
        # Half of each new part bets on small p-values and half on large ones, as a change may go either way.
        begun[visit] = waiting + math.log(HAZARD / 2)
        # What has begun to bet waits no longer.
        waiting += math.log1p(-HAZARD)
        # The j-th visit since a change is among the first j of all, so its p-value lies in this share of the range.
        stretch = (np.arange(visit + 1, 0, -1) / (visit + 1))[:, None, None]
        # Either the smallest or the largest p-values.
        inside = np.stack([p_value, 1 - p_value]) <= stretch
        # A part of each bet is kept back, so that one visit that does not look changed does not ruin it.
        begun[: visit + 1] += np.log(DOUBT + (1 - DOUBT) * inside / stretch)
        # Logarithms, so that nothing overflows in years of visits.
        found[visit] = np.logaddexp(waiting, np.logaddexp.reduce(begun[: visit + 1], axis=(0, 1)))
    return found
