"""How many pixels score less than each of some thresholds, without sorting them all."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.types import Map

_SHIFT = 10
"""Bits of a key that tell apart the scores of one bucket: about a thousandth of a score's own size."""

_INFINITY = 0x7F800000
"""The key of infinity."""


def count_below(scores: Map, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each threshold the number of scores below it: exact.

    Pixels are counted by bucket; only those in the bucket of a threshold are sorted.

    Parameters
    ----------
    scores
        (H, W) float32; NaN is below nothing, and infinity below infinity alone.
    thresholds
        (K,) float64 in the range of float32, or infinite.
    """
    keys = np.minimum(_keys(scores[~np.isnan(scores)]), _INFINITY - 1)
    if not keys.size:
        return np.zeros(len(thresholds), np.int64)
    nearest = thresholds.astype(np.float32)
    # A float32 is below a threshold when it is below the next float32 from there on.
    bounds = _keys(np.where(nearest < thresholds, np.nextafter(nearest, np.float32(np.inf)), nearest))
    lowest = int(keys.min()) >> _SHIFT
    buckets = (keys >> _SHIFT) - lowest
    counts = np.bincount(buckets)
    below = np.concatenate([[0], np.cumsum(counts)])
    own = np.clip((bounds >> _SHIFT) - lowest, 0, counts.size)
    wanted = np.zeros(counts.size + 1, bool)
    wanted[own] = True
    near = np.sort(keys[wanted[buckets]])
    inside = np.searchsorted(near, bounds) - np.searchsorted(near, bounds >> _SHIFT << _SHIFT)
    total: NDArray[np.int64] = below[own] + inside
    return total


def _keys(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Whole numbers in the order of the floats; -0 and 0 have the same."""
    bits = (values + np.float32(0)).view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
