"""The bound of a new picture's own loss from the colours that were delivered, for the metrics that allow one.

It takes the place of the metric's bound in `expected` (``bound_new``). The metric knows how far the truth can be.
"""

from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.risk.at_hand import bound_curve
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.types import Image, Map


def bound_of_delivered(metric: Metric, delivered: Image, indecision: Map) -> RiskCurve:
    """``bound_new`` for `expected`: the largest of `Metric.farthest` over the pixels trusted at each threshold.

    Raises
    ------
    UsageError
        The metric allows no such bound.
    """
    return bound_curve(indecision, metric.farthest(delivered), metric.bound)
