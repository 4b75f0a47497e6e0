"""Keep running sums over the draws of one picture, exact in integers, for their mean and variance."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.kernels._checks import image
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.windows import reflected
from blackbox_conformal.support.types import Image, Map

# Most draws that fit: 22017, after which the sum of squares would leave 32 bits.
MAX_DRAWS = np.iinfo(np.uint32).max // (3 * 255 * 255)
# Most draws whose channel sums fit 16 bits: 257. After them the sums move to 32 bits.
SHORT_DRAWS = np.iinfo(np.uint16).max // 255
STRIP = 1 << 17  # Pixels added up at a time, so few that their sums stay in the cache from draw to draw.
CHUNK = 256  # Pixels whose squares wait in the first-level cache until each pixel adds its own.
# Most draws of averaged pictures: with more, M times the sum of squares would leave 63 bits.
MAX_FIXED_POINT_DRAWS = 1024


class Moments:
    """First and second moments of M draws: per-channel sums, and squares summed over the channels.

    Integer sums do not depend on their order, so no result does, to the last bit. Memory for H x W pixels: 10 H W bytes
    up to 257 draws, 16 H W beyond.

    `shape`: (H, W) of every draw.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.clear()

    def add(self, *draws: Image) -> None:
        """Take draws, each (H, W, 3) uint8; many at once take little more than half the time."""
        checked = [image(pixels, "the draw") for pixels in draws]
        for pixels in checked:
            _require_size(pixels.shape, self.shape)
        self._make_room(self.draws + len(checked))
        flat = [pixels.reshape(-1) for pixels in checked]
        sums, squares = self.sums.reshape(-1), self.squares.reshape(-1)
        for first in range(0, squares.size, STRIP):
            _add_strip(
                [pixels[3 * first : 3 * (first + STRIP)] for pixels in flat],
                sums[3 * first : 3 * (first + STRIP)],
                squares[first : first + STRIP],
            )
        self.draws += len(checked)

    def merge(self, other: Self) -> None:
        """Add the draws of `other`."""
        _require_size(other.shape, self.shape)
        if other.draws == 0:
            return
        self._make_room(self.draws + other.draws)
        self.sums += other.sums
        self.squares += other.squares
        self.draws += other.draws

    def clear(self) -> None:
        """Forget every draw; the sums take no memory until the next draw."""
        self.draws = 0
        self.sums: NDArray[Any] = np.zeros(0, np.uint16)
        self.squares: NDArray[np.uint32] = np.zeros(0, np.uint32)

    def variance(self) -> Map:
        """Return the variance over the draws with divisor M, summed over channels: (H, W) float32 in [0, 3/4].

        White = 1. `(M S2 - sum_c S1_c^2) / (255 M)^2` with exact integers above and below: one division in float64, one
        rounding to float32. 0 if and only if all draws agree.
        """
        _require_draws(self.draws)
        out = np.empty(self.shape, np.float32)
        _variance(self.sums.reshape(-1), self.squares.reshape(-1), self.draws, out.reshape(-1))
        return out

    def mean(self) -> NDArray[np.float32]:
        """Return the mean image in grey levels: (H, W, 3) float32 in [0, 255], correctly rounded."""
        _require_draws(self.draws)
        table = (np.arange(255 * self.draws + 1) / self.draws).astype(np.float32)
        mean: NDArray[np.float32] = table[self.sums]
        return mean

    def mean_image(self) -> Image:
        """Return the mean image rounded half up, exactly: (H, W, 3) uint8."""
        _require_draws(self.draws)
        table = ((2 * np.arange(255 * self.draws + 1) + self.draws) // (2 * self.draws)).astype(np.uint8)
        rounded: Image = table[self.sums]
        return rounded

    def channel_sums(self, channel: int) -> NDArray[np.float64]:
        """Return the exact sum over draws of one channel: (H, W) float64, whole numbers."""
        _require_draws(self.draws)
        return self.sums[:, :, channel].astype(np.float64)

    def square_sums(self) -> NDArray[np.float64]:
        """Return the exact sum of squares over draws and channels: (H, W) float64, whole numbers."""
        _require_draws(self.draws)
        return self.squares.astype(np.float64)

    def _make_room(self, draws: int) -> None:
        if draws > MAX_DRAWS:
            raise UsageError(f"expected at most {MAX_DRAWS} draws of a picture; got {draws}. Take fewer draws")
        if self.draws == 0:
            self.sums, self.squares = np.zeros((*self.shape, 3), np.uint16), np.zeros(self.shape, np.uint32)
        if draws > SHORT_DRAWS and self.sums.dtype == np.uint16:
            self.sums = self.sums.astype(np.uint32)


class FixedPointMoments:
    """Variance of averaged draws: values are rounded to 1/4096 grey level, then summed as integers.

    A draw's rounded values depend on this draw alone, and integer sums do not depend on their order. Memory for H x W
    pixels: 20 H W bytes.

    `shape`: (H, W) of every draw.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.draws = 0
        self.sums: NDArray[np.uint32] = np.zeros((3, *shape), np.uint32)
        self.squares: NDArray[np.uint64] = np.zeros(shape, np.uint64)

    def add(self, planes: Sequence[Map]) -> None:
        """Take one draw: three (H, W) float32 maps of grey levels in [0, 255]."""
        for plane in planes:
            _require_size(plane.shape, self.shape)
        self._require_room(self.draws + 1)
        red, green, blue = (plane.reshape(-1) for plane in planes)
        _add_fixed_point(red, green, blue, self.sums.reshape(3, -1), self.squares.reshape(-1))
        self.draws += 1

    def merge(self, other: Self) -> None:
        """Add the draws of `other`; errors as in `add`."""
        _require_size(other.shape, self.shape)
        self._require_room(self.draws + other.draws)
        self.sums += other.sums
        self.squares += other.squares
        self.draws += other.draws

    def variance(self) -> Map:
        """Return the variance over the draws with divisor M, summed over channels: (H, W) float32 in [0, 3/4].

        White = 1. Exact for the rounded values, up to float64 rounding of its numerator; 0 if and only if all of them
        agree.
        """
        _require_draws(self.draws)
        out = np.empty(self.shape, np.float32)
        _fixed_point_variance(self.sums.reshape(3, -1), self.squares.reshape(-1), self.draws, out.reshape(-1))
        return out

    def _require_room(self, draws: int) -> None:
        if draws > MAX_FIXED_POINT_DRAWS:
            raise UsageError(
                f"expected at most {MAX_FIXED_POINT_DRAWS} draws of a picture; got {draws}. Take fewer draws"
            )


def _require_size(arrived: tuple[int, ...], expected: tuple[int, int]) -> None:
    if tuple(arrived[:2]) != tuple(expected):
        raise ImageError(
            f"expected every draw to be {expected[1]}x{expected[0]} pixels (width x height); got "
            f"{arrived[1]}x{arrived[0]}. Score draws of one picture at one size"
        )


def _require_draws(draws: int) -> None:
    if draws == 0:
        raise UsageError("expected at least one draw; got none. Add draws before asking for their moments")


def _add_strip(draws: Sequence[NDArray[np.uint8]], sums: NDArray[Any], squares: NDArray[np.uint32]) -> None:
    fours = len(draws) // 4 * 4
    for first in range(0, fours, 4):
        _add_four(draws[first], draws[first + 1], draws[first + 2], draws[first + 3], sums, squares)
    for pixels in draws[fours:]:
        _add(pixels, sums, squares)


@kernel
def _add_four(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    third: NDArray[np.uint8],
    fourth: NDArray[np.uint8],
    sums: NDArray[Any],
    squares: NDArray[np.uint32],
) -> None:
    """Add four draws, which reads and writes the sums once instead of four times.

    Three loops, each vectorised, take the channel sums, then the squares of each channel, which wait in `waiting`, then
    the squares of each pixel from three neighbours in `waiting`. Four values of 8 bits fit 16 bits.
    """
    waiting = np.empty(3 * CHUNK, np.uint32)
    for start in range(0, squares.size, CHUNK):
        target = squares[start : start + CHUNK]
        begin, end = 3 * start, 3 * (start + target.size)
        a, b, c, d, total = first[begin:end], second[begin:end], third[begin:end], fourth[begin:end], sums[begin:end]
        for i in range(total.size):
            total[i] += np.uint16(np.uint16(a[i]) + np.uint16(b[i]) + np.uint16(c[i]) + np.uint16(d[i]))
        for i in range(total.size):
            waiting[i] = _square(a[i]) + _square(b[i]) + _square(c[i]) + _square(d[i])
        for i in range(target.size):
            target[i] += waiting[3 * i] + waiting[3 * i + 1] + waiting[3 * i + 2]


@kernel
def _square(value: np.uint8) -> np.uint32:
    """Square in 16 bits, which a square fits: twice as many at a time."""
    return np.uint32(np.uint16(np.uint16(value) * np.uint16(value)))


@kernel
def _add(pixels: NDArray[np.uint8], sums: NDArray[Any], squares: NDArray[np.uint32]) -> None:
    """Add one draw; compiled once for 16-bit and once for 32-bit sums."""
    for i in range(squares.size):
        r = np.uint32(pixels[3 * i])
        g = np.uint32(pixels[3 * i + 1])
        b = np.uint32(pixels[3 * i + 2])
        squares[i] += r * r + g * g + b * b
    for i in range(sums.size):
        sums[i] += pixels[i]


@kernel
def _variance(sums: NDArray[Any], squares: NDArray[np.uint32], draws: int, out: NDArray[np.float32]) -> None:
    """Return ``(M S2 - sum_c S1_c^2) / (255 M)^2``; below 2^47 for `MAX_DRAWS`, so that the numerator is exact."""
    divisor = np.float64(draws) * np.float64(draws) * 65025.0
    for i in range(out.size):
        a = np.int64(sums[3 * i])
        b = np.int64(sums[3 * i + 1])
        c = np.int64(sums[3 * i + 2])
        out[i] = np.float32(np.float64(draws * np.int64(squares[i]) - (a * a + b * b + c * c)) / divisor)


@kernel
def _add_fixed_point(
    red: NDArray[np.float32],
    green: NDArray[np.float32],
    blue: NDArray[np.float32],
    sums: NDArray[np.uint32],
    squares: NDArray[np.uint64],
) -> None:
    """Add one averaged draw: grey levels in units of 1/4096, rounded half up (they are >= 0), 20 bits each."""
    for i in range(squares.size):
        r = np.uint32(red[i] * np.float32(4096.0) + np.float32(0.5))
        g = np.uint32(green[i] * np.float32(4096.0) + np.float32(0.5))
        b = np.uint32(blue[i] * np.float32(4096.0) + np.float32(0.5))
        sums[0, i] += r
        sums[1, i] += g
        sums[2, i] += b
        squares[i] += np.uint64(r) * np.uint64(r) + np.uint64(g) * np.uint64(g) + np.uint64(b) * np.uint64(b)


@kernel
def _fixed_point_variance(
    sums: NDArray[np.uint32], squares: NDArray[np.uint64], draws: int, out: NDArray[np.float32]
) -> None:
    divisor = (np.float64(draws) * 255.0 * 4096.0) * (np.float64(draws) * 255.0 * 4096.0)
    for i in range(out.size):
        a = np.int64(sums[0, i])
        b = np.int64(sums[1, i])
        c = np.int64(sums[2, i])
        out[i] = np.float32(np.float64(draws * np.int64(squares[i]) - (a * a + b * b + c * c)) / divisor)


# Variance over the draws and a square of pixels taken together, in whole numbers until the last division.

MAX_VALUES = 6_800_000
"""Most values a channel in one window, draws times pixels: times their sum of squares they fill 63 bits."""


def fits(draws: int, size: int) -> bool:
    """Tell whether `pooled_variance` can take so many draws and a square of so many pixels a side."""
    return draws * size * size <= MAX_VALUES


def pooled_variance(moments: Moments, size: int) -> Map:
    """Return the variance of all values in a square around each pixel, over all draws, summed over channels.

    `moments`: Sums over at least one draw.
    `size`: Side of the square in pixels, odd; borders are reflected.
    Returns: (H, W) float32 in [0, 3/4], white = 1: `(N S2 - sum_c S1_c^2) / (255 N)^2` for N values a channel. The
      numerator is an exact integer, so nothing cancels, and the variance is 0 where all values agree and nowhere else.
    """
    if moments.draws == 0 or not fits(moments.draws, size):
        raise UsageError(
            f"expected at least one draw and at most {MAX_VALUES} values in a window; got {moments.draws} draws and "
            f"windows of {size}x{size} pixels"
        )
    height, width = moments.shape
    out = np.empty((height, width), np.float32)
    # One pixel more in front: it leaves the first window, which begins as the one before it.
    padded, numerators = np.zeros((width + 2 * (size // 2) + 1, 4), np.int64), np.empty(width, np.int64)
    sums = moments.sums.reshape(height, 3 * width)
    _pooled(sums, moments.squares, moments.draws, size // 2, padded, numerators, out)
    return out


@kernel
def _pooled(
    sums: NDArray[Any],
    squares: NDArray[np.uint32],
    draws: int,
    radius: int,
    padded: NDArray[np.int64],
    numerators: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Keep running sums down the columns, then along each row; red, green, blue and squares side by side.

    `padded` holds the sums of the columns, `radius` reflected ones on either side and one more in front.
    """
    height, width = out.shape
    # N of the formula: every draw of every pixel in the window counts as one value.
    values = draws * (2 * radius + 1) * (2 * radius + 1)
    divisor = (255.0 * np.float64(values)) * (255.0 * np.float64(values))
    columns = padded[radius + 1 : radius + 1 + width]
    # The window of the first row, reflected at the top; later rows differ from it by one row in and one out.
    for offset in range(-radius, radius + 1):
        place = reflected(offset, height)
        for x in range(width):
            for c in range(3):
                columns[x, c] += np.int64(sums[place, 3 * x + c])
            columns[x, 3] += np.int64(squares[place, x])
    for y in range(height):
        if y > 0:
            _move_down(
                sums[reflected(y + radius, height)],
                sums[reflected(y - radius - 1, height)],
                squares[reflected(y + radius, height)],
                squares[reflected(y - radius - 1, height)],
                columns,
            )
        # One pixel more on the left than on the right: the one that leaves the first window.
        for x in range(1, radius + 2):
            for c in range(4):
                padded[radius + 1 - x, c] = columns[reflected(-x, width), c]
        for x in range(radius):
            for c in range(4):
                padded[radius + 1 + width + x, c] = columns[reflected(width + x, width), c]
        _move_along(padded, values, 2 * radius + 1, numerators)
        target = out[y]
        for x in range(width):
            target[x] = np.float32(np.float64(numerators[x]) / divisor)


@kernel
def _move_down(
    sums_in: NDArray[Any],
    sums_out: NDArray[Any],
    squares_in: NDArray[np.uint32],
    squares_out: NDArray[np.uint32],
    columns: NDArray[np.int64],
) -> None:
    for x in range(columns.shape[0]):
        columns[x, 0] += np.int64(sums_in[3 * x]) - np.int64(sums_out[3 * x])
        columns[x, 1] += np.int64(sums_in[3 * x + 1]) - np.int64(sums_out[3 * x + 1])
        columns[x, 2] += np.int64(sums_in[3 * x + 2]) - np.int64(sums_out[3 * x + 2])
        columns[x, 3] += np.int64(squares_in[x]) - np.int64(squares_out[x])


@kernel
def _move_along(padded: NDArray[np.int64], values: int, size: int, numerators: NDArray[np.int64]) -> None:
    red = green = blue = square = np.int64(0)
    for x in range(size):
        red += padded[x, 0]
        green += padded[x, 1]
        blue += padded[x, 2]
        square += padded[x, 3]
    for x in range(numerators.size):
        red += padded[x + size, 0] - padded[x, 0]
        green += padded[x + size, 1] - padded[x, 1]
        blue += padded[x + size, 2] - padded[x, 2]
        square += padded[x + size, 3] - padded[x, 3]
        # A difference of whole numbers within 63 bits (`MAX_VALUES`), so that no digits cancel.
        numerators[x] = values * square - (red * red + green * green + blue * blue)


def warm_up() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    moments = Moments((2, 2))
    moments.add(*[pixels] * 5)
    moments.variance()
    moments._make_room(SHORT_DRAWS + 1)
    moments.add(*[pixels] * 5)
    moments.variance()
    fixed = FixedPointMoments((2, 2))
    fixed.add([np.zeros((2, 2), np.float32)] * 3)
    fixed.variance()
    moments = Moments((2, 2))
    moments.add(pixels)
    pooled_variance(moments, 3)
