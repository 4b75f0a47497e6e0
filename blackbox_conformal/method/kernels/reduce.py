"""Make pictures smaller by a whole factor, to the byte as Pillow does.

Pillow weighs the samples along each row by taps in multiples of 2^-22, rounds to 8 bits, and does the same down the
columns. With a whole factor the taps are the same for all results but a few at either end, so each pass adds up whole
rows, four at a time: along a row, its samples ``p, p + factor, p + 2 factor, …``. Where these taps are the same from
either end, as for an even factor, two samples share a multiplication.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image

BITS = 22
"""Taps are multiples of 2^-22; with 8 bits of a sample and taps below 0 a sum fills 31 bits."""

WORDS = 4
"""The one factor at which rows are taken apart by 32-bit words: four pixels fill three words."""


def reduced(pixels: Image, factor: int, across: NDArray[np.int32], down: NDArray[np.int32]) -> Image:
    """Make `pixels` smaller by `factor`: rows first, then columns, both rounded to 8 bits and held to 0-255.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8; both sides are multiples of `factor`.
    across, down
        (kinds, T) int32 in 2^-22: the taps of the results along an axis; T is a multiple of `factor`. There are as many
        kinds as results, or fewer and an odd number: then the one in the middle serves all results between the
        others. The taps of result i begin ``(T - factor) // 2`` samples before ``i * factor``. A tap beyond the border
        is 0. No sum of the magnitudes of a kind may reach 2 · 2^22.

    Returns
    -------
    Image
        (H / factor, W / factor, 3) uint8.
    """
    pixels = _checks.image(pixels)
    height, width = pixels.shape[:2]
    if height % factor or width % factor:
        raise ImageError(f"expected sides that are multiples of {factor}; got {width}×{height}. Cut the picture first")
    rows, columns, (kinds, taps) = height // factor, width // factor, across.shape
    middle = across[kinds // 2]
    # A view by words needs an aligned start, and the order of bytes that `_spread_words` takes apart.
    by_words = factor == WORDS and sys.byteorder == "little" and pixels.ctypes.data % 4 == 0
    # Until it is a result, a pixel takes four places where words are taken apart.
    wide = 4 if by_words else 3
    # Samples that lie beyond either border stay 0, and their taps are 0 too.
    room = np.zeros((factor, (columns + taps // factor) * wide), np.uint8)
    out = np.empty((rows, columns * 3), np.uint8)
    _reduce(
        pixels.reshape(height, width * 3),
        pixels.reshape(height, width * 3)[:, : None if by_words else 0].view(np.uint32),
        across,
        taps % 4 == 0 and np.array_equal(middle, middle[::-1]),
        down,
        room,
        room.view(np.uint32) if by_words else np.zeros((factor, 0), np.uint32),
        wide,
        np.zeros((taps, columns * wide), np.uint8),
        np.empty(columns * wide, np.int32),
        out,
    )
    return out.reshape(rows, columns, 3)


def block_means(pixels: Image, factor: int) -> Image:
    """Average blocks of `factor` x `factor` pixels, rounded as Pillow's ``Image.reduce`` rounds them.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8; both sides are multiples of `factor`, which is at most 16: sums of a block fill 16 bits.

    Returns
    -------
    Image
        (H / factor, W / factor, 3) uint8.
    """
    pixels = _checks.image(pixels)
    height, width = pixels.shape[:2]
    out = np.empty((height // factor, width // factor * 3), np.uint8)
    # Pillow divides by multiplying with a rounded reciprocal, which it computes in single precision.
    reciprocal = int(np.float32(2**32) / np.float32(256 * factor**2))
    # Sums of at most 16 x 16 bytes fit 16 bits, so twice as many are added at a time.
    room = np.empty((2, width * 3), np.uint16)
    _block_means(pixels.reshape(height, width * 3), factor, reciprocal, room[0], room[1], out)
    return out.reshape(*out.shape[:1], -1, 3)


@kernel
def _block_means(
    pixels: NDArray[np.uint8],
    factor: int,
    reciprocal: int,
    down: NDArray[np.uint16],
    across: NDArray[np.uint16],
    out: NDArray[np.uint8],
) -> None:
    """Add up whole rows, also along the row, where most sums are not needed: picking takes longer."""
    # Half the divisor, so that the division by multiplication below rounds to nearest, as Pillow does.
    half = factor * factor // 2
    for row in range(out.shape[0]):
        down[:] = np.uint16(0)
        across[:] = np.uint16(0)
        for k in range(factor):
            _add_values(pixels[row * factor + k], down)
        # Each place sums the `factor` pixels from it on; only every `factor`-th place is read afterwards.
        for k in range(factor):
            _add_values(down[3 * k :], across)
        for column in range(out.shape[1] // 3):
            for channel in range(3):
                total = np.int64(across[3 * factor * column + channel]) + half
                out[row, 3 * column + channel] = np.uint8((total * reciprocal) >> 24)


@kernel
def _add_values(values: NDArray[Any], sums: NDArray[np.uint16]) -> None:
    for x in range(values.size):
        sums[x] += np.uint16(values[x])


@kernel
def _reduce(
    pixels: NDArray[np.uint8],
    words: NDArray[np.uint32],
    across: NDArray[np.int32],
    paired: bool,
    down: NDArray[np.int32],
    phases: NDArray[np.uint8],
    phase_words: NDArray[np.uint32],
    wide: int,
    narrow: NDArray[np.uint8],
    sums: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Go row by row; `narrow` is a ring of the latest rows that went through the first pass.

    `words` and `phase_words` are the memory of `pixels` and `phases`, or empty.
    """
    factor, taps, rows = phases.shape[0], across.shape[1], out.shape[0]
    before = (taps - factor) // 2
    done = 0
    for row in range(rows):
        # Each row of the input is weighed once, and only when the first result needs it.
        while done < min(row * factor - before + taps, pixels.shape[0]):
            if words.shape[1] > 0:
                _spread_words(words[done], before, phase_words)
            else:
                _spread(pixels[done], before, phases)
            _weigh_row(phases, across, paired, wide, sums, narrow[done % taps])
            done += 1
        own, first = down[_kind(row, rows, down.shape[0])], row * factor - before
        # Half a unit, so that the shift in `_byte` rounds to nearest.
        sums[:] = np.int32(1 << (BITS - 1))
        for k in range(0, taps - taps % 4, 4):
            a, b = narrow[(first + k) % taps], narrow[(first + k + 1) % taps]
            c, d = narrow[(first + k + 2) % taps], narrow[(first + k + 3) % taps]
            _add_four(a, b, c, d, own[k : k + 4], sums)
        for k in range(taps - taps % 4, taps):
            _add_one(narrow[(first + k) % taps], own[k], sums)
        if wide == 3:
            _round(sums, out[row])
        else:
            _round_wide(sums, out[row])


