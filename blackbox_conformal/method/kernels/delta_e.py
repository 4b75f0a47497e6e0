"""Compute CIEDE2000 colour differences, pixel by pixel in float64."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import MapError
from blackbox_conformal.method.kernels._checks import image_pair
from blackbox_conformal.method.kernels._jit import kernel
from blackbox_conformal.method.kernels.distance import WHITE_D65, XYZ_OF_RGB
from blackbox_conformal.support.types import Image, Map

Colours = NDArray[np.float64]

TWENTY_FIVE_TO_THE_SEVENTH = 25.0**7
DEGREE = math.pi / 180


def delta_e_2000(truth: Image, delivered: Image) -> Map:
    """Return the CIEDE2000 of two 8-bit sRGB pictures under D65: (H, W) float32, exactly 0 where colours are equal.

    Unclipped: a search between sRGB colours finds at most 119.47. Within 1e-4 of exact arithmetic.

    Sharma, Wu and Dalal (2005), with kL = kC = kH = 1.
    """
    truth, delivered = image_pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    _of_pictures(truth.reshape(-1), delivered.reshape(-1), *_tables(), out.reshape(-1))
    return out


def delta_e_2000_of_lab(first: Colours, second: Colours) -> NDArray[np.float64]:
    """Return the CIEDE2000 of (N, 3) CIE 1976 L*, a*, b* colours (L* in [0, 100]): (N,) float64."""
    first, second = np.ascontiguousarray(first, np.float64), np.ascontiguousarray(second, np.float64)
    if first.ndim != 2 or first.shape != second.shape or first.shape[1] != 3:
        raise MapError(f"expected two (N, 3) arrays of L*, a*, b*; got {first.shape} and {second.shape}")
    out = np.empty(first.shape[0], np.float64)
    _of_lab(first, second, out)
    return out


@functools.cache
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the linear light of each grey level, (256,), and the matrix from linear sRGB to relative XYZ, (3, 3)."""
    # In float64, unlike the tables of `distance`: powers and the hue angle of CIEDE2000 magnify errors near grey.
    level = np.arange(256) / 255
    return np.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92), XYZ_OF_RGB / WHITE_D65[:, None]


@kernel
def _f(t: float) -> float:
    """Compress as CIE does: by a cube root, and below 0.008856 by a line."""
    # CIE's rounded constants, which scikit-image uses too; the exact fractions would differ in the last digits.
    return np.cbrt(t) if t > 0.008856 else 7.787 * t + 16.0 / 116.0


@kernel
def _hue(a: float, b: float) -> float:
    """Return the hue angle in [0, 360) degrees; 0 for grey."""
    angle = math.atan2(b, a) / DEGREE
    return angle + 360.0 if angle < 0.0 else angle


@kernel
def _difference(l1: float, a1: float, b1: float, l2: float, a2: float, b2: float) -> float:
    """Return the CIEDE2000 of two Lab colours; equations have the numbers of Sharma, Wu and Dalal (2005)."""
    chroma = 0.5 * (math.sqrt(a1 * a1 + b1 * b1) + math.sqrt(a2 * a2 + b2 * b2))
    seventh = chroma**7
    g = 0.5 * (1.0 - math.sqrt(seventh / (seventh + TWENTY_FIVE_TO_THE_SEVENTH)))  # (4)
    # CIELAB makes differences along a too small near grey, so they are enlarged there.
    a1, a2 = (1.0 + g) * a1, (1.0 + g) * a2
    c1, c2 = math.sqrt(a1 * a1 + b1 * b1), math.sqrt(a2 * a2 + b2 * b2)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)
    # The shorter way round the circle of hues.
    turn = h2 - h1  # (10)
    if turn > 180.0:
        turn -= 360.0
    elif turn < -180.0:
        turn += 360.0
    hue = 0.5 * (h1 + h2)  # (14)
    if abs(h1 - h2) > 180.0:
        hue += 180.0 if h1 + h2 < 360.0 else -180.0
    # A grey has no hue: the equations then want no difference of hue, and the hue of the other colour.
    if c1 * c2 == 0.0:
        turn, hue = 0.0, h1 + h2
    d_lightness, d_chroma = l2 - l1, c2 - c1
    d_hue = 2.0 * math.sqrt(c1 * c2) * math.sin(0.5 * turn * DEGREE)  # (11)
    lightness, chroma = 0.5 * (l1 + l2), 0.5 * (c1 + c2)
    t = (
        1.0
        - 0.17 * math.cos((hue - 30.0) * DEGREE)
        + 0.24 * math.cos(2.0 * hue * DEGREE)
        + 0.32 * math.cos((3.0 * hue + 6.0) * DEGREE)
        - 0.20 * math.cos((4.0 * hue - 63.0) * DEGREE)
    )  # (15)
    from_middle = (lightness - 50.0) * (lightness - 50.0)
    s_lightness = 1.0 + 0.015 * from_middle / math.sqrt(20.0 + from_middle)
    s_chroma = 1.0 + 0.045 * chroma
    s_hue = 1.0 + 0.015 * chroma * t
    # The rotation corrects CIELAB in the blue alone, around a hue of 275 degrees.
    from_blue = (hue - 275.0) / 25.0
    seventh = chroma**7
    strength = 2.0 * math.sqrt(seventh / (seventh + TWENTY_FIVE_TO_THE_SEVENTH))
    rotation = -math.sin(60.0 * math.exp(-from_blue * from_blue) * DEGREE) * strength  # (21)
    x, y, z = d_lightness / s_lightness, d_chroma / s_chroma, d_hue / s_hue
    # The form is positive for |rotation| < 2; only rounding can take it below 0.
    return math.sqrt(max(x * x + y * y + z * z + rotation * y * z, 0.0))  # (22)


@kernel
def _of_pictures(
    truth: NDArray[np.uint8],
    delivered: NDArray[np.uint8],
    linear: NDArray[np.float64],
    matrix: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    lab = np.empty((2, 3), np.float64)
    for i in range(out.size):
        first = 3 * i
        # The same colour twice could round to a tiny difference: equal bytes must give exactly 0.
        if (
            truth[first] == delivered[first]
            and truth[first + 1] == delivered[first + 1]
            and truth[first + 2] == delivered[first + 2]
        ):
            out[i] = 0.0
            continue
        for k in range(2):
            pixels = truth if k == 0 else delivered
            red, green, blue = linear[pixels[first]], linear[pixels[first + 1]], linear[pixels[first + 2]]
            x = _f(matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue)
            y = _f(matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue)
            z = _f(matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue)
            lab[k, 0] = 116.0 * y - 16.0
            lab[k, 1] = 500.0 * (x - y)
            lab[k, 2] = 200.0 * (y - z)
        out[i] = _difference(lab[0, 0], lab[0, 1], lab[0, 2], lab[1, 0], lab[1, 1], lab[1, 2])


@kernel
def _of_lab(first: Colours, second: Colours, out: NDArray[np.float64]) -> None:
    for i in range(out.size):
        out[i] = _difference(first[i, 0], first[i, 1], first[i, 2], second[i, 0], second[i, 1], second[i, 2])


def warm_up() -> None:
    delta_e_2000(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8))
    delta_e_2000_of_lab(np.zeros((1, 3)), np.ones((1, 3)))
