"""The martingales of a watch: from the features of all visits so far to p-values and wealth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from blackbox_conformal.support.text import counted
from blackbox_conformal.watching.change_point import log_wealth
from blackbox_conformal.watching.features import FEATURES
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.ranks import tie_of, visit_p_values
from blackbox_conformal.watching.records import Visit, Watched
from blackbox_conformal.watching.watch_findings import Finding


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the draws of canaries say after a visit.

    Attributes
    ----------
    visits
        How many visits bet: those that every canary was answered at.
    wealth
        Feature → logarithm of its martingale now, and of its highest value ever.
    """

    visits: int
    wealth: dict[str, tuple[float, float]]


def gather(watch: Watched, visits: Sequence[Visit], canaries: int) -> Evidence:
    """The evidence after these visits; it is calculated anew from the features of all of them."""
    whole = [(visit, answers) for visit in visits if len(answers := _answers(visit)) == canaries]
    if not whole:
        return Evidence(0, dict.fromkeys(FEATURES, (0.0, 0.0)))
    values = [[[answers[place][name] for name in FEATURES] for place in sorted(answers)] for _, answers in whole]
    ties = [[tie_of(watch.seed, visit.id, f"visit {name}") for name in FEATURES] for visit, _ in whole]
    logs = log_wealth(visit_p_values(np.array(values), np.array(ties)))
    ends = zip(FEATURES, logs[-1].tolist(), np.maximum(logs.max(axis=0), 0.0).tolist(), strict=True)
    return Evidence(len(whole), {name: (now, highest) for name, now, highest in ends})


def _answers(visit: Visit) -> dict[int, Mapping[str, float]]:
    """Canary → features of its new answer at this visit."""
    return {draw.canary: draw.features for draw in visit.draws if draw.purpose == "fresh" and draw.features}


def canaries_finding(
    level: Level, evidence: Evidence, visits: Sequence[Visit], canaries: int, *, instead: bool
) -> Finding:
    """What the martingales say; `instead`: pixels are compared instead, since the vendor repeats itself."""
    if instead:
        return Finding("canaries", "not watched", "not needed: the vendor repeats itself, so pixels are compared")
    came = len(_answers(visits[-1]))
    needed = level.needed(len(FEATURES))
    name, (_, highest) = max(evidence.wealth.items(), key=lambda item: item[1][1])
    told = (
        f"evidence {_figure(highest)} of the {needed:.0f} that are an alarm, from {counted(evidence.visits, 'visit')}"
    )
    if highest >= log(needed):
        return Finding("canaries", "changed", f"{_moved(name, visits)}; {told}", exp(min(highest, 700.0)))
    if came < canaries:
        reason = f"only {came} of {canaries} canaries were answered, and a visit counts when all are"
        return Finding("canaries", "cannot tell", f"{reason}; {told}")
    return Finding("canaries", "same", told, exp(highest))


def _figure(logarithm: float) -> str:
    return f"{exp(logarithm):.3g}" if logarithm < 700 else f"10^{logarithm / log(10):.0f}"


def _moved(name: str, visits: Sequence[Visit]) -> str:
    """In which direction a feature moved, in standard deviations of the canary's draws of the first half of visits."""
    before = [_answers(visit) for visit in visits[: len(visits) // 2]]
    shifts, steps = [], []
    for canary, answer in _answers(visits[-1]).items():
        values = [answers[canary][name] for answers in before if canary in answers]
        if values:
            steps.append(answer[name] - float(np.mean(values)))
            spread = float(np.std(values))
            shifts.append(steps[-1] / spread if spread else 0.0)
    if not steps:
        return f"{name} moved"
    return (
        f"{name} moved by {np.median(steps):+.3g} ({np.median(shifts):+.1f} standard deviations) in the median canary"
    )
