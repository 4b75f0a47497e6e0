"""Pillow's bicubic enlargement by plain loops: taps as fractions of 2^22, and two passes that are rounded to 8 bits."""

import math

import numpy as np


def bicubic(x):
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def taps(length, factor):
    """For each result: its first sample, and whole numbers that sum to about 2^22."""
    for result in range(length * factor):
        centre = (result + 0.5) / factor
        first, stop = max(0, math.floor(centre - 1.5)), min(length, math.floor(centre + 2.5))
        weights = [bicubic(sample - centre + 0.5) for sample in range(first, stop)]
        total = 0.0
        for each in weights:
            total += each
        yield first, [int(each / total * 2**22 + math.copysign(0.5, each)) for each in weights]


def along_rows(pixels, factor):
    height, width, channels = pixels.shape
    out = np.zeros((height, width * factor, channels), np.uint8)
    for x, (first, weights) in enumerate(taps(width, factor)):
        for y, c in np.ndindex(height, channels):
            total = sum(weight * int(pixels[y, first + k, c]) for k, weight in enumerate(weights))
            out[y, x, c] = min(max((total + 2**21) >> 22, 0), 255)
    return out


def upscaled(pixels, factor):
    """(h, w, 3) uint8 along the rows, then down the columns: (h · factor, w · factor, 3) uint8."""
    across = along_rows(pixels, factor)
    return along_rows(across.swapaxes(0, 1), factor).swapaxes(0, 1)
