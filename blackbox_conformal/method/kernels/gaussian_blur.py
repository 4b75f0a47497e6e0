"""Blur 8-bit pictures by a Gaussian in whole numbers: the same to the byte on every machine.

`windows` averages in floating point, whose last bit may differ from processor to processor. Rounded to 8 bits it now
and then makes another pixel, and a changed input is paid for again.
"""

from decimal import Context, Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.windows import reflected
from blackbox_conformal.support.types import Image

MAX_SIGMA = 50.0

BITS = 16  # The taps are multiples of 2^-16, and sum to 1.

KEPT = 6
"""Bits after the point between the two passes. Two values of the second pass fit into 16 bits, and its sums into 30.

Processors multiply 16-bit numbers twice as fast as others; all taps but the centre have 16 bits, too.
"""

TILE = 2048
"""Values of a row that meet all taps before the next values, so few that their sums stay in the first-level cache."""


def blurred(pixels: Image, sigma: float) -> Image:
    """Average `pixels` by a Gaussian that ends at four standard deviations, with reflected borders.

    `pixels`: (H, W, 3) uint8, of any size: smaller than the kernel means reflected repeatedly.
    `sigma`: Standard deviation in pixels, in (0, 50].
    Returns: (H, W, 3) uint8, rounded to nearest. Constants are kept.
    """
    centre, *sides = fixed_taps(sigma)
    height, width = pixels.shape[:2]
    out = np.empty((height, width * 3), np.uint8)
    _blur(
        np.ascontiguousarray(pixels).reshape(height, width * 3),
        # The centre may be 2^16 (a tiny sigma), which does not fit the 16 bits of the other taps.
        np.int32(centre),
        np.array(sides, np.int16),
        np.empty((width + 2 * len(sides)) * 3, np.int16),
        np.empty(TILE, np.int32),
        out,
    )
    return out.reshape(height, width, 3)


def fixed_taps(sigma: float) -> list[int]:
    """Return one side of the kernel in 2^-16, from its centre outwards; zeros behind: all but the centre in threes.

    Decimal arithmetic rounds correctly, so the taps are the same everywhere. The centre takes what rounding leaves
    over.
    """
    if not 0 < sigma <= MAX_SIGMA:
        raise UsageError(f"expected sigma in (0, {MAX_SIGMA:g}] pixels; got {sigma!r}. Choose another sigma")
    # A context of its own, since the caller's may round otherwise, and the taps are part of what is paid for.
    with localcontext(Context(prec=30)):
        spread = 2 * Decimal(sigma) ** 2
        sampled = [(-(place * place) / spread).exp() for place in range(int(4 * sigma + 0.5) + 1)]
        total = 2 * sum(sampled) - sampled[0]
        taps = [int((value * 2**BITS / total).to_integral_value()) for value in sampled]
    taps[0] = 2**BITS - 2 * sum(taps[1:])
    return taps + [0] * ((1 - len(taps)) % 3)


@kernel
def _blur(
    values: NDArray[np.uint8],
    centre: np.int32,
    sides: NDArray[np.int16],
    padded: NDArray[np.int16],
    sums: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Go row by row: down the columns into `padded`, then along the row. A row holds its pixels' channels in turn."""
    height, length = values.shape
    width, reach = length // 3, sides.size
    for y in range(height):
        # The row lies between `reach` pixels of padding on either side.
        middle = padded[3 * reach : 3 * reach + length]
        for start in range(0, length, TILE):
            _weigh_columns(values[:, start : start + TILE], centre, sides, y, sums, middle[start : start + TILE])
        for x in range(1, reach + 1):
            left, right = reflected(-x, width), reflected(width - 1 + x, width)
            for channel in range(3):
                padded[3 * (reach - x) + channel] = middle[3 * left + channel]
                padded[3 * (reach + width - 1 + x) + channel] = middle[3 * right + channel]
        for start in range(0, length, TILE):
            _weigh_row(padded[start:], centre, sides, sums, out[y, start : start + TILE])


@kernel
def _weigh_columns(
    values: NDArray[np.uint8],
    centre: np.int32,
    sides: NDArray[np.int16],
    y: int,
    sums: NDArray[np.int32],
    out: NDArray[np.int16],
) -> None:
    """Average down the columns around row `y`, three taps a pass on either side, in 2^-KEPT."""
    height, row = values.shape[0], values[y]
    for x in range(out.size):
        # Half a unit of the last bit kept, so that the shift below rounds to nearest.
        sums[x] = np.int32(centre * np.int32(row[x]) + np.int32(1 << (BITS - KEPT - 1)))
    for k in range(0, sides.size, 3):
        t0, t1, t2 = np.int32(sides[k]), np.int32(sides[k + 1]), np.int32(sides[k + 2])
        a0, b0 = values[reflected(y - k - 1, height)], values[reflected(y + k + 1, height)]
        a1, b1 = values[reflected(y - k - 2, height)], values[reflected(y + k + 2, height)]
        a2, b2 = values[reflected(y - k - 3, height)], values[reflected(y + k + 3, height)]
        for x in range(out.size):
            near = t0 * (np.int32(a0[x]) + np.int32(b0[x])) + t1 * (np.int32(a1[x]) + np.int32(b1[x]))
            sums[x] += np.int32(near + t2 * (np.int32(a2[x]) + np.int32(b2[x])))
    for x in range(out.size):
        out[x] = np.int16(sums[x] >> np.int32(BITS - KEPT))


@kernel
def _weigh_row(
    padded: NDArray[np.int16],
    centre: np.int32,
    sides: NDArray[np.int16],
    sums: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Average along a row that has `sides.size` more pixels at either end."""
    reach = sides.size
    middle = padded[3 * reach :]
    for x in range(out.size):
        # Half a unit of the last bit kept, so that the shift below rounds to nearest.
        sums[x] = np.int32(centre * np.int32(middle[x]) + np.int32(1 << (BITS + KEPT - 1)))
    for k in range(0, reach, 3):
        t0, t1, t2 = np.int32(sides[k]), np.int32(sides[k + 1]), np.int32(sides[k + 2])
        # The pixels k + 3 to the left of the first one, and k + 1 to the right.
        left, right = padded[3 * (reach - k - 3) :], padded[3 * (reach + k + 1) :]
        for x in range(out.size):
            # Values of 14 bits (8 and KEPT): two of them add up in 16 bits, which multiply at double speed.
            near = t0 * np.int32(np.int16(left[x + 6] + right[x])) + t1 * np.int32(np.int16(left[x + 3] + right[x + 3]))
            sums[x] += np.int32(near + t2 * np.int32(np.int16(left[x] + right[x + 6])))
    for x in range(out.size):
        out[x] = np.uint8(sums[x] >> np.int32(BITS + KEPT))


def warm_up() -> None:
    blurred(np.zeros((2, 2, 3), np.uint8), 1.0)
