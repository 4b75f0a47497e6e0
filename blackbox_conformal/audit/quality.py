"""Picture quality inside and outside a mask: the figures that make a trusted share mean something.

No guarantee is computed here.
"""

import math
from typing import Any

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


def guaranteed_peak_signal_to_noise(alpha: float, fidelity: dict[str, Any]) -> float | None:
    """``-20 log10 alpha`` dB where the metric at each pixel is at least its root mean square error, else None.

    Then the expected PSNR over trusted pixels is at least that (Adame, Csillag and Goedert 2025, Proposition 3.1). It
    is so for the pointwise sRGB metrics: the largest channel difference is at least the root mean square of the
    three, and their sum is at least the largest. An averaged metric may be small where single pixels are far off.

    Parameters
    ----------
    fidelity
        Name and parameters of the metric, as in a procedure.
    """
    pointwise = fidelity.get("name") in ("rgb-l1", "rgb-linf") and fidelity.get("kernel") is None
    return -20.0 * math.log10(alpha) if pointwise and alpha > 0 else None
