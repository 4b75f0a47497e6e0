"""Choose levels for when the user names none."""

import math

from blackbox_conformal.method.guarantees.guarantee import Guarantee

USUAL = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""For losses up to about 1."""

OF_CLEAR_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""For the invented share of clear detail, which few vendors keep low."""

NEAR_ONE = (0.5, 5.0)
"""Range of the largest loss within which `USUAL` is not scaled."""


def usual_levels(bound: float, rule: Guarantee | None = None) -> tuple[float, ...]:
    """Return usual levels for a loss of `bound` at most.

    They are `USUAL` times the largest 1, 2 or 5 times a power of ten that is at most half of `bound`; for a share of
    clear detail, `OF_CLEAR_SHARE`.
    """
    if rule is not None and rule.needs.curve_kind == "clear-share":
        return OF_CLEAR_SHARE
    low, high = NEAR_ONE
    if low <= bound <= high:
        return USUAL
    decade = 10.0 ** math.floor(math.log10(bound / 2))
    factor = max(step * decade for step in (1, 2, 5) if step * decade <= bound / 2)
    return tuple(float(f"{level * factor:.6g}") for level in USUAL)


def usual_level(bound: float, rule: Guarantee | None = None) -> float:
    """Return the usual level: 0.1 for losses up to about 1, scaled as in `usual_levels`; 0.2 or 0.5 for detail."""
    of_detail = rule is not None and rule.threshold_ceiling is not None
    levels = usual_levels(bound, rule)
    return levels[4 if levels is OF_CLEAR_SHARE else USUAL.index(0.2 if of_detail else 0.1)]


def audited_levels(bound: float, rule: Guarantee) -> tuple[float, ...]:
    """Return `usual_levels` without the lowest, which would take too many photographs."""
    return usual_levels(bound, rule)[1:]
