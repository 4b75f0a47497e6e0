"""Compute the layers of a small convolutional network, the same to the bit with any number of threads.

3 × 3 convolutions take half the multiplications of their definition: down the columns, six products make four rows of
results, F(4, 3) of Winograd (1980) as in Lavin and Gray (2016). Along the rows nothing is transformed.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image

Planes = NDArray[np.float32]

ROWS = 4
"""Rows, and outputs, made at a time. Parts of a picture that begin at its multiples equal the whole to the bit."""

PRODUCTS, STRETCH, LANES = 6, 2048, 32


def convolved(
    planes: Planes, weights: Planes, biases: Planes, dilation: int, *, rectified: bool = False, residual: bool = False
) -> Planes:
    """Convolve with 3 × 3 weights, whose taps lie `dilation` apart; beyond the border everything is 0.

    `planes`: (inputs, h, w) float32.
    `weights`, `biases`: (outputs, inputs, 3, 3) and (outputs,) float32; 1 × 1 weights are (outputs, inputs, 1, 1).
    `dilation`: In pixels, >= 1.
    `rectified`: Take what is below 0 in `planes` for 0. Of 3 × 3 weights only.
    `residual`: Add `planes`, as they are, to the result; there must be as many outputs. Of 3 × 3 weights only.
    Returns: (outputs, h, w) float32.
    """
    inputs, height, width = planes.shape
    if weights.shape[2] == 1:
        mixed = np.empty((len(weights), height * width), np.float32)
        # Inputs are added four at a time; missing ones weigh nothing.
        missing = (0, -inputs % ROWS)
        pixels = np.pad(planes, (missing, (0, 0), (0, 0))) if missing[1] else np.ascontiguousarray(planes)
        taps = np.pad(weights[:, :, 0, 0], ((0, 0), missing))
        _mix(pixels.reshape(len(pixels), -1), np.ascontiguousarray(taps), biases, mixed)
        return mixed.reshape(-1, height, width)
    # Outputs are made four at a time; missing ones are all zeros and dropped.
    missing = (0, -len(weights) % ROWS)
    taps, biases = _taps(weights.tobytes(), weights.shape), np.pad(biases, missing)
    out = np.empty((len(biases), height, width), np.float32)
    # Every `dilation`-th pixel has its neighbours among themselves.
    for place in np.ndindex(min(dilation, height), min(dilation, width)):
        part = (slice(None), *(slice(first, None, dilation) for first in place))
        source = np.ascontiguousarray(planes[part])
        found = out if dilation == 1 else np.empty((len(biases), *source.shape[1:]), np.float32)
        wide = -(-source.shape[2] // LANES) * LANES
        rows = np.zeros((PRODUCTS, inputs, wide + 2), np.float32)
        sums, border = np.empty((PRODUCTS, ROWS, wide), np.float32), np.zeros(source.shape[2], np.float32)
        _convolve(source, taps, biases, np.float32(0 if rectified else -np.inf), residual, border, rows, sums, found)
        if found is not out:
            out[part] = found
    return out[: len(weights)]


@lru_cache(64)
def _taps(content: bytes, shape: tuple[int, ...]) -> Planes:
    """Return taps of the six products, (outputs / 4, 6, inputs, 4, 3), from weights (outputs, inputs, 3, 3)."""
    # A network's are asked for with each picture, and take as long as a small picture itself.
    weights = np.pad(np.frombuffer(content, np.float32).reshape(shape), ((0, -shape[0] % ROWS), *[(0, 0)] * 3))
    above, here, below = (weights[:, :, row] for row in range(3))
    even, far = (above + below) / np.float32(6), above / np.float32(24) + below / np.float32(6)
    odd, near = here / np.float32(6), here / np.float32(12)
    taps = np.stack((above / np.float32(4), -even - odd, odd - even, far + near, far - near, below))
    outputs, inputs = weights.shape[:2]
    return np.ascontiguousarray(taps.reshape(PRODUCTS, outputs // ROWS, ROWS, inputs, 3).transpose(1, 0, 3, 2, 4))


@kernel
def _convolve(
    planes: Planes,
    taps: Planes,
    biases: Planes,
    floor: np.float32,
    residual: bool,
    border: Planes,
    rows: Planes,
    sums: Planes,
    out: Planes,
) -> None:
    """Convolve four rows at a time. `border` is a row of zeros; `rows` has a column of zeros before and after a row."""
    outputs, height, width = out.shape
    for y in range(0, height, 4):
        for c in range(planes.shape[0]):
            a = border if y == 0 else planes[c, y - 1]
            b = planes[c, y]
            d = planes[c, y + 1] if y + 1 < height else border
            e = planes[c, y + 2] if y + 2 < height else border
            f = planes[c, y + 3] if y + 3 < height else border
            g = planes[c, y + 4] if y + 4 < height else border
            _transform(a, b, d, e, f, g, floor, rows, c)
        for k in range(0, outputs, 4):
            for product in range(6):
                _weigh(rows[product], taps[k // 4, product], sums[product])
            for output in range(k, k + 4):
                _untransform(sums, output - k, biases[output])
                for row in range(min(4, height - y)):
                    target, source = out[output, y + row], sums[row, output - k]
                    if residual and output < planes.shape[0]:
                        before = planes[output, y + row]
                        for x in range(width):
                            target[x] = before[x] + source[x]
                    else:
                        for x in range(width):
                            target[x] = source[x]


@kernel
def _transform(
    a: Planes, b: Planes, c: Planes, d: Planes, e: Planes, f: Planes, floor: np.float32, rows: Planes, channel: int
) -> None:
    """Transform six rows of a channel, below each other, into the inputs of the six products."""
    two, four, five = np.float32(2), np.float32(4), np.float32(5)
    v0, v1, v2 = rows[0, channel, 1:], rows[1, channel, 1:], rows[2, channel, 1:]
    v3, v4, v5 = rows[3, channel, 1:], rows[4, channel, 1:], rows[5, channel, 1:]
    for x in range(a.size):
        p, q, r = max(a[x], floor), max(b[x], floor), max(c[x], floor)
        s, t, u = max(d[x], floor), max(e[x], floor), max(f[x], floor)
        v0[x], v5[x] = four * p - five * r + t, four * q - five * s + u
        even, odd = t - four * r, s - four * q
        v1[x], v2[x] = even + odd, even - odd
        even, odd = t - r, two * (s - q)
        v3[x], v4[x] = even + odd, even - odd


@kernel
def _weigh(rows: Planes, taps: Planes, sums: Planes) -> None:
    """Compute one product of four outputs: three taps along the row of each input."""
    w, x, y, z = sums[0], sums[1], sums[2], sums[3]
    for n in range(w.size):
        w[n], x[n], y[n], z[n] = 0, 0, 0, 0
    for c in range(rows.shape[0]):
        row = rows[c]
        a0, a1, a2 = taps[c, 0]
        b0, b1, b2 = taps[c, 1]
        c0, c1, c2 = taps[c, 2]
        d0, d1, d2 = taps[c, 3]
        for n in range(w.size):
            left, middle, right = row[n], row[n + 1], row[n + 2]
            w[n] += a0 * left + a1 * middle + a2 * right
            x[n] += b0 * left + b1 * middle + b2 * right
            y[n] += c0 * left + c1 * middle + c2 * right
            z[n] += d0 * left + d1 * middle + d2 * right


@kernel
def _untransform(sums: Planes, output: int, bias: np.float32) -> None:
    """Put four rows of an output in the place of the first four of its six products."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    m0, m1, m2 = sums[0, output], sums[1, output], sums[2, output]
    m3, m4, m5 = sums[3, output], sums[4, output], sums[5, output]
    for x in range(m0.size):
        even, odd = m1[x] + m2[x], m1[x] - m2[x]
        wide, slope = m3[x] + m4[x], m3[x] - m4[x]
        m0[x], m1[x] = m0[x] + even + wide + bias, odd + two * slope + bias
        m2[x], m3[x] = even + four * wide + bias, odd + eight * slope + m5[x] + bias


