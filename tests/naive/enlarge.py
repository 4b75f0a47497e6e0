"""A difference enlarged by the bicubic filter and added to a picture: pixel by pixel, the filter in exact fractions."""

import functools
from fractions import Fraction

import numpy as np


def keys(distance):
    """The kernel of Keys (1981) with a = -1/2."""
    if distance < 1:
        return Fraction(3, 2) * distance**3 - Fraction(5, 2) * distance**2 + 1
    if distance < 2:
        return Fraction(-1, 2) * distance**3 + Fraction(5, 2) * distance**2 - 4 * distance + 2
    return Fraction(0)


@functools.cache
def weights(at, factor, length):
    """The samples that a pixel at `at` is made of, with their weights in 1/1024, which sum to 1024."""
    place = Fraction(2 * at + 1, 2 * factor) - Fraction(1, 2)
    own = at // factor
    found = {own + step: round(keys(abs(place - own - step)) * 1024) for step in range(-2, 3)}
    found[own] += 1024 - sum(found.values())
    return [(min(max(sample, 0), length - 1), weight) for sample, weight in found.items()]


def add_enlarged(pixels, difference):
    """(H, W, 3) uint8 plus (h, w, 3) enlarged: rounded, halves up, and held to 0-255."""
    rows, columns = difference.shape[:2]
    factor = pixels.shape[0] // rows
    out = np.zeros_like(pixels)
    for y, x, channel in np.ndindex(pixels.shape):
        change = sum(
            down * across * int(difference[row, column, channel])
            for row, down in weights(y, factor, rows)
            for column, across in weights(x, factor, columns)
        )
        rounded = (2 * 1024**2 * int(pixels[y, x, channel]) + 2 * change + 1024**2) // (2 * 1024**2)
        out[y, x, channel] = min(max(rounded, 0), 255)
    return out
