"""The five row filters of PNG undone, for 8-bit RGB: the slow half of decoding, after decompression.

Files, chunks and decompression are not here; they are `images.plain_png`'s.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.kernels._jit import kernel


def unfilter(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], first: int) -> bool:
    """Undo the filters of whole rows into `rows[first:]`; False when one of them is of no known kind.

    Parameters
    ----------
    filtered
        Contiguous, uint8: for each row one byte that names its filter, then 3 W filtered bytes.
    rows
        (H, 3 W) uint8, C-contiguous; rows before `first` are done.
    first
        Which row `filtered` begins with.

    Notes
    -----
    W3C, Portable Network Graphics (third edition), clause 9.
    """
    return bool(_unfilter(filtered, rows, first))


@kernel
def _paeth(left: np.int32, above: np.int32, corner: np.int32) -> np.int32:
    """Whichever of the three is nearest to left + above - corner; left before above before corner.

    Left is nearest when 3 corner lies beyond the larger of left and above plus their sum, and so on: two comparisons,
    which become selections instead of branches that nobody can predict.
    """
    turn = np.int32(3) * corner - (left + above)
    low, high = min(left, above), max(left, above)
    other = low if high <= turn else corner
    return high if turn <= low else other


@kernel
def _undo_paeth(source: NDArray[np.uint8], above: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    byte = np.int32(255)
    left0 = left1 = left2 = corner0 = corner1 = corner2 = np.int32(0)
    for i in range(0, out.size, 3):
        above0, above1, above2 = np.int32(above[i]), np.int32(above[i + 1]), np.int32(above[i + 2])
        left0 = (np.int32(source[i]) + _paeth(left0, above0, corner0)) & byte
        left1 = (np.int32(source[i + 1]) + _paeth(left1, above1, corner1)) & byte
        left2 = (np.int32(source[i + 2]) + _paeth(left2, above2, corner2)) & byte
        out[i], out[i + 1], out[i + 2] = np.uint8(left0), np.uint8(left1), np.uint8(left2)
        corner0, corner1, corner2 = above0, above1, above2


@kernel
def _unfilter(filtered: NDArray[np.uint8], rows: NDArray[np.uint8], first: int) -> bool:
    width = rows.shape[1]
    nothing = np.zeros(width, np.uint8)
    byte = np.int32(255)
    for k in range(filtered.size // (width + 1)):
        kind = filtered[k * (width + 1)]
        source = filtered[k * (width + 1) + 1 : (k + 1) * (width + 1)]
        out = rows[first + k]
        above = rows[first + k - 1] if first + k > 0 else nothing
        if kind == 4:
            _undo_paeth(source, above, out)
        elif kind == 3:
            for i in range(width):
                left = np.int32(out[i - 3]) if i >= 3 else np.int32(0)
                out[i] = np.uint8((np.int32(source[i]) + ((left + np.int32(above[i])) >> np.int32(1))) & byte)
        elif kind == 2:
            for i in range(width):
                out[i] = np.uint8((np.int32(source[i]) + np.int32(above[i])) & byte)
        elif kind == 1:
            out[:3] = source[:3]
            for i in range(3, width):
                out[i] = np.uint8((np.int32(source[i]) + np.int32(out[i - 3])) & byte)
        elif kind == 0:
            out[:] = source
        else:
            return False
    return True


def warm_up() -> None:
    """Run every kernel of this module once."""
    unfilter(np.zeros(2 * 7, np.uint8), np.zeros((2, 6), np.uint8), 0)