@kernel
def _mix(values: Planes, weights: Planes, biases: Planes, out: Planes) -> None:
    """Apply the 1 × 1 layer to (inputs, pixels), a stretch at a time that stays in the first-level cache."""
    outputs = out.shape[0]
    for first in range(0, values.shape[1], STRETCH):
        last = min(first + STRETCH, values.shape[1])
        for k in range(outputs):
            target = out[k, first:last]
            for x in range(target.size):
                target[x] = biases[k]
            # Four inputs at a time, added one after the other, so that a sum is read and written a fourth as often.
            for c in range(0, values.shape[0], 4):
                p, q, r, s = weights[k, c], weights[k, c + 1], weights[k, c + 2], weights[k, c + 3]
                a, b = values[c, first:last], values[c + 1, first:last]
                d, e = values[c + 2, first:last], values[c + 3, first:last]
                for x in range(target.size):
                    target[x] = target[x] + p * a[x] + q * b[x] + r * d[x] + s * e[x]


def add_in_tiles(out: Image, pixels: Image, layers: Callable[[Image], Planes], tile: int, halo: int) -> None:
    """Add to `out`, an enlarged picture, what `layers` makes of `pixels`, a tile at a time, which bounds the memory.

    `layers`: Makes of a part, (h, w, 3) uint8, the detail as `with_detail` takes it.
    `tile`, `halo`: Pixels of the input on a side of a tile, and around it, as many as reach into it.
    """
    factor = out.shape[0] // pixels.shape[0]
    for top in range(0, pixels.shape[0], tile):
        for left in range(0, pixels.shape[1], tile):
            # Parts that end at the border end as the picture does: there every layer sees zeros beyond it.
            above, before = max(top - halo, 0), max(left - halo, 0)
            made = layers(pixels[above : top + tile + halo, before : left + tile + halo])
            made = made[:, top - above : top - above + tile, left - before : left - before + tile]
            place = out[factor * top : factor * (top + tile), factor * left : factor * (left + tile)]
            place[:] = with_detail(place, made)


