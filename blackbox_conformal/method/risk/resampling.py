"""Matrices along one axis, from a photograph to the vendor's input and back to the blurred photograph.

`truth_bounds` puts the two axes together.
"""

import functools
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.windows import WIDE_SIGMA, gaussian_taps

Matrix = NDArray[np.float64]

# From `WIDE_SIGMA` on the averaging differs from the sampled Gaussian by less than this in L1 norm an axis.
WIDE_ERROR = 1e-3
RIDGE = 1e-3  # Keeps `Axis.recover` small where a blur left little to bring back, so that rounding does not count.


class Step(Protocol):
    """A step of the way from a photograph to an input; equal steps have equal hashes."""

    def along_axis(self, length: int) -> Matrix | None:
        """Return the map of a line of `length` samples, (new length, length); None where the step is no such map.

        The step applies the map along rows and along columns, rounds to 8 bits or finer after each, and keeps at least
        22 bits of each tap. If a tap is negative, rows come first and both results are clipped.
        """


def reduction_matrix(name: str, length: int, factor: int) -> Matrix:
    """Return Pillow's reduction of `length` samples by `factor`: (length / factor, length), rows sum to 1.

    `name` is one of `FILTERS`. The filter is widened by `factor`; taps beyond the border are dropped and the rest
    renormalised.
    """
    reach, weight = FILTERS[name]
    matrix = np.zeros((length // factor, length))
    for row in range(length // factor):
        centre = (row + 0.5) * factor
        # Pillow rounds the support this way; one sample more or less would make another filter.
        first, stop = (int(centre + side * reach * factor + 0.5) for side in (-1, 1))
        first, stop = max(first, 0), min(stop, length)
        # Distances are from sample centre to sample centre, in samples of the result.
        taps = weight((np.arange(first, stop) - centre + 0.5) / factor)
        matrix[row, first:stop] = taps / taps.sum()
    return matrix


# Half open, as in Pillow, so that a sample on the edge between two results counts once.
def _area(x: Matrix) -> Matrix:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _bicubic(x: Matrix) -> Matrix:
    """Keys (1981) with a = -1/2."""
    x = np.abs(x)
    inner, outer = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def _lanczos(x: Matrix) -> Matrix:
    """Three lobes (Duchon 1979)."""
    weights: Matrix = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return weights


FILTERS = {"area": (0.5, _area), "bicubic": (2, _bicubic), "lanczos": (3, _lanczos)}
"""Reach in samples of the result, and the weight at a distance from the centre in such samples."""


def window_matrix(length: int, window: str, sigma: float | None, size: int | None) -> Matrix:
    """Return the averaging of `kernels.windows` along one axis, borders reflected: rows >= 0, sum to 1."""
    if window == "gaussian" and sigma is not None:
        side = gaussian_taps(sigma)
    elif window == "box" and size is not None:
        side = np.full(size // 2 + 1, 1 / size)
    else:
        raise UsageError(f"expected a gaussian window with sigma or a box with size; got {window!r}, {sigma=}, {size=}")
    return reflected_matrix(length, side)


def reflected_matrix(length: int, side: NDArray[np.float64]) -> Matrix:
    """Return the weights `side`, from the centre outwards, around each sample, borders reflected: (length, length)."""
    matrix = np.zeros((length, length))
    rows = np.arange(length)
    for offset in range(1 - side.size, side.size):
        # The pattern repeats after the line and its mirror image.
        columns = (rows + offset) % (2 * length)
        # A kernel longer than the line meets a sample more than once, which plain indexing would count once.
        np.add.at(matrix, (rows, np.minimum(columns, 2 * length - 1 - columns)), side[abs(offset)])
    return matrix


@dataclass(frozen=True, eq=False)
class AxisPass:
    """The effect of one step along one axis on errors.

    An error of this step's source counts by `before`, (length,), the absolute sums of the rows of ``L A_m … A_i``; an
    error of its result counts by `after`, (length,), the same of ``L A_m … A_(i+1)``. `clipped`, (length,), is the
    largest error in a row from clipping values outside [0, 1]. `negative` is the sum of the negative taps of each row
    of ``A_i``: how far outside [0, 1] its value can lie. `taps` is the most taps in a row of ``A_i``.
    """

    before: Matrix
    after: Matrix
    clipped: Matrix
    negative: Matrix
    taps: int


@dataclass(frozen=True, eq=False)
class Axis:
    """How well the steps' result tells the average of a line of samples in [0, 1].

    A is the product ``A_m … A_1`` of the steps' maps, K the average. `recover` is L, (length, shorter length), rows sum
    to 1: applied to the input it approximates the average. `residual` is ``|K_p - A'L_p|_1`` a row. `passes` are the
    steps, in order. `approximation` is how far the computed averaging may be from K, in L1 norm.
    """

    recover: Matrix
    residual: Matrix
    passes: tuple[AxisPass, ...]
    approximation: float


@lru_cache(maxsize=8)
def axis(steps: tuple[Step, ...], length: int, window: str, sigma: float | None, size: int | None) -> Axis:
    """Return the matrices for one side of a picture."""
    maps = [_map(steps[0], length)]
    for step in steps[1:]:
        maps.append(_map(step, maps[-1].shape[0]))
    reduce = functools.reduce(lambda product, last: last @ product, maps)
    average = window_matrix(length, window, sigma, size)
    square = reduce @ reduce.T + RIDGE * np.eye(reduce.shape[0])
    recover: Matrix = np.linalg.solve(square, reduce @ average.T).T.astype(np.float64)
    # Rows that sum to 1 leave a residual that sums to 0; a picture in [0, 1] can show at most half that residual.
    recover /= recover.sum(axis=1, keepdims=True)
    weights, passes = recover, []
    for each in reversed(maps):
        negative = np.maximum(-each, 0).sum(axis=1)
        worst = _clipped(np.maximum(weights, 0), each) if negative.any() else np.zeros(weights.shape[0])
        # A negative weight turns clipping at 0 into an error the other way: there the largest possible clipping counts.
        clipped = worst + np.maximum(-weights, 0) @ negative
        after, weights = np.abs(weights).sum(axis=1), weights @ each
        most = int(np.count_nonzero(each, axis=1).max())
        passes.append(AxisPass(np.abs(weights).sum(axis=1), after, clipped, negative, most))
    return Axis(
        recover,
        np.abs(average - weights).sum(axis=1),
        tuple(reversed(passes)),
        WIDE_ERROR if window == "gaussian" and sigma is not None and sigma >= WIDE_SIGMA else 0.0,
    )


def _map(step: Step, length: int) -> Matrix:
    matrix = step.along_axis(length)
    if matrix is None:
        raise UsageError(f"expected a step that is a linear map along rows and columns; got {step!r}")
    return matrix


def _clipped(weights: Matrix, reduce: Matrix) -> Matrix:
    """``max over y in [0, 1]^length of sum_j w_j max(0, -(A y)_j)`` for each row w >= 0 of `weights`.

    The sum is convex in y, so y is 0 or 1 in each sample and a set S of clipped values tells which: the maximum is
    ``max_S sum_c max(0, -sum_(j in S) w_j A_jc)``. A sample c touches few neighbouring values (four of a bicubic
    reduction, six of Lanczos), so S is found by dynamic programming over samples, the state being which of these are
    clipped. Clipping at 1 is the mirror.
    """
    touching = reduce != 0
    # Samples touch runs of neighbouring values, whose first place never falls.
    first = np.maximum.accumulate(np.argmax(touching, axis=0))
    width = int(np.max(reduce.shape[0] - np.argmax(touching[::-1], axis=0) - first))
    # All ways to clip the values of the window, one bit a value.
    members = (np.arange(2**width)[:, None] >> np.arange(width)) & 1
    best = np.zeros((weights.shape[0], 2**width))
    at = 0
    for sample in range(reduce.shape[1]):
        while at < first[sample]:
            # The oldest value is the lowest bit: for each choice of the others the better of its two choices stays.
            kept = np.maximum(best[:, 0::2], best[:, 1::2])
            best = np.concatenate([kept, kept], axis=1)
            at += 1
        stop = min(at + width, reduce.shape[0])
        pulls = weights[:, at:stop] * reduce[at:stop, sample]
        best += np.maximum(-(pulls @ members[:, : stop - at].T), 0)
    largest: Matrix = best.max(axis=1)
    return largest
