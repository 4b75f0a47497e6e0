"""Squared differences of two pictures, summed over pixels of one kind at a time: exact."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image


def summed_squares(picture: Image, truth: Image, kinds: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """For each kind of pixel the sum of squared differences over its pixels and channels.

    Parameters
    ----------
    picture, truth
        (H, W, 3) uint8, or both (H, W, bands) uint16, whose sums are rounded.
    kinds
        (H, W) uint8; a kind from `count` on is the last one.
    count
        How many kinds there are, at most 256.

    Returns
    -------
    (count,) int64.
    """
    if picture.dtype == np.uint16:
        squares = np.zeros(kinds.shape)
        for band in range(picture.shape[2]):
            squares += np.square(picture[:, :, band].astype(np.float64) - truth[:, :, band])
        # In the same unit: three channels of grey levels.
        weights = squares.ravel() * (3 / picture.shape[2] * (255 / 65535) ** 2)
        return np.rint(np.bincount(np.minimum(kinds, count - 1).ravel(), weights, count)).astype(np.int64)
    picture, truth = image_pair(picture, truth)
    sums = np.zeros(count, np.int64)
    _add_squares(picture.ravel(), truth.ravel(), np.ascontiguousarray(kinds).ravel(), sums)
    return sums


@kernel
def _add_squares(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], kinds: NDArray[np.uint8], sums: NDArray[np.int64]
) -> None:
    for i in range(kinds.size):
        square = np.int64(0)
        for channel in range(3 * i, 3 * i + 3):
            apart = np.int64(picture[channel]) - np.int64(truth[channel])
            square += apart * apart
        place = np.int64(kinds[i])
        sums[place if place < sums.size else sums.size - 1] += square


def warm_up() -> None:
    """Run every kernel of this module once."""
    black = np.zeros((2, 2, 3), np.uint8)
    summed_squares(black, black, np.zeros((2, 2), np.uint8), 1)
