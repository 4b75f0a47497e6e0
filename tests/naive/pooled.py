"""Every value of every window and draw, in fractions."""

from fractions import Fraction

import numpy as np
from naive import windows


def pooled_variance(draws, size):
    _, height, width, _ = draws.shape
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            total = Fraction(0)
            for channel in range(3):
                values = [
                    int(one[windows.reflected(y + down, height), windows.reflected(x + right, width), channel])
                    for one in draws
                    for down in range(-(size // 2), size // 2 + 1)
                    for right in range(-(size // 2), size // 2 + 1)
                ]
                total += Fraction(sum(v * v for v in values), len(values)) - Fraction(sum(values), len(values)) ** 2
            out[y, x] = np.float32(float(total / 255**2))
    return out
