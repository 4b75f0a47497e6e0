"""The veil over untrusted pixels in exact fractions, pixel by pixel."""

from fractions import Fraction
from math import floor

import numpy as np


def veil(pixels, mask, pitch, thickness, dimmed, grey, stripe, crossed):
    """A copy of (H, W, 3) uint8, darkened where the mask is False."""
    colour, lightness, stripe = (round(each * 65536) for each in ((1 - grey) * dimmed, grey * dimmed, stripe))
    out = pixels.copy()
    for y, x in np.argwhere(~mask):
        red, green, blue = (int(value) for value in pixels[y, x])
        light = Fraction(floor(Fraction(lightness * (77 * red + 150 * green + 29 * blue), 256)), 65536)
        if (y + x) % pitch < thickness or (crossed and (x - y) % pitch < thickness):
            light += Fraction(stripe, 65536)
        out[y, x] = [floor(Fraction(colour * value, 65536) + light + Fraction(1, 2)) for value in (red, green, blue)]
    return out
