"""CIEDE2000 with complex numbers for the colour plane, one pair of colours at a time.

Nothing here is fast and nothing here imports the package.
"""

import cmath
import math

import numpy as np
from naive import distance


def lab(colour):
    """CIE 1976 L*, a*, b* of one 8-bit sRGB colour."""
    lightness, a, b = distance.lab(colour)
    return lightness * 100, (a - 0.5) * 254, (b - 0.5) * 254


def _share(chroma):
    return math.sqrt(1 / (1 + (25 / chroma) ** 7)) if chroma > 0 else 0.0


def delta_e_2000(one, two):
    """The difference of two L*, a*, b* colours."""
    mean_chroma = (math.hypot(*one[1:]) + math.hypot(*two[1:])) / 2
    stretch = 1.5 - 0.5 * _share(mean_chroma)
    p, q = complex(one[1] * stretch, one[2]), complex(two[1] * stretch, two[2])
    mean_lightness, mean_chroma = (one[0] + two[0]) / 2, (abs(p) + abs(q)) / 2
    if p == 0 or q == 0:
        hue = cmath.phase(p + q)
        chord = 0.0
    else:
        # Half the turn from p to q, in (-90, 90] degrees; the mean hue lies half the turn beyond p.
        half = cmath.phase(q / p) / 2
        hue = cmath.phase(p) + half
        chord = 2 * math.sqrt(abs(p) * abs(q)) * math.sin(half)
    hue = math.degrees(hue) % 360
    wave = sum(
        weight * math.cos(math.radians(times * hue + shift))
        for weight, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    )
    away = (mean_lightness - 50) ** 2
    lightness = (two[0] - one[0]) / (1 + 0.015 * away / math.sqrt(20 + away))
    chroma = (abs(q) - abs(p)) / (1 + 0.045 * mean_chroma)
    turned = chord / (1 + 0.015 * mean_chroma * (1 + wave))
    angle = math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2)))
    return math.sqrt(lightness**2 + chroma**2 + turned**2 - 2 * _share(mean_chroma) * math.sin(angle) * chroma * turned)


def difference(truth, delivered):
    """(H, W) differences of two 8-bit sRGB pictures."""
    out = np.empty(truth.shape[:2])
    for y, x in np.ndindex(*out.shape):
        out[y, x] = delta_e_2000(lab(truth[y, x]), lab(delivered[y, x]))
    return out
