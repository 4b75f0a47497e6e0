"""Variance over the draws and a square of pixels taken together, in whole numbers until the last division."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._border import reflected
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.support.types import Map

MAX_VALUES = 6_800_000
"""Most values a channel in one window, draws times pixels: times their sum of squares they fill 63 bits."""


def fits(draws: int, size: int) -> bool:
    """Whether `pooled_variance` can take so many draws and a square of so many pixels a side."""
    return draws * size * size <= MAX_VALUES


def pooled_variance(moments: Moments, size: int) -> Map:
    """Variance of all values in a square around each pixel, over all draws, summed over channels.

    Parameters
    ----------
    moments
        Sums over at least one draw.
    size
        Side of the square in pixels, odd; borders are reflected.

    Returns
    -------
    (H, W) float32 in [0, 3/4], white = 1: `(N S2 - sum_c S1_c^2) / (255 N)^2` for N values a channel. The numerator is
    an exact integer, so nothing cancels, and the variance is 0 where all values agree and nowhere else.
    """
    if moments.draws == 0 or not fits(moments.draws, size):
        raise UsageError(
            f"expected at least one draw and at most {MAX_VALUES} values in a window; got {moments.draws} draws and "
            f"windows of {size}x{size} pixels"
        )
    height, width = moments.shape
    out = np.empty((height, width), np.float32)
    # One pixel more in front: it leaves the first window, which begins as the one before it.
    padded, numerators = np.zeros((width + 2 * (size // 2) + 1, 4), np.int64), np.empty(width, np.int64)
    sums = moments.sums.reshape(height, 3 * width)
    _pooled(sums, moments.squares, moments.draws, size // 2, padded, numerators, out)
    return out


@kernel
def _pooled(
    sums: NDArray[Any],
    squares: NDArray[np.uint32],
    draws: int,
    radius: int,
    padded: NDArray[np.int64],
    numerators: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Running sums down the columns, then along each row of them; red, green, blue and squares side by side.

    `padded` holds the sums of the columns, with `radius` reflected ones on either side and one more in front.
    """
    height, width = out.shape
    # N of the formula: every draw of every pixel in the window counts as one value.
    values = draws * (2 * radius + 1) * (2 * radius + 1)
    divisor = (255.0 * np.float64(values)) * (255.0 * np.float64(values))
    columns = padded[radius + 1 : radius + 1 + width]
    # The window of the first row, reflected at the top; later rows differ from it by one row in and one out.
    for offset in range(-radius, radius + 1):
        place = reflected(offset, height)
        for x in range(width):
            for c in range(3):
                columns[x, c] += np.int64(sums[place, 3 * x + c])
            columns[x, 3] += np.int64(squares[place, x])
    for y in range(height):
        if y > 0:
            _move_down(
                sums[reflected(y + radius, height)],
                sums[reflected(y - radius - 1, height)],
                squares[reflected(y + radius, height)],
                squares[reflected(y - radius - 1, height)],
                columns,
            )
        # One pixel more on the left than on the right: the one that leaves the first window.
        for x in range(1, radius + 2):
            for c in range(4):
                padded[radius + 1 - x, c] = columns[reflected(-x, width), c]
        for x in range(radius):
            for c in range(4):
                padded[radius + 1 + width + x, c] = columns[reflected(width + x, width), c]
        _move_along(padded, values, 2 * radius + 1, numerators)
        target = out[y]
        for x in range(width):
            target[x] = np.float32(np.float64(numerators[x]) / divisor)


@kernel
def _move_down(
    sums_in: NDArray[Any],
    sums_out: NDArray[Any],
    squares_in: NDArray[np.uint32],
    squares_out: NDArray[np.uint32],
    columns: NDArray[np.int64],
) -> None:
    for x in range(columns.shape[0]):
        columns[x, 0] += np.int64(sums_in[3 * x]) - np.int64(sums_out[3 * x])
        columns[x, 1] += np.int64(sums_in[3 * x + 1]) - np.int64(sums_out[3 * x + 1])
        columns[x, 2] += np.int64(sums_in[3 * x + 2]) - np.int64(sums_out[3 * x + 2])
        columns[x, 3] += np.int64(squares_in[x]) - np.int64(squares_out[x])


@kernel
def _move_along(padded: NDArray[np.int64], values: int, size: int, numerators: NDArray[np.int64]) -> None:
    red = green = blue = square = np.int64(0)
    for x in range(size):
        red += padded[x, 0]
        green += padded[x, 1]
        blue += padded[x, 2]
        square += padded[x, 3]
    for x in range(numerators.size):
        red += padded[x + size, 0] - padded[x, 0]
        green += padded[x + size, 1] - padded[x, 1]
        blue += padded[x + size, 2] - padded[x, 2]
        square += padded[x + size, 3] - padded[x, 3]
        # A difference of whole numbers within 63 bits (`MAX_VALUES`), so that no digits cancel.
        numerators[x] = values * square - (red * red + green * green + blue * blue)


def warm_up() -> None:
    """Run every kernel of this module once."""
    moments = Moments((2, 2))
    moments.add(np.zeros((2, 2, 3), np.uint8))
    pooled_variance(moments, 3)
