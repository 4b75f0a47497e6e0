"""Add a small difference to a large picture, enlarged by the bicubic filter, in whole numbers.

Nothing depends on the order of floating-point sums, so the result is the same to the byte on every machine.
"""

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image

BITS = 10  # Taps are multiples of 2^-10, exact for factors 1, 2 and 4; two passes over 8-bit values fill 30 bits.
ROWS = 4  # Enlarged rows of the difference that are kept: enough to make one row of the picture.
TILE = 1024  # Values of these rows that are used before the next ones, so few that they stay in the first-level cache.


def add_enlarged(pixels: Image, difference: NDArray[np.int16]) -> None:
    """Add to `pixels` the `difference`, enlarged to their size by the bicubic filter of Keys (1981) with a = -1/2.

    `pixels`: (H, W, 3) uint8, C-contiguous; becomes the sum, rounded, halves up, and held to 0-255.
    `difference`: (H / factor, W / factor, 3) int16, in [-255, 255]. The factor is a whole number; at 1 nothing is
      enlarged. Beyond the border the nearest sample counts.
    """
    _checks.image(pixels)
    if not (pixels.flags.c_contiguous and pixels.flags.writeable):
        raise ImageError("expected a C-contiguous picture that may be changed; got a view. Give its copy()")
    height, width = pixels.shape[:2]
    rows, columns = difference.shape[:2]
    factor = height // rows
    if (height, width) != (rows * factor, columns * factor):
        raise ImageError(f"expected a difference a whole factor smaller than {width}×{height}; got {columns}×{rows}")
    _add(
        pixels.reshape(height, -1),
        np.ascontiguousarray(difference, np.int16).reshape(rows, -1),
        phase_taps(factor),
        np.empty((columns + 4) * 3, np.int32),
        np.empty(columns * 3, np.int32),
        np.empty((ROWS, width * 3), np.int32),
        np.empty(2 * TILE, np.int16),
    )


@cache
def phase_taps(factor: int) -> NDArray[np.int32]:
    """Return the weights of four samples for each pixel of a sample: (factor, 4) in 2^-10, rows sum to 1.

    The four begin two samples before in the first half of these pixels, else one before.
    """
    taps = np.zeros((factor, 4), np.int32)
    for phase in range(factor):
        # How far the pixel's centre lies from the sample's, in samples.
        place = Fraction(2 * phase + 1 - factor, 2 * factor)
        begin = -2 if place < 0 else -1
        taps[phase] = [round(_weight(abs(begin + k - place)) * 2**BITS) for k in range(4)]
        # What rounding leaves over goes to the nearest sample.
        taps[phase, -begin] += 2**BITS - taps[phase].sum()
    return taps


def _weight(distance: Fraction) -> Fraction:
    # The two pieces of Keys's kernel for a = -1/2, as exact fractions.
    if distance < 1:
        return (Fraction(3, 2) * distance - Fraction(5, 2)) * distance**2 + 1
    return ((Fraction(5, 2) - distance / 2) * distance - 4) * distance + 2


@kernel
def _add(
    pixels: NDArray[np.uint8],
    difference: NDArray[np.int16],
    taps: NDArray[np.int32],
    padded: NDArray[np.int32],
    samples: NDArray[np.int32],
    wide: NDArray[np.int32],
    changes: NDArray[np.int16],
) -> None:
    """Make the picture between the centres of two rows of the difference, from these and the next on either side.

    A row holds its pixels' channels in turn.
    """
    factor, last = taps.shape[0], difference.shape[0] - 1
    half = factor // 2
    # Four rows early: the ring must hold four enlarged rows before the first row of the picture is made of them.
    for row in range(-4, last + 1):
        _widen(difference[min(max(row + 2, 0), last)], taps, padded, samples, wide[(row + 2) % ROWS])
        for start in range(0, pixels.shape[1] if row >= -1 else 0, TILE):
            tile = slice(start, min(start + TILE, pixels.shape[1]))
            a, b = wide[(row - 1) % ROWS, tile], wide[row % ROWS, tile]
            c, d = wide[(row + 1) % ROWS, tile], wide[(row + 2) % ROWS, tile]
            if _is_zero(a) and _is_zero(b) and _is_zero(c) and _is_zero(d):
                # As in much of a smooth picture.
                continue
            # From the centre of one row of the difference to the centre of the next: phases run over the end of a row.
            for phase in range(half, half + factor, 2):
                _weigh(a, b, c, d, taps[phase % factor], taps[(phase + 1) % factor], changes)
                y = row * factor + phase
                if 0 <= y < pixels.shape[0]:
                    _change(pixels[y, tile], changes)
                # With an odd factor the second row of the last pair belongs to the next turn.
                if 0 <= y + 1 < pixels.shape[0] and phase + 1 < half + factor:
                    _change(pixels[y + 1, tile], changes[TILE:])


@kernel
def _is_zero(values: NDArray[np.int32]) -> bool:
    bits = np.int32(0)
    for x in range(values.size):
        bits |= values[x]
    return bool(bits == 0)


@kernel
def _weigh(
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    c: NDArray[np.int32],
    d: NDArray[np.int32],
    taps: NDArray[np.int32],
    next_taps: NDArray[np.int32],
    changes: NDArray[np.int16],
) -> None:
    """Change two rows at once, since reading takes longer than multiplying; the second begins at `TILE`."""
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    n0, n1, n2, n3 = next_taps[0], next_taps[1], next_taps[2], next_taps[3]
    # Half a unit before the shift, which rounds down: together they round halves up.
    half = np.int32(1 << (2 * BITS - 1))
    for x in range(a.size):
        p, q, r, s = a[x], b[x], c[x], d[x]
        changes[x] = np.int16(np.int32(t0 * p + t1 * q + t2 * r + t3 * s + half) >> np.int32(2 * BITS))
        changes[TILE + x] = np.int16(np.int32(n0 * p + n1 * q + n2 * r + n3 * s + half) >> np.int32(2 * BITS))


@kernel
def _change(pixels: NDArray[np.uint8], changes: NDArray[np.int16]) -> None:
    for x in range(pixels.size):
        # A byte plus a change in [-510, 510] fits 16 bits, so the sum is clipped and never wraps.
        value = np.int16(np.int16(pixels[x]) + changes[x])
        pixels[x] = np.uint8(min(max(value, np.int16(0)), np.int16(255)))


@kernel
def _widen(
    row: NDArray[np.int16],
    taps: NDArray[np.int32],
    padded: NDArray[np.int32],
    samples: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Enlarge one row of the difference along itself, in 2^-10.

    `padded` has room for two more samples at each end, `samples` for one pixel of each sample.
    """
    factor, columns = taps.shape[0], row.size // 3
    for column in range(columns + 4):
        source = min(max(column - 2, 0), columns - 1)
        for channel in range(3):
            padded[3 * column + channel] = row[3 * source + channel]
    places, pixels = out.reshape(columns, factor, 3), samples.reshape(columns, 3)
    for phase in range(factor):
        # In the first half of its pixels a sample's four neighbours begin one sample earlier.
        near = padded[0 if 2 * phase + 1 < factor else 3 :]
        t0, t1, t2, t3 = taps[phase, 0], taps[phase, 1], taps[phase, 2], taps[phase, 3]
        for x in range(samples.size):
            samples[x] = np.int32(t0 * near[x] + t1 * near[x + 3] + t2 * near[x + 6] + t3 * near[x + 9])
        for column in range(columns):
            for channel in range(3):
                places[column, phase, channel] = pixels[column, channel]


def warm_up() -> None:
    add_enlarged(np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1, 3), np.int16))
