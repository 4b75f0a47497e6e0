"""A picture that lies moved against its input by whole pixels, and the same moved back: ``--delivery aligned``."""

import math

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.detail import displacement
from blackbox_conformal.method.metrics._detail import FARTHEST, enlarged
from blackbox_conformal.support.types import Image, Mask

MOST = 16  # Pixels; a picture that lies farther away is left as it is.
_STEPS = 8  # Of estimating what is left to move, each from the picture as it was moved so far.


def lies_at(picture: Image, low_resolution: Image) -> tuple[int, int]:
    """Return by how many whole pixels `picture` lies below and to the right of its input, at most `MOST` each.

    (0, 0) where no move by whole pixels brings it within a quarter of a pixel of the input. `picture` is (H, W, 3)
    uint8, `low_resolution` (H / scale, W / scale, 3) uint8.
    """
    plain, sigma = enlarged(low_resolution, picture.shape[0] // low_resolution.shape[0])
    down = right = 0
    for _ in range(_STEPS):
        y, x = displacement(moved_back(picture, down, right)[0], plain, sigma)
        if math.hypot(y, x) <= FARTHEST:
            return down, right
        down, right = down + round(y), right + round(x)
        if max(abs(down), abs(right)) > MOST:
            break
    return 0, 0


def moved_back(picture: Image, down: int, right: int) -> tuple[Image, Mask]:
    """Return a picture moved up by `down` and left by `right`, and where its edge is repeated: (H, W) bool."""
    rows, no_row = _places(picture.shape[0], down)
    columns, no_column = _places(picture.shape[1], right)
    return np.ascontiguousarray(picture[rows][:, columns]), no_row[:, None] | no_column


def _places(size: int, by: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    wanted = np.arange(size) + by
    found = np.clip(wanted, 0, size - 1)
    return found, found != wanted


def aligned(picture: Image, low_resolution: Image) -> tuple[Image, Mask]:
    """Return a picture moved to where its input lies, and where its edge is repeated: (H, W) bool."""
    return moved_back(picture, *lies_at(picture, low_resolution))
