"""An upper bound on one picture's own loss, which replaces the metric's bound in `expected` (``bound_from``).

The metric bounds its map for this picture (`Metric.bound_from_delivered`, `Metric.bound_from_input`) without
calibration, probability or further calls.
"""

import re

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.support.types import Image, Map
from blackbox_conformal.support.wording import at_most


def rule_for_picture(
    rule: Guarantee, metric: Metric, delivered: Image, low_resolution: Image | None, scores: Map, degradation: Mixture
) -> Guarantee:
    """Return `rule` with the bound of this picture's own loss, where `rule` asks for one (``bound_from``).

    `delivered` is (H, W, 3) uint8. `low_resolution` is the vendor's input, (h, w, 3) uint8, or None where unknown.
    `scores` is (H, W) float32. `degradation` says how the input was made.
    """
    if rule.bound_source == "metric":
        return rule
    if rule.bound_source == "delivered":
        largest = metric.bound_from_delivered(delivered)
    else:
        largest = _bound_from_input(metric, delivered, low_resolution, degradation)
    return rule.with_bound(bound_curve(scores, largest, metric.capped_bound, rule.left_out, rule.square_side))


def refuse_bound(rule: Guarantee, metric: Metric, degradation: Mixture, scale: int) -> None:
    """Refuse, before anything is drawn, a picture's own bound that metric or degradation do not allow."""
    # An empty picture of the right shape is refused for the same reasons as a real one.
    low, side = np.zeros((8, 8, 3), np.uint8), 8 * scale
    delivered, scores = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.float32)
    rule_for_picture(rule, metric, delivered, low, scores, degradation)


def bound_curve(
    scores: Map, largest: Map, bound: float, left_out: float | None = None, side: float | None = None
) -> RiskCurve:
    """Return ``B_new(t)``: the largest value of the map `largest` over pixels trusted at t, never above `bound`.

    With `left_out` the curve leaves out a share of the picture, with `side` it averages over squares. In each case a
    map that lies below `largest` everywhere has a curve below this one.
    """
    # Capped by the metric's own bound, which holds for every picture and is often smaller at single pixels.
    return RiskCurve.from_maps(
        scores, np.minimum(largest, largest_loss(bound)), bound=bound, left_out=left_out, side=side
    )


def input_statement(metric: Metric, delivered: Image, low_resolution: Image | None, degradation: Mixture) -> str | None:
    """Say which error the input alone bounds, and which it does not.

    Return None where the metric averages no colours, or metric, degradation or sizes allow no such bound.
    """
    if not metric.averages_colours:
        return None
    try:
        largest = _bound_from_input(metric, delivered, low_resolution, degradation)
    except UsageError:
        return None
    return _bound_in_words(metric, degradation, at_most(float(largest.max())), at_most(float(np.median(largest))))


def is_input_statement(text: str, metric: Metric, degradation: Mixture) -> bool:
    """Tell whether `text` is a text by `input_statement` about some picture, with any two numbers."""
    # Digits are limited, so that a stranger's file cannot make the search slow.
    numbers = re.search(r"by at most ([\d.]{1,20}) \(median over pixels ([\d.]{1,20})\)", text)
    return numbers is not None and text == _bound_in_words(metric, degradation, *numbers.groups())


def _bound_in_words(metric: Metric, degradation: Mixture, largest: str, median: str) -> str:
    return (
        f"Averaged with a {metric.averaging}, this picture's colours in {metric.space} differ from the truth's "
        f"by at most {largest} (median over pixels {median}), whatever the truth, provided the input was made from "
        f"it by {degradation.text}, in 8 bits. It says nothing of detail finer than that average: invented texture "
        "passes."
    )


def reason_of_nothing(rule: Guarantee, curves: CurveSet, alpha: float) -> str | None:
    """Say why no pixel of any picture can be trusted at `alpha`; None when some might be.

    A bound that depends on the picture is unknown before the picture is there, so it rules nothing out.
    """
    if rule.bound_source != "metric":
        return None
    return rule.choose(curves, alpha).reason


def _bound_from_input(metric: Metric, delivered: Image, low_resolution: Image | None, degradation: Mixture) -> Map:
    if low_resolution is None:
        raise UsageError(
            "expected the input of the picture for bound_from=input; it is not known. Give low_resolution, or "
            "bound_from=delivered"
        )
    scale = delivered.shape[0] // low_resolution.shape[0]
    return metric.bound_from_input(low_resolution, delivered, linear_steps(degradation.at(scale), 8 * scale), scale)


def linear_steps(degradation: Mixture, length: int) -> tuple[Degradation, ...]:
    """Return the steps of a degradation, each a linear map along rows and then columns; else refuse.

    `length` is the length of a line that the degradation can take, for a trial.
    """
    # Chains beyond the first only lead to a refusal: a mixture is no single linear map.
    steps = degradation.chains[0].steps
    reason = None if len(degradation.chains) == 1 else "it is not known which chain a picture went through"
    if reason is None and degradation.scale == 1:
        reason = "it makes no picture smaller"
    for step in steps if reason is None else ():
        matrix = None if step.random else step.along_axis(length)
        if matrix is None:
            reason = f"{Chain((step,)).text} is no known linear map along rows and columns"
            break
        length = matrix.shape[0]
    if reason is not None:
        raise UsageError(
            "expected inputs that a known linear reduction makes, such as bicubic:4, area:4 or lanczos:4, for "
            f"bound_from=input; got {degradation.text}: {reason}. Say bound_from=delivered, or leave bound_from out"
        )
    return steps
