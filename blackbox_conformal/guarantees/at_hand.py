"""The bound of a new picture's own loss from the colours that were delivered, for the metrics that allow one.

It takes the place of the metric's bound in `expected` (``bound_new``); the arithmetic lives in `risk.at_hand`.
"""

from blackbox_conformal.errors import UsageError
from blackbox_conformal.fidelity.base import Fidelity
from blackbox_conformal.fidelity.lab_l1 import LabL1
from blackbox_conformal.fidelity.rgb_l1 import RgbL1
from blackbox_conformal.fidelity.rgb_linf import RgbLinf
from blackbox_conformal.kernels.distance import lab_planes
from blackbox_conformal.kernels.windows import average
from blackbox_conformal.risk.at_hand import bound_curve, farthest_lab_l1, farthest_rgb, rgb_planes
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map


def farthest(fidelity: Fidelity, delivered: Image) -> Map:
    """The most that `fidelity` can show at each pixel of `delivered`, whatever the truth: (H, W) float32.

    Raises
    ------
    UsageError
        No such bound is known for the metric; its general bound holds.
    """
    if not isinstance(fidelity, LabL1 | RgbL1 | RgbLinf):
        raise UsageError(
            "expected lab-l1, rgb-l1 or rgb-linf for a bound from delivered colours; got another metric. "
            "Leave bound_new out: the metric's own bound holds"
        )
    planes = lab_planes(delivered) if isinstance(fidelity, LabL1) else rgb_planes(delivered)
    if fidelity.order == "difference-of-blurs":
        # The averaged truth is a mean of colours, so it lies in the convex hull that the support values describe.
        for plane in planes:
            plane[:] = average(plane, fidelity.kernel or "", fidelity.sigma, fidelity.size)
    most = farthest_lab_l1(planes) if isinstance(fidelity, LabL1) else fidelity.norm(farthest_rgb(planes))
    if fidelity.order == "blur-of-difference":
        most = average(most, fidelity.kernel or "", fidelity.sigma, fidelity.size)
    return most


def bound_of_delivered(fidelity: Fidelity, delivered: Image, indecision: Map) -> RiskCurve:
    """``bound_new`` for `expected`: the largest of `farthest` over the pixels trusted at each threshold."""
    return bound_curve(indecision, farthest(fidelity, delivered), fidelity.bound)
