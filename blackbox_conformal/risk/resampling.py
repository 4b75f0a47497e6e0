"""One axis of the way from a photograph to what the vendor is sent, and back to its blurred version, as matrices.

`truth_bounds` puts the two axes together.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.kernels.windows import WIDE_SIGMA, gaussian_taps

Matrix = NDArray[np.float64]

WIDE_ERROR = 1e-3
"""From `WIDE_SIGMA` on the averaging differs from the sampled Gaussian by less than this in L1 norm an axis."""


def bicubic_matrix(length: int, scale: int) -> Matrix:
    """Pillow's bicubic reduction of `length` samples by `scale`: (length / scale, length), rows sum to 1.

    Keys (1981) with a = -1/2, widened by `scale`; taps beyond the border are dropped and the rest renormalised.
    """
    matrix = np.zeros((length // scale, length))
    for row in range(length // scale):
        centre = (row + 0.5) * scale
        first, stop = max(int(centre - 2 * scale + 0.5), 0), min(int(centre + 2 * scale + 0.5), length)
        x = np.abs((np.arange(first, stop) - centre + 0.5) / scale)
        inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        taps = np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
        matrix[row, first:stop] = taps / taps.sum()
    return matrix


def window_matrix(length: int, window: str, sigma: float | None, size: int | None) -> Matrix:
    """The averaging of `kernels.windows` along one axis, borders reflected: (length, length), rows >= 0, sum to 1."""
    if window == "gaussian" and sigma is not None:
        side = gaussian_taps(sigma)
    elif window == "box" and size is not None:
        side = np.full(size // 2 + 1, 1 / size)
    else:
        raise UsageError(f"expected a gaussian window with sigma or a box with size; got {window!r}, {sigma=}, {size=}")
    matrix = np.zeros((length, length))
    rows = np.arange(length)
    for offset in range(1 - side.size, side.size):
        columns = (rows + offset) % (2 * length)
        np.add.at(matrix, (rows, np.minimum(columns, 2 * length - 1 - columns)), side[abs(offset)])
    return matrix


@dataclass(frozen=True, eq=False)
class Axis:
    """How well the average of a line of samples in [0, 1] follows from its 8-bit bicubic reduction.

    Attributes
    ----------
    recover
        L, (length, length / scale), rows sum to 1: applied to the reduction it approximates the average.
    residual
        ``|K_p - A'L_p|_1`` a row.
    kernel_mass
        ``|A'L_p|_1`` a row.
    recover_mass
        ``|L_p|_1`` a row.
    clipped
        The largest error a row can suffer because values of the reduction outside [0, 1] are clipped, exact for
        ``L >= 0``.
    negative
        (length / scale,) sum of the negative taps of each row of A: how far outside [0, 1] its value can lie.
    taps
        The most taps a row of A has.
    approximation
        How far the averaging as computed may be from K, in L1 norm.
    """

    recover: Matrix
    residual: Matrix
    kernel_mass: Matrix
    recover_mass: Matrix
    clipped: Matrix
    negative: Matrix
    taps: int
    approximation: float


@lru_cache(maxsize=8)
def axis(length: int, scale: int, window: str, sigma: float | None, size: int | None) -> Axis:
    """The matrices for one side of a picture."""
    reduce, average = bicubic_matrix(length, scale), window_matrix(length, window, sigma, size)
    recover: Matrix = np.linalg.solve(reduce @ reduce.T, reduce @ average.T).T.astype(np.float64)
    # Rows that sum to 1 leave a residual that sums to 0, which a picture in [0, 1] cannot see more than half of.
    recover /= recover.sum(axis=1, keepdims=True)
    kernel = recover @ reduce
    negative = np.maximum(-reduce, 0).sum(axis=1)
    return Axis(
        recover,
        np.abs(average - kernel).sum(axis=1),
        np.abs(kernel).sum(axis=1),
        np.abs(recover).sum(axis=1),
        _clipped(np.maximum(recover, 0), reduce) + np.maximum(-recover, 0) @ negative,
        negative,
        int(np.count_nonzero(reduce, axis=1).max()),
        WIDE_ERROR if window == "gaussian" and sigma is not None and sigma >= WIDE_SIGMA else 0.0,
    )


def _clipped(weights: Matrix, reduce: Matrix) -> Matrix:
    """``max over y in [0, 1]^length of sum_j w_j max(0, -(A y)_j)`` for each row w >= 0 of `weights`.

    The sum is convex in y, so y is 0 or 1 in each sample and a set S of clipped values tells which: the maximum is
    ``max_S sum_c max(0, -sum_(j in S) w_j A_jc)``. A sample c touches four neighbouring values, so S is found by
    dynamic programming over samples, the state being which of those four are clipped. Clipping at 1 is the mirror.
    """
    touching = reduce != 0
    first = np.maximum.accumulate(np.argmax(touching, axis=0))
    width = int(np.max(reduce.shape[0] - np.argmax(touching[::-1], axis=0) - first))
    members = (np.arange(2**width)[:, None] >> np.arange(width)) & 1
    best = np.zeros((weights.shape[0], 2**width))
    at = 0
    for sample in range(reduce.shape[1]):
        while at < first[sample]:
            # The oldest value leaves the window, the next one enters with either choice.
            kept = np.maximum(best[:, 0::2], best[:, 1::2])
            best = np.concatenate([kept, kept], axis=1)
            at += 1
        stop = min(at + width, reduce.shape[0])
        # What the sample adds to each of the values it touches, where they are clipped.
        pulls = weights[:, at:stop] * reduce[at:stop, sample]
        best += np.maximum(-(pulls @ members[:, : stop - at].T), 0)
    largest: Matrix = best.max(axis=1)
    return largest
