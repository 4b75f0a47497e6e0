"""What one picture says about its own possible error: bounds from its delivered colours and from its input.

The bounds themselves live in `guarantees`.
"""

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.at_hand import bound_of_delivered
from blackbox_conformal.guarantees.certain import certain_curve, statement
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.pipeline.stages.evaluate import Evaluation
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.types import Image


def rule_at_hand(rule: Guarantee, metric: Metric, evaluation: Evaluation) -> Guarantee:
    """`rule` with the bound that this picture gives, where the rule asks for one; else `rule` itself.

    Raises
    ------
    UsageError
        The metric allows no such bound.
    """
    if rule.bound_source == "metric":
        return rule
    if rule.bound_source == "delivered":
        curve = bound_of_delivered(metric, evaluation.delivered, evaluation.indecision)
    else:
        curve = certain_curve(metric, *_input(evaluation), evaluation.indecision)
    return rule.with_bound(curve)


def reason_of_nothing(rule: Guarantee, curves: CurveSet, alpha: float) -> str | None:
    """Why no pixel of any picture can be trusted at `alpha`; None when some might be.

    Where the bound depends on the picture, nothing is known beforehand.
    """
    if rule.bound_source != "metric":
        return None
    return rule.choose(curves, alpha).reason


def certain_statement(metric: Metric, evaluation: Evaluation) -> str | None:
    """What is certain of this picture with no calibration; None where the metric or the sizes allow no such bound."""
    try:
        return statement(metric, metric.certain_map(*_input(evaluation)))
    except UsageError:
        return None


def _input(evaluation: Evaluation) -> tuple[Image, Image, int]:
    low = evaluation.low_resolution
    if low is None:
        raise UsageError("a bound from the input needs the input; it is not known")
    return low, evaluation.delivered, evaluation.delivered.shape[0] // low.shape[0]
