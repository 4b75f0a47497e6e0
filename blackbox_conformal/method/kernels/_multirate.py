"""Wide Gaussian means at a cost that does not grow with their width: shrink, average the small map, enlarge.

Along each axis, with blocks of r pixels:

1. Each block gets the mean of the pixels around it weighted by a discrete quadratic B-spline, three boxes of r pixels
   convolved. It is centred on the block and has variance (r^2 - 1) / 4. Plain block means would let a pattern of r
   pixels through as a false slow one; this damps it to below 1e-4.
2. A sampled Gaussian over blocks.
3. A quadratic B-spline through the blocks, sampled at pixels: exact for ramps, variance r^2 / 4 at every pixel.

Variances of the three add up exactly, so the Gaussian over blocks gets what is missing to the wanted total. Blocks
beyond the border are made from reflected pixels. All weights are >= 0 (Unser, Aldroubi and Eden 1993 for B-splines as
sampling kernels).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._border import reflected
from blackbox_conformal.method.kernels._jit import kernel

SIGMA_IN_BLOCKS = 4.0
"""Blocks a standard deviation; fewer would be faster and less exact."""


def wide_gaussian(
    values: NDArray[Any], taps: NDArray[np.float64], sigma: float, low: float, high: float, out: NDArray[Any]
) -> None:
    """Fill `out` with the mean of `values` under the kernel whose one side is `taps`, held to [low, high]."""
    height, width = values.shape
    dtype: np.dtype[Any] = values.dtype
    block = int(sigma / SIGMA_IN_BLOCKS)
    shrink = _shrinking_weights(block)
    middle = _block_taps(_variance(taps), block)
    enlarge = _enlarging_weights(block)
    # One block more on either side for the spline, and whatever the Gaussian over blocks reaches.
    reach = middle.size
    rows, columns = -(-height // block), -(-width // block)
    # Offsetting by the smallest value makes rounding relative to the range, so that constants are kept.
    narrow = np.empty((rows + 2 * reach, width), dtype)
    _shrink_rows(values, shrink.astype(dtype), block, reach, dtype.type(low), narrow)
    small = np.empty((columns + 2 * reach, narrow.shape[0]), dtype)
    _shrink_rows(np.ascontiguousarray(narrow.T), shrink.astype(dtype), block, reach, dtype.type(0), small)
    small = _over_blocks(small, middle.astype(dtype))
    small = _over_blocks(np.ascontiguousarray(small.T), middle.astype(dtype))
    wide = np.empty((width, small.shape[0]), dtype)
    _enlarge_rows(np.ascontiguousarray(small.T), enlarge.astype(dtype), dtype.type(0), dtype.type(high - low), wide)
    _enlarge_rows(np.ascontiguousarray(wide.T), enlarge.astype(dtype), dtype.type(low), dtype.type(high), out)


def _variance(taps: NDArray[np.float64]) -> float:
    """Variance of the symmetric kernel whose one side is `taps`."""
    return float(2 * (np.arange(taps.size) ** 2 * taps).sum() / (taps[0] + 2 * taps[1:].sum()))


def _shrinking_weights(block: int) -> NDArray[np.float64]:
    ones = np.ones(block)
    return np.asarray(np.convolve(np.convolve(ones, ones), ones) / block**3)


def _enlarging_weights(block: int) -> NDArray[np.float64]:
    """(block, 3): for each pixel of a block the weights of the block before, itself, and the block after."""
    place = (np.arange(block) - (block - 1) / 2) / block
    return np.stack([0.5 * (0.5 - place) ** 2, 0.75 - place**2, 0.5 * (0.5 + place) ** 2], axis=1)


def _block_taps(variance: float, block: int) -> NDArray[np.float64]:
    """One side of the sampled Gaussian over blocks that brings the three steps to `variance` in square pixels."""
    wanted = (variance - (block**2 - 1) / 4) / block**2 - 0.25
    radius = math.ceil(4.5 * math.sqrt(wanted))
    places = np.arange(radius + 1)

    def taps(spread: float) -> NDArray[np.float64]:
        side = np.exp(-0.5 * places**2 / spread)
        return np.asarray(side / (side[0] + 2 * side[1:].sum()))

    # Cutting the tails costs a little variance; widening until it is back converges in a few steps.
    spread = wanted
    for _ in range(30):
        spread *= wanted / _variance(taps(spread))
    return taps(spread)


@kernel
def _shrink_rows(
    values: NDArray[Any], weights: NDArray[Any], block: int, reach: int, offset: Any, out: NDArray[Any]
) -> None:
    """Row j of `out` becomes the weighted mean of the rows around block j - reach, less `offset`."""
    height, width = values.shape
    for j in range(out.shape[0]):
        first = (j - reach) * block - (block - 1)
        target = out[j]
        for x in range(width):
            target[x] = -offset
        k = 0
        while k + 4 <= weights.size:
            w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            a, b = values[reflected(first + k, height)], values[reflected(first + k + 1, height)]
            c, d = values[reflected(first + k + 2, height)], values[reflected(first + k + 3, height)]
            for x in range(width):
                target[x] += (w0 * a[x] + w1 * b[x]) + (w2 * c[x] + w3 * d[x])
            k += 4
        while k < weights.size:
            w0, a = weights[k], values[reflected(first + k, height)]
            for x in range(width):
                target[x] += w0 * a[x]
            k += 1


@kernel
def _over_blocks(values: NDArray[Any], taps: NDArray[Any]) -> NDArray[Any]:
    """Mean down the columns; the rows that the kernel cannot reach, all but one on either side, are dropped."""
    radius = taps.size - 1
    out = np.empty((values.shape[0] - 2 * radius, values.shape[1]), values.dtype)
    for y in range(out.shape[0]):
        target = out[y]
        row = values[y + radius]
        for x in range(target.size):
            target[x] = taps[0] * row[x]
        for k in range(1, radius + 1):
            t, a, b = taps[k], values[y + radius - k], values[y + radius + k]
            for x in range(target.size):
                target[x] += t * (a[x] + b[x])
    return out


@kernel
def _enlarge_rows(values: NDArray[Any], weights: NDArray[Any], low: Any, high: Any, out: NDArray[Any]) -> None:
    """Rows of `out` from the three nearest rows of `values`, plus `low`, held to [low, high]."""
    block = weights.shape[0]
    for y in range(out.shape[0]):
        j = y // block
        a, b, c = values[j], values[j + 1], values[j + 2]
        w0, w1, w2 = weights[y % block, 0], weights[y % block, 1], weights[y % block, 2]
        target = out[y]
        for x in range(target.size):
            target[x] = min(max((w0 * a[x] + w1 * b[x]) + (w2 * c[x] + low), low), high)
