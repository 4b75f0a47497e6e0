"""Staircases of bounded size from one sort and one pass: largest losses apart from some pixels, or mean over squares.

Losses are rounded up to a grid that depends on the bound alone. So where one map lies below another everywhere, its
staircase does, too.
"""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._buckets import is_nan, key_of
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.staircase import LEVELS, Steps, levels_up_to, pair_within, scores_of
from blackbox_conformal.support.rounding import float32_down
from blackbox_conformal.support.types import Map

_BITS = 30  # Bits of a loss as large as the bound: sums over all pixels of a picture then fit 64.


def all_but_staircase(scores: Map, losses: Map, left_out: int, bound: float, levels: int = LEVELS) -> Steps:
    """Return the (`left_out` + 1)-th largest loss among pixels with score < t, 0 with at most `left_out` such pixels.

    `scores`: (H, W) float32, finite or NaN. A NaN is never trusted and takes no part.
    `losses`: (H, W) float32, in [0, bound].
    `left_out`: How many of the largest losses are left out.
    `bound`: The largest loss that there can be.
    `levels`: Losses are rounded up, never down, by less than bound / `levels`, which also is the most steps returned.
    Returns: `scores`, `losses`: float32, both strictly increasing, as of `staircase`.
    """
    # No float32 lies between `highest` and `bound`, so a loss of float32 is within one exactly if within the other.
    highest = float32_down(bound)
    if left_out < 0 or levels < 1 or not highest > 0:
        raise UsageError(
            f"expected left_out >= 0, levels >= 1 and a bound above 0; got {left_out!r}, {levels!r} and {bound!r}"
        )
    scores, losses = pair_within(scores, losses, highest, bound)
    grid = levels_up_to(highest, levels)
    pixels = np.empty(scores.size, np.uint64)
    pixels = pixels[: _keys_and_levels(scores.reshape(-1).view(np.int32), losses.reshape(-1), grid, pixels)]
    pixels.sort()
    keys, reached = np.empty(grid.size, np.uint32), np.empty(grid.size, np.int64)
    records = _climb_levels(pixels, min(left_out, scores.size), np.zeros(grid.size, np.int64), keys, reached)
    return scores_of(keys[:records]), grid[reached[:records]]


@kernel
def _keys_and_levels(
    bits: NDArray[np.int32], losses: NDArray[np.float32], grid: NDArray[np.float32], pixels: NDArray[np.uint64]
) -> int:
    """Fill `pixels` with the key of each score, then the first level of `grid` that is no less than its loss.

    Returns: How many pixels have a score.
    """
    last = grid.size - 1
    scale = last / grid[last]
    count = 0
    for i in range(bits.size):
        if is_nan(bits[i]):
            continue
        loss = losses[i]
        # The quotient is a guess, which rounding or a grid with fewer steps may put off by some levels: the loops make
        # it exact.
        level = min(int(loss * scale), last)
        while grid[level] < loss:
            level += 1
        while level > 0 and grid[level - 1] >= loss:
            level -= 1
        # Sorting these numbers sorts by score; the level rides in the low half.
        pixels[count] = (np.uint64(key_of(bits[i])) << np.uint64(32)) | np.uint64(level)
        count += 1
    return count


@kernel
def _climb_levels(
    pixels: NDArray[np.uint64],
    left_out: int,
    counts: NDArray[np.int64],
    keys: NDArray[np.uint32],
    reached: NDArray[np.int64],
) -> int:
    """Go through `pixels` in order of score, and note where the least level rises that at most `left_out` exceed.

    `counts`: Zeros; becomes the number of pixels at each level.
    `keys`, `reached`: Become the keys at which it rises, and what it rises to.
    Returns: How often it rises.
    """
    level = above = records = 0
    for i in range(pixels.size):
        own = np.int64(pixels[i] & np.uint64(0xFFFFFFFF))
        counts[own] += 1
        # Pixels at or below the level already reached cannot raise it.
        if own <= level:
            continue
        above += 1
        if above <= left_out:
            continue
        # The level rises until no more than `left_out` pixels lie above it; what it passes no longer lies above.
        while above > left_out:
            level += 1
            above -= counts[level]
        key = np.uint32(pixels[i] >> np.uint64(32))
        # Pixels of one score are trusted together.
        if records == 0 or keys[records - 1] != key:
            keys[records] = key
            records += 1
        reached[records - 1] = level
    return records


