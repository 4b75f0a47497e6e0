"""Picture quality inside and outside a mask: the figures that make a trusted share mean something.

No guarantee is computed here.
"""

import math

import numpy as np

from blackbox_conformal.types import Image, Mask


def squared_error(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """Mean squared error over the masked pixels and the three channels, on [0, 1] values; NaN for an empty mask."""
    difference = truth.astype(np.int16) - delivered
    if mask is not None:
        difference = difference[mask]
    if difference.size == 0:
        return math.nan
    return float(np.square(difference.astype(np.int32)).mean(dtype=np.float64)) / 255.0**2


def peak_signal_to_noise(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """PSNR in dB over the masked pixels; NaN for an empty mask, +inf for equal pixels."""
    error = squared_error(truth, delivered, mask)
    if math.isnan(error):
        return math.nan
    return math.inf if error == 0 else -10.0 * math.log10(error)
