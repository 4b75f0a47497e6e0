"""The veil over untrusted pixels in exact fractions, pixel by pixel."""

from fractions import Fraction
from math import floor

import numpy as np


def veil(pixels, mask, pitch, thickness):
    """A copy of (H, W, 3) uint8, darkened where the mask is False."""
    out = pixels.copy()
    for y, x in np.argwhere(~mask):
        red, green, blue = (int(value) for value in pixels[y, x])
        light = Fraction(floor(Fraction(23396 * (77 * red + 150 * green + 29 * blue), 256)), 65536)
        if (y + x) % pitch < thickness:
            light += Fraction(2801212, 65536)
        out[y, x] = [floor(Fraction(4129 * value, 65536) + light + Fraction(1, 2)) for value in (red, green, blue)]
    return out
