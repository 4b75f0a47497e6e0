"""Average around each pixel by box or Gaussian weights, with reflected borders (d c b a | a b c d | d c b a).

The weights are >= 0 and sum to 1, so a mean lies between the smallest and the largest value. `wide_gaussian` computes
wide Gaussians on a coarser grid.
"""

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels._checks import pixel
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.elementary import exponential

# What lies beyond the border of a map: its own pixels, reflected (d c b a | a b c d | d c b a).


@kernel
def reflected(index: int, length: int) -> int:
    """Return the pixel shown at `index`, reflected as often as it takes to land in [0, length)."""
    # The pattern repeats after the row and its mirror image, hence 2 `length`; Python's remainder is never negative.
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


# Wide Gaussian means at a cost that does not grow with their width: shrink, average the small map, enlarge.

SIGMA_IN_BLOCKS = 4.0  # Blocks a standard deviation; fewer would be faster and less exact.


def wide_gaussian(
    values: NDArray[Any], taps: NDArray[np.float64], sigma: float, low: float, high: float, out: NDArray[Any]
) -> None:
    """Fill `out` with the mean of `values` under the kernel whose one side is `taps`, held to [low, high]."""
    height, width = values.shape
    dtype: np.dtype[Any] = values.dtype
    # Four blocks a standard deviation: the error of the spline then is far below one level in 255.
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
    # Three boxes in a row are the quadratic B-spline, whose variance is (block^2 - 1) / 4 square pixels.
    return np.asarray(np.convolve(np.convolve(ones, ones), ones) / block**3)


def _enlarging_weights(block: int) -> NDArray[np.float64]:
    """Return (block, 3): for each pixel of a block the weights of the block before, its own, and the block after."""
    place = (np.arange(block) - (block - 1) / 2) / block
    # The quadratic B-spline at its three nearest knots: its variance is 1/4 square block.
    return np.stack([0.5 * (0.5 - place) ** 2, 0.75 - place**2, 0.5 * (0.5 + place) ** 2], axis=1)


def _block_taps(variance: float, block: int) -> NDArray[np.float64]:
    """Return one side of the Gaussian over blocks that brings the three steps to `variance` in square pixels."""
    # Variances of kernels applied one after the other add up: what shrinking and enlarging bring is left out.
    wanted = (variance - (block**2 - 1) / 4) / block**2 - 0.25
    # Cut at 4.5 deviations, later than the 4 of the kernel that is imitated: narrower tails would cost accuracy.
    radius = math.ceil(4.5 * math.sqrt(wanted))
    places = np.arange(radius + 1)

    def taps(spread: float) -> NDArray[np.float64]:
        side = exponential(-0.5 * places**2 / spread)
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
    """Set row j of `out` to the weighted mean of the rows around block j - reach, less `offset`."""
    height, width = values.shape
    for j in range(out.shape[0]):
        # The B-spline spans three blocks less two pixels, around block j - reach.
        first = (j - reach) * block - (block - 1)
        target = out[j]
        for x in range(width):
            target[x] = -offset
        k = 0
        # Four rows a pass, so that the sums are read and written a quarter as often; the rest singly.
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
    """Average down the columns; drop the rows that the kernel cannot reach, all but one on either side."""
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
    """Make rows of `out` from the three nearest rows of `values`, plus `low`, held to [low, high]."""
    block = weights.shape[0]
    for y in range(out.shape[0]):
        j = y // block
        a, b, c = values[j], values[j + 1], values[j + 2]
        w0, w1, w2 = weights[y % block, 0], weights[y % block, 1], weights[y % block, 2]
        target = out[y]
        for x in range(target.size):
            # Rounding and the spline may carry a mean past the range by a little: the promise is to stay within.
            target[x] = min(max((w0 * a[x] + w1 * b[x]) + (w2 * c[x] + low), low), high)


Values = TypeVar("Values", NDArray[np.float32], NDArray[np.float64])

TRUNCATE = 4.0  # Standard deviations at which the Gaussian ends.
WIDE_SIGMA = 12.0  # From here on a Gaussian is computed on a coarser grid; narrower ones tap by tap.
MAX_SIGMA = 4096.0
MAX_SIZE = 4095


