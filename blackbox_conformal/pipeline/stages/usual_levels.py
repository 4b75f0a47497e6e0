"""The levels that are shown where none is asked for."""

import math

USUAL = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""For losses of which the largest is about 1."""

NEAR_ONE = (0.5, 5.0)
"""Largest losses for which `USUAL` is used as it is."""


def usual_levels(bound: float) -> tuple[float, ...]:
    """Levels that say something of a loss that is at most `bound`: `USUAL`, times 1, 2 or 5 times a power of ten.

    The factor is the largest such number that is at most half of `bound`.
    """
    low, high = NEAR_ONE
    if low <= bound <= high:
        return USUAL
    decade = 10.0 ** math.floor(math.log10(bound / 2))
    factor = max(step * decade for step in (1, 2, 5) if step * decade <= bound / 2)
    return tuple(float(f"{level * factor:.6g}") for level in USUAL)


def audited_levels(bound: float) -> tuple[float, ...]:
    """`usual_levels` without the lowest, for which an audit would take very many photographs."""
    return usual_levels(bound)[1:]
