"""Scores from their formulas in float64, each under its own name: a test finds the twin of `texture` as `texture`.

Each takes the draws, the first of which is delivered, the input, a second vendor's picture, and the weights of one
side-to-side window; (H, W). Nothing here is fast and nothing here imports the package.
"""

import numpy as np
from naive import detail, learned_network, predicted_invention_network, reference, windows
from PIL import Image


def pixel_variance(draws, low=None, second=None, weights=None):
    """Variance over draws with divisor M, summed over channels, white = 1: two passes over the draws."""
    stack = np.stack(draws).astype(np.float64) / 255
    return ((stack - stack.mean(axis=0)) ** 2).mean(axis=0).sum(axis=2)


def smoothed_variance(draws, low, second, weights):
    """Weighted mean of the pixel variance."""
    return windows.separable(pixel_variance(draws), weights)


def variance_of_means(draws, low, second, weights):
    """Variance over draws of the weighted means, summed over channels."""
    total = 0
    for channel in range(3):
        means = np.stack([windows.separable(draw[:, :, channel] / 255, weights) for draw in draws])
        total = total + ((means - means.mean(axis=0)) ** 2).mean(axis=0)
    return total


def patch_variance(draws, low, second, weights):
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


def bicubic_gap(draws, low, second, weights):
    """Weighted mean of the L1 distance to Pillow's bicubic enlargement of the input."""
    height, width, _ = draws[0].shape
    enlarged = np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC), float)
    return windows.separable(np.abs(draws[0] - enlarged).sum(axis=2) / 255, weights)


def consistency(draws, low, second, weights):
    """Weighted mean of the L1 distance between the input and the picture made small again, in the input's pixels."""
    height, width, _ = low.shape
    again = np.asarray(Image.fromarray(draws[0]).resize((width, height), Image.Resampling.BICUBIC), float)
    residual = np.abs(again - low).sum(axis=2) / 255
    scale = draws[0].shape[0] // height
    out = np.empty(draws[0].shape[:2])
    for y, x in np.ndindex(*out.shape):
        out[y, x] = residual[y // scale, x // scale]
    return windows.separable(out, weights)


def texture(draws, low, second, weights):
    """Weighted mean of the squared gradient by central differences."""
    value = draws[0].astype(float) / 255
    height, width, _ = value.shape
    out = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        down = value[min(y + 1, height - 1), x] - value[max(y - 1, 0), x]
        right = value[y, min(x + 1, width - 1)] - value[y, max(x - 1, 0)]
        out[y, x] = ((down / 2) ** 2 + (right / 2) ** 2).sum()
    return windows.separable(out, weights)


def second_opinion(draws, low, second, weights):
    """Weighted mean of the L1 distance to the second vendor's picture."""
    return windows.separable(np.abs(draws[0].astype(float) - second).sum(axis=2) / 255, weights)


def learned(draws, low, second=None, weights=None):
    """What the network of the package makes of the delivered picture and the input."""
    return learned_network.multipliers(draws[0], low)


def unsupported(draws, low, second, weights):
    """Weighted mean of the share of the added detail that the free reference does not explain."""
    height, width, _ = draws[0].shape
    plain = np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC))
    share = detail.share(draws[0], reference.enlarged(low, plain), plain, height / low.shape[0])
    return windows.separable(share, weights)


def predicted_invention(draws, low, second, weights):
    """Weighted mean of the share of the added detail that the network expects to be invented."""
    height, width, _ = draws[0].shape
    plain = np.asarray(Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC))
    free = reference.enlarged(low, plain), reference.fine(low)
    return windows.separable(predicted_invention_network.shares(draws[0], low, free, plain, False), weights)
