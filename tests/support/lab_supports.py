"""The support values that `blackbox_conformal.method.risk` states as numbers, found by exhaustive search."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.distance import lab_planes
from blackbox_conformal.method.risk.truth_bounds import SIGNS


def lab_supports(
    patterns: NDArray[np.float64] = SIGNS, slope: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> NDArray[np.float64]:
    """``max over 8-bit sRGB of (s·lab - slope·rgb)`` for each row s of `patterns`, white = 1, by exhaustive search.

    All 16.7 million colours are tried; takes seconds.
    """
    supports = np.full(len(patterns), -np.inf)
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=2)
        values = patterns @ lab_planes(pixels).reshape(3, -1).astype(np.float64)
        values -= (pixels @ np.array(slope) / 255).reshape(-1)
        np.maximum(supports, values.max(axis=1), out=supports)
    return supports
