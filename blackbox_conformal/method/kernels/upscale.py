"""Make pictures larger by 2, 4 or 8 with the bicubic filter, to the byte as Pillow does.

Pillow weighs four samples along each row by taps in multiples of 2^-22, rounds to 8 bits, and does the same down the
columns. The taps repeat from sample to sample but for two at either end, so each pass adds up whole rows.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image

BITS = 22  # Taps are multiples of 2^-22; with 8 bits of a sample and taps below 0 a sum fills 31 bits.
ROWS = 5  # Rows kept after the first pass: enough to make the results of one row of the picture.


def upscaled(pixels: Image, across: NDArray[np.int32], down: NDArray[np.int32]) -> Image:
    """Make `pixels` larger: rows first, then columns, both rounded to 8 bits and held to 0-255.

    `across`, `down`: (kinds, factor, 4) int32 in 2^-22: the taps of the `factor` results of each sample along an axis.
      There are as many kinds as samples, or fewer and an odd number: then the one in the middle serves all samples
      between the others. The four taps begin two samples before in the first half of these results, else one before. A
      tap beyond the border is 0. No sum of the magnitudes of four may reach 2 · 2^22.
    Returns: (h · factor, w · factor, 3) uint8.
    """
    pixels = _checks.image(pixels)
    (height, width), factor = pixels.shape[:2], across.shape[1]
    out = np.empty((height * factor, width * factor * 3), np.uint8)
    _upscale(
        pixels.reshape(height, width * 3),
        across,
        down,
        np.zeros((width + 4) * 3, np.uint8),
        np.empty(width * 3, np.uint8),
        np.zeros((ROWS, width * factor * 3), np.uint8),
        out,
    )
    return out.reshape(height * factor, width * factor, 3)


@kernel
def _upscale(
    pixels: NDArray[np.uint8],
    across: NDArray[np.int32],
    down: NDArray[np.int32],
    padded: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Go row by row; `wide` is a ring of rows after the first pass, `padded` has two more samples at each end."""
    (kinds, factor, _), last, widened = down.shape, pixels.shape[0] - 1, 0
    for row in range(last + 1):
        # Each row is widened once, when the first result needs it; the ring holds all that one row's results use.
        while widened <= min(row + 2, last):
            padded[6 : padded.size - 6] = pixels[widened]
            _widen(padded, across, samples, wide[widened % ROWS])
            widened += 1
        # Rows near the ends have taps of their own, as `_widen` describes for columns.
        kind = min(row, kinds // 2) if row < last + 1 - kinds // 2 else row - last - 1 + kinds
        for phase in range(factor):
            # Rows beyond the border have a tap of 0: any will do.
            begin = row - 2 if 2 * phase + 1 < factor else row - 1
            a, b = wide[begin % ROWS], wide[(begin + 1) % ROWS]
            c, d = wide[(begin + 2) % ROWS], wide[(begin + 3) % ROWS]
            _weigh(a, b, c, d, down[kind, phase], out[row * factor + phase])


@kernel
def _widen(
    padded: NDArray[np.uint8], taps: NDArray[np.int32], samples: NDArray[np.uint8], out: NDArray[np.uint8]
) -> None:
    """Apply the first pass to one row: all results by the taps of the middle, then results with other taps again.

    `samples` has room for one result of each sample.
    """
    (kinds, factor, _), columns = taps.shape, samples.size // 3
    places, pixels = out.reshape(columns, factor, 3), samples.reshape(columns, 3)
    for phase in range(factor):
        # In the first half of its results a sample's four neighbours begin one sample earlier.
        near = padded[0 if 2 * phase + 1 < factor else 3 :]
        _weigh(near, near[3:], near[6:], near[9:], taps[kinds // 2, phase], samples)
        for column in range(columns):
            for channel in range(3):
                places[column, phase, channel] = pixels[column, channel]
        # Results near the ends have taps of their own. The kind in the middle is computed once more, to the same
        # values.
        for kind in range(kinds):
            column = kind if kind < kinds // 2 else columns - kinds + kind
            ends = near[3 * column :]
            _weigh(ends, ends[3:], ends[6:], ends[9:], taps[kind, phase], places[column, phase])


@kernel
def _weigh(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    c: NDArray[np.uint8],
    d: NDArray[np.uint8],
    taps: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    for x in range(out.size):
        near = t0 * np.int32(a[x]) + t1 * np.int32(b[x])
        far = t2 * np.int32(c[x]) + t3 * np.int32(d[x])
        # Half a unit before the shift, which rounds down: together they round to nearest, as Pillow does.
        total = np.int32(near + far + np.int32(1 << (BITS - 1)))
        out[x] = np.uint8(min(max(total >> np.int32(BITS), np.int32(0)), np.int32(255)))


def warm_up() -> None:
    taps = np.full((1, 2, 4), 1 << (BITS - 2), np.int32)
    upscaled(np.zeros((2, 2, 3), np.uint8), taps, taps)
