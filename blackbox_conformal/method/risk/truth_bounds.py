"""How far the truth can be from one delivered picture: from the delivered colours alone, and from the input.

`metrics` says which of these bounds a metric allows; the matrices of the input's bound are in `resampling`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.elementary import product
from blackbox_conformal.method.risk.resampling import Axis, AxisPass, Step, axis
from blackbox_conformal.support.types import Image, Map

SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], dtype=np.float64)
"""The eight sign patterns: ``|v|_1 = max_s s·v``."""

DISTANCE_ROUNDING = np.float32(2e-5)
"""Covers the single precision of distances and of averages of them."""

LAB_SUPPORTS = np.array([2.258498, 1.229435, 1.544136, 0.156084, 1.084435, 0.413435, 0.038505, -0.961026])
"""``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `SIGNS`: exhaustive search, rounded up."""

CHROMA_SIGNS = np.array([[0, 1, 1], [0, 1, -1], [0, -1, 1], [0, -1, -1]], dtype=np.float64)
"""The four sign patterns of the last two planes of Lab."""

CHROMA_SUPPORTS = np.array([1.579905, 0.736393, 0.666786, -0.755023])
"""``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `CHROMA_SIGNS`: as `LAB_SUPPORTS`."""

AVERAGE_ROUNDING = 1e-5
"""Single precision of the averages that a metric computes."""


def farthest_lab_l1(lab: Planes) -> Map:
    """The largest L1 distance from each normalised Lab colour, or mean of colours, to any 8-bit sRGB colour.

    Parameters
    ----------
    lab
        (3, H, W) float32, as `kernels.distance.lab_planes` makes it, averaged or not.

    Returns
    -------
    Map
        (H, W) float32. A norm is convex, so the maximum over the gamut is ``max_s (h_s - s·lab)`` with the support
        values ``h_s = max over the gamut of s·c``.
    """
    return _farthest(lab, SIGNS, LAB_SUPPORTS)


def farthest_chroma(lab: Planes) -> Map:
    """As `farthest_lab_l1`, of the planes a and b alone."""
    return _farthest(lab, CHROMA_SIGNS, CHROMA_SUPPORTS)


def _farthest(lab: Planes, patterns: NDArray[np.float64], supports: NDArray[np.float64]) -> Map:
    largest, flat = np.full(lab.shape[1:], -np.inf, np.float32), lab.reshape(3, -1)
    for signs, support in zip(patterns.astype(np.float32), supports, strict=True):
        # A linear function is largest at a corner of the gamut, whose value the support is.
        np.maximum(largest, np.float32(support) - product(signs[None], flat).reshape(largest.shape), out=largest)
    return largest + DISTANCE_ROUNDING


def rgb_planes(pixels: Image) -> Planes:
    """(3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


# The farthest value of a channel or band is always 0 or 1.
def farthest(planes: Planes) -> Planes:
    """(planes, H, W) float32: the largest absolute difference of each plane to any value in [0, 1], rounded up."""
    return np.maximum(planes, 1 - planes) + DISTANCE_ROUNDING


@dataclass(frozen=True, eq=False)
class BlurredTruth:
    """``K * Y`` lies in [low, high] for every 8-bit photograph Y that the steps make the input of.

    Attributes
    ----------
    low, high
        (3, H, W) float64 in [0, 1], one plane a channel of sRGB.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def largest_difference(self, blurred: NDArray[np.float32]) -> NDArray[np.float32]:
        """The most that `blurred`, (3, H, W) in [0, 1], can differ from ``K * Y``: (3, H, W) float32, rounded up."""
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
    """Bounds on the average of the truth over a window around each pixel.

    Parameters
    ----------
    low_resolution
        The input: (h, w, 3) uint8, made from the truth by the steps.
    steps
        Each a linear map along rows and then columns, rounded and clipped to 8 bits after each (see `Step`).
    scale
        How many times smaller the input is, at least 2.
    window, sigma, size
        ``gaussian`` with sigma, or ``box`` with an odd size, in pixels of the truth; borders reflected.

    Notes
    -----
    Weak duality: for any L, ``K * Y - L A Y`` is a sum of the samples of Y with weights that sum to 0, so it is at most
    half their absolute sum. See docs/guarantees.md for the proof with rounding and clipping.
    """
    if low_resolution.ndim != 3 or low_resolution.shape[2] != 3 or low_resolution.dtype != np.uint8:
        raise ImageError(f"expected an input of (h, w, 3) uint8; got {low_resolution.shape} {low_resolution.dtype}")
    if scale < 2:
        raise UsageError(f"expected a scale of at least 2; got {scale}. At scale 1 leave bound_from out")
    down, across = (axis(steps, side * scale, window, sigma, size) for side in low_resolution.shape[:2])
    # A step that cuts or pads would put the average at another place than the input.
    if (down.recover.shape[1], across.recover.shape[1]) != low_resolution.shape[:2]:
        raise UsageError(f"expected steps that make a picture {scale} times smaller; got {steps!r}")
    planes = low_resolution.transpose(2, 0, 1) / 255
    # The best guess of the average: the same weights down the columns and along the rows.
    centre = down.recover @ planes @ across.recover.T
    # Clipping in the last pass shows: only values of 0 or 1 can have been clipped, by at most the negative taps.
    saturated = ((planes == 0) | (planes == 1)) * down.passes[-1].negative[:, None]
    radius = _radius(down, across) + np.abs(down.recover) @ saturated @ np.abs(across.recover).T
    # An average of colours in [0, 1] stays there, whatever the radius.
    return BlurredTruth(np.clip(centre - radius, 0, 1), np.clip(centre + radius, 0, 1))


def _radius(down: Axis, across: Axis) -> NDArray[np.float64]:
    """(H, W): all but the clipping that shows in the input.

    That is: residual of the approximation, rounding and clipping in every other pass, inexact averaging.
    """
    # K_p x K_q - k_p x k_q, split both ways; each has rows of K with mass 1.
    one_way = down.residual[:, None] + np.multiply.outer(down.passes[0].before, across.residual)
    # Half: weights that sum to 0 meet a picture in [0, 1], which can use the positive or the negative ones only.
    other_way = across.residual[None, :] + np.multiply.outer(down.residual, across.passes[0].before)
    radius = np.minimum(one_way, other_way) / 2 + down.approximation + across.approximation
    for step, (rows, columns) in enumerate(zip(down.passes, across.passes, strict=True), 1):
        # What the first of a step's two passes rounds or clips goes through the second one. Rows come first where
        # values can be clipped; for rounding the order that makes more of it counts.
        radius += np.multiply.outer(rows.before, columns.clipped)
        # The last step's own clipping shows as 0 or 1 in the input, where `blurred_truth` counts it.
        if step < len(down.passes):
            radius += np.multiply.outer(rows.clipped, columns.after)
        first = np.maximum(np.multiply.outer(rows.before, columns.after), np.multiply.outer(rows.after, columns.before))
        radius += max(map(_rounding, (rows, columns))) * (first + np.multiply.outer(rows.after, columns.after))
    return radius


def _rounding(step: AxisPass) -> float:
    """Half a step of 8 bits, and 22 bits of each tap."""
    # A tap of 22 bits is off by at most half its last bit.
    return 0.5 / 255 + step.taps * 2.0**-23
