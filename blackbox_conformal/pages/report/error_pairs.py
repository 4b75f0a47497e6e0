"""Finds examples of errors: places of a photograph whose largest error is near a given one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image as PillowImage

from blackbox_conformal.method.risk.trust import worst_place
from blackbox_conformal.pages.report.encoded import Bytes, webp
from blackbox_conformal.support.types import Image, Map

# Maps and pictures made smaller by whole blocks of pixels; a block keeps a map's largest value.

SIDE = 1024  # Most pixels of a stored picture's longer side.


def block_side(size: tuple[int, int], side: int = SIDE) -> int:
    """Return the least whole reduction after which (H, W) `size` fits into `side`."""
    return max(1, -(-max(size) // side))


def block_maximum(scores: Map, block: int) -> Map:
    """Reduce (H, W) float32 to (ceil(H/block), ceil(W/block)): the largest score of each block, NaN if it holds one."""
    height, width = scores.shape
    rows, columns = -(-height // block), -(-width // block)
    padded = np.full((rows * block, columns * block), -np.inf, dtype=np.float32)
    padded[:height, :width] = scores
    # Faster: whole rows first, then every block-th value in them.
    highest: Map = reduce(np.maximum, (padded[place::block] for place in range(block)))
    return reduce(np.maximum, (highest[:, place::block] for place in range(block)))


CROP = 96  # Sides of a cut-out square, at full resolution.
ERRORS = (0.05, 0.1, 0.2)  # Errors that the report shows, beside errors as large as its level.
STEP = 16  # Squares begin at multiples of this; a square that would reach beyond the picture is left out.
NEAR = 0.1  # How far, as a share of an error, the largest error of a square may be from it.


@dataclass(frozen=True, slots=True)
class ErrorPair:
    """A square of a photograph, delivered and true, whose largest error is near `near`."""

    near: float  # The error that the square is an example of.
    # The pixel with the square's largest error, at full resolution.
    row: int
    column: int
    error: float  # The metric's value there.
    # WebP bytes of the square.
    delivered: Bytes
    truth: Bytes
    at: tuple[int, int]  # (row, column) of the pixel inside the square.


def error_pairs(errors: Map, delivered: Image, truth: Image, near: Sequence[float] = ERRORS) -> tuple[ErrorPair, ...]:
    """Find for each error of `near` the square with the nearest largest error, if one is near enough.

    `errors`: (H, W) float32, the metric's value at each pixel.
    `delivered`, `truth`: (H, W, 3) uint8.
    """
    height, width = errors.shape
    blocks = block_maximum(errors, STEP)[: height // STEP, : width // STEP]
    if min(blocks.shape) < CROP // STEP:
        return ()
    largest = _largest(blocks, CROP // STEP)
    # A largest error at the edge would lack half of its surroundings.
    inner = _largest(blocks[1:-1, 1:-1], CROP // STEP - 2)
    largest = np.where(inner == largest, largest, np.inf)
    pairs = []
    for error in near:
        apart = np.abs(largest - error)
        top, left = (int(index) * STEP for index in np.unravel_index(np.argmin(apart), apart.shape))
        if apart.min() > NEAR * error:
            continue
        square = (slice(top, top + CROP), slice(left, left + CROP))
        place = worst_place(errors[square], np.ones((CROP, CROP), bool))
        assert place is not None, "a square is never empty"
        crops = [webp(PillowImage.fromarray(np.ascontiguousarray(pixels[square])), 90) for pixels in (delivered, truth)]
        at = (place.row, place.column)
        pairs.append(ErrorPair(error, top + place.row, left + place.column, place.error, crops[0], crops[1], at))
    return tuple(pairs)


def _largest(blocks: Map, side: int) -> Map:
    squares: Map = sliding_window_view(blocks, (side, side)).max(axis=(2, 3))
    return squares
