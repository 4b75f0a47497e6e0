"""The bound of a new picture's own loss from the colours that were delivered, for the metrics that allow one.

It takes the place of the metric's bound in `expected` (``bound_new``); the arithmetic lives in `risk.at_hand`.
"""

from blackbox_conformal.errors import UsageError
from blackbox_conformal.kernels.distance import lab_planes
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.metrics.base import Metric
from blackbox_conformal.metrics.lab_l1 import LabL1
from blackbox_conformal.metrics.rgb_l1 import RgbL1
from blackbox_conformal.metrics.rgb_linf import RgbLinf
from blackbox_conformal.risk.at_hand import bound_curve, farthest_lab_l1, farthest_rgb, rgb_planes
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map


def farthest(metric: Metric, delivered: Image) -> Map:
    """The most that `metric` can show at each pixel of `delivered`, whatever the truth: (H, W) float32.

    Raises
    ------
    UsageError
        No such bound is known for the metric; its general bound holds.
    """
    if not isinstance(metric, LabL1 | RgbL1 | RgbLinf):
        raise UsageError(
            "expected lab-l1, rgb-l1 or rgb-linf for a bound from delivered colours; got another metric. "
            "Leave bound_new out: the metric's own bound holds"
        )
    planes = lab_planes(delivered) if isinstance(metric, LabL1) else rgb_planes(delivered)
    if metric.order == "difference-of-blurs":
        # The averaged truth is a mean of colours, so it lies in the convex hull that the support values describe.
        for plane in planes:
            plane[:] = average(plane, metric.kernel or "", metric.sigma, metric.size)
    most = farthest_lab_l1(planes) if isinstance(metric, LabL1) else metric.norm(farthest_rgb(planes))
    if metric.order == "blur-of-difference":
        most = average(most, metric.kernel or "", metric.sigma, metric.size)
    return most


def bound_of_delivered(metric: Metric, delivered: Image, indecision: Map) -> RiskCurve:
    """``bound_new`` for `expected`: the largest of `farthest` over the pixels trusted at each threshold."""
    return bound_curve(indecision, farthest(metric, delivered), metric.bound)