@kernel
def _spread(row: NDArray[np.uint8], before: int, phases: NDArray[np.uint8]) -> None:
    """Put pixel x of the row at ``(x + before) % factor, (x + before) // factor``."""
    factor = phases.shape[0]
    blocks, places = row.reshape(-1, factor, 3), phases.reshape(factor, -1, 3)
    for phase in range(factor):
        # Samples `factor` apart become neighbours, so that a tap weighs one run of memory for all results.
        own = places[(phase + before) % factor, (phase + before) // factor :]
        for block in range(blocks.shape[0]):
            own[block, 0], own[block, 1], own[block, 2] = (
                blocks[block, phase, 0],
                blocks[block, phase, 1],
                blocks[block, phase, 2],
            )


@kernel
def _spread_words(row: NDArray[np.uint32], before: int, phases: NDArray[np.uint32]) -> None:
    """Do as `_spread` by words, the first byte the lowest: RGBR GBRG BRGB becomes RGB0 in each of four phases."""
    first = phases[before % WORDS, before // WORDS :]
    second = phases[(1 + before) % WORDS, (1 + before) // WORDS :]
    third = phases[(2 + before) % WORDS, (2 + before) // WORDS :]
    fourth = phases[(3 + before) % WORDS, (3 + before) // WORDS :]
    pixel, one, two = np.uint32(0xFFFFFF), np.uint32(8), np.uint32(16)
    for block in range(row.size // 3):
        a, b, c = row[3 * block], row[3 * block + 1], row[3 * block + 2]
        first[block] = a & pixel
        second[block] = (a >> np.uint32(24)) | ((b << one) & pixel)
        third[block] = ((b >> two) | (c << two)) & pixel
        fourth[block] = c >> one


@kernel
def _weigh_row(
    phases: NDArray[np.uint8],
    taps: NDArray[np.int32],
    paired: bool,
    wide: int,
    sums: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Apply the first pass to one row: all results by the taps of the middle, then results with other taps again."""
    factor, columns, (kinds, count) = phases.shape[0], out.size // wide, taps.shape
    own = taps[kinds // 2]
    sums[:] = np.int32(1 << (BITS - 1))
    # A symmetric kernel gives the k-th tap from either end one multiplication.
    for k in range(0, count // 2 if paired else 0, 2):
        a, b = _from(phases, k, wide), _from(phases, k + 1, wide)
        c, d = _from(phases, count - 2 - k, wide), _from(phases, count - 1 - k, wide)
        _add_pairs(a, b, c, d, own[k], own[k + 1], sums)
    first = count if paired else 0
    for k in range(first, count - count % 4, 4):
        a, b = _from(phases, k, wide), _from(phases, k + 1, wide)
        c, d = _from(phases, k + 2, wide), _from(phases, k + 3, wide)
        _add_four(a, b, c, d, own[k : k + 4], sums)
    for k in range(max(first, count - count % 4), count):
        _add_one(_from(phases, k, wide), own[k], sums)
    _round(sums, out)
    # Results near the ends have taps of their own. The kind in the middle is computed once more, to the same values.
    for kind in range(kinds):
        column = kind if kind < kinds // 2 else columns - kinds + kind
        red = green = blue = np.int32(1 << (BITS - 1))
        for phase in range(factor):
            for block in range(count // factor):
                tap, place = taps[kind, block * factor + phase], wide * (block + column)
                red += np.int32(tap * np.int32(phases[phase, place]))
                green += np.int32(tap * np.int32(phases[phase, place + 1]))
                blue += np.int32(tap * np.int32(phases[phase, place + 2]))
        place = wide * column
        out[place], out[place + 1], out[place + 2] = _byte(red), _byte(green), _byte(blue)


@kernel
def _from(phases: NDArray[np.uint8], sample: int, wide: int) -> NDArray[np.uint8]:
    """Return the samples of all results that the tap `sample` weighs; a pixel takes `wide` bytes."""
    factor = phases.shape[0]
    return phases[sample % factor, wide * (sample // factor) :]


@kernel
def _kind(result: int, results: int, kinds: int) -> int:
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
def _add_pairs(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    c: NDArray[np.uint8],
    d: NDArray[np.uint8],
    outer: np.int32,
    inner: np.int32,
    sums: NDArray[np.int32],
) -> None:
    """Weigh `a` and `d` by `outer`, `b` and `c` by `inner`."""
    for x in range(sums.size):
        far = outer * np.int32(np.int32(a[x]) + np.int32(d[x]))
        near = inner * np.int32(np.int32(b[x]) + np.int32(c[x]))
        sums[x] += np.int32(far + near)


@kernel
def _add_one(a: NDArray[np.uint8], tap: np.int32, sums: NDArray[np.int32]) -> None:
    for x in range(sums.size):
        sums[x] += np.int32(tap * np.int32(a[x]))


@kernel
def _round(sums: NDArray[np.int32], out: NDArray[np.uint8]) -> None:
    for x in range(sums.size):
        out[x] = _byte(sums[x])


@kernel
def _round_wide(sums: NDArray[np.int32], out: NDArray[np.uint8]) -> None:
    """Keep the first three of every four sums."""
    for x in range(out.size // 3):
        for channel in range(3):
            out[3 * x + channel] = _byte(sums[4 * x + channel])


@kernel
def _byte(total: np.int32) -> np.uint8:
    """Round down and hold to 0-255."""
    return np.uint8(min(max(total >> np.int32(BITS), np.int32(0)), np.int32(255)))


def warm_up() -> None:
    taps = np.full((1, 4), 1 << (BITS - 2), np.int32)
    reduced(np.zeros((4, 4, 3), np.uint8), 4, taps, taps)
    block_means(np.zeros((2, 2, 3), np.uint8), 2)