def gaussian(values: Values, sigma: float, *, overwrite: bool = False) -> Values:
    """Average `values` by a Gaussian that ends at four standard deviations.

    `values`: (H, W) float32 or float64, finite, of any size: smaller than the kernel means reflected repeatedly.
    `sigma`: Standard deviation in pixels, in (0, 4096].
    `overwrite`: Put the result where `values` are, if they are C-contiguous.
    Returns: (H, W) array of the dtype of `values`, between their smallest and largest value; constants are kept.

    Below `WIDE_SIGMA` the taps sample a Gaussian and are normalised; float32 sums leave a relative error of about 1e-6.
    From there on the kernel differs from the sampled one by at most 5.6e-4 in L1 norm along each axis. So no result
    differs by more than 5.6e-4 of the range of `values` (2e-5 is typical), and the cost does not grow with sigma.
    """
    if not 0 < sigma <= MAX_SIGMA:
        raise UsageError(f"expected sigma in (0, {MAX_SIGMA:g}] pixels; got {sigma!r}. Choose another sigma")
    values = _checked(values)
    low, high = _range(values)
    out = values if overwrite else np.empty_like(values)
    # Averaging a constant could change its last bit; a map of equal scores must stay one of ties.
    if low == high:
        out.fill(low)
        return out
    if sigma >= WIDE_SIGMA:
        wide_gaussian(values, gaussian_taps(sigma), sigma, low, high, out)
    else:
        # Zeros behind the taps cost little and spare the kernels a loop for the rest.
        taps = _in_fours(gaussian_taps(sigma)).astype(values.dtype)
        reach, width, dtype = taps.size - 1, values.shape[1], values.dtype
        padded, held = np.empty((2, width + 2 * reach), dtype), np.empty((reach + 2, width), dtype)
        _separable(values, taps, dtype.type(low), dtype.type(high), padded, held, out)
    return out


