"""The five row filters of PNG undone, for 8-bit RGB: the slow half of decoding, after decompression.

Files, chunks and decompression are not here; they are `images.plain_png`'s.

Undoing Paeth's filter waits for the pixel to the left, then for the one above, so that a row by itself cannot be
vectorised. Sixteen rows can, when each is a few pixels behind the one above it: their pixels at one step depend on
earlier steps only.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel

ROWS = 16
"""Rows undone together: sixteen pixels of four bytes are as wide as the widest vectors."""

LAG = np.uint64(4)
"""Pixels that a row is behind the one above it; enough for what was stored to be loaded without waiting."""

STEPS = 64
"""Steps between fetching and delivering; what is between stays in the first-level cache."""

LANES = np.uint64(4 * ROWS)
STRIDE = np.uint64(2 * 4 * ROWS)
"""Bytes of a step: its first half ends with a pixel of the row above all, its second half has one of each row."""

BEFORE = np.uint64(5)
"""Steps kept from before: the pixel above is `LAG` steps back, the one left of it one more."""

PAETH, AVERAGE = 4, 3


def unfilter(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], first: int) -> bool:
    """Undo the filters of whole rows into `rows[first:]`; False when one of them is of no known kind.

    Parameters
    ----------
    filtered
        Contiguous, uint8: for each row one byte that names its filter, then 3 W filtered bytes; then at least one byte
        that says nothing, so that the last pixel can be read as four bytes.
    rows
        (H, 3 W) uint8, C-contiguous; rows before `first` are done.
    first
        Which row `filtered` begins with.

    Notes
    -----
    W3C, Portable Network Graphics (third edition), clause 9. Quickest for multiples of `ROWS` rows.
    """
    if filtered.size <= rows.shape[1] + 1:
        # Not one whole row: views without elements look contiguous, and the kernel would be compiled for them too.
        return True
    return bool(_unfilter(filtered, _words(filtered), rows, _words(rows.reshape(-1)), first))


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Four bytes as one number from every byte on: a view whose elements overlap."""
    return np.ndarray((max(0, data.size - 3),), np.uint32, data, strides=(1,))


@kernel
def _paeth(left: np.int16, above: np.int16, corner: np.int16) -> np.int16:
    """Whichever of the three is nearest to left + above - corner; left before above before corner.

    Left is nearest when 3 corner lies beyond the larger of left and above plus their sum, and so on: two comparisons,
    which become selections instead of branches that nobody can predict.
    """
    turn = np.int16(np.int16(3) * corner - (left + above))
    high = left if left > above else above
    low = above if left > above else left
    other = low if high <= turn else corner
    return high if turn <= low else other


@kernel
def _step_through(source: NDArray[np.uint8], done: NDArray[np.uint8], masks: NDArray[np.int16], steps: int) -> None:
    """`steps` steps of all rows: `source` holds filtered pixels by step, `done` takes the pixels."""
    for step in range(steps):
        start = np.uint64(step) * LANES
        here = (np.uint64(step) + BEFORE) * STRIDE + LANES
        for k in range(LANES):
            left = np.int16(done[here - STRIDE + k])
            above = np.int16(done[here - LAG * STRIDE - np.uint64(4) + k])
            corner = np.int16(done[here - BEFORE * STRIDE - np.uint64(4) + k])
            average = np.int16(np.int16((left + above) >> 1) & masks[k])
            nearest = _paeth(
                np.int16(left & masks[k + LANES]),
                np.int16(above & masks[k + LANES + LANES]),
                np.int16(corner & masks[k + LANES + LANES + LANES]),
            )
            done[here + k] = np.uint8(source[start + k] + (average | nearest))


