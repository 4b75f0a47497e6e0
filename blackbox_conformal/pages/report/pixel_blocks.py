"""Maps and pictures made smaller by whole blocks of pixels: a block keeps the largest value of a map."""

from functools import reduce

import numpy as np

from blackbox_conformal.support.types import Map

SIDE = 1024
"""A stored picture's longer side has at most so many pixels."""


def block_side(size: tuple[int, int], side: int = SIDE) -> int:
    """The least whole reduction after which (H, W) `size` fits into `side`."""
    return max(1, -(-max(size) // side))


def block_maximum(scores: Map, block: int) -> Map:
    """(H, W) float32 → (ceil(H/block), ceil(W/block)): the largest score of each block, NaN if it holds one."""
    height, width = scores.shape
    rows, columns = -(-height // block), -(-width // block)
    padded = np.full((rows * block, columns * block), -np.inf, dtype=np.float32)
    padded[:height, :width] = scores
    # Whole rows are compared at once, then every block-th value of them.
    highest: Map = reduce(np.maximum, (padded[place::block] for place in range(block)))
    return reduce(np.maximum, (highest[:, place::block] for place in range(block)))
