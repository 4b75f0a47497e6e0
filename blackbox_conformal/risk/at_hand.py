"""How far the truth can be from one delivered picture, from its colours alone: a bound a pixel, and as a staircase.

The truth is some 8-bit sRGB colour. Which bound goes with which metric lives in `guarantees.at_hand`.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels.distance import Planes, lab_planes
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.exact import largest_loss
from blackbox_conformal.types import Image, Map

SIGNS = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], dtype=np.float64)
"""The eight sign patterns: ``|v|_1 = max_s s·v``."""

ROUNDING = np.float32(2e-5)
"""Covers the single precision of distances and of averages of them."""

LAB_SUPPORTS = np.array([2.258498, 1.229435, 1.544136, 0.156084, 1.084435, 0.413435, 0.038505, -0.961026])
"""``max over 8-bit sRGB of s·lab``, in normalised Lab, for the rows of `SIGNS`: exhaustive search, rounded up."""


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
    most = np.full(lab.shape[1:], -np.inf, np.float32)
    for signs, support in zip(SIGNS.astype(np.float32), LAB_SUPPORTS, strict=True):
        np.maximum(most, np.float32(support) - np.tensordot(signs, lab, axes=1), out=most)
    return most + ROUNDING


def rgb_planes(pixels: Image) -> Planes:
    """(3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def farthest_rgb(planes: Planes) -> Planes:
    """(3, H, W) float32: the largest absolute difference of each channel to any value, white = 1."""
    return np.maximum(planes, 1 - planes) + ROUNDING


def bound_curve(indecision: Map, most: Map, bound: float) -> RiskCurve:
    """``B_new(t)``: the largest of `most` over pixels trusted at t, never above `bound`."""
    return RiskCurve.from_maps(indecision, np.minimum(most, largest_loss(bound)), bound=bound)


def lab_supports() -> NDArray[np.float64]:
    """The support values by exhaustive search over all 16.7 million colours; takes seconds."""
    found = np.full(8, -np.inf)
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=2)
        values = SIGNS @ lab_planes(pixels).reshape(3, -1).astype(np.float64)
        np.maximum(found, values.max(axis=1), out=found)
    return found
