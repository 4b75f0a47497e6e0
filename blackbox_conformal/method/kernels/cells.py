"""Measure what a delivered picture and its plain enlargement show in each cell, the block of one input pixel."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels._checks import image, image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image

PLANES, PRODUCTS, EXTREMES = 11, 21, 4  # Number of planes of `cell_statistics`, `cell_products`, `cell_extremes`.

MAX_SCALE = 16  # In larger cells sums of squares might leave 32 bits.
WHITE = 2040.0  # Brightness is 2 R + 5 G + B, a whole number.
_SUMS, _ROWS = 15, 12


def cell_statistics(delivered: Image, plain: Image, scale: int) -> NDArray[np.float32]:
    """Return means over cells of `scale` × `scale` pixels.

    `delivered`, `plain`: (H, W, 3) uint8: the vendor's picture, and the plain enlargement of its input.
    `scale`: Side of a cell, from 1 to 16; H and W are multiples.
    Returns: (11, H / scale, W / scale) float32, white = 1, in this order: the mean and the largest L1 gap between the
      two pictures; the mean by which the delivered one is brighter; the mean absolute differences to the next pixel,
      and absolute Laplacian, of its brightness; the differences to the next pixel of its two colour differences (R - G
      and B - G), and of the plain picture's brightness; the standard deviations of both brightnesses; the coherence of
      the structure tensor (Bigün and Granlund 1987) in [0, 1]; the share of channel values that are 0 or 255. Pixels
      beyond the border equal the nearest one.
    """
    delivered, plain = image_pair(delivered, plain)
    height, width = delivered.shape[:2]
    _check_scale(height, width, scale)
    out = np.empty((PLANES, height // scale, width // scale), np.float32)
    rows, sums = np.empty((_ROWS, width + 1), np.int32), np.empty((_SUMS, width), np.int32)
    _cell_statistics(delivered.reshape(height, -1), plain.reshape(height, -1), scale, rows, sums, out)
    return out


@kernel
def _cell_statistics(
    delivered: NDArray[np.uint8],
    plain: NDArray[np.uint8],
    scale: int,
    rows: NDArray[np.int32],
    sums: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Add rows of pixels to sums for each column; each row of cells empties the sums."""
    height = delivered.shape[0]
    # Each of the four channels keeps three rows: before, at and after the pixel's.
    above, here, below = rows[0:4], rows[4:8], rows[8:12]
    _channels(delivered[0], plain[0], here)
    # The row above the first one equals it, as all pixels beyond the border do.
    above[:] = here
    for y in range(height):
        _channels(delivered[min(y + 1, height - 1)], plain[min(y + 1, height - 1)], below)
        if y % scale == 0:
            sums[:] = 0
        _add_gap(delivered[y], plain[y], sums)
        _add_brightness(above[0], here, below, sums)
        if y % scale == scale - 1:
            _finish(sums, scale, out[:, y // scale])
        # The three rows change roles; the next pass overwrites what is above now.
        above, here, below = here, below, above


@kernel
def _channels(delivered: NDArray[np.uint8], plain: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
    """Return brightness, R - G and B - G of the delivered row and the plain row's brightness, the last pixel twice."""
    width = out.shape[1] - 1
    for x in range(width):
        red, green, blue = np.int32(delivered[3 * x]), np.int32(delivered[3 * x + 1]), np.int32(delivered[3 * x + 2])
        # Whole-number weights near BT.601's (0.299, 0.587, 0.114 times 8), so that sums stay exact.
        out[0, x] = np.int32(2) * red + np.int32(5) * green + blue
        out[1, x] = red - green
        out[2, x] = blue - green
        red, green, blue = np.int32(plain[3 * x]), np.int32(plain[3 * x + 1]), np.int32(plain[3 * x + 2])
        out[3, x] = np.int32(2) * red + np.int32(5) * green + blue
    for channel in range(4):
        out[channel, width] = out[channel, width - 1]


@kernel
def _add_gap(delivered: NDArray[np.uint8], plain: NDArray[np.uint8], sums: NDArray[np.int32]) -> None:
    total, largest, clipped = sums[0], sums[1], sums[2]
    for x in range(total.size):
        gap, edge = np.int32(0), np.int32(0)
        for channel in range(3):
            value = np.int32(delivered[3 * x + channel])
            gap += abs(value - np.int32(plain[3 * x + channel]))
            edge += np.int32((value == 0) | (value == 255))
        total[x] += gap
        largest[x] = max(largest[x], gap)
        clipped[x] += edge


@kernel
def _add_brightness(
    above: NDArray[np.int32], here: NDArray[np.int32], below: NDArray[np.int32], sums: NDArray[np.int32]
) -> None:
    bright, plain, under, plain_under = here[0], here[3], below[0], below[3]
    first, second, first_under, second_under = here[1], here[2], below[1], below[2]
    for x in range(sums.shape[1]):
        value, right, down = bright[x], bright[x + 1] - bright[x], under[x] - bright[x]
        # At the left border the neighbour is the pixel itself, so the difference is 0.
        left = bright[max(x - 1, 0)] - value
        sums[3, x] += value - plain[x]
        sums[4, x] += abs(right) + abs(down)
        sums[5, x] += abs(right + left + down + (above[x] - value))
        sums[6, x] += abs(first[x + 1] - first[x]) + abs(second[x + 1] - second[x])
        sums[6, x] += abs(first_under[x] - first[x]) + abs(second_under[x] - second[x])
        sums[7, x] += abs(plain[x + 1] - plain[x]) + abs(plain_under[x] - plain[x])
        sums[8, x] += value
        sums[9, x] += value * value
        sums[10, x] += plain[x]
        sums[11, x] += plain[x] * plain[x]
        # With Jxx, Jyy and Jxy of the structure tensor: Jxx + Jyy, Jxx - Jyy and Jxy.
        sums[12, x] += right * right + down * down
        sums[13, x] += right * right - down * down
        sums[14, x] += right * down


@kernel
def _finish(sums: NDArray[np.int32], scale: int, out: NDArray[np.float32]) -> None:
    """Turn the sums of the columns into means of one row of cells, in whole numbers until the last division."""
    count = np.float64(scale * scale)
    total = np.empty(sums.shape[0], np.int64)
    for cell in range(out.shape[1]):
        total[:] = 0
        for x in range(cell * scale, (cell + 1) * scale):
            for k in range(total.size):
                # Row 1 holds a maximum, every other row a sum.
                total[k] = max(total[k], np.int64(sums[k, x])) if k == 1 else total[k] + np.int64(sums[k, x])
        out[0, cell] = total[0] / (255 * count)
        out[1, cell] = total[1] / 255.0
        for k in range(3):
            out[2 + k, cell] = total[3 + k] / (WHITE * count)
        out[5, cell] = total[6] / (255 * count)
        out[6, cell] = total[7] / (WHITE * count)
        for k in range(2):
            # The standard deviation is sqrt(N S2 - S1^2) / N. Both products are whole and below 2^53, so the root gets
            # no negative.
            squares, mean = np.float64(total[9 + 2 * k]) * count, np.float64(total[8 + 2 * k])
            out[7 + k, cell] = np.sqrt(squares - mean * mean) / (WHITE * count)
        # Coherence is sqrt((Jxx - Jyy)^2 + 4 Jxy^2) / (Jxx + Jyy); a flat cell has no direction.
        energy, difference, product = total[12], np.float64(total[13]), 2.0 * total[14]
        out[9, cell] = np.sqrt(difference * difference + product * product) / energy if energy > 0 else 0.0
        out[10, cell] = total[2] / (3 * count)


def cell_products(delivered: Image, free: Image, plain: Image, scale: int) -> NDArray[np.float32]:
    """Return mean products over cells of `a = delivered - plain`, `r = free - plain` and `u = plain`.

    `scale`: As for `cell_statistics`.
    Returns: (21, H / scale, W / scale) float32 in grey levels, or their squares, in this order: aa, ar, au, rr, ru and
      uu, over pixels and channels; the mean of a in red, green and blue, of r and of u; the six products again of what
      the brightness of a, r and u changes to the next pixel, to the right and down together. Pixels beyond the border
      equal the nearest one.
    """
    delivered, plain = image_pair(delivered, plain)
    free, plain = image_pair(free, plain)
    height, width = delivered.shape[:2]
    _check_scale(height, width, scale)
    out = np.empty((PRODUCTS, height // scale, width // scale), np.float32)
    sums, steps = np.empty((9, 3 * width), np.int32), np.empty((6, width), np.int32)
    first, second, third = (picture.reshape(height, -1) for picture in (delivered, free, plain))
    _cell_products(first, second, third, scale, np.empty((6, width + 1), np.int32), sums, steps, out)
    return out


@kernel
def _cell_products(
    delivered: NDArray[np.uint8],
    free: NDArray[np.uint8],
    plain: NDArray[np.uint8],
    scale: int,
    rows: NDArray[np.int32],
    sums: NDArray[np.int32],
    steps: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Add rows of pixels to sums for each column and channel; each row of cells empties the sums."""
    height, width = delivered.shape[0], steps.shape[1]
    here, below = rows[0:3], rows[3:6]
    _brightness(delivered[0], free[0], plain[0], here)
    for y in range(height):
        under = min(y + 1, height - 1)
        _brightness(delivered[under], free[under], plain[under], below)
        if y % scale == 0:
            sums[:], steps[:] = 0, 0
        for i in range(3 * width):
            u = np.int32(plain[y, i])
            a, r = np.int32(delivered[y, i]) - u, np.int32(free[y, i]) - u
            _add_six(sums, i, a, r, u)
            sums[6, i] += a
            sums[7, i] += r
            sums[8, i] += u
        for x in range(width):
            _add_six(steps, x, here[0, x + 1] - here[0, x], here[1, x + 1] - here[1, x], here[2, x + 1] - here[2, x])
            _add_six(steps, x, below[0, x] - here[0, x], below[1, x] - here[1, x], below[2, x] - here[2, x])
        if y % scale == scale - 1:
            _finish_products(sums, steps, scale, out[:, y // scale])
        here, below = below, here


@kernel
def _brightness(
    delivered: NDArray[np.uint8], free: NDArray[np.uint8], plain: NDArray[np.uint8], out: NDArray[np.int32]
) -> None:
    """Return 2 R + 5 G + B of the three differences, the last pixel twice."""
    width = out.shape[1] - 1
    for x in range(width):
        u = 2 * np.int32(plain[3 * x]) + 5 * np.int32(plain[3 * x + 1]) + np.int32(plain[3 * x + 2])
        out[0, x] = 2 * np.int32(delivered[3 * x]) + 5 * np.int32(delivered[3 * x + 1]) + delivered[3 * x + 2] - u
        out[1, x] = 2 * np.int32(free[3 * x]) + 5 * np.int32(free[3 * x + 1]) + free[3 * x + 2] - u
        out[2, x] = u
    for k in range(3):
        out[k, width] = out[k, width - 1]


@kernel
def _add_six(sums: NDArray[np.int32], place: int, a: np.int32, r: np.int32, u: np.int32) -> None:
    sums[0, place] += a * a
    sums[1, place] += a * r
    sums[2, place] += a * u
    sums[3, place] += r * r
    sums[4, place] += r * u
    sums[5, place] += u * u


@kernel
def _finish_products(sums: NDArray[np.int32], steps: NDArray[np.int32], scale: int, out: NDArray[np.float32]) -> None:
    """Use one loop for sums over neighbours and one for sums over a channel; each loop takes long to compile."""
    count = np.float64(scale * scale)
    for plane in range(12):
        # Over all three channels, and over columns. Brightness is eight times grey.
        wide, parts = (3, 3 * count) if plane < 6 else (1, 64 * count)
        source, target = sums[plane] if plane < 6 else steps[plane - 6], out[plane if plane < 6 else plane + 9]
        for cell in range(out.shape[1]):
            total = np.int64(0)
            for place in range(cell * scale * wide, (cell + 1) * scale * wide):
                total += source[place]
            target[cell] = total / parts
    for plane in range(9):
        source, target = sums[6 + plane // 3, plane % 3 :], out[6 + plane]
        for cell in range(out.shape[1]):
            total = np.int64(0)
            for x in range(cell * scale, (cell + 1) * scale):
                total += source[3 * x]
            target[cell] = total / count


def _check_scale(height: int, width: int, scale: int) -> None:
    if not 1 <= scale <= MAX_SCALE or height % scale or width % scale:
        raise ImageError(
            f"expected sides that are multiples of a scale from 1 to {MAX_SCALE}; got {width}x{height}, {scale}"
        )


def cell_extremes(pixels: Image, scale: int) -> NDArray[np.int32]:
    """What the brightness 2 R + 5 G + B does in each cell of `scale` × `scale` pixels.

    `scale`: Side of a cell; H and W are multiples of it.
    Returns: (4, H / scale, W / scale) int32, white = 2040: its smallest and its largest value, its sum, and the sum of
      its squares in units of 16.
    """
    pixels = image(pixels)
    height, width = pixels.shape[:2]
    if height % scale or width % scale:
        raise ImageError(f"expected sides that are multiples of {scale}; got {width}×{height}. Cut the picture first")
    out = np.zeros((EXTREMES, height // scale, width // scale), np.int32)
    _extremes(pixels.reshape(height, -1), scale, np.empty((EXTREMES, width), np.int32), out)
    return out


@kernel
def _extremes(pixels: NDArray[np.uint8], scale: int, columns: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    width = columns.shape[1]
    for row in range(out.shape[1]):
        columns[0] = np.int32(2040)
        columns[1:] = np.int32(0)
        low, high, total, squares = columns[0], columns[1], columns[2], columns[3]
        for y in range(row * scale, (row + 1) * scale):
            line = pixels[y]
            for x in range(width):
                value = np.int32(
                    np.int32(2) * np.int32(line[3 * x])
                    + np.int32(5) * np.int32(line[3 * x + 1])
                    + np.int32(line[3 * x + 2])
                )
                low[x] = min(low[x], value)
                high[x] = max(high[x], value)
                total[x] += value
                squares[x] += np.int32(value * value) >> np.int32(4)
        for cell in range(out.shape[2]):
            out[0, row, cell] = low[cell * scale : (cell + 1) * scale].min()
            out[1, row, cell] = high[cell * scale : (cell + 1) * scale].max()
            out[2, row, cell] = total[cell * scale : (cell + 1) * scale].sum()
            out[3, row, cell] = squares[cell * scale : (cell + 1) * scale].sum()


def warm_up() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    cell_statistics(black, black, 2)
    cell_products(black, black, black, 2)
    cell_extremes(black, 2)
