"""Colour distances pixel by pixel in float64, straight from the definitions of sRGB and CIE 1976 Lab.

Nothing here is fast and nothing here imports the package.
"""

import numpy as np

XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)


def lab(colour):
    """Normalised Lab of one 8-bit colour: L/100, a/254 + 1/2, b/254 + 1/2."""
    linear = []
    for level in colour:
        value = int(level) / 255
        linear.append(((value + 0.055) / 1.055) ** 2.4 if value > 0.04045 else value / 12.92)
    f = []
    for row, white in zip(XYZ_OF_RGB, WHITE, strict=True):
        t = sum(weight * value for weight, value in zip(row, linear, strict=True)) / white
        f.append(t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116)
    x, y, z = f
    return (116 * y - 16) / 100, 500 * (x - y) / 254 + 0.5, 200 * (y - z) / 254 + 0.5


def chroma(colour):
    """a/254 + 1/2 and b/254 + 1/2 of one 8-bit colour."""
    return lab(colour)[1:]


def rgb(colour):
    """One 8-bit colour on [0, 1]."""
    return tuple(int(level) / 255 for level in colour)


def planes(image, colour):
    """(coordinates, H, W) of an image in the space that `colour` converts to."""
    out = np.empty((len(colour(image[0, 0])), *image.shape[:2]))
    for y, x in np.ndindex(*image.shape[:2]):
        out[:, y, x] = colour(image[y, x])
    return out


def distance(truth, delivered, colour, norm):
    """(H, W) norms, such as `sum` or `max`, of the absolute differences of coordinates."""
    out = np.empty(truth.shape[:2])
    for y, x in np.ndindex(*out.shape):
        pairs = zip(colour(truth[y, x]), colour(delivered[y, x]), strict=True)
        out[y, x] = norm([abs(value - other) for value, other in pairs])
    return out
