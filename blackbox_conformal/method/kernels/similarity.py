"""Measure the dissimilarity of two pictures around each pixel by the structure and gradients of their luminance."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.elementary import exponential
from blackbox_conformal.method.kernels.windows import reflected
from blackbox_conformal.support.types import Image, Map

Plane = NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601) on gamma-encoded values, as in `rgb2gray` but unrounded."""

SSIM_RADIUS, SSIM_SIGMA = 5, 1.5
# Window of 11 x 11 taps and the constants K1 = 0.01, K2 = 0.03 on the scale [0, 1] (Wang et al. 2004).
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
GMS_C = 170 / 255**2  # The constant of Xue et al. (2014), 170 for grey levels up to 255, on the scale [0, 1]: 0.0026.


def structural_dissimilarity(truth: Image, delivered: Image) -> Map:
    """Return `(1 - SSIM) / 2` around each pixel: (H, W) float32 in [0, 1], exactly 0 where both windows are equal.

    Gaussian window of 11 x 11 taps, sigma 1.5, weights that sum to 1, population variances, reflected borders,
    luminance on [0, 1]. The sums are in float64.

    Wang, Bovik, Sheikh and Simoncelli (2004).
    """
    truth, delivered = image_pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    _structure(luminance(truth), luminance(delivered), _taps(), out)
    return out


def gradient_dissimilarity(truth: Image, delivered: Image, downsample: bool = False) -> Map:
    """Return `1 - GMS` at each pixel, GMS being the gradient magnitude similarity: (H, W) float32 in [0, 1).

    Prewitt gradients divided by 3 of the luminance on [0, 1], reflected borders; exactly 0 where both gradients have
    equal magnitude.

    `downsample`: Average blocks of 2 x 2 pixels first, as the source does; every pixel of a block gets the block's
      value. An odd last row or column is averaged with its own reflection.

    Xue, Zhang, Mou and Bovik (2014).
    """
    truth, delivered = image_pair(truth, delivered)
    height, width = truth.shape[:2]
    planes = luminance(truth), luminance(delivered)
    if downsample:
        planes = _halved(planes[0]), _halved(planes[1])
    out = np.empty(planes[0].shape, np.float32)
    _gradients(*planes, out)
    if downsample:
        # Each pixel of a block gets the block's value, and the row or column added for an odd size is cut off.
        out = np.ascontiguousarray(out.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])
    return out


def luminance(pixels: Image) -> Plane:
    """Weigh and add the gamma-encoded channels, white = 1: (H, W) float64 in [0, 1]."""
    out = np.empty(pixels.shape[:2], np.float64)
    _luminance(pixels.reshape(-1), _levels(), out.reshape(-1))
    return out


@functools.cache
def _levels() -> Plane:
    """Return how much each level of each channel adds to the luminance: (3, 256)."""
    return np.outer(LUMA, np.arange(256) / 255)


@functools.cache
def _taps() -> Plane:
    taps = exponential(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / SSIM_SIGMA) ** 2)
    # Weights that sum to 1, so that every windowed moment is a mean.
    return np.asarray(taps / taps.sum())


# "symmetric" repeats the border pixel itself: the reflection that all averages here use.
def _halved(plane: Plane) -> Plane:
    height, width = plane.shape
    plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="symmetric")
    return np.ascontiguousarray((plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4)


@kernel
def _luminance(pixels: NDArray[np.uint8], levels: Plane, out: NDArray[np.float64]) -> None:
    for i in range(out.size):
        out[i] = levels[0, pixels[3 * i]] + levels[1, pixels[3 * i + 1]] + levels[2, pixels[3 * i + 2]]


@kernel
def _structure(truth: Plane, delivered: Plane, taps: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Average five windows, down the columns into rows, then along these rows: no image-sized temporary.

    The means are of both pictures, of their squares, and of their product.
    """
    height, width = truth.shape
    radius = taps.size // 2
    rows = np.empty((5, width + 2 * radius), np.float64)
    means = np.empty((5, width), np.float64)
    for y in range(height):
        rows[:, radius : radius + width] = 0.0
        for k in range(taps.size):
            tap = taps[k]
            line = reflected(y + k - radius, height)
            first, second = truth[line], delivered[line]
            for x in range(width):
                a, b = first[x], second[x]
                rows[0, radius + x] += tap * a
                rows[1, radius + x] += tap * b
                rows[2, radius + x] += tap * (a * a)
                rows[3, radius + x] += tap * (b * b)
                rows[4, radius + x] += tap * (a * b)
        for q in range(5):
            # The padding is filled after the sums down the columns are whole, since it copies them.
            row = rows[q]
            for x in range(radius):
                row[radius - 1 - x] = row[radius + reflected(-1 - x, width)]
                row[radius + width + x] = row[radius + reflected(width + x, width)]
            mean = means[q]
            mean[:] = 0.0
            for k in range(taps.size):
                tap = taps[k]
                for x in range(width):
                    mean[x] += tap * row[x + k]
        for x in range(width):
            a, b = means[0, x], means[1, x]
            squares = a * a + b * b
            # Variance is the mean of squares less the square of the mean; both pictures' add up in SSIM's denominator.
            variances = (means[2, x] + means[3, x]) - squares
            covariance = means[4, x] - a * b
            similarity = ((2.0 * (a * b) + SSIM_C1) * (2.0 * covariance + SSIM_C2)) / (
                (squares + SSIM_C1) * (variances + SSIM_C2)
            )
            # Rounding of the differences above may leave [0, 1] by a hair.
            out[y, x] = min(max(0.5 * (1.0 - similarity), 0.0), 1.0)


@kernel
def _magnitude(plane: Plane, above: int, y: int, below: int, left: int, x: int, right: int) -> float:
    """Length of the Prewitt gradient, each of its two sums divided by 3."""
    # Prewitt's two masks: the difference of outer columns, and of outer rows, each a sum of three.
    across = plane[above, left] + plane[y, left] + plane[below, left]
    across -= plane[above, right] + plane[y, right] + plane[below, right]
    down = plane[above, left] + plane[above, x] + plane[above, right]
    down -= plane[below, left] + plane[below, x] + plane[below, right]
    return math.sqrt(across * across + down * down) / 3.0


@kernel
def _gradients(truth: Plane, delivered: Plane, out: NDArray[np.float32]) -> None:
    height, width = truth.shape
    for y in range(height):
        above, below = reflected(y - 1, height), reflected(y + 1, height)
        for x in range(width):
            left, right = reflected(x - 1, width), reflected(x + 1, width)
            a = _magnitude(truth, above, y, below, left, x, right)
            b = _magnitude(delivered, above, y, below, left, x, right)
            # Equal magnitudes give numerator and denominator the same bits, and so exactly 0 dissimilarity.
            similarity = (2.0 * (a * b) + GMS_C) / ((a * a + b * b) + GMS_C)
            out[y, x] = min(max(1.0 - similarity, 0.0), 1.0)


def warm_up() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    structural_dissimilarity(black, white)
    gradient_dissimilarity(black, white)
