"""The certain bound: how far a delivered picture's blurred version can be from the truth's, for this one picture.

No calibration, no probability, no further call; it says nothing of fine detail. The arithmetic lives in
`risk.certain`.
"""

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.metrics.base import Metric
from blackbox_conformal.metrics.rgb_l1 import RgbL1
from blackbox_conformal.metrics.rgb_linf import RgbLinf
from blackbox_conformal.risk.at_hand import bound_curve, rgb_planes
from blackbox_conformal.risk.certain import blurred_truth
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map


def certain_map(metric: Metric, low_resolution: Image, delivered: Image, scale: int) -> Map:
    """An upper bound on `metric` at each pixel, true for every photograph that degrades to the input.

    Parameters
    ----------
    metric
        ``rgb-l1`` or ``rgb-linf`` in the order difference-of-blurs: linear before its norm.
    low_resolution
        The input: (h, w, 3) uint8, made from the truth by Pillow's bicubic filter.
    delivered
        (h * scale, w * scale, 3) uint8.
    scale
        Whole-number factor, at least 2.

    Returns
    -------
    Map
        (H, W) float32 in [0, bound].

    Raises
    ------
    UsageError
        The metric is not linear before its norm, or sizes do not fit.
    """
    if not isinstance(metric, RgbL1 | RgbLinf) or metric.order != "difference-of-blurs" or metric.kernel is None:
        raise UsageError(
            "expected rgb-l1 or rgb-linf in the order difference-of-blurs for a certain bound; got another metric. "
            "Only of a metric that is linear before its norm does the input say anything certain: calibrate the others"
        )
    height, width = low_resolution.shape[0] * scale, low_resolution.shape[1] * scale
    if delivered.shape[:2] != (height, width):
        raise UsageError(
            f"expected a delivered picture of {width}×{height}; got {delivered.shape[1]}×{delivered.shape[0]}"
        )
    truth = blurred_truth(low_resolution, scale, window=metric.kernel, sigma=metric.sigma, size=metric.size)
    blurred = np.stack([average(plane, metric.kernel, metric.sigma, metric.size) for plane in rgb_planes(delivered)])
    most: Map = np.minimum(metric.norm(truth.largest_difference(blurred)), np.float32(metric.bound))
    return most


def certain_curve(metric: Metric, low_resolution: Image, delivered: Image, scale: int, indecision: Map) -> RiskCurve:
    """The certain bound as a staircase over the pixels trusted at each threshold: a ``bound_new`` for `expected`."""
    return bound_curve(indecision, certain_map(metric, low_resolution, delivered, scale), metric.bound)


def statement(metric: Metric, most: Map) -> str:
    """What the bound says, in two sentences, the second being what it does not say."""
    wide = f"Gaussian of sigma {metric.sigma:g}" if isinstance(metric, RgbL1 | RgbLinf) and metric.sigma else "box"
    return (
        f"Averaged with a {wide}, this picture's colours differ from the truth's by at most {float(most.max()):.3f} "
        f"(median over pixels {float(np.median(most)):.3f}), whatever the truth, provided the input is its 8-bit "
        "bicubic reduction. It says nothing of detail finer than that average: invented texture passes."
    )
