"""The five row filters of PNG undone, for 8-bit RGB: the slow half of decoding, after decompression.

Undoing Paeth's filter waits for the pixel to the left, then for the one above, so a row by itself cannot be
vectorised. Sixteen rows can, when each is a few pixels behind the one above it: their pixels at one step depend on
earlier steps only.

The rows are therefore worked on by step. At step s the pixel of row j is number s - LAG j. `_fetch` collects the
filtered pixels of `STEPS` steps, one row after another, into `source`; `_step_through` undoes them step by step into
`done`; `_deliver` puts them back into the rows. A pixel takes four bytes there, of which the fourth is ignored.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel

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
    # Made here, as in `windows`: the compiler would take several times as long over it.
    masks = np.zeros(16 * ROWS, np.int16)
    source, done = np.zeros(STEPS * ROWS, np.uint32), np.zeros(4 * STEPS * ROWS, np.uint32)
    views = (source, source.view(np.uint8), done, done.view(np.uint8))
    # Each buffer is passed twice, as bytes and as words of one pixel: the compiler does not make such views cheaply.
    return bool(_unfilter(filtered, _words(filtered), rows, _words(rows.reshape(-1)), masks, *views, first))


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Four bytes as one number from every byte on: a view whose elements overlap."""
    return np.ndarray((max(0, data.size - 3),), np.uint32, data, strides=(1,))


@kernel
def _paeth(left: np.int16, above: np.int16, corner: np.int16) -> np.int16:
    """Whichever of the three is nearest to left + above - corner; left before above before corner.

    With turn = 3 corner - left - above, the larger of left and above is nearest where turn is at most the smaller,
    the smaller where turn is at least the larger, and else the corner: two comparisons, which become selections
    instead of branches that cannot be predicted.
    """
    # May be as low as -510 and as high as 765: hence 16 bits, and not the bytes of the pixels.
    turn = np.int16(np.int16(3) * corner - (left + above))
    high = left if left > above else above
    low = above if left > above else left
    other = low if high <= turn else corner
    return high if turn <= low else other


@kernel
def _step_through(source: NDArray[np.uint8], done: NDArray[np.uint8], masks: NDArray[np.int16], steps: int) -> None:
    """`steps` steps of all rows: `source` holds filtered pixels by step, `done` takes the pixels.

    A lane is one byte of one row's pixel. In `done` the second half of a step has the pixels of all rows, and the four
    bytes before it the pixel of the row above them all. So the pixel above lies four bytes before and `LAG` steps
    back, for the first row too; the pixel to the left lies one step back, and the corner left of the one above.
    """
    for step in range(steps):
        start = np.uint64(step) * LANES
        here = (np.uint64(step) + BEFORE) * STRIDE + LANES
        for k in range(LANES):
            left = np.int16(done[here - STRIDE + k])
            above = np.int16(done[here - LAG * STRIDE - np.uint64(4) + k])
            corner = np.int16(done[here - BEFORE * STRIDE - np.uint64(4) + k])
            # PNG rounds the average down; sums of two bytes fit 16 bits.
            average = np.int16(np.int16((left + above) >> 1) & masks[k])
            nearest = _paeth(
                np.int16(left & masks[k + LANES]),
                np.int16(above & masks[k + LANES + LANES]),
                np.int16(corner & masks[k + LANES + LANES + LANES]),
            )
            # One of the two terms is always 0, so "or" adds them. The cast drops what leaves a byte, as PNG wants.
            done[here + k] = np.uint8(source[start + k] + (average | nearest))


@kernel
def _mask(kind: int, row: int, masks: NDArray[np.int16]) -> None:
    """Which terms count in the four lanes of a row: the average; left, above and corner for Paeth.

    Every lane computes both. Sub and Up are Paeth with the other pixels 0, since Paeth of one pixel and two zeros is
    that pixel; None has no term at all.
    """
    for k in range(4 * row, 4 * row + 4):
        masks[k] = -1 if kind == 3 else 0
        masks[k + 4 * ROWS] = -1 if kind == 1 or kind == 4 else 0
        masks[k + 8 * ROWS] = -1 if kind == 2 or kind == 4 else 0
        masks[k + 12 * ROWS] = -1 if kind == 4 else 0


@kernel
def _fetch(
    source: NDArray[np.uint32], start: int, out: NDArray[np.uint32], first: int, stride: int, count: int
) -> None:
    """`count` numbers from every third place of `source` to every `stride`-th of `out`, whose size is 2^n."""
    # Places are unsigned: the compiler would check a signed one for counting from the end. The mask changes none of
    # them; without it the compiler makes gathers and scatters of the loop, which are slower.
    mask = np.uint64(out.size - 1)
    for i in range(np.uint64(max(0, count))):
        out[(np.uint64(first) + i * np.uint64(stride)) & mask] = source[np.uint64(start) + i * np.uint64(3)]


@kernel
def _deliver(
    source: NDArray[np.uint32], start: int, step: int, out: NDArray[np.uint32], first: int, count: int
) -> None:
    """The same, where the size of `source` is 2^n."""
    mask = np.uint64(source.size - 1)
    for i in range(np.uint64(max(0, count))):
        out[np.uint64(first) + i * np.uint64(3)] = source[(np.uint64(start) + i * np.uint64(step)) & mask]


