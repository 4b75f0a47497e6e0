"""Which pixels are trusted at a threshold: the only place in the project that compares scores with thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.types import Map, Mask


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """A pixel, counted from 0 at the top left, and the metric's value there."""

    row: int
    column: int
    error: float


def worst_place(errors: Map, mask: Mask) -> PixelPlace | None:
    """Return the trusted pixel with the largest error, the first of equals; None when nothing is trusted.

    `errors` is (H, W) float32, at least 0; `mask` is (H, W) bool, True = trusted.
    """
    if not mask.any():
        return None
    # Errors are at least 0, so -1 keeps untrusted pixels from being chosen.
    row, column = (int(index) for index in np.unravel_index(np.argmax(np.where(mask, errors, -1)), mask.shape))
    return PixelPlace(row, column, float(errors[row, column]))


def window(place: PixelPlace, size: tuple[int, int], side: int) -> tuple[slice, slice]:
    """Return rows and columns of a square of `side` pixels around `place`, inside a picture of (H, W) `size`."""
    # Moved inside the picture instead of cut, so that all windows have one size.
    top = min(max(place.row - side // 2, 0), max(size[0] - side, 0))
    left = min(max(place.column - side // 2, 0), max(size[1] - side, 0))
    return slice(top, min(top + side, size[0])), slice(left, min(left + side, size[1]))


def trusted(score_map: Map, threshold: float) -> Mask:
    """Pixels whose score lies strictly below the threshold.

    Strict, so that the risk curve is left-continuous and the largest admissible threshold is attained; pixels
    with equal scores are trusted together or not at all.

    Parameters
    ----------
    score_map
        Score map of any shape, float32; larger = less sure.
    threshold
        ``-inf`` trusts nothing, ``+inf`` everything that has a score; NaN is refused.

    Returns
    -------
    Mask
        True = trusted, same shape. A NaN score is never trusted, not even at ``+inf``.

    Raises
    ------
    UsageError
        The threshold is NaN.
    """
    if math.isnan(threshold):
        raise UsageError("expected a threshold, -inf for nothing or +inf for everything; got NaN. Calibrate again")
    scores = np.asarray(score_map, dtype=np.float32)
    if threshold == math.inf:
        # Below, NaN fails the comparison by itself; here it needs a rule.
        return ~np.isnan(scores)
    # A float64 scalar, since numpy would round a Python float to float32 before the comparison.
    mask: Mask = scores < np.float64(threshold)
    return mask


def trusted_share(mask: Mask, opacity: NDArray[np.uint8] | None) -> float:
    """Return the trusted share of the visible pixels; `opacity`: the alpha channel, None where all are visible."""
    return float(np.mean(mask if opacity is None else mask[opacity > 0]))


def threshold_json(threshold: float) -> float | Literal["inf"] | None:
    """Return a threshold for JSON: None nothing can be trusted, ``"inf"`` everything."""
    if threshold == math.inf:
        return "inf"
    return None if threshold == -math.inf else threshold
