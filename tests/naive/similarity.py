"""Structural and gradient magnitude similarity by looking at one window at a time, in float64.

Nothing here is fast and nothing here imports the package.
"""

import math

import numpy as np
from naive.windows import reflected


def luminance(image):
    """(H, W) luminance on [0, 1]."""
    return (0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]) / 255


def _at(plane, y, x):
    return plane[reflected(y, plane.shape[0]), reflected(x, plane.shape[1])]


def ssim(truth, delivered):
    """(H, W) structural similarity of two 8-bit pictures: means, variances and covariance about the means."""
    one, two = luminance(truth), luminance(delivered)
    places = [(v, u) for v in range(-5, 6) for u in range(-5, 6)]
    weights = np.array([math.exp(-(v * v + u * u) / (2 * 1.5**2)) for v, u in places])
    weights /= weights.sum()
    out = np.empty(one.shape)
    for y, x in np.ndindex(*out.shape):
        p = np.array([_at(one, y + v, x + u) for v, u in places])
        q = np.array([_at(two, y + v, x + u) for v, u in places])
        a, b = (weights * p).sum(), (weights * q).sum()
        spread_p, spread_q = (weights * (p - a) ** 2).sum(), (weights * (q - b) ** 2).sum()
        together = (weights * (p - a) * (q - b)).sum()
        light = (2 * a * b + 0.0001) / (a**2 + b**2 + 0.0001)
        out[y, x] = light * (2 * together + 0.0009) / (spread_p + spread_q + 0.0009)
    return out


PREWITT = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3


def magnitude(plane):
    """(H, W) length of the Prewitt gradient."""
    out = np.empty(plane.shape)
    for y, x in np.ndindex(*out.shape):
        window = np.array([[_at(plane, y + v, x + u) for u in (-1, 0, 1)] for v in (-1, 0, 1)])
        out[y, x] = math.hypot((window * PREWITT).sum(), (window * PREWITT.T).sum())
    return out


def halved(plane):
    """Means of blocks of 2 x 2 pixels, the last ones completed by reflection."""
    out = np.empty((-(-plane.shape[0] // 2), -(-plane.shape[1] // 2)))
    for y, x in np.ndindex(*out.shape):
        out[y, x] = np.mean([_at(plane, 2 * y + v, 2 * x + u) for v in (0, 1) for u in (0, 1)])
    return out


def gms(truth, delivered, downsample=False):
    """(H, W) gradient magnitude similarity of two 8-bit pictures."""
    one, two = luminance(truth), luminance(delivered)
    if downsample:
        one, two = halved(one), halved(two)
    a, b = magnitude(one), magnitude(two)
    constant = 170 / 255**2
    small = (2 * a * b + constant) / (a**2 + b**2 + constant)
    if not downsample:
        return small
    out = np.empty(truth.shape[:2])
    for y, x in np.ndindex(*out.shape):
        out[y, x] = small[y // 2, x // 2]
    return out