@kernel
def _undo_together(
    filtered: NDArray[np.uint32],
    masks: NDArray[np.int16],
    rows: NDArray[np.uint8],
    words: NDArray[np.uint32],
    source: NDArray[np.uint32],
    source_bytes: NDArray[np.uint8],
    done: NDArray[np.uint32],
    done_bytes: NDArray[np.uint8],
    place: int,
    top: int,
    count: int,
) -> None:
    """Undo `count` rows, whose bytes `filtered` shows four at a time, into `rows[top:]`."""
    pixels, line = rows.shape[1] // 3, rows.shape[1]
    lag, before = int(LAG), int(BEFORE)
    # What is beyond the border counts as 0 for all filters, and every group of rows begins there.
    for i in range(done.size):
        done[i] = 0
    for i in range(source.size):
        source[i] = 0
    # The last row begins `LAG` pixels later for each row above it.
    steps = pixels + lag * (count - 1)
    for start in range(0, steps, STEPS):
        taken = min(STEPS, steps - start)
        if top > 0:
            # The row above the group is finished: its pixels go where a lane above the first one would be.
            above = (top - 1) * line + 3 * start
            _fetch(words, above, done, 3 * ROWS - 1, 2 * ROWS, min(taken, pixels - start))
        for j in range(count):
            # Row j has not begun at step `start` if this is below 0: its first pixels come `skip` steps later.
            behind = start - lag * j
            skip = max(0, -behind)
            first = place + j * (line + 1) + 1 + 3 * (behind + skip)
            _fetch(filtered, first, source, skip * ROWS + j, ROWS, min(taken, pixels - behind) - skip)
        _step_through(source_bytes, done_bytes, masks, taken)
        for j in range(count):
            behind = start - lag * j
            skip = max(0, -behind)
            first = (skip + before) * 2 * ROWS + ROWS + j
            # A pixel is written as four bytes, the next one over the fourth; the last of a row byte by byte.
            target = (top + j) * line + 3 * (behind + skip)
            _deliver(done, first, 2 * ROWS, words, target, min(taken, pixels - 1 - behind) - skip)
            last = pixels - 1 - behind
            if 0 <= last < taken:
                at = 4 * ((last + before) * 2 * ROWS + ROWS + j)
                for c in range(3):
                    rows[top + j, line - 3 + c] = done_bytes[at + c]
        # Forwards, so that a place is read before it is written.
        for i in range(before * 2 * ROWS):
            done[i] = done[taken * 2 * ROWS + i]


@kernel
def _undo_alone(filtered: NDArray[np.uint8], place: int, rows: NDArray[np.uint8], row: int, adds: bool) -> None:
    """Undo one row that does not depend on its own pixels: the filter None, and Up where `adds`."""
    for i in range(rows.shape[1]):
        above = np.int32(rows[row - 1, i]) if adds else np.int32(0)
        rows[row, i] = np.uint8((np.int32(filtered[place + i]) + above) & np.int32(255))


@kernel
def _unfilter(
    filtered: NDArray[np.uint8],
    filtered_words: NDArray[np.uint32],
    rows: NDArray[np.uint8],
    words: NDArray[np.uint32],
    masks: NDArray[np.int16],
    source: NDArray[np.uint32],
    source_bytes: NDArray[np.uint8],
    done: NDArray[np.uint32],
    done_bytes: NDArray[np.uint8],
    first: int,
) -> bool:
    line = rows.shape[1] + 1
    total = filtered.size // line
    for start in range(0, total, ROWS):
        count = min(ROWS, total - start)
        waits = False
        for j in range(count):
            kind = filtered[(start + j) * line]
            # An unknown filter: the caller refuses the file, or has another decoder look at it.
            if kind > 4:
                return False
            # Sub, Average and Paeth need the pixel to the left; rows with None and Up alone are quicker one by one.
            waits = waits or kind == 1 or kind >= 3
            _mask(kind, j, masks)
        if waits:
            _undo_together(
                filtered_words,
                masks,
                rows,
                words,
                source,
                source_bytes,
                done,
                done_bytes,
                start * line,
                first + start,
                count,
            )
        else:
            for j in range(count):
                row, place = first + start + j, (start + j) * line
                _undo_alone(filtered, place + 1, rows, row, filtered[place] == 2 and row > 0)
    return True


def unfilter_any(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], pixel: int) -> bool:
    """Undo the filters of all rows, of any depth and channels, into `rows`; False when one is of no known kind.

    Parameters
    ----------
    filtered
        For each row one byte that names its filter, then the filtered bytes.
    rows
        (H, bytes of a row) uint8.
    pixel
        Bytes of a pixel.
    """
    return bool(_undo_serially(filtered, rows, pixel))


@kernel
def _undo_serially(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], pixel: int) -> bool:
    line = rows.shape[1] + 1
    for y in range(rows.shape[0]):
        kind = filtered[y * line]
        if kind > 4:
            return False
        for x in range(rows.shape[1]):
            left = np.int16(rows[y, x - pixel]) if x >= pixel else np.int16(0)
            above = np.int16(rows[y - 1, x]) if y > 0 else np.int16(0)
            corner = np.int16(rows[y - 1, x - pixel]) if x >= pixel and y > 0 else np.int16(0)
            guess = np.int16(0)
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above
            elif kind == 3:
                guess = np.int16((left + above) >> 1)
            elif kind == 4:
                guess = _paeth(left, above, corner)
            rows[y, x] = np.uint8((np.int32(filtered[y * line + 1 + x]) + np.int32(guess)) & np.int32(255))
    return True


def warm_up() -> None:
    """Run every kernel of this module once."""
    unfilter_any(np.zeros(3, np.uint8), np.zeros((1, 2), np.uint8), 2)
    unfilter(np.array([4] + [0] * 7, np.uint8), np.zeros((1, 6), np.uint8), 0)
