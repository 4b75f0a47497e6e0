"""Pillow's reductions by plain loops: taps as fractions of 2^22 in two passes rounded to 8 bits, and block means."""

import math

import numpy as np


def box(x):
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def bicubic(x):
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def lanczos(x):
    return sinc(x) * sinc(x / 3) if -3 <= x < 3 else 0.0


FILTERS = {"area": (0.5, box), "bicubic": (2, bicubic), "lanczos": (3, lanczos)}


def taps(name, length, factor):
    """For each result: its first sample, and whole numbers that sum to about 2^22."""
    reach, weight = FILTERS[name]
    for result in range(length // factor):
        centre = (result + 0.5) * factor
        first = max(0, math.floor(centre - reach * factor + 0.5))
        stop = min(length, math.floor(centre + reach * factor + 0.5))
        weights = [weight((sample - centre + 0.5) / factor) for sample in range(first, stop)]
        total = 0.0
        for each in weights:
            total += each
        yield first, [int(each / total * 2**22 + math.copysign(0.5, each)) for each in weights]


def along_rows(pixels, name, factor):
    height, width, channels = pixels.shape
    out = np.zeros((height, width // factor, channels), np.uint8)
    for x, (first, weights) in enumerate(taps(name, width, factor)):
        for y, c in np.ndindex(height, channels):
            total = sum(weight * int(pixels[y, first + k, c]) for k, weight in enumerate(weights))
            out[y, x, c] = min(max((total + 2**21) >> 22, 0), 255)
    return out


def reduced(pixels, name, factor):
    """(H, W, 3) uint8 along the rows, then down the columns: (H / factor, W / factor, 3) uint8."""
    across = along_rows(pixels, name, factor)
    return along_rows(across.swapaxes(0, 1), name, factor).swapaxes(0, 1)


def block_means(pixels, factor):
    """(H, W, 3) uint8 as means of blocks: halves up, but divided as Pillow divides, by a reciprocal in 2^-24."""
    reciprocal = int(np.float32(2**24) / np.float32(factor**2))
    out = np.zeros((pixels.shape[0] // factor, pixels.shape[1] // factor, 3), np.uint8)
    for y, x, c in np.ndindex(out.shape):
        block = pixels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor, c]
        out[y, x, c] = (sum(map(int, block.flat)) + factor**2 // 2) * reciprocal >> 24
    return out
