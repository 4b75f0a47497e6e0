"""How far the truth can be from one delivered picture: from the delivered colours alone, and from the input.

`metrics` says which of these bounds a metric allows; the matrices of the input's bound are in `resampling`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.kernels.distance import Planes, lab_planes
from blackbox_conformal.risk.resampling import Axis, axis
from blackbox_conformal.types import Image, Map

SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], dtype=np.float64)
"""The eight sign patterns: ``|v|_1 = max_s s·v``."""

DISTANCE_ROUNDING = np.float32(2e-5)
"""Covers the single precision of distances and of averages of them."""

LAB_SUPPORTS = np.array([2.258498, 1.229435, 1.544136, 0.156084, 1.084435, 0.413435, 0.038505, -0.961026])
"""``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `SIGNS`: exhaustive search, rounded up."""

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
    largest = np.full(lab.shape[1:], -np.inf, np.float32)
    for signs, support in zip(SIGNS.astype(np.float32), LAB_SUPPORTS, strict=True):
        np.maximum(largest, np.float32(support) - np.tensordot(signs, lab, axes=1), out=largest)
    return largest + DISTANCE_ROUNDING


def rgb_planes(pixels: Image) -> Planes:
    """(3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def farthest_rgb(planes: Planes) -> Planes:
    """(3, H, W) float32: the largest absolute difference of each channel to any value, white = 1."""
    return np.maximum(planes, 1 - planes) + DISTANCE_ROUNDING


def lab_supports() -> NDArray[np.float64]:
    """The support values by exhaustive search over all 16.7 million colours; takes seconds."""
    supports = np.full(8, -np.inf)
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=2)
        values = SIGNS @ lab_planes(pixels).reshape(3, -1).astype(np.float64)
        np.maximum(supports, values.max(axis=1), out=supports)
    return supports


@dataclass(frozen=True, eq=False)
class BlurredTruth:
    """``K * Y`` lies in [low, high] for every 8-bit photograph Y whose bicubic reduction is the input.

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
        return np.nextafter(np.maximum(largest, 0).astype(np.float32), np.float32(2))


def blurred_truth(
    low_resolution: Image, scale: int, *, window: str, sigma: float | None = None, size: int | None = None
) -> BlurredTruth:
    """Bounds on the average of the truth over a window around each pixel.

    Parameters
    ----------
    low_resolution
        The input: (h, w, 3) uint8, the truth reduced by Pillow's bicubic filter, horizontally and then vertically,
        rounded and clipped to 8 bits after each.
    scale
        Whole-number factor of that reduction, at least 2.
    window, sigma, size
        ``gaussian`` with sigma, or ``box`` with an odd size, in pixels of the truth; borders reflected.

    Raises
    ------
    ImageError
        The input is not (h, w, 3) uint8.
    UsageError
        The scale or the window cannot be used.

    Notes
    -----
    Weak duality: for any L, ``K * Y - L A Y`` is a sum of the samples of Y with weights that sum to 0, so it is at most
    half their absolute sum. See docs/guarantees.md for the proof with rounding and clipping.
    """
    if low_resolution.ndim != 3 or low_resolution.shape[2] != 3 or low_resolution.dtype != np.uint8:
        raise ImageError(f"expected an input of (h, w, 3) uint8; got {low_resolution.shape} {low_resolution.dtype}")
    if scale < 2:
        raise UsageError(f"expected a scale of at least 2; got {scale}. At scale 1 the input is the truth")
    down = axis(low_resolution.shape[0] * scale, scale, window, sigma, size)
    across = axis(low_resolution.shape[1] * scale, scale, window, sigma, size)
    planes = low_resolution.transpose(2, 0, 1) / 255
    centre = down.recover @ planes @ across.recover.T
    # Clipping in the second pass shows: only values of 0 or 1 can have been clipped, by at most the negative taps.
    saturated = ((planes == 0) | (planes == 1)) * down.negative[:, None]
    radius = _radius(down, across) + np.abs(down.recover) @ saturated @ np.abs(across.recover).T
    return BlurredTruth(np.clip(centre - radius, 0, 1), np.clip(centre + radius, 0, 1))


def _radius(down: Axis, across: Axis) -> NDArray[np.float64]:
    """(H, W): residual of the approximation, both roundings, clipping in the first pass, inexact averaging."""

    def outer(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.multiply.outer(rows, columns)

    # K_p x K_q - k_p x k_q, split both ways; each has rows of K with mass 1.
    one_way = down.residual[:, None] + outer(down.kernel_mass, across.residual)
    other_way = across.residual[None, :] + outer(down.residual, across.kernel_mass)
    residual = np.minimum(one_way, other_way) / 2
    # Pillow's 8-bit filter keeps 22 bits of each tap.
    first, second = (0.5 / 255 + taps * 2.0**-23 for taps in (across.taps, down.taps))
    rounding = first * outer(down.kernel_mass, across.recover_mass) + second * outer(
        down.recover_mass, across.recover_mass
    )
    clipping = outer(down.kernel_mass, across.clipped)
    return residual + rounding + clipping + down.approximation + across.approximation
