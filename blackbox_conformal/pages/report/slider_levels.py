"""The levels that the report's slider can stand at, with the threshold and the guarantee of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.guarantees.corollaries import in_short, statement

MAXIMUM_STOPS = 255
"""A preview keeps for each pixel, in one byte, the first stop that trusts it; 255 is left for "none"."""

ALWAYS = (0.05, 0.1, 0.15, 0.2, 0.3)
_ROUND = (1.0, 2.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Stop:
    """One position of the slider.

    Pixels that score below `threshold` are trusted: none at -inf, all at +inf. `statement` says the guarantee at
    `alpha`, and `promise` in short; both say why nothing is trusted, if so. `risk` is the level that the guarantee
    assigns to `threshold`, at most `alpha`.
    """

    alpha: float
    threshold: float
    statement: str
    risk: float
    promise: str


def choose_levels(calibration: Calibration, wanted: Sequence[float] = (), most: int = MAXIMUM_STOPS) -> list[float]:
    """Return at most `most` levels: `ALWAYS`, `wanted`, and an even grid of round numbers where thresholds change.

    The grid runs from the least level that trusts anything to the level that trusts everything. All levels are below
    the loss bound, since a level at the bound promises nothing.
    """
    bound = calibration.bound_for(calibration.rule())
    fixed = {float(f"{level:.12g}") for level in (*ALWAYS, *wanted)}
    levels = calibration.alphas
    levels = levels[np.isfinite(levels) & (levels > 0)]
    if levels.size:
        fixed.update(_grid(float(levels[0]), float(levels[-1]), max(most - len(fixed), 2)))
    return sorted(level for level in fixed if level < bound)[:MAXIMUM_STOPS]


def choose_stops(calibration: Calibration, wanted: Sequence[float] = (), most: int = MAXIMUM_STOPS) -> list[Stop]:
    """Return the slider's stops by ascending level; thresholds never fall."""
    return stops_at(calibration, choose_levels(calibration, wanted, most))


def thresholds_at(calibration: Calibration, levels: Sequence[float]) -> NDArray[np.float64]:
    """Return the thresholds of `stops_at`, (k,) float64, in a third of the time."""
    # All groups by score keep their promises at the smallest of their thresholds.
    rules = calibration.rules_by_score()
    each = [[rule.threshold(calibration.curves_for(rule), alpha) for alpha in levels] for rule in rules]
    found: NDArray[np.float64] = np.min(np.array(each, dtype=np.float64), axis=0)
    return found


def stops_at(calibration: Calibration, levels: Sequence[float]) -> list[Stop]:
    """Return a stop at each level."""
    rules, metric = calibration.rules_by_score(), calibration.procedure.metric
    stops = []
    for alpha in levels:
        choices = [rule.choose(calibration.curves_for(rule), alpha) for rule in rules]
        choice = min(choices, key=lambda one: one.threshold)
        nothing = choice.threshold == -math.inf
        if nothing:
            said = short = _sentence(choice.reason)
        else:
            of_each = (words(rule, alpha, calibration.n, metric) for words in (statement, in_short) for rule in rules)
            found = list(of_each)
            said, short = " ".join(found[: len(rules)]), " ".join(found[len(rules) :])
        if len(rules) > 1:
            said += (
                " This page shows each picture by the smallest of the groups' thresholds; its own mask may trust more."
            )
        risk = 0.0 if nothing else max(rule.risk(calibration.curves_for(rule), choice.threshold) for rule in rules)
        stops.append(Stop(alpha, choice.threshold, said, risk, short))
    return stops


def opening_level(calibration: Calibration, audited: Sequence[float] = ()) -> float:
    """Return the level at which a report opens by default: 0.1, or the next one that trusts anything.

    Audited levels come first, then `ALWAYS`, then the least level of all; 0.1 if nothing is ever trusted.
    """
    bound = calibration.bound_for(calibration.rule())
    for levels in (sorted(audited), ALWAYS):
        for level in levels:
            if 0.1 <= level < bound and calibration.threshold(level) > -math.inf:
                return level
    least = [level for level in choose_levels(calibration) if calibration.threshold(level) > -math.inf]
    return min(least, default=min(0.1, bound / 2))


def thresholds_of(stops: Sequence[Stop]) -> NDArray[np.float64]:
    """Return the thresholds, (k,) float64, ascending."""
    return np.array([stop.threshold for stop in stops], dtype=np.float64)


def _grid(low: float, high: float, room: int) -> list[float]:
    # At most `room` multiples of the finest round step.
    exponent = math.floor(math.log10(max(high - low, low, 1e-9))) - 4
    while True:
        for digit in _ROUND:
            step = digit * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)
            if last - first + 1 <= room:
                return [round(index * step, 12) for index in range(max(first, 1), last + 1)]
        exponent += 1


def _sentence(reason: str | None) -> str:
    text = reason or "nothing can be trusted at this level"
    return text[:1].upper() + text[1:].rstrip(".") + "."