def with_detail(plain: Image, detail: Planes) -> Image:
    """Add to an enlarged picture the detail that a network found, rounded to 8 bits and held to 0-255.

    `plain`: (h · factor, w · factor, 3) uint8; may be changed.
    `detail`: (3 · factor², h, w) float32, white = 1: first all of red, and of a colour first the uppermost row of the
      block that stands for a pixel.
    """
    factor = plain.shape[0] // detail.shape[1]
    added = np.ascontiguousarray(plain)
    _add(added, np.ascontiguousarray(detail).reshape(3, factor, factor, *detail.shape[1:]))
    return added


@kernel
def _add(plain: Image, detail: NDArray[np.float32]) -> None:
    _, factor, _, height, width = detail.shape
    white, half = np.float32(255), np.float32(0.5)
    for y in range(height):
        for row in range(factor):
            target = plain[y * factor + row]
            for column in range(factor):
                for colour in range(3):
                    source = detail[colour, row, column, y]
                    for x in range(width):
                        place = x * factor + column
                        level = np.float32(target[place, colour]) + white * source[x] + half
                        target[place, colour] = np.uint8(min(max(level, half), white))


def warm_up() -> None:
    planes, biases = np.zeros((1, 1, 1), np.float32), np.zeros(1, np.float32)
    for side in (1, 3):
        convolved(planes, np.zeros((1, 1, side, side), np.float32), biases, 1)
    with_detail(np.zeros((2, 2, 3), np.uint8), np.zeros((12, 1, 1), np.float32))
