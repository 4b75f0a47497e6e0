"""The borders of a JPEG's 8 × 8 blocks, and where they lie.

A step between two neighbouring pixels that is larger than the steps on both sides of it occurs as often in one column
of a photograph as in another. In a picture that was compressed it occurs more often at the borders of blocks (steps
across borders against those beside them: Wang, Sheikh & Bovik 2002; counting makes one strong edge count once).
"""

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.images.input_statistics.planes import Plane

BLOCK = 8
CORNER = 0
"""The grid of a JPEG that nobody has cut since: a border lies before the pixels 0, 8, 16, …"""


def border_shares(brightness: Plane, axis: int) -> NDArray[np.float64]:
    """(8,): how often a step is larger than both beside it, before the pixels k, k + 8, … along an axis, k = 0 to 7.

    Parameters
    ----------
    axis
        1: steps between rows; 2: between columns.
    """
    steps = np.abs(np.diff(np.moveaxis(brightness, axis, -1), axis=-1))
    inner = steps[..., 1:-1]
    larger = (inner > steps[..., :-2]) & (inner > steps[..., 2:])
    counts = larger.sum(axis=tuple(range(larger.ndim - 1)), dtype=np.int64)
    # Step j of `inner` lies before pixel j + 2.
    places = (np.arange(len(counts)) + 2) % BLOCK
    hits = np.bincount(places, counts, BLOCK)
    tries = np.bincount(places, minlength=BLOCK) * (larger.size // max(len(counts), 1))
    return hits / np.maximum(tries, 1)


def blockiness(brightness: Plane) -> tuple[float, float]:
    """How much more often steps are larger at block borders than elsewhere, -1 to 1, about 0 without blocks.

    The first is that of the grid that begins in the corner, the second the largest of any other grid. Each is the mean
    over rows and columns; 0 for a picture of fewer than 16 pixels a side.
    """
    if min(brightness.shape[1:]) < 2 * BLOCK:
        return 0.0, 0.0
    corner = other = 0.0
    for axis in (1, 2):
        shares = border_shares(brightness, axis)
        excess = shares - (shares.sum() - shares) / (BLOCK - 1)
        corner += float(excess[CORNER]) / 2
        other += float(np.delete(excess, CORNER).max()) / 2
    return corner, other
