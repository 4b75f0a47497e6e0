"""Gaussian blur of 8-bit pictures by direct summation of whole numbers, with reflected borders."""

import math

import numpy as np


def reflected(index, length):
    """Walk from the border back inside, turning round at each end, until the index lies in the picture."""
    while not 0 <= index < length:
        index = -1 - index if index < 0 else 2 * length - 1 - index
    return index


def taps(sigma):
    """Whole numbers from -radius to radius that sum to 2^16."""
    radius = int(4 * sigma + 0.5)
    values = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-radius, radius + 1)]
    rounded = [round(value / math.fsum(values) * 65536) for value in values]
    rounded[radius] += 65536 - sum(rounded)
    return rounded


def blurred(pixels, sigma):
    """(H, W, 3) uint8: down the columns, rounded to 1/64, then along the rows, rounded to whole numbers."""
    weights = taps(sigma)
    radius = len(weights) // 2
    height, width, channels = pixels.shape
    down = np.zeros(pixels.shape, int)
    out = np.zeros(pixels.shape, np.uint8)
    for y, x, c in np.ndindex(height, width, channels):
        total = sum(weight * int(pixels[reflected(y + k - radius, height), x, c]) for k, weight in enumerate(weights))
        down[y, x, c] = (total + 512) // 1024
    for y, x, c in np.ndindex(height, width, channels):
        total = sum(weight * int(down[y, reflected(x + k - radius, width), c]) for k, weight in enumerate(weights))
        out[y, x, c] = (total + 2**21) // 2**22
    return out
