"""The martingales of a watch: from the features of all draws so far to p-values and wealth."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from blackbox_conformal.watching.features import FEATURES
from blackbox_conformal.watching.findings import Finding
from blackbox_conformal.watching.jumper import log_wealth
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.ranks import rank_p_value, tie_of
from blackbox_conformal.watching.records import Visit, WatchDraw, Watched


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the draws of canaries say after a visit.

    Attributes
    ----------
    draws
        The visit's draws, with the p-values of the fresh ones.
    wealth
        Feature → logarithm of its martingale now, and of its highest value ever.
    """

    draws: tuple[WatchDraw, ...]
    wealth: dict[str, tuple[float, float]]


def gather(watch: Watched, earlier: Sequence[Visit], draws: Sequence[WatchDraw]) -> Evidence:
    """The evidence after a visit with these `draws`; canaries bet in the order of their positions."""
    past = [draw for visit in earlier for draw in visit.draws]
    bags: dict[tuple[int, str], list[float]] = defaultdict(list)
    for draw in [*past, *(draw for draw in draws if draw.purpose == "reference")]:
        if draw.purpose in ("reference", "fresh"):
            for name, value in draw.features.items():
                bags[draw.canary, name].append(value)
    found = []
    for draw in draws:
        if draw.purpose == "fresh" and draw.features:
            draw = replace(
                draw,
                p_values={
                    name: rank_p_value(bags[draw.canary, name], value, tie_of(watch.seed, draw.id, name))
                    for name, value in draw.features.items()
                },
            )
        found.append(draw)
    betting = [draw for draw in [*past, *found] if draw.p_values]
    wealth = {}
    for name in FEATURES:
        logs = log_wealth(draw.p_values[name] for draw in betting)
        wealth[name] = (float(logs[-1]), float(max(0.0, logs.max()))) if logs.size else (0.0, 0.0)
    return Evidence(tuple(found), wealth)


def canaries_finding(
    level: Level, evidence: Evidence, earlier: Sequence[Visit], canaries: int, *, instead: bool
) -> Finding:
    """What the martingales say; `instead`: pixels are compared instead, since the vendor repeats itself."""
    if instead:
        return Finding("canaries", "not watched", "not needed: the vendor repeats itself, so pixels are compared")
    fresh = [draw for draw in evidence.draws if draw.purpose == "fresh"]
    came = sum(bool(draw.features) for draw in fresh)
    needed = level.needed(len(FEATURES))
    name, (_, highest) = max(evidence.wealth.items(), key=lambda item: item[1][1])
    told = f"evidence {_figure(highest)} of the {needed:.0f} that are an alarm"
    moved = _moved(name, evidence.draws, earlier)
    if highest >= log(needed):
        return Finding("canaries", "changed", f"{moved}; {told}", exp(min(highest, 700.0)))
    if 2 * came < canaries:
        return Finding("canaries", "cannot tell", f"only {came} of {canaries} canaries were answered; {told}")
    missing = f"; {canaries - came} of {canaries} canaries were not answered" if came < canaries else ""
    return Finding("canaries", "same", told + missing, exp(highest))


def _figure(logarithm: float) -> str:
    return f"{exp(logarithm):.3g}" if logarithm < 700 else f"10^{logarithm / log(10):.0f}"


def _moved(name: str, draws: Sequence[WatchDraw], earlier: Sequence[Visit]) -> str:
    """In which direction a feature moved, in standard deviations of the canary's own reference draws."""
    every = [*(draw for visit in earlier for draw in visit.draws), *draws]
    past = [draw for draw in every if draw.purpose == "reference"]
    shifts, steps = [], []
    for draw in draws:
        values = [one.features[name] for one in past if one.canary == draw.canary and name in one.features]
        if draw.purpose == "fresh" and draw.features and values:
            steps.append(draw.features[name] - float(np.mean(values)))
            spread = float(np.std(values))
            shifts.append(steps[-1] / spread if spread else 0.0)
    if not steps:
        return f"{name} moved"
    return (
        f"{name} moved by {np.median(steps):+.3g} ({np.median(shifts):+.1f} standard deviations) in the median canary"
    )
