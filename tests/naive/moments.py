"""Moments of draws in exact fractions, straight from the definitions.

Nothing here is fast and nothing here imports the package.
"""

from fractions import Fraction

import numpy as np


def variance(draws):
    """Variance with divisor M, summed over channels, white = 1, of a list of (H, W, 3) uint8."""
    height, width, _ = draws[0].shape
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            total = Fraction(0)
            for channel in range(3):
                values = [Fraction(int(draw[y, x, channel])) for draw in draws]
                mean = sum(values) / len(values)
                total += sum((value - mean) ** 2 for value in values) / len(values)
            out[y, x] = np.float32(float(total / 255**2))
    return out


def mean(draws):
    """Mean image in grey levels, (H, W, 3) float32."""
    return _of_sums(draws, lambda total, count: np.float32(float(Fraction(total, count))), np.float32)


def mean_image(draws):
    """Mean image rounded half up, (H, W, 3) uint8."""
    return _of_sums(draws, lambda total, count: (Fraction(total, count) + Fraction(1, 2)).__floor__(), np.uint8)


def _of_sums(draws, rule, dtype):
    out = np.empty(draws[0].shape, dtype)
    for index in np.ndindex(*out.shape):
        out[index] = rule(sum(int(draw[index]) for draw in draws), len(draws))
    return out


def fixed_point_variance(draws):
    """Variance with divisor M, white = 1, of lists of three (H, W) float32 planes rounded to 1/4096, half up."""
    height, width = draws[0][0].shape
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            total = Fraction(0)
            for channel in range(3):
                values = [
                    Fraction((Fraction(float(draw[channel][y, x])) * 4096 + Fraction(1, 2)).__floor__(), 4096)
                    for draw in draws
                ]
                mean_value = sum(values) / len(values)
                total += sum((value - mean_value) ** 2 for value in values) / len(values)
            out[y, x] = np.float32(float(total / 255**2))
    return out
