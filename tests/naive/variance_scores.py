"""Variance scores from their formulas in float64, two passes over the draws.

Nothing here is fast and nothing here imports the package.
"""

import numpy as np
from naive import windows


def pixel_variance(draws):
    """Variance over draws with divisor M, summed over channels, white = 1."""
    stack = np.stack(draws).astype(np.float64) / 255
    return ((stack - stack.mean(axis=0)) ** 2).mean(axis=0).sum(axis=2)


def smoothed_variance(draws, weights):
    """Weighted mean of the pixel variance."""
    return windows.separable(pixel_variance(draws), weights)


def variance_of_means(draws, weights):
    """Variance over draws of the weighted means, summed over channels."""
    total = 0
    for channel in range(3):
        means = np.stack([windows.separable(draw[:, :, channel] / 255, weights) for draw in draws])
        total = total + ((means - means.mean(axis=0)) ** 2).mean(axis=0)
    return total


def patch_variance(draws, weights):
    """Weighted mean, over draws and window, of squared distances to the weighted mean over both: no cancellation."""
    height, width, _ = draws[0].shape
    radius = len(weights) // 2
    out = np.zeros((height, width))
    for channel in range(3):
        planes = [draw[:, :, channel] / 255 for draw in draws]
        mean = windows.separable(sum(planes) / len(planes), weights)
        for y in range(height):
            for x in range(width):
                rows = [windows.reflected(y + k - radius, height) for k in range(len(weights))]
                columns = [windows.reflected(x + k - radius, width) for k in range(len(weights))]
                kernel = np.outer(weights, weights)
                for plane in planes:
                    patch = plane[np.ix_(rows, columns)]
                    out[y, x] += (kernel * (patch - mean[y, x]) ** 2).sum() / len(planes)
    return out
