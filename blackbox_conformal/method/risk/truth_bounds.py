"""How far the truth can be from one delivered picture: by the delivered colours alone, and by the input.

`metrics` says which of these bounds a metric allows; `resampling` has the matrices for the input's bound.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.elementary import product
from blackbox_conformal.method.risk.resampling import Axis, Step, axis
from blackbox_conformal.support.types import Image, Map

# The eight sign patterns: ``|v|_1 = max_s s·v``.
SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], dtype=np.float64)
DISTANCE_ROUNDING = np.float32(2e-5)  # Covers single precision in distances and in their averages.
# ``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `SIGNS`: exhaustive search, rounded up.
LAB_SUPPORTS = np.array([2.258498, 1.229435, 1.544136, 0.156084, 1.084435, 0.413435, 0.038505, -0.961026])
# The four sign patterns of the last two planes of Lab.
CHROMA_SIGNS = np.array([[0, 1, 1], [0, 1, -1], [0, -1, 1], [0, -1, -1]], dtype=np.float64)
# ``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `CHROMA_SIGNS`: as `LAB_SUPPORTS`.
CHROMA_SUPPORTS = np.array([1.579905, 0.736393, 0.666786, -0.755023])
AVERAGE_ROUNDING = 1e-5  # Single precision of the averages that a metric computes.


def farthest_lab_l1(lab: Planes) -> Map:
    """Return the largest L1 distance from each normalised Lab colour, or mean of colours, to any 8-bit sRGB colour.

    `lab` is (3, H, W) float32, as `kernels.distance.lab_planes` makes it; the result is (H, W) float32. A norm is
    convex, so the maximum over the gamut is ``max_s (h_s - s·lab)`` with the support values ``h_s = max over the gamut
    of s·c``.
    """
    return _farthest(lab, SIGNS, LAB_SUPPORTS)


def farthest_chroma(lab: Planes) -> Map:
    """Return the same for the planes a and b alone."""
    return _farthest(lab, CHROMA_SIGNS, CHROMA_SUPPORTS)


def _farthest(lab: Planes, patterns: NDArray[np.float64], supports: NDArray[np.float64]) -> Map:
    largest, flat = np.full(lab.shape[1:], -np.inf, np.float32), lab.reshape(3, -1)
    for signs, support in zip(patterns.astype(np.float32), supports, strict=True):
        # A linear function is largest at a corner of the gamut, whose value is the support.
        np.maximum(largest, np.float32(support) - product(signs[None], flat).reshape(largest.shape), out=largest)
    return largest + DISTANCE_ROUNDING


def rgb_planes(pixels: Image) -> Planes:
    """Return (3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


# The farthest value of a channel or band is always 0 or 1.
def farthest(planes: Planes) -> Planes:
    """Return the largest difference of each plane to any value in [0, 1], rounded up: (planes, H, W) float32."""
    return np.maximum(planes, 1 - planes) + DISTANCE_ROUNDING


@dataclass(frozen=True, eq=False)
class BlurredTruth:
    """The statement that ``K * Y`` lies in [low, high] for every 8-bit photograph Y behind the input.

    Both are (3, H, W) float64 in [0, 1], one plane a channel of sRGB.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def largest_difference(self, blurred: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the most that `blurred`, (3, H, W) in [0, 1], can differ from ``K * Y``: float32, rounded up."""
        largest = np.maximum(self.high - blurred, blurred - self.low) + AVERAGE_ROUNDING
        # Rounded up twice: by the margin for single precision, and by the cast to float32.
        return np.nextafter(np.maximum(largest, 0).astype(np.float32), np.float32(2))


def blurred_truth(
    low_resolution: Image,
    steps: tuple[Step, ...],
    scale: int,
    *,
    window: str,
    sigma: float | None = None,
    size: int | None = None,
) -> BlurredTruth:
    """Bound the average of the truth over a window around each pixel.

    `low_resolution`, (h, w, 3) uint8, is the result of `steps` on a truth `scale` times as large, at least 2. Each step
    is a linear map along rows and then columns, rounded and clipped to 8 bits after each (see `Step`). `window` is
    ``gaussian`` with sigma, or ``box`` with an odd size, in pixels of the truth; borders are reflected.

    Weak duality: for any L, ``K * Y - L A Y`` is a sum of the samples of Y with weights that sum to 0, so it is at most
    half their absolute sum. See docs/guarantees.md for the proof with rounding and clipping.
    """
    if low_resolution.ndim != 3 or low_resolution.shape[2] != 3 or low_resolution.dtype != np.uint8:
        raise ImageError(f"expected an input of (h, w, 3) uint8; got {low_resolution.shape} {low_resolution.dtype}")
    if scale < 2:
        raise UsageError(f"expected a scale of at least 2; got {scale}. At scale 1 leave bound_from out")
    down, across = (axis(steps, side * scale, window, sigma, size) for side in low_resolution.shape[:2])
    if (down.recover.shape[1], across.recover.shape[1]) != low_resolution.shape[:2]:
        raise UsageError(f"expected steps that make a picture {scale} times smaller; got {steps!r}")
    planes = low_resolution.transpose(2, 0, 1) / 255
    centre = down.recover @ planes @ across.recover.T
    # The input shows clipping of the last pass: only values of 0 or 1 can have been clipped, by at most the negative
    # taps.
    saturated = ((planes == 0) | (planes == 1)) * down.passes[-1].negative[:, None]
    radius = _radius(down, across) + np.abs(down.recover) @ saturated @ np.abs(across.recover).T
    # An average of colours in [0, 1] stays there, whatever the radius.
    return BlurredTruth(np.clip(centre - radius, 0, 1), np.clip(centre + radius, 0, 1))


def _radius(down: Axis, across: Axis) -> NDArray[np.float64]:
    """Return the radius, (H, W), without the clipping that shows in the input.

    It adds the residual of the approximation, rounding and clipping in every other pass, and inexact averaging.
    """
    # K_p x K_q - k_p x k_q, split both ways; each has rows of K with mass 1.
    one_way = down.residual[:, None] + np.multiply.outer(down.passes[0].before, across.residual)
    # Half: a picture in [0, 1] can use only the positive or only the negative ones of weights that sum to 0.
    other_way = across.residual[None, :] + np.multiply.outer(down.residual, across.passes[0].before)
    radius = np.minimum(one_way, other_way) / 2 + down.approximation + across.approximation
    for step, (rows, columns) in enumerate(zip(down.passes, across.passes, strict=True), 1):
        # The second of a step's two passes carries rounding and clipping of the first on. Rows come first where values
        # can be clipped; for rounding the worse order counts.
        radius += np.multiply.outer(rows.before, columns.clipped)
        # The last step's own clipping shows as 0 or 1 in the input, where `blurred_truth` counts it.
        if step < len(down.passes):
            radius += np.multiply.outer(rows.clipped, columns.after)
        first = np.maximum(np.multiply.outer(rows.before, columns.after), np.multiply.outer(rows.after, columns.before))
        # Half a step of 8 bits, and half the last of the 22 bits of each tap.
        rounding = 0.5 / 255 + max(rows.taps, columns.taps) * 2.0**-23
        radius += rounding * (first + np.multiply.outer(rows.after, columns.after))
    return radius


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
"""(20, 3) float64, one slope a row: they lower the bounds of 32 photographs most, taken one after the
other."""

# (20, 8) float64: ``h_s^a`` for each slope and each row of `SIGNS`, by exhaustive search, rounded up.
SUPPORTS = np.array([supports for _, supports in _TABLE])
# How many slopes the average of a distance tries: each costs an average, and the other 12 gain 1 % together.
AVERAGED = 8
BAND = 64  # Rows handled at once.


def average_of_distances(lab: Planes, truth: BlurredTruth, average: Callable[[Map], None]) -> Map:
    """Return the largest average, over the window of `truth`, of the L1 distance between `lab` and the truth."""
    least = np.full(lab.shape[1:], np.inf, np.float32)
    for slope, supports in zip(SLOPES[:AVERAGED], SUPPORTS[:AVERAGED], strict=True):
        farthest = np.empty_like(least)
        for rows in _bands(lab):
            # All eight sums ±L ±a ±b; the largest over signs is the L1 distance.
            signed = np.tensordot(SIGNS.astype(np.float32), lab[:, rows], axes=1)
            np.max(supports.astype(np.float32)[:, None, None] - signed, axis=0, out=farthest[rows])
        average(farthest)
        for rows in _bands(lab):
            np.minimum(least[rows], farthest[rows] + _largest(slope, truth, rows), out=least[rows])
    # A distance is never negative, though a bound with rounded parts may be.
    return np.maximum(least, 0)


def distance_of_averages(lab: Planes, truth: BlurredTruth) -> Map:
    """Return the largest L1 distance between averaged colours `lab` and the truth's averaged colours."""
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
    """Return the largest ``a·(K * Y)`` of some rows, with the rounding of maps that reach ``2 (1 + |a|_1)``."""
    # A positive slope is largest at the upper end of the interval, a negative one at the lower end.
    most = np.tensordot(np.maximum(slope, 0), truth.high[:, rows], axes=1)
    most -= np.tensordot(np.maximum(-slope, 0), truth.low[:, rows], axes=1)
    largest: Map = (most + DISTANCE_ROUNDING * (1 + np.abs(slope).sum())).astype(np.float32)
    return largest
