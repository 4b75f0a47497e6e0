"""Even out a score map, so that at any threshold what lies above it, and what lies below, is made of large patches."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._checks import float_map
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Map

CELL = 4  # Pixels on a side of the blocks that regions are made of. Single pixels would take longer than the score.


def in_regions(values: Map, region: int) -> Map:
    """Return the map after an area opening, then an area closing, of its means over cells (Vincent 1993).

    A patch is made of cells that touch at a side. At any threshold each patch of larger values, and each patch of
    smaller ones, has at least as many cells as a square of `region` pixels.

    `values`: (H, W) float32, finite.
    `region`: A multiple of `CELL`. In a smaller picture all values become one.
    Returns: (H, W) float32. A cell that the border cuts counts as a whole one.
    """
    values = float_map(values)
    height, width = values.shape
    cells = np.empty((-(-height // CELL), -(-width // CELL)), np.float32)
    _means(values, cells)
    for _ in range(2):
        # The closing is the opening of the negative map.
        flat = -cells.ravel()
        # In whichever order equal values come, the opening is the same.
        order = np.argsort(flat)
        _open(-flat, order, cells.shape[1], (region // CELL) ** 2, np.zeros(flat.size, np.int64), cells.reshape(-1))
        cells *= -1
    return np.ascontiguousarray(cells.repeat(CELL, axis=0)[:height].repeat(CELL, axis=1)[:, :width])


@kernel
def _means(values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    height, width = values.shape
    sums = np.empty(out.shape[1])
    for row in range(out.shape[0]):
        sums[:] = 0.0
        bottom = min(CELL * (row + 1), height)
        for y in range(CELL * row, bottom):
            for cell in range(out.shape[1]):
                for x in range(CELL * cell, min(CELL * (cell + 1), width)):
                    sums[cell] += values[y, x]
        for cell in range(out.shape[1]):
            wide = min(CELL * (cell + 1), width) - CELL * cell
            out[row, cell] = sums[cell] / ((bottom - CELL * row) * wide)


@kernel
def _open(
    values: NDArray[np.float32],
    order: NDArray[np.int64],
    width: int,
    least: int,
    parent: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Lower each peak of fewer than `least` cells until it has as many, by union-find (Meijster and Wilkinson 2002).

    `order`: Cells from the largest value down. `parent`: Zeros: not yet reached. Then a root holds minus the size of
    its patch, any other cell 1 plus its parent.
    """
    for i in range(order.size):
        cell = order[i]
        parent[cell] = -1
        for side in range(4):
            other = cell
            if side == 0 and cell % width:
                other = cell - 1
            elif side == 1 and (cell + 1) % width:
                other = cell + 1
            elif side == 2:
                other = cell - width
            elif side == 3:
                other = cell + width
            if other < 0 or other >= values.size or parent[other] == 0:
                continue
            root = other
            while parent[root] > 0:
                root = parent[root] - 1
            while other != root:
                above = parent[other] - 1
                parent[other] = root + 1
                other = above
            if root == cell:
                continue
            if values[root] == values[cell] or -parent[root] < least:
                parent[cell] += parent[root]
                parent[root] = cell + 1
            else:
                # It touches a patch that is large enough and keeps its own value.
                parent[cell] = min(parent[cell], -least)
    for i in range(order.size - 1, -1, -1):
        cell = order[i]
        out[cell] = values[cell] if parent[cell] < 0 else out[parent[cell] - 1]


def warm_up() -> None:
    in_regions(np.zeros((CELL, CELL), np.float32), CELL)
