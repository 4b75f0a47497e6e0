"""What an audit can find, told before it is paid: whether anything is trusted, and how many photographs it takes.

Nothing of the photographs to be audited is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox_conformal.audits.confidence import fewest, stakes
from blackbox_conformal.audits.hypothesis import claim
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.guarantees.instance_bound import reason_of_nothing


@dataclass(frozen=True, slots=True)
class Outlook:
    """What it takes to confirm one level.

    Attributes
    ----------
    fewest
        Photographs that are needed if none of them shows any loss; fewer confirm nothing, whatever they show.
    likely
        Photographs that are needed if they are like those of the calibration; None when no practical number is.
    """

    alpha: float
    fewest: int | None
    likely: int | None


def refuse_hopeless(calibration: Calibration, rule: Guarantee, levels: Sequence[float]) -> None:
    """Refuse to audit masks that are known to be empty at every level.

    Raises
    ------
    CalibrationError
        They are; the message says why.
    """
    curves = calibration.curves_for(rule)
    reasons = [reason_of_nothing(rule, curves, alpha) for alpha in levels]
    if reasons and all(reasons):
        raise CalibrationError(
            f"every mask would be empty at every level, so there is nothing to audit: {reasons[-1]}. Calibrate on more "
            "photographs, or audit a higher --alpha"
        )


def outlook(calibration: Calibration, rule: Guarantee, levels: Sequence[float]) -> list[Outlook]:
    """What it takes to confirm each level; nothing where each picture gives a bound of its own."""
    if rule.bound_source != "metric" or rule.own_bound is not None:
        return []
    curves = calibration.curves_for(rule)
    units, bound = rule.unit_curves(curves), calibration.bound_for(rule)
    found = []
    for alpha in levels:
        if reason_of_nothing(rule, curves, alpha) is not None:
            # Nothing is trusted, so nothing is tested.
            continue
        known = claim(units.rule, units.curves.losses_at(rule.threshold(curves, alpha)), alpha, bound)
        level = known.level / known.bound
        if not 0 < level < 1:
            continue
        stake = stakes(known.losses, known.level, known.bound)
        never_wrong = fewest(np.zeros(1), level, stake)
        found.append(Outlook(alpha, never_wrong, fewest(known.losses / known.bound, level, stake)))
    return found
