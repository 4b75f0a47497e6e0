"""Where each cell of one plane lies in another: sums of squared differences for every displacement."""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels import _checks
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Map


def displacement_costs(
    sent: Map, answered: Map, tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int, reach: int
) -> NDArray[np.float32]:
    """How badly each cell of `sent` fits `answered`, moved by every displacement.

    `sent`, `answered`: (h, w) float32, of one shape.
    `tops`, `lefts`: (R,) and (C,) int64: first rows and columns of the cells, all inside the planes.
    `side`: Of a cell, in pixels.
    `reach`: The largest displacement along an axis. Beyond the border the nearest pixel counts.
    Returns: (R, C, 2 reach + 1, 2 reach + 1) float32: the variance of ``answered[p + d] - sent[p]`` over the cell, by
      the displacement d down and to the right, each from ``-reach``. A constant difference of brightness costs nothing.
    """
    sent, answered = _checks.map_pair(sent, answered)
    rows, columns = sent.shape
    if side < 1 or reach < 0 or tops.max() + side > rows or lefts.max() + side > columns:
        raise UsageError(f"expected cells of {side} pixels inside {columns}×{rows}; move them inside")
    wide = np.pad(answered, reach, mode="edge")
    span = 2 * reach + 1
    out = np.empty((tops.size, lefts.size, span, span), np.float32)
    _costs(sent, wide, tops, lefts, side, out, np.empty((2, span), np.float32))
    return out


@kernel
def _costs(
    sent: NDArray[np.float32],
    wide: NDArray[np.float32],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    side: int,
    out: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:
    span = out.shape[2]
    count = np.float32(side * side)
    for row in range(tops.size):
        for column in range(lefts.size):
            top, left = tops[row], lefts[column]
            for down in range(span):
                sums[:] = 0
                for y in range(side):
                    ours = sent[top + y, left : left + side]
                    theirs = wide[top + y + down, left : left + side + span - 1]
                    # The inner loop is over displacements, whose sums are apart: it vectorises, and keeps their order.
                    for x in range(side):
                        for across in range(span):
                            apart = theirs[x + across] - ours[x]
                            sums[0, across] += apart
                            sums[1, across] += apart * apart
                for across in range(span):
                    mean = sums[0, across] / count
                    out[row, column, down, across] = max(sums[1, across] / count - mean * mean, np.float32(0))


def warm_up() -> None:
    plane, start = np.zeros((2, 2), np.float32), np.zeros(1, np.int64)
    displacement_costs(plane, plane, start, start, 2, 1)
