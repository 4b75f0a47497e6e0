"""Masks that are known to be empty before anything is drawn. They are not paid for unless the user asks for them."""

import math
from bisect import bisect_left

from blackbox_conformal.drawing.spending.estimate import costs
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee, number_in_words
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.mask.mask_request import MaskRequest
from blackbox_conformal.study.stages.settings import Setup

LEVELS = tuple(digits / parts for parts in (1000, 100, 10) for digits in range(10, 100))
"""Levels of two digits, from 0.01 to 9.9."""


def refuse_paid_emptiness(job: Job, request: MaskRequest) -> None:
    """Refuse to pay for draws of masks in which nothing will be trusted; what is stored or free is no reason.

    Of a cascade, those of the pictures that end at one of its vendors are enough to refuse, unless no photograph did.
    """
    nothing = zip(request.rules, request.reasons_of_nothing, strict=True)
    n = request.calibration.n
    empty = [(rule, why) for rule, why in nothing if why is not None and rule.counted(n)]
    if not empty:
        return
    expected = job.estimate()
    if not costs(expected.calls, expected.cost_usd):
        return
    levels = [lowest_level(rule, request.calibration.curves_for(rule)) for rule, _ in empty]
    known = [level for level in levels if level is not None]
    better = f"give --alpha {max(known):g}, the lowest level at which something is trusted, or " if known else ""
    which = "every mask" if len(empty) == len(request.rules) else "every mask of a part of the pictures"
    reasons = "; ".join(why.removesuffix(".") for _, why in empty)
    raise UsageError(
        f"{which} would be empty, so nothing was sent: {reasons}. To go on, {better}add "
        "--empty-masks (empty_masks=True in Python) to pay for the pictures all the same"
    )


def lowest_level(rule: Guarantee, curves: CurveSet) -> float | None:
    """The lowest level of two digits at which `rule` can trust anything; None when there is none."""
    allowed = []
    for level in LEVELS:
        try:
            rule.threshold(curves, level)
        except UsageError:
            break
        allowed.append(level)
    first = bisect_left(allowed, True, key=lambda level: rule.threshold(curves, level) > -math.inf)
    return allowed[first] if first < len(allowed) else None


def ways_out(request: MaskRequest, setup: Setup, empty: int) -> str:
    """What to do where `empty` masks were made in which nothing is trusted."""
    nothing = zip(request.rules, request.reasons_of_nothing, strict=True)
    rule, reason = next(((rule, why) for rule, why in nothing if why is not None), (request.rule, None))
    curves = request.calibration.curves_for(rule)
    ways = ["a larger level", "more calibration photographs"]
    if reason is not None:
        level, missing = lowest_level(rule, curves), rule.choose(curves, request.alpha).missing_images
        ways = [] if level is None else [f"a larger level (with this calibration from --alpha {level:g} on)"]
        ways.append(f"more calibration photographs (at least {number_in_words(missing)} more)")
    if own_bound_is_known(setup, rule):
        ways.append(
            f"only for inputs made exactly by {setup.procedure.mixture.text}: --guarantee expected:bound_from=input, "
            "which bounds each picture by itself and takes no further call"
        )
    ways.append(f"another guarantee: `blackbox-conformal plan PHOTOGRAPHS --alpha {request.alpha:g}` compares them")
    return f"{'A mask trusts' if empty == 1 else f'{empty} masks trust'} nothing. What helps: {'; '.join(ways)}."


def own_bound_is_known(setup: Setup, rule: Guarantee) -> bool:
    """Whether a plain `expected` could take a bound from input and delivered colours, and does not."""
    if rule != Expected():
        return False
    try:
        refuse_bound(Expected(bound_from="input"), setup.metric, setup.procedure.mixture, setup.procedure.scale)
    except UsageError:
        return False
    return True
