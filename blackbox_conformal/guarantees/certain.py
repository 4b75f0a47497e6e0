"""The certain bound: how far a delivered picture's blurred version can be from the truth's, for this one picture.

No calibration, no probability, no further call; it says nothing of fine detail. The arithmetic lives in
`risk.certain`, and the metric knows whether it applies.
"""

import numpy as np

from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.risk.at_hand import bound_curve
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map


def certain_curve(metric: Metric, low_resolution: Image, delivered: Image, scale: int, indecision: Map) -> RiskCurve:
    """The certain bound as a staircase over the pixels trusted at each threshold: a ``bound_new`` for `expected`."""
    return bound_curve(indecision, metric.certain_map(low_resolution, delivered, scale), metric.bound)


def statement(metric: Metric, most: Map) -> str:
    """What the bound says, in two sentences, the second being what it does not say."""
    return (
        f"Averaged with a {metric.averaging}, this picture's colours differ from the truth's by at most "
        f"{float(most.max()):.3f} "
        f"(median over pixels {float(np.median(most)):.3f}), whatever the truth, provided the input is its 8-bit "
        "bicubic reduction. It says nothing of detail finer than that average: invented texture passes."
    )
