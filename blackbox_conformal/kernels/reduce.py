"""Pictures made smaller by a whole factor, to the byte as Pillow makes them.

Pillow weighs the samples along each row by taps in multiples of 2^-22, rounds to 8 bits, and does the same down the
columns. With a whole factor the taps are the same for every result but a few at either end. So each pass adds up whole
rows, four at a time: along a row, those of its samples ``p, p + factor, p + 2 factor, …``.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.kernels import _checks
from blackbox_conformal.kernels._jit import kernel
from blackbox_conformal.types import Image

BITS = 22
"""Taps are multiples of 2^-22; with 8 bits of a sample and taps below 0 a sum fills 31 bits."""


def reduced(pixels: Image, factor: int, across: NDArray[np.int32], down: NDArray[np.int32]) -> Image:
    """`pixels` made smaller by `factor`: rows first, then columns, both rounded to 8 bits and held to 0-255.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8; both sides are multiples of `factor`.
    across, down
        (kinds, T) int32 in 2^-22: the taps of the results along an axis; T is a multiple of `factor`. There are as many
        kinds as results, or fewer and an odd number: then the one in the middle is that of all results between the
        others. The taps of result i begin ``(T - factor) // 2`` samples before ``i * factor``. A tap beyond the border
        is 0. No sum of the magnitudes of a kind may reach 2 · 2^22.

    Returns
    -------
    Image
        (H / factor, W / factor, 3) uint8.

    Raises
    ------
    ImageError
        A side is no multiple of `factor`.
    """
    pixels = _checks.image(pixels)
    height, width = pixels.shape[:2]
    if height % factor or width % factor:
        raise ImageError(f"expected sides that are multiples of {factor}; got {width}×{height}. Cut the picture first")
    rows, columns, taps = height // factor, width // factor, across.shape[1]
    out = np.empty((rows, columns * 3), np.uint8)
    _reduce(
        pixels.reshape(height, width * 3),
        across,
        down,
        np.zeros((factor, (columns + taps // factor) * 3), np.uint8),
        np.zeros((taps, columns * 3), np.uint8),
        np.empty(columns * 3, np.int32),
        out,
    )
    return out.reshape(rows, columns, 3)


@kernel
def _reduce(
    pixels: NDArray[np.uint8],
    across: NDArray[np.int32],
    down: NDArray[np.int32],
    phases: NDArray[np.uint8],
    narrow: NDArray[np.uint8],
    sums: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Row by row; `narrow` is a ring of the latest rows that went through the first pass."""
    factor, taps, rows = phases.shape[0], across.shape[1], out.shape[0]
    before = (taps - factor) // 2
    done = 0
    for row in range(rows):
        while done < min(row * factor - before + taps, pixels.shape[0]):
            _spread(pixels[done], before, phases)
            _weigh_row(phases, across, sums, narrow[done % taps])
            done += 1
        own, first = down[_kind(row, rows, down.shape[0])], row * factor - before
        sums[:] = np.int32(1 << (BITS - 1))
        for k in range(0, taps - taps % 4, 4):
            a, b = narrow[(first + k) % taps], narrow[(first + k + 1) % taps]
            c, d = narrow[(first + k + 2) % taps], narrow[(first + k + 3) % taps]
            _add_four(a, b, c, d, own[k : k + 4], sums)
        for k in range(taps - taps % 4, taps):
            _add_one(narrow[(first + k) % taps], own[k], sums)
        _round(sums, out[row])


@kernel
def _spread(row: NDArray[np.uint8], before: int, phases: NDArray[np.uint8]) -> None:
    """Pixel x of the row to place ``(x + before) % factor, (x + before) // factor``."""
    factor = phases.shape[0]
    blocks, places = row.reshape(-1, factor, 3), phases.reshape(factor, -1, 3)
    for phase in range(factor):
        own = places[(phase + before) % factor, (phase + before) // factor :]
        for block in range(blocks.shape[0]):
            own[block, 0], own[block, 1], own[block, 2] = (
                blocks[block, phase, 0],
                blocks[block, phase, 1],
                blocks[block, phase, 2],
            )


@kernel
def _weigh_row(
    phases: NDArray[np.uint8], taps: NDArray[np.int32], sums: NDArray[np.int32], out: NDArray[np.uint8]
) -> None:
    """The first pass over one row: all by the taps of the middle, then those of other taps again."""
    factor, columns, (kinds, count) = phases.shape[0], out.size // 3, taps.shape
    own = taps[kinds // 2]
    sums[:] = np.int32(1 << (BITS - 1))
    for k in range(0, count - count % 4, 4):
        a = phases[k % factor, 3 * (k // factor) :]
        b = phases[(k + 1) % factor, 3 * ((k + 1) // factor) :]
        c = phases[(k + 2) % factor, 3 * ((k + 2) // factor) :]
        d = phases[(k + 3) % factor, 3 * ((k + 3) // factor) :]
        _add_four(a, b, c, d, own[k : k + 4], sums)
    for k in range(count - count % 4, count):
        _add_one(phases[k % factor, 3 * (k // factor) :], own[k], sums)
    for kind in range(kinds):
        column = kind if kind < kinds // 2 else columns - kinds + kind
        for channel in range(3):
            total = np.int32(1 << (BITS - 1))
            for k in range(count):
                total += taps[kind, k] * np.int32(phases[k % factor, 3 * (k // factor + column) + channel])
            sums[3 * column + channel] = total
    _round(sums, out)


@kernel
def _kind(result: int, results: int, kinds: int) -> int:
    """The row of the taps that is the result's."""
    half = kinds // 2
    return min(result, half) if result < results - half else result - results + kinds


@kernel
def _add_four(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    c: NDArray[np.uint8],
    d: NDArray[np.uint8],
    taps: NDArray[np.int32],
    sums: NDArray[np.int32],
) -> None:
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    for x in range(sums.size):
        near = t0 * np.int32(a[x]) + t1 * np.int32(b[x])
        far = t2 * np.int32(c[x]) + t3 * np.int32(d[x])
        sums[x] += np.int32(near + far)


@kernel
def _add_one(a: NDArray[np.uint8], tap: np.int32, sums: NDArray[np.int32]) -> None:
    for x in range(sums.size):
        sums[x] += np.int32(tap * np.int32(a[x]))


@kernel
def _round(sums: NDArray[np.int32], out: NDArray[np.uint8]) -> None:
    for x in range(sums.size):
        out[x] = np.uint8(min(max(sums[x] >> np.int32(BITS), np.int32(0)), np.int32(255)))


def warm_up() -> None:
    """Run every kernel of this module once."""
    taps = np.full((1, 4), 1 << (BITS - 2), np.int32)
    reduced(np.zeros((4, 4, 3), np.uint8), 4, taps, taps)
