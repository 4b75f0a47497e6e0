"""Where a mask is most wrong: the trusted pixel with the largest error, and a window around it."""

from dataclasses import dataclass

import numpy as np

from blackbox_conformal.support.types import Map, Mask


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """A pixel at full resolution, counted from 0 at the top left, and the metric's value there."""

    row: int
    column: int
    error: float


def worst_place(errors: Map, mask: Mask) -> PixelPlace | None:
    """The trusted pixel with the largest error, the first of equals; None when nothing is trusted.

    Parameters
    ----------
    errors
        (H, W) float32, errors >= 0.
    mask
        (H, W) bool, True = trusted.
    """
    if not mask.any():
        return None
    # Errors are at least 0, so -1 keeps untrusted pixels from being chosen.
    row, column = (int(index) for index in np.unravel_index(np.argmax(np.where(mask, errors, -1)), mask.shape))
    return PixelPlace(row, column, float(errors[row, column]))


def window(place: PixelPlace, size: tuple[int, int], side: int) -> tuple[slice, slice]:
    """The rows and columns of a square of `side` pixels around `place`, inside a picture of (H, W) `size`."""
    # Moved inside the picture instead of cut, so that all windows have one size.
    top = min(max(place.row - side // 2, 0), max(size[0] - side, 0))
    left = min(max(place.column - side // 2, 0), max(size[1] - side, 0))
    return slice(top, min(top + side, size[0])), slice(left, min(left + side, size[1]))
