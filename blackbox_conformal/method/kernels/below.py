"""Count the scores below each threshold, and find each score's first threshold, in one pass without sorting."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError
from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Map

# Equal parts of the range of the thresholds; each tells where the search among the thresholds begins.
BUCKETS = 1 << 14
NONE = 255  # The index of a score that is below no threshold.
LARGEST = np.finfo(np.float64).max


def count_below(scores: Map, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the exact number of scores below each threshold.

    `scores`: (H, W) float32; NaN is below nothing, and infinity below infinity alone.
    `thresholds`: (K,) float64, ascending.
    Returns: (K,) int64.
    """
    # Place k counts the scores with exactly k thresholds at or below them: they are below threshold k and all later
    # ones.
    counts = np.zeros(thresholds.size + 1, np.int64)
    _place(_checks.float_map(scores).ravel(), *_in_buckets(thresholds), counts, np.empty(0, np.uint8))
    below: NDArray[np.int64] = np.cumsum(counts)[:-1]
    return below


def first_above(scores: Map, thresholds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return for each score the index of the first threshold above it; all later thresholds are above it, too.

    `scores`: (H, W) float32; NaN is below nothing, and infinity below infinity alone.
    `thresholds`: (K,) float64, ascending, at most `NONE` of them.
    Returns: (H, W) uint8; `NONE` where there is none.
    """
    if thresholds.size > NONE:
        raise MapError(f"expected at most {NONE} thresholds; got {thresholds.size}")
    scores = _checks.float_map(scores)
    first, counts = np.empty(scores.shape, np.uint8), np.zeros(thresholds.size + 1, np.int64)
    _place(scores.ravel(), *_in_buckets(thresholds), counts, first.ravel())
    return first


def _in_buckets(
    thresholds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], np.float64, np.float64, np.float64]:
    """Return the thresholds, where among them each bucket begins, the range of buckets, and the buckets a unit."""
    thresholds = np.ascontiguousarray(thresholds, np.float64)
    finite = thresholds[np.isfinite(thresholds)]
    low, high = (finite[0], finite[-1]) if finite.size else (np.float64(0), np.float64(0))
    # Where all thresholds are (nearly) one number, the quotient would overflow: then a single bucket holds them all.
    inverse = (BUCKETS - 1) / (high - low) if high - low > BUCKETS / LARGEST else np.float64(0)
    # From bucket to bucket nothing decreases: a threshold in a lower bucket than a score is below it.
    buckets = ((np.clip(thresholds, low, high) - low) * inverse).astype(np.int64)
    return thresholds, np.searchsorted(buckets, np.arange(BUCKETS)), low, high, np.float64(inverse)


@kernel
def _place(
    scores: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    begins: NDArray[np.int64],
    low: np.float64,
    high: np.float64,
    inverse: np.float64,
    counts: NDArray[np.int64],
    first: NDArray[np.uint8],
) -> None:
    """Count the scores by the number of thresholds at or below them.

    Where `first` has places, it gets this number for each score, or `NONE` where every threshold is at or below it.
    """
    for i in range(scores.size):
        if i < first.size:
            first[i] = NONE
        if np.isnan(scores[i]):
            continue
        # Held to the largest float, an infinite score still is below an infinite threshold, and below no other.
        score = min(np.float64(scores[i]), LARGEST)
        index = begins[int((min(max(score, low), high) - low) * inverse)]
        # The bucket only says where to begin; the comparison itself is with the exact threshold.
        while index < thresholds.size and thresholds[index] <= score:
            index += 1
        counts[index] += 1
        if i < first.size and index < thresholds.size:
            first[i] = index


def warm_up() -> None:
    count_below(np.zeros((2, 2), np.float32), np.zeros(1))
    first_above(np.zeros((2, 2), np.float32), np.zeros(1))
