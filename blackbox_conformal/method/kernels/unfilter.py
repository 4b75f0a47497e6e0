"""Undo the row filters of PNG, for pictures of any depth and channels (W3C, Portable Network Graphics, clause 9)."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel


def unfilter(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], pixel: int) -> bool:
    """Undo the filters of all rows, of any depth and channels, into `rows`; return False for a filter of no known kind.

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


@kernel
def _paeth(left: np.int16, above: np.int16, corner: np.int16) -> np.int16:
    """Return the nearest of the three to left + above - corner; on ties left before above before corner.

    With turn = 3 corner - left - above, the larger of left and above is nearest where turn is at most the smaller, the
    smaller where turn is at least the larger, and else the corner: two comparisons become selections instead of
    branches that cannot be predicted.
    """
    # May be as low as -510 and as high as 765: hence 16 bits, and not the bytes of the pixels.
    turn = np.int16(np.int16(3) * corner - (left + above))
    high = left if left > above else above
    low = above if left > above else left
    other = low if high <= turn else corner
    return high if turn <= low else other


def warm_up() -> None:
    unfilter(np.zeros(3, np.uint8), np.zeros((1, 2), np.uint8), 2)
