"""Measure the distance between two 8-bit sRGB pictures at each pixel, in several colour planes."""

import functools

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._checks import image, image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.support.types import Image, Map

# Squared differences of two pictures, summed over pixels of one kind at a time: exact.


def summed_squares(picture: Image, truth: Image, kinds: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Sum the squared differences over the pixels and channels of each kind of pixel.

    `picture`, `truth`: (H, W, 3) uint8, or both (H, W, bands) uint16, whose sums are rounded.
    `kinds`: (H, W) uint8; a kind from `count` on is the last one.
    `count`: How many kinds there are, at most 256.
    Returns: (count,) int64.
    """
    if picture.dtype == np.uint16:
        squares = np.zeros(kinds.shape)
        for band in range(picture.shape[2]):
            squares += np.square(picture[:, :, band].astype(np.float64) - truth[:, :, band])
        # In the same unit: three channels of grey levels.
        weights = squares.ravel() * (3 / picture.shape[2] * (255 / 65535) ** 2)
        return np.rint(np.bincount(np.minimum(kinds, count - 1).ravel(), weights, count)).astype(np.int64)
    picture, truth = image_pair(picture, truth)
    sums = np.zeros(count, np.int64)
    _add_squares(picture.ravel(), truth.ravel(), np.ascontiguousarray(kinds).ravel(), sums)
    return sums


@kernel
def _add_squares(
    picture: NDArray[np.uint8], truth: NDArray[np.uint8], kinds: NDArray[np.uint8], sums: NDArray[np.int64]
) -> None:
    for i in range(kinds.size):
        square = np.int64(0)
        for channel in range(3 * i, 3 * i + 3):
            apart = np.int64(picture[channel]) - np.int64(truth[channel])
            square += apart * apart
        place = np.int64(kinds[i])
        sums[place if place < sums.size else sums.size - 1] += square


Planes = NDArray[np.float32]

XYZ_OF_RGB = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
# Linear sRGB to CIE XYZ (ITU-R BT.709 primaries), and the white point for the 2-degree observer.
WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
# From f(X), f(Y), f(Z) to normalised Lab: L/100 = 1.16 fY - 0.16, and so on.
F_TO_LIGHTNESS, F_TO_A, F_TO_B = np.float32(1.16), np.float32(500 / 254), np.float32(200 / 254)
CHUNK = 512  # Pixels handled at once, so that their planes stay in the first-level cache and each loop is vectorised.


def lab_planes(pixels: Image) -> Planes:
    """Return the normalised Lab of a picture: (3, H, W) float32, `L/100`, `a/254 + 1/2`, `b/254 + 1/2`, in [0, 1].

    Within 2e-6 of exact CIE 1976 Lab of sRGB under D65 (scikit-image's `rgb2lab`, scaled).
    """
    pixels = image(pixels)
    out = np.empty((3, *pixels.shape[:2]), np.float32)
    _lab_planes(pixels.reshape(-1), *_tables(), out.reshape(3, -1))
    return out


def lab_difference(truth: Image, delivered: Image) -> Planes:
    """Return `lab_planes(truth) - lab_planes(delivered)`: (3, H, W) float32, exactly 0 where colours are equal."""
    truth, delivered = image_pair(truth, delivered)
    out = np.empty((3, *truth.shape[:2]), np.float32)
    _lab_difference(truth.reshape(-1), delivered.reshape(-1), *_tables(), out.reshape(3, -1))
    return out


def lab_l1(truth: Image, delivered: Image) -> Map:
    """Return the L1 distance in normalised Lab: (H, W) float32 in [0, 1.9576], exactly 0 where colours are equal.

    Within 1e-5 of exact arithmetic.
    """
    truth, delivered = image_pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    _lab_l1(truth.reshape(-1), delivered.reshape(-1), *_tables(), out.reshape(-1))
    return out


def rgb_difference(truth: Image, delivered: Image) -> Planes:
    """Return `(truth - delivered) / 255`: (3, H, W) float32 in [-1, 1], correctly rounded."""
    truth, delivered = image_pair(truth, delivered)
    out = np.empty((3, *truth.shape[:2]), np.float32)
    _rgb_difference(truth.reshape(-1), delivered.reshape(-1), out.reshape(3, -1))
    return out


def rgb_l1(truth: Image, delivered: Image) -> Map:
    """Return the sum over channels of `|truth - delivered| / 255`: (H, W) float32 in [0, 3], correctly rounded."""
    truth, delivered = image_pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    _rgb_l1(truth.reshape(-1), delivered.reshape(-1), out.reshape(-1))
    return out


def rgb_linf(truth: Image, delivered: Image) -> Map:
    """Return the largest `|truth - delivered| / 255` over channels: (H, W) float32 in [0, 1], correctly rounded."""
    truth, delivered = image_pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    _rgb_linf(truth.reshape(-1), delivered.reshape(-1), out.reshape(-1))
    return out


@functools.cache
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the linear light of each grey level, (256,), and the matrix from linear sRGB to relative XYZ, (3, 3)."""
    # The sRGB transfer function (IEC 61966-2-1), inverted: a power, and a line near black.
    level = np.arange(256) / 255
    linear = np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
    return linear.astype(np.float32), (XYZ_OF_RGB / WHITE_D65[:, None]).astype(np.float32)


@kernel
def _compressed(t: np.float32) -> np.float32:
    """Compress as CIE does: by a cube root, and below 0.008856 by a line.

    The cube root divides nowhere, so that it is vectorised. The bits of a float, taken as a number, are about 2^23
    times its logarithm plus a constant. A third of these bits, subtracted from a constant, therefore gives the bits of
    y, a guess for t^(-1/3) within 4 %. With e = 1 - t y^3 the exact value is y (1 - e)^(-1/3), whose series to e^5 is
    summed in pairs. t y^2 is then the cube root. Relative error below 4e-7.
    """
    bits = np.float32(t).view(np.int32)
    y = np.int32(np.float32(1419800000.0) - np.float32(bits) * np.float32(1.0 / 3.0)).view(np.float32)
    e = np.float32(1.0) - (t * y) * (y * y)
    low = np.float32(1.0 / 3.0) + e * np.float32(2.0 / 9.0)
    high = np.float32(14.0 / 81.0) + e * np.float32(35.0 / 243.0)
    highest = np.float32(91.0 / 729.0) + e * np.float32(728.0 / 6561.0)
    y += (y * e) * (low + (e * e) * (high + (e * e) * highest))
    # Both branches are computed and one selected: a branch in the loop would keep it from being vectorised.
    line = np.float32(7.787) * t + np.float32(16.0 / 116.0)
    return (t * y) * y if t > np.float32(0.008856) else line


@kernel
def _compress(
    pixels: NDArray[np.uint8],
    linear: NDArray[np.float32],
    matrix: NDArray[np.float32],
    light: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write f(X), f(Y), f(Z) of a chunk of pixels into the three rows of `out`; `light` has room for linear light."""
    count = pixels.size // 3
    red, green, blue = light[0], light[1], light[2]
    # The look-up of linear light is a loop of its own: it cannot be vectorised, and the next loop can.
    for i in range(count):
        red[i] = linear[pixels[3 * i]]
        green[i] = linear[pixels[3 * i + 1]]
        blue[i] = linear[pixels[3 * i + 2]]
    for k in range(3):
        of_red, of_green, of_blue, target = matrix[k, 0], matrix[k, 1], matrix[k, 2], out[k]
        for i in range(count):
            target[i] = _compressed(of_red * red[i] + of_green * green[i] + of_blue * blue[i])


@kernel
def _lab_planes(
    pixels: NDArray[np.uint8], linear: NDArray[np.float32], matrix: NDArray[np.float32], out: Planes
) -> None:
    light = np.empty((3, CHUNK), np.float32)
    f = np.empty((3, CHUNK), np.float32)
    for first in range(0, out.shape[1], CHUNK):
        last = min(first + CHUNK, out.shape[1])
        _compress(pixels[3 * first : 3 * last], linear, matrix, light, f)
        x, y, z = f[0], f[1], f[2]
        lightness, a, b = out[0, first:last], out[1, first:last], out[2, first:last]
        for i in range(last - first):
            lightness[i] = F_TO_LIGHTNESS * y[i] - np.float32(0.16)
            a[i] = F_TO_A * (x[i] - y[i]) + np.float32(0.5)
            b[i] = F_TO_B * (y[i] - z[i]) + np.float32(0.5)


@kernel
def _lab_difference(
    truth: NDArray[np.uint8],
    delivered: NDArray[np.uint8],
    linear: NDArray[np.float32],
    matrix: NDArray[np.float32],
    out: Planes,
) -> None:
    """Subtract f before scaling: equal colours give exactly 0, and offsets cancel."""
    light = np.empty((3, CHUNK), np.float32)
    f_truth = np.empty((3, CHUNK), np.float32)
    f_delivered = np.empty((3, CHUNK), np.float32)
    for first in range(0, out.shape[1], CHUNK):
        last = min(first + CHUNK, out.shape[1])
        _compress(truth[3 * first : 3 * last], linear, matrix, light, f_truth)
        _compress(delivered[3 * first : 3 * last], linear, matrix, light, f_delivered)
        x1, y1, z1 = f_truth[0], f_truth[1], f_truth[2]
        x2, y2, z2 = f_delivered[0], f_delivered[1], f_delivered[2]
        lightness, a, b = out[0, first:last], out[1, first:last], out[2, first:last]
        for i in range(last - first):
            x, y, z = x1[i] - x2[i], y1[i] - y2[i], z1[i] - z2[i]
            lightness[i] = F_TO_LIGHTNESS * y
            a[i] = F_TO_A * (x - y)
            b[i] = F_TO_B * (y - z)


@kernel
def _lab_l1(
    truth: NDArray[np.uint8],
    delivered: NDArray[np.uint8],
    linear: NDArray[np.float32],
    matrix: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    light = np.empty((3, CHUNK), np.float32)
    f_truth = np.empty((3, CHUNK), np.float32)
    f_delivered = np.empty((3, CHUNK), np.float32)
    for first in range(0, out.size, CHUNK):
        last = min(first + CHUNK, out.size)
        _compress(truth[3 * first : 3 * last], linear, matrix, light, f_truth)
        _compress(delivered[3 * first : 3 * last], linear, matrix, light, f_delivered)
        x1, y1, z1 = f_truth[0], f_truth[1], f_truth[2]
        x2, y2, z2 = f_delivered[0], f_delivered[1], f_delivered[2]
        target = out[first:last]
        for i in range(last - first):
            x, y, z = x1[i] - x2[i], y1[i] - y2[i], z1[i] - z2[i]
            target[i] = F_TO_LIGHTNESS * abs(y) + F_TO_A * abs(x - y) + F_TO_B * abs(y - z)


@kernel
def _rgb_difference(truth: NDArray[np.uint8], delivered: NDArray[np.uint8], out: Planes) -> None:
    for i in range(out.shape[1]):
        for c in range(3):
            # Widened first, since a difference of bytes wraps; one division of a whole number is correctly rounded.
            out[c, i] = np.float32(np.int32(truth[3 * i + c]) - np.int32(delivered[3 * i + c])) / np.float32(255.0)


@kernel
def _rgb_l1(truth: NDArray[np.uint8], delivered: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        # Widened first, since a difference of bytes wraps.
        a = abs(np.int32(truth[3 * i]) - np.int32(delivered[3 * i]))
        b = abs(np.int32(truth[3 * i + 1]) - np.int32(delivered[3 * i + 1]))
        c = abs(np.int32(truth[3 * i + 2]) - np.int32(delivered[3 * i + 2]))
        out[i] = np.float32(a + b + c) / np.float32(255.0)


@kernel
def _rgb_linf(truth: NDArray[np.uint8], delivered: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        # Widened first, since a difference of bytes wraps.
        a = abs(np.int32(truth[3 * i]) - np.int32(delivered[3 * i]))
        b = abs(np.int32(truth[3 * i + 1]) - np.int32(delivered[3 * i + 1]))
        c = abs(np.int32(truth[3 * i + 2]) - np.int32(delivered[3 * i + 2]))
        out[i] = np.float32(max(a, b, c)) / np.float32(255.0)


def warm_up() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    lab_planes(white)
    for distance in (lab_difference, lab_l1, rgb_difference, rgb_l1, rgb_linf):
        distance(white, black)
    summed_squares(black, black, np.zeros((2, 2), np.uint8), 1)