def gaussian_taps(sigma: float) -> NDArray[np.float64]:
    """Return one side of the kernel, from its centre outwards: sampled at whole pixels; both sides sum to 1."""
    radius = int(TRUNCATE * sigma + 0.5)
    taps = exponential(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return np.asarray(taps / (taps[0] + 2 * taps[1:].sum()))


def box(values: Values, size: int, *, overwrite: bool = False) -> Values:
    """Average `values` over squares of `size` x `size` pixels.

    `values`: (H, W) float32 or float64, finite, of any size.
    `size`: Side in pixels, odd, in [1, 4095].
    `overwrite`: Put the result where `values` are, if they are C-contiguous.
    Returns: (H, W) array of the dtype of `values`, between their smallest and largest value; constants are kept.

    Running sums keep the cost independent of `size`, and have no drift: values are first rounded to a grid so coarse
    that every sum is exact in float64 (a step of at most ``max |value| * size^2 / 2^49``, far below float32 for common
    sizes; whole numbers are not changed). So windows with equal content have equal means, to the bit, and means of
    values >= 0 are >= 0.
    """
    if not (isinstance(size, int | np.integer) and 1 <= size <= MAX_SIZE and size % 2 == 1):
        raise UsageError(f"expected an odd window size from 1 to {MAX_SIZE} pixels; got {size!r}. Choose another size")
    values = _checked(values)
    low, high = _range(values)
    out = values if overwrite else np.empty_like(values)
    # Averaging a constant could change its last bit; a map of equal scores must stay one of ties.
    if low == high:
        out.fill(low)
        return out
    # Adding and subtracting 1.5 * 2^52 steps rounds to a multiple of the step.
    # The step leaves sums of size^2 values below 2^52 steps, where float64 is exact; 1.5 2^52 keeps negative ones
    # there.
    step = 2.0 ** (math.frexp(max(abs(low), abs(high)))[1] + math.ceil(2 * math.log2(size)) - 51)
    radius, width, dtype = int(size) // 2, values.shape[1], values.dtype
    columns, padded = np.zeros(width, np.float64), np.empty(width + 2 * radius + 1, np.float64)
    held = np.empty((radius + 2, width), dtype)
    _box(values, radius, 1.5 * 2.0**52 * step, dtype.type(low), dtype.type(high), columns, padded, held, out)
    return out


def average(values: Values, window: str, sigma: float | None, size: int | None, *, overwrite: bool = False) -> Values:
    """Average by `gaussian` or `box`, chosen by name."""
    if window == "gaussian" and sigma is not None:
        return gaussian(values, sigma, overwrite=overwrite)
    if window == "box" and size is not None:
        return box(values, size, overwrite=overwrite)
    raise UsageError(f"expected a gaussian window with sigma or a box with size; got {window!r}, {sigma=}, {size=}")


def _in_fours(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `taps` with zeros behind, so that all but the centre come in fours."""
    # All but the centre: `(1 - size) % 4` is what is missing from the next multiple of four.
    return np.append(taps, np.zeros((1 - taps.size) % 4))


def _checked(values: Any) -> Any:
    kinds = (np.float32, np.float64)
    if not isinstance(values, np.ndarray) or values.dtype not in kinds or values.ndim != 2 or values.size == 0:
        kind = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise MapError(
            f"expected an (H, W) float32 or float64 map with at least one pixel; got {kind}. Convert it first"
        )
    return np.ascontiguousarray(values)


# One pass for the range and for finiteness: a NaN or an infinity always reaches the smallest or the largest value.
def _range(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise MapError(
            f"expected finite values to average; got {values.flat[index]} at {pixel(index, values.shape[1])}. "
            "Find out where it comes from: one such value would spoil every mean around it"
        )
    return low, high


# The kernels get their working memory from outside and copy by plain loops: array expressions in them would take the
# compiler several times as long, which the first picture would wait for.


@kernel
def _separable(
    values: NDArray[Any],
    taps: NDArray[Any],
    low: Any,
    high: Any,
    padded: NDArray[Any],
    held: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Take two rows at a time: down the columns into `padded`, then along each row into `held`, then into `out`.

    `out` may be `values`. A finished row y therefore waits in `held`, a ring of reach + 2 rows, until no later row
    needs row y of `values`; rows up to y + reach do.
    """
    height, width = values.shape
    reach = taps.size - 1
    # It runs on by `reach` rows, in which waiting rows are only written out.
    for y in range(0, height + reach, 2):
        if y < height:
            _weigh_columns(values, taps, y, padded[0, reach : reach + width], padded[1, reach : reach + width])
        for row in range(y, min(y + 2, height)):
            _extend(padded[row - y], reach, width)
            _weigh_row(padded[row - y], taps, low, high, held[row % (reach + 2)])
        # No row still to come reads these rows of `values`, so the results may overwrite them.
        for row in range(max(y - reach, 0), min(y + 2 - reach, height)):
            _copy(held[row % (reach + 2)], out[row])


@kernel
def _weigh_columns(values: NDArray[Any], taps: NDArray[Any], y: int, out: NDArray[Any], below: NDArray[Any]) -> None:
    """Average down the columns around row `y` and the row below it, four taps a pass on either side.

    Two rows at a time, since they need nearly the same rows, which do not fit the first-level cache. For taps k to k +
    3 of row y, `a0` to `a3` are the rows above it and `b0` to `b3` the rows below, nearest first; `a` and `b` are the
    two between, one nearer to y, which the row below y needs: for it everything is one row further down.
    """
    height, width = values.shape
    row, next_row = values[y], values[reflected(y + 1, height)]
    for x in range(width):
        out[x] = taps[0] * row[x]
        below[x] = taps[0] * next_row[x]
    for k in range(1, taps.size, 4):
        t0, t1, t2, t3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        a, b = values[reflected(y - k + 1, height)], values[reflected(y + k, height)]
        a0, b0 = values[reflected(y - k, height)], values[reflected(y + k + 1, height)]
        a1, b1 = values[reflected(y - k - 1, height)], values[reflected(y + k + 2, height)]
        a2, b2 = values[reflected(y - k - 2, height)], values[reflected(y + k + 3, height)]
        a3, b3 = values[reflected(y - k - 3, height)], values[reflected(y + k + 4, height)]
        for x in range(width):
            out[x] += (t0 * (a0[x] + b[x]) + t1 * (a1[x] + b0[x])) + (t2 * (a2[x] + b1[x]) + t3 * (a3[x] + b2[x]))
            below[x] += (t0 * (a[x] + b0[x]) + t1 * (a0[x] + b1[x])) + (t2 * (a1[x] + b2[x]) + t3 * (a2[x] + b3[x]))


@kernel
def _weigh_row(padded: NDArray[Any], taps: NDArray[Any], low: Any, high: Any, out: NDArray[Any]) -> None:
    """Average along a row that has `taps.size - 1` more pixels on either side, held to [low, high].

    Rounding may carry a mean past the smallest or largest value by a unit in the last place.
    """
    reach, width = taps.size - 1, out.size
    for x in range(width):
        out[x] = taps[0] * padded[reach + x]
    for k in range(1, taps.size, 4):
        t0, t1, t2, t3 = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        # The pixels k + 3 to the left of the first one, and k to the right.
        left, right = padded[reach - k - 3 :], padded[reach + k :]
        for x in range(width):
            out[x] += (t0 * (left[x + 3] + right[x]) + t1 * (left[x + 2] + right[x + 1])) + (
                t2 * (left[x + 1] + right[x + 2]) + t3 * (left[x] + right[x + 3])
            )
    for x in range(width):
        out[x] = min(max(out[x], low), high)


@kernel
def _extend(row: NDArray[Any], reach: int, width: int) -> None:
    """Fill `reach` pixels on either side of the `width` pixels of a row with its own, reflected."""
    for x in range(1, reach + 1):
        row[reach - x] = row[reach + reflected(-x, width)]
        row[reach + width - 1 + x] = row[reach + reflected(width - 1 + x, width)]


@kernel
def _copy(source: NDArray[Any], target: NDArray[Any]) -> None:
    for x in range(target.size):
        target[x] = source[x]


@kernel
def _add_rounded(row: NDArray[Any], sign: float, magic: float, columns: NDArray[np.float64]) -> None:
    """Add `sign` times the row to `columns`, each value rounded to a multiple of the step that `magic` stands for.

    `magic` is 1.5 * 2^52 steps. At that size neighbouring floats are one step apart, so that adding it rounds, and
    subtracting it leaves the rounded value: sums of such values are exact in any order.
    """
    for x in range(columns.size):
        columns[x] += sign * ((np.float64(row[x]) + magic) - magic)


@kernel
def _box(
    values: NDArray[Any],
    radius: int,
    magic: float,
    low: Any,
    high: Any,
    columns: NDArray[np.float64],
    padded: NDArray[np.float64],
    held: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Keep running sums down the columns, then along each row of them.

    `out` may be `values`: as in `_separable` a finished row waits in a ring, here of radius + 2 rows, as the row that
    leaves the window lies one further back than the window reaches.
    """
    height, width = values.shape
    area = np.float64((2 * radius + 1) * (2 * radius + 1))
    # The window of the first row, reflected at the top; later rows differ from it by one row in and one out.
    for offset in range(-radius, radius + 1):
        _add_rounded(values[reflected(offset, height)], 1.0, magic, columns)
    for y in range(height + radius + 1):
        if 0 < y < height:
            _add_rounded(values[reflected(y + radius, height)], 1.0, magic, columns)
            # Rounded values are whole steps, so what was added is taken away exactly, without drift.
            _add_rounded(values[reflected(y - radius - 1, height)], -1.0, magic, columns)
        if y < height:
            for x in range(width):
                padded[radius + x] = columns[x]
            _extend(padded, radius, width)
            total = 0.0
            # Begun afresh in each row; within it sums of whole steps are exact in any order.
            for x in range(2 * radius):
                total += padded[x]
            target = held[y % (radius + 2)]
            for x in range(width):
                total += padded[x + 2 * radius]
                target[x] = min(max(total / area, low), high)
                total -= padded[x]
        if y > radius:
            _copy(held[(y - radius - 1) % (radius + 2)], out[y - radius - 1])


def warm_up() -> None:
    for dtype in (np.float32, np.float64):
        values: NDArray[Any] = np.arange(4).reshape(2, 2).astype(dtype)
        gaussian(values, 1.0)
        gaussian(values, WIDE_SIGMA)
        box(values, 3)
