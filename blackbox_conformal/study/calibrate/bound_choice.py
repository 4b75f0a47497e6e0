"""Which of its confidence bounds a guarantee uses, chosen on tuning photographs that never calibrate.

Any bound that was fixed before calibration is valid, so the choice costs no validity; see docs/guarantees.md.
"""

import math
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet


@dataclass(frozen=True, slots=True)
class ChosenBound:
    """The guarantee with the best bound.

    Attributes
    ----------
    trusted_share
        What it trusts on average of the tuning photographs, were as many like them calibrated as there will be.
    """

    rule: Guarantee
    trusted_share: float


def chosen_bound(rule: Guarantee, curves: CurveSet, alpha: float, n: int) -> ChosenBound | None:
    """`rule` with the bound that trusts most.

    Parameters
    ----------
    rule
        The guarantee that is wanted.
    curves
        Those of the tuning photographs.
    alpha
        The level.
    n
        How many photographs will calibrate. They are taken to be like those of `curves`, over and over.

    Returns
    -------
    ChosenBound | None
        None where `rule` leaves no bound open, or trusts nothing with any of them. Among equals the first.
    """
    if not rule.alternatives():
        return None
    # The tuning photographs over and over, so that the bound is judged at the number that will calibrate.
    as_many = CurveSet.from_curves(list(islice(cycle(curves), n)))
    best: ChosenBound | None = None
    for tried in rule.alternatives():
        threshold = tried.threshold(as_many, alpha)
        # A threshold of -inf trusts nothing of any picture.
        trusted = float(np.mean(curves.trusted_shares_at(threshold))) if threshold > -math.inf else 0.0
        if trusted > (0.0 if best is None else best.trusted_share):
            best = ChosenBound(tried, trusted)
    return best
