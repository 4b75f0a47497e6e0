"""Find the largest loss apart from a number of pixels, as a staircase of bounded size: one sort, then one pass.

Losses are rounded up to a grid that depends on the bound alone. So where one map lies below another everywhere, its
staircase does, too.
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._buckets import is_nan, key_of
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.staircase import LEVELS, Steps, levels_up_to, pair_within, scores_of
from blackbox_conformal.support.rounding import float32_down
from blackbox_conformal.support.types import Map


def all_but_staircase(scores: Map, losses: Map, left_out: int, bound: float, levels: int = LEVELS) -> Steps:
    """Return the (`left_out` + 1)-th largest loss among pixels with score < t, 0 with at most `left_out` such pixels.

    Parameters
    ----------
    scores
        (H, W) float32, finite or NaN. A NaN is never trusted and takes no part.
    losses
        (H, W) float32, in [0, bound].
    left_out
        How many of the largest losses are left out.
    bound
        The largest loss that there can be.
    levels
        Losses are rounded up, never down, by less than bound / `levels`, which also is the most steps returned.

    Returns
    -------
    scores, losses
        float32, both strictly increasing, as of `staircase`.
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
    records = _climb(pixels, min(left_out, scores.size), np.zeros(grid.size, np.int64), keys, reached)
    return scores_of(keys[:records]), grid[reached[:records]]


@kernel
def _keys_and_levels(
    bits: NDArray[np.int32], losses: NDArray[np.float32], grid: NDArray[np.float32], pixels: NDArray[np.uint64]
) -> int:
    """Fill `pixels` with the key of each score, then the first level of `grid` that is no less than its loss.

    Returns
    -------
    How many pixels have a score.
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
def _climb(
    pixels: NDArray[np.uint64],
    left_out: int,
    counts: NDArray[np.int64],
    keys: NDArray[np.uint32],
    reached: NDArray[np.int64],
) -> int:
    """Go through `pixels` in order of score, and note where the least level rises that at most `left_out` exceed.

    Parameters
    ----------
    counts
        Zeros; becomes the number of pixels at each level.
    keys, reached
        Become the keys at which it rises, and what it rises to.

    Returns
    -------
    How often it rises.
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


def warm_up() -> None:
    values = np.zeros((1, 2), np.float32)
    all_but_staircase(values, values, 0, 1.0)