@kernel
def _mask(kinds: NDArray[np.uint8], masks: NDArray[np.int16]) -> None:
    """What counts for each lane: the average; left, above and corner. Paeth of one pixel and zeros is that pixel."""
    for k in range(4 * ROWS):
        kind = kinds[k // 4]
        masks[k] = -1 if kind == 3 else 0
        masks[k + 4 * ROWS] = -1 if kind == 1 or kind == 4 else 0
        masks[k + 8 * ROWS] = -1 if kind == 2 or kind == 4 else 0
        masks[k + 12 * ROWS] = -1 if kind == 4 else 0


@kernel
def _fetch(
    source: NDArray[np.uint32], start: int, step: int, out: NDArray[np.uint32], first: int, stride: int, count: int
) -> None:
    """`count` numbers from every `step`-th place of `source` to every `stride`-th of `out`, whose size is 2^n."""
    # Places are unsigned, since a signed one might count from the end. The mask changes none of them; without it the
    # compiler makes gathers and scatters of the loop, which are slower.
    mask = np.uint64(out.size - 1)
    for i in range(np.uint64(max(0, count))):
        out[(np.uint64(first) + i * np.uint64(stride)) & mask] = source[np.uint64(start) + i * np.uint64(step)]


@kernel
def _deliver(
    source: NDArray[np.uint32], start: int, step: int, out: NDArray[np.uint32], first: int, stride: int, count: int
) -> None:
    """The same, where the size of `source` is 2^n."""
    mask = np.uint64(source.size - 1)
    for i in range(np.uint64(max(0, count))):
        out[np.uint64(first) + i * np.uint64(stride)] = source[(np.uint64(start) + i * np.uint64(step)) & mask]


@kernel
def _undo_together(
    filtered: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    rows: NDArray[np.uint8],
    words: NDArray[np.uint32],
    top: int,
    count: int,
) -> None:
    """Undo `count` rows, whose bytes `filtered` shows four at a time, into `rows[top:]`."""
    pixels, line = rows.shape[1] // 3, rows.shape[1]
    lag, before = int(LAG), int(BEFORE)
    masks = np.empty(16 * ROWS, np.int16)
    _mask(kinds, masks)
    source = np.zeros(STEPS * ROWS, np.uint32)
    done = np.zeros(4 * STEPS * ROWS, np.uint32)
    source_bytes, done_bytes = source.view(np.uint8), done.view(np.uint8)
    steps = pixels + lag * (count - 1)
    for start in range(0, steps, STEPS):
        taken = min(STEPS, steps - start)
        if top > 0:
            above = (top - 1) * line + 3 * start
            _fetch(words, above, 3, done, 3 * ROWS - 1, 2 * ROWS, min(taken, pixels - start))
        for j in range(count):
            behind = start - lag * j
            skip = max(0, -behind)
            place = j * (line + 1) + 1 + 3 * (behind + skip)
            _fetch(filtered, place, 3, source, skip * ROWS + j, ROWS, min(taken, pixels - behind) - skip)
        _step_through(source_bytes, done_bytes, masks, taken)
        for j in range(count):
            behind = start - lag * j
            skip = max(0, -behind)
            place = (skip + before) * 2 * ROWS + ROWS + j
            # A pixel is written as four bytes, the next one over the fourth; the last of a row byte by byte.
            target = (top + j) * line + 3 * (behind + skip)
            _deliver(done, place, 2 * ROWS, words, target, 3, min(taken, pixels - 1 - behind) - skip)
            last = pixels - 1 - behind
            if 0 <= last < taken:
                at = 4 * ((last + before) * 2 * ROWS + ROWS + j)
                rows[top + j, line - 3 :] = done_bytes[at : at + 3]
        done[: before * 2 * ROWS] = done[taken * 2 * ROWS : (taken + before) * 2 * ROWS].copy()


@kernel
def _unfilter(
    filtered: NDArray[np.uint8],
    filtered_words: NDArray[np.uint32],
    rows: NDArray[np.uint8],
    words: NDArray[np.uint32],
    first: int,
) -> bool:
    width = rows.shape[1]
    kinds = np.zeros(ROWS, np.uint8)
    total = filtered.size // (width + 1)
    for start in range(0, total, ROWS):
        count = min(ROWS, total - start)
        waits = False
        for j in range(count):
            kinds[j] = filtered[(start + j) * (width + 1)]
            if kinds[j] > 4:
                return False
            waits = waits or kinds[j] == 1 or kinds[j] >= 3
        if waits:
            _undo_together(filtered_words[start * (width + 1) :], kinds, rows, words, first + start, count)
            continue
        for j in range(count):
            source = filtered[(start + j) * (width + 1) + 1 : (start + j + 1) * (width + 1)]
            out = rows[first + start + j]
            if kinds[j] == 2 and first + start + j > 0:
                above = rows[first + start + j - 1]
                for i in range(width):
                    out[i] = np.uint8((np.int32(source[i]) + np.int32(above[i])) & np.int32(255))
            else:
                out[:] = source
    return True


def warm_up() -> None:
    """Run every kernel of this module once."""
    unfilter(np.array([4] + [0] * 7, np.uint8), np.zeros((1, 6), np.uint8), 0)