def squares_staircase(scores: Map, losses: Map, side: int, bound: float, levels: int = LEVELS) -> Steps:
    """Return the mean over squares of the largest loss among pixels with score < t, 0 in a square without any.

    `scores`, `losses`, `bound`: As for `all_but_staircase`; a pixel without a score counts as one of its square.
    `side`: Of the squares in pixels, the first one in the upper left corner. What the right or lower border cuts counts
      by its number of pixels.
    `levels`: The mean is rounded up, never down, by less than bound / `levels` and 2^-29 of the bound; `levels` also is
      the most steps returned.
    """
    # No float32 lies between `highest` and `bound`, so a loss of float32 is within one exactly if within the other.
    highest = float32_down(bound)
    if side < 1 or levels < 1 or not highest > 0:
        raise UsageError(f"expected side >= 1, levels >= 1 and a bound above 0; got {side!r}, {levels!r} and {bound!r}")
    scores, losses = pair_within(scores, losses, highest, bound)
    grid, unit, sums = _grid(float(highest), levels, scores.size)
    pixels = np.empty(scores.size, np.uint64)
    pixels = pixels[: _keys_and_places(scores.reshape(-1).view(np.int32), pixels)]
    pixels.sort()
    areas = _areas(scores.shape, side)
    keys, reached = np.empty(grid.size, np.uint32), np.empty(grid.size, np.int64)
    across, best = -(-scores.shape[1] // side), np.zeros(areas.size, np.int64)
    shape = np.array([scores.shape[1], side, across])
    records = _climb_squares(pixels, losses.reshape(-1), unit, shape, areas, best, sums, keys, reached)
    return scores_of(keys[:records]), grid[reached[:records]]


@lru_cache(maxsize=16)
def _grid(highest: float, levels: int, pixels: int) -> tuple[NDArray[np.float32], float, NDArray[np.int64]]:
    """Return the levels, the unit of whole numbers, and the largest sum over all pixels up to each level."""
    grid = levels_up_to(np.float32(highest), levels)
    # A power of two, so that the product with a loss is exact before it is rounded up to a whole number.
    unit = 2.0 ** (_BITS - math.frexp(highest)[1])
    sums = np.array([math.floor(Fraction(float(level)) * Fraction(unit) * pixels) for level in grid], np.int64)
    # One pair serves all callers, so none may write into it.
    grid.setflags(write=False)
    sums.setflags(write=False)
    return grid, unit, sums


def _areas(shape: tuple[int, ...], side: int) -> NDArray[np.int64]:
    """Return the number of pixels of each square, row by row."""
    down, right = (np.diff(np.append(np.arange(0, length, side), length)) for length in shape)
    return np.outer(down, right).astype(np.int64).ravel()


@kernel
def _keys_and_places(bits: NDArray[np.int32], pixels: NDArray[np.uint64]) -> int:
    """Fill `pixels` with the key of each score, then its place; return how many have a score."""
    count = 0
    for i in range(bits.size):
        if not is_nan(bits[i]):
            pixels[count] = (np.uint64(key_of(bits[i])) << np.uint64(32)) | np.uint64(i)
            count += 1
    return count


@kernel
def _climb_squares(
    pixels: NDArray[np.uint64],
    losses: NDArray[np.float32],
    unit: float,
    shape: NDArray[np.int64],
    areas: NDArray[np.int64],
    best: NDArray[np.int64],
    sums: NDArray[np.int64],
    keys: NDArray[np.uint32],
    reached: NDArray[np.int64],
) -> int:
    """Go through `pixels` in order of score, and note where the mean passes a level of the grid.

    `unit`: Losses are summed in whole numbers of 1 / `unit`.
    `shape`: Width of the picture, side of a square, and squares in a row.
    `areas`, `best`: Pixels of each square, and zeros, which become the largest loss found in it.
    `sums`: What the sum over all pixels may be at each level, ascending from 0.
    `keys`, `reached`: Become the keys at which it rises, and what level it rises to.
    Returns: How often it rises.
    """
    width, side, across = shape
    last = sums.size - 1
    total = level = records = 0
    for i in range(pixels.size):
        place = np.int64(pixels[i] & np.uint64(0xFFFFFFFF))
        own = np.int64(math.ceil(losses[place] * unit))
        square = place // width // side * across + place % width // side
        if own <= best[square]:
            continue
        total += areas[square] * (own - best[square])
        best[square] = own
        if total <= sums[level] or level == last:
            continue
        # No mean exceeds the last level, whatever losses were rounded up to.
        while level < last and total > sums[level]:
            level += 1
        key = np.uint32(pixels[i] >> np.uint64(32))
        # Pixels of one score are trusted together.
        if records == 0 or keys[records - 1] != key:
            keys[records] = key
            records += 1
        reached[records - 1] = level
    return records


def warm_up() -> None:
    values = np.zeros((1, 2), np.float32)
    all_but_staircase(values, values, 0, 1.0)
    squares_staircase(values, values, 1, 1.0)
