"""How many scores lie below each of some thresholds, in one pass and without sorting them."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels import _checks
from blackbox_conformal.kernels._jit import kernel
from blackbox_conformal.types import Map

BUCKETS = 1 << 14
"""Equal parts of the range of the thresholds: each tells where among them to begin to look."""

LARGEST = np.finfo(np.float64).max


def count_below(scores: Map, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each threshold the number of scores below it: exact.

    Parameters
    ----------
    scores
        (H, W) float32; NaN is below nothing, and infinity below infinity alone.
    thresholds
        (K,) float64, ascending.

    Returns
    -------
    (K,) int64.
    """
    thresholds = np.ascontiguousarray(thresholds, np.float64)
    finite = thresholds[np.isfinite(thresholds)]
    low, high = (finite[0], finite[-1]) if finite.size else (np.float64(0), np.float64(0))
    inverse = (BUCKETS - 1) / (high - low) if high - low > BUCKETS / LARGEST else np.float64(0)
    # From bucket to bucket nothing decreases: a threshold in a lower bucket than a score is below it.
    buckets = ((np.clip(thresholds, low, high) - low) * inverse).astype(np.int64)
    first = np.searchsorted(buckets, np.arange(BUCKETS))
    counts = np.zeros(thresholds.size + 1, np.int64)
    _count(_checks.float_map(scores).ravel(), thresholds, first, low, high, inverse, counts)
    below: NDArray[np.int64] = np.cumsum(counts)[:-1]
    return below


@kernel
def _count(
    scores: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    first: NDArray[np.int64],
    low: np.float64,
    high: np.float64,
    inverse: np.float64,
    counts: NDArray[np.int64],
) -> None:
    """Count the scores by the number of thresholds that are at most as large."""
    for i in range(scores.size):
        if np.isnan(scores[i]):
            continue
        score = min(np.float64(scores[i]), LARGEST)
        index = first[int((min(max(score, low), high) - low) * inverse)]
        while index < thresholds.size and thresholds[index] <= score:
            index += 1
        counts[index] += 1


def warm_up() -> None:
    """Run every kernel of this module once."""
    count_below(np.zeros((2, 2), np.float32), np.zeros(1))
