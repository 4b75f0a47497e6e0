"""Weighted means around each pixel by direct summation in float64, with reflected borders.

Nothing here is fast and nothing here imports the package.
"""

import math

import numpy as np


def reflected(index, length):
    """Walk from the border back inside, turning round at each end, until the index lies in the map."""
    while not 0 <= index < length:
        index = -1 - index if index < 0 else 2 * length - 1 - index
    return index


def gaussian_weights(sigma):
    """Weights from -radius to radius of a Gaussian sampled at whole pixels that ends at four sigma."""
    radius = int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-radius, radius + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def gaussian(values, sigma):
    """Mean of an (H, W) map weighted by a Gaussian."""
    return separable(values, gaussian_weights(sigma))


def box(values, size):
    """Plain mean of an (H, W) map over squares."""
    return separable(values, [1 / size] * size)


def separable(values, weights):
    """Mean of an (H, W) map weighted by the same odd number of weights down the columns and along the rows."""
    radius = len(weights) // 2
    height, width = values.shape
    down = np.empty((height, width))
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            down[y, x] = math.fsum(
                weights[k] * float(values[reflected(y + k - radius, height), x]) for k in range(len(weights))
            )
    for y in range(height):
        for x in range(width):
            out[y, x] = math.fsum(weights[k] * down[y, reflected(x + k - radius, width)] for k in range(len(weights)))
    return out


def wide_matrix(length, sigma):
    """(length, length) weights of the coarse-grid Gaussian along one axis, built densely step by step."""
    block = int(sigma / 4)
    ones = np.ones(block)
    spline = np.convolve(np.convolve(ones, ones), ones) / block**3
    weights = np.array(gaussian_weights(sigma))
    places = np.arange(weights.size) - weights.size // 2
    missing = ((weights * places**2).sum() - (block**2 - 1) / 4) / block**2 - 0.25
    reach = math.ceil(4.5 * math.sqrt(missing))
    taps = _taps_of_variance(missing, reach)
    blocks = -(-length // block) + 2 * (reach + 1)
    shrink = np.zeros((blocks, length))
    for j in range(blocks):
        for k, weight in enumerate(spline):
            place = (j - reach - 1) * block + k - (block - 1)
            shrink[j, reflected(place, length)] += weight
    means = np.zeros((blocks, length))
    for j in range(reach, blocks - reach):
        for k in range(-reach, reach + 1):
            means[j] += taps[k + reach] * shrink[j + k]
    out = np.zeros((length, length))
    for x in range(length):
        centre = x // block + reach + 1
        for j in (centre - 1, centre, centre + 1):
            middle = (j - reach - 1) * block + (block - 1) / 2
            out[x] += _quadratic_spline((x - middle) / block) * means[j]
    return out


def _taps_of_variance(variance, reach):
    """Normalised samples of the Gaussian that have this variance once cut off at `reach`, by bisection."""
    places = np.arange(-reach, reach + 1)
    low, high = variance / 2, variance * 2
    for _ in range(200):
        spread = (low + high) / 2
        taps = np.exp(-0.5 * places**2 / spread)
        taps /= taps.sum()
        if (taps * places**2).sum() < variance:
            low = spread
        else:
            high = spread
    return taps


def _quadratic_spline(u):
    u = abs(u)
    if u <= 0.5:
        return 0.75 - u * u
    return 0.5 * (1.5 - u) ** 2 if u < 1.5 else 0.0
