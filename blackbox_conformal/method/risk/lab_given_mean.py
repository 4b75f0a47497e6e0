"""How far a picture can be from the truth in Lab when the truth's averaged sRGB colours are known to an interval.

For a slope a, a colour y and a sign pattern s, ``s·lab(y) <= h_s^a + a·y``, where ``h_s^a`` is the maximum over 8-bit
sRGB of ``s·lab(y) - a·y``. Averaged over a window, ``a·y`` becomes ``a·(K * Y)``, which the input bounds
(`BlurredTruth`). Every slope gives a bound, so the least over slopes is one; slope 0 is the bound from the delivered
colours alone. docs/guarantees.md has the proof.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.risk.truth_bounds import DISTANCE_ROUNDING, SIGNS, BlurredTruth
from blackbox_conformal.support.types import Map

_TABLE = (
    ((0.0, 0.0, 0.0), (2.258497, 1.229434, 1.544135, 0.156083, 1.084434, 0.413434, 0.038504, -0.961027)),
    ((0.17, 0.55, 0.0), (1.942309, 1.059434, 0.994135, -0.393917, 1.041561, 0.413434, 0.000001, -0.961027)),
    ((-0.17, -0.55, 0.0), (2.978497, 1.719973, 2.148218, 0.748378, 1.281541, 0.438085, 0.360828, -0.953908)),
    ((0.0, 0.35, 0.17), (2.112309, 1.059434, 1.194135, -0.363917, 1.084434, 0.243434, 0.000001, -0.987846)),
    ((1.1, 1.1, 0.8), (1.045958, 0.259347, 0.444135, -0.999999, 1.000001, 0.008078, 0.000001, -0.999999)),
    ((-0.17, -0.17, 0.35), (2.598497, 1.067680, 1.768218, 0.088453, 1.220176, 0.152469, 0.065610, -0.999999)),
    ((-0.17, -0.8, -0.35), (3.320010, 2.319973, 2.442563, 1.348378, 1.382460, 0.815189, 0.644724, -0.494183)),
    ((-0.17, 0.17, -0.17), (2.282309, 1.569434, 1.436245, 0.198378, 1.217497, 0.594918, 0.013909, -0.928875)),
    ((0.55, 1.5, -0.35), (1.570195, 1.409347, 0.117013, -0.214161, 1.004801, 0.763434, 0.000001, -0.860075)),
    ((0.35, 0.17, 0.35), (1.762309, 0.709347, 1.374135, -0.280824, 1.005579, 0.152469, 0.013909, -0.999999)),
    ((-0.35, -1.1, 0.35), (3.708497, 2.099973, 2.878218, 1.134296, 1.765707, 0.253860, 0.981684, -0.691597)),
    ((0.55, 0.17, 1.1), (1.695528, 0.040570, 1.374135, -0.280824, 1.000001, 0.000001, 0.013909, -0.999999)),
    ((0.55, 0.35, -0.35), (1.666186, 1.409347, 1.230406, 0.156083, 1.004801, 0.763434, 0.000001, -0.860075)),
    ((0.0, 0.8, -0.35), (2.120195, 1.579434, 0.780406, -0.193938, 1.084434, 0.763434, 0.000001, -0.860075)),
    ((-0.55, 0.0, -0.17), (2.819853, 1.949434, 1.986245, 0.719993, 1.597497, 0.743919, 0.051418, -0.921712)),
    ((1.1, 0.55, 0.0), (1.315528, 1.059347, 0.994135, -0.393917, 1.000001, 0.413434, 0.000001, -0.961027)),
    ((-0.17, 0.8, 0.8), (2.282309, 0.753154, 0.798218, -0.877494, 1.217497, 0.034080, 0.000001, -0.999999)),
    ((0.17, -1.5, 1.1), (3.588497, 1.844575, 3.044135, 1.389176, 1.645707, 0.014861, 1.289433, -0.365525)),
    ((1.1, 0.8, 0.55), (1.067129, 0.509347, 0.744135, -0.910760, 1.000001, 0.083614, 0.000001, -0.999999)),
    ((0.17, -0.17, 0.55), (2.258497, 0.527680, 1.714135, 0.059176, 1.041561, 0.083614, 0.065610, -0.999999)),
)

SLOPES = np.array([slope for slope, _ in _TABLE])
"""(20, 3) float64, one slope a row: those that lower the bounds of 32 photographs most, taken one after the other."""

SUPPORTS = np.array([supports for _, supports in _TABLE])
"""(20, 8) float64: ``h_s^a`` for each slope and each row of `SIGNS`, by exhaustive search, rounded up."""

AVERAGED = 8
"""How many slopes the average of a distance tries: each costs an average, and the other 12 gain it 1 % together."""

BAND = 64
"""Rows handled at once."""


def average_of_distances(lab: Planes, truth: BlurredTruth, average: Callable[[Map], None]) -> Map:
    """The largest average, over the window of `truth`, of the L1 distance between `lab` and the truth's colours.

    Parameters
    ----------
    lab
        (3, H, W) float32: normalised Lab of the delivered picture, as `kernels.distance.lab_planes` makes it.
    truth
        The interval of the truth's averaged colours.
    average
        Puts the average over that window in the place of an (H, W) float32 map.

    Returns
    -------
    Map
        (H, W) float32, rounded up.
    """
    least = np.full(lab.shape[1:], np.inf, np.float32)
    for slope, supports in zip(SLOPES[:AVERAGED], SUPPORTS[:AVERAGED], strict=True):
        farthest = np.empty_like(least)
        for rows in _bands(lab):
            # All eight sums ±L ±a ±b; the largest over signs is the L1 distance.
            signed = np.tensordot(SIGNS.astype(np.float32), lab[:, rows], axes=1)
            np.max(supports.astype(np.float32)[:, None, None] - signed, axis=0, out=farthest[rows])
        average(farthest)
        for rows in _bands(lab):
            # Every slope gives a bound, so the least of them is one.
            np.minimum(least[rows], farthest[rows] + _largest(slope, truth, rows), out=least[rows])
    # A distance is never negative, though a bound of rounded parts may be.
    return np.maximum(least, 0)


def distance_of_averages(lab: Planes, truth: BlurredTruth) -> Map:
    """The largest L1 distance between averaged colours `lab` and the truth's colours averaged over the same window.

    Parameters
    ----------
    lab
        (3, H, W) float32: normalised Lab of the delivered picture, averaged.
    truth
        The interval of the truth's averaged colours.

    Returns
    -------
    Map
        (H, W) float32, rounded up. Each sign pattern has a least slope of its own.
    """
    most = np.empty(lab.shape[1:], np.float32)
    for rows in _bands(lab):
        support = np.full((len(SIGNS), *most[rows].shape), np.inf, np.float32)
        for slope, supports in zip(SLOPES, SUPPORTS, strict=True):
            np.minimum(support, supports.astype(np.float32)[:, None, None] + _largest(slope, truth, rows), out=support)
        np.max(support - np.tensordot(SIGNS.astype(np.float32), lab[:, rows], axes=1), axis=0, out=most[rows])
    return np.maximum(most, 0)


def _bands(lab: Planes) -> Iterator[slice]:
    return (slice(first, first + BAND) for first in range(0, lab.shape[1], BAND))


def _largest(slope: NDArray[np.float64], truth: BlurredTruth, rows: slice) -> Map:
    """The largest ``a·(K * Y)`` of some rows, with the rounding of maps that reach ``2 (1 + |a|_1)``."""
    # A positive slope is largest at the upper end of the interval, a negative one at the lower end.
    most = np.tensordot(np.maximum(slope, 0), truth.high[:, rows], axes=1)
    most -= np.tensordot(np.maximum(-slope, 0), truth.low[:, rows], axes=1)
    largest: Map = (most + DISTANCE_ROUNDING * (1 + np.abs(slope).sum())).astype(np.float32)
    return largest
