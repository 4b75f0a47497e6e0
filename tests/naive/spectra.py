"""Distances between spectra and variances of draws, one pixel after another, from the definitions.

Nothing here is fast and nothing here imports the package.
"""

import math
from fractions import Fraction

import numpy as np


def each(truth, delivered, distance):
    """(H, W): `distance` of the two spectra of each pixel, as shares of the largest value of their type."""
    largest = int(np.iinfo(truth.dtype).max)
    out = np.empty(truth.shape[:2])
    for y, x in np.ndindex(*out.shape):
        spectra = [[Fraction(int(value), largest) for value in picture[y, x]] for picture in (truth, delivered)]
        out[y, x] = distance(*spectra)
    return out


def l1(first, second):
    """Mean of absolute differences."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def linf(first, second):
    """Largest absolute difference."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def angle(first, second):
    """From the exact sine and cosine; a right angle between no direction and one, 0 between two that have none."""
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    lengths = sum(a * a for a in first) * sum(b * b for b in second)
    if not lengths:
        return math.pi / 2 if any(first) or any(second) else 0.0
    return math.atan2(math.sqrt(lengths - dot * dot), dot)


def variance(draws):
    """Divisor M, summed over bands."""
    out = np.empty(draws[0].shape[:2], np.float32)
    for y, x in np.ndindex(*out.shape):
        total = Fraction(0)
        for band in range(draws[0].shape[2]):
            values = [Fraction(int(draw[y, x, band]), 65535) for draw in draws]
            mean = sum(values) / len(values)
            total += sum((value - mean) ** 2 for value in values) / len(values)
        out[y, x] = np.float32(float(total))
    return out
