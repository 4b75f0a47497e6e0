"""List promises that can be compared, and the set-ups (numbers of draws, deliveries) that can keep them."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound, rule_for_picture
from blackbox_conformal.method.guarantees.marked import CEILING
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import DETAIL, Losses, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.plan.usual_levels import usual_level
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE, default_score
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, can_deliver_consistent, member
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.types import Image, Map

CAP = 0.5
"""Errors of `CAPPED` are compared with this cap and without a cap; in units of `lab-l1`."""

CAPPED = "lab-l1"
"""The metric that is compared with a cap, too."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A guarantee to compare.

    Attributes
    ----------
    name
        In tables.
    guarantee
        As typed.
    cap
        Larger errors count as this; None: the metric's own cap, if it has one.
    """

    name: str
    guarantee: str
    cap: float | None = None

    @property
    def rule(self) -> Guarantee:
        rule: Guarantee = member("guarantees", self.guarantee)
        return rule

    @property
    def of_detail(self) -> bool:
        return self.rule.threshold_ceiling is not None

    @property
    def usual_level(self) -> float | None:
        """Return the usual level of a guarantee about detail; None: it depends on the metric."""
        return usual_level(1.0, self.rule) if self.of_detail else None

    def fewest(self, alpha: float, metric: Metric) -> int:
        """Return the least number of photographs that can trust anything; 1 where it depends on the pictures."""
        if self.rule.bound_source != "metric":
            return 1
        return self.rule.fewest_images(alpha, _bound(self, metric))

    def curves(self, found: "Curves") -> CurveSet:
        """Select the curves that this promise is about, with its cap applied."""
        curves = next(curves for curves in found if curves.kind == self.rule.needs.curve_kind)
        return curves if self.cap is None else capped(curves, self.cap)


Curves = Sequence[CurveSet]
"""Curves of one set-up: largest error, error outside `LEFT_OUT`, and detail where the score is about detail."""

LEFT_OUT = 0.01
DETAIL_GUARANTEES = {
    "marked": DETAIL_GUARANTEE,
    "clear-share": "clear-share:largest_error=0.3",
    "marked, 90 % of pictures": "per-image:of=marked,largest_error=0.3,delta=0.1",
    "marked, confidence 0.9": "high-probability:of=marked,largest_error=0.3,delta=0.1",
}
"""Name in tables → guarantee about detail."""

GUARANTEES = {
    "expected": "expected",
    f"all-but {100 * LEFT_OUT:g} %": f"all-but:share={LEFT_OUT:g}",
    "per-image 90 %": "per-image:delta=0.1",
}
"""Name in tables → guarantee about errors."""


PILOTED = {"local": "local:side=64", "expected, bound from the input": "expected:bound_from=input"}
"""Name in tables → guarantee that only a pilot can compare."""


def further(setup: Setup, guarantee: str | Guarantee | None = None) -> tuple[Promise, ...]:
    """Return the promises that only a pilot compares: the named one, or all `PILOTED` that metric and inputs allow.

    Empty where `promises` has the named guarantee, or where its thresholds cannot be foretold.
    """
    if guarantee is None:
        return tuple(one for name, text in PILOTED.items() for one in _allowed(setup, name, text))
    rule: Guarantee = member("guarantees", guarantee)
    if not rule.is_foretold or promises(setup.metric, guarantee, detail=True):
        return ()
    text = specification_text(rule)
    return (Promise(text, text, setup.metric.cap),)


def _allowed(setup: Setup, name: str, text: str) -> Iterator[Promise]:
    rule: Guarantee = member("guarantees", text)
    with suppress(UsageError):
        refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
        for cap in _caps(setup.metric) if rule.bound_source == "metric" else (setup.metric.cap,):
            yield Promise(_named(name, cap), text, cap)


def _caps(metric: Metric) -> tuple[float | None, ...]:
    return (None, CAP) if metric.cap is None and metric.plugin_name() == CAPPED else (metric.cap,)


def promises(metric: Metric, guarantee: str | Guarantee | None = None, *, detail: bool = False) -> tuple[Promise, ...]:
    """Return the promises to compare: all, or only the named guarantee; empty where all do not include it.

    Means of `CAPPED` are compared with a cap, too, unless `metric` has one. `detail` adds the guarantees about detail.
    """
    wanted = [
        (name, text)
        for name, text in {**(DETAIL_GUARANTEES if detail else {}), **GUARANTEES}.items()
        if guarantee is None or member("guarantees", text) == member("guarantees", guarantee)
    ]
    caps = _caps(metric)
    return tuple(
        Promise(_named(name, cap), text, cap)
        for name, text in wanted
        # A cap promises no more about single photographs.
        for cap in (caps if _may_be_capped(member("guarantees", text)) else caps[:1])
    )


def _may_be_capped(rule: Guarantee) -> bool:
    return rule.bounds_plain_sum and rule.threshold_ceiling is None


def _named(name: str, cap: float | None) -> str:
    return name if cap is None else f"{name}, cap {cap:g}"


def ways(setup: Setup, draws: Collection[int] = (), *, deliver_consistent: bool = False) -> list[Setup]:
    """Return the set-up, and variants that send the vendor the same and that vendor and inputs allow.

    Parameters
    ----------
    draws
        Other numbers of draws to try, each with its usual score.
    deliver_consistent
        Also try each with a consistent delivery, where the set-up delivers the first draw.
    """
    found, allowed = [setup], can_deliver_consistent(setup.procedure.mixture, setup.metric)
    for count in sorted(set(draws) - {setup.procedure.draws}):
        with suppress(UsageError):
            found.append(setup.with_score(member("scores", default_score(count, setup.procedure.scale)), count))
    if deliver_consistent and setup.procedure.delivery == "first" and allowed:
        found += [way.with_score(way.score, way.procedure.draws, "consistent") for way in found]
    return found


def capped(curves: CurveSet, cap: float) -> CurveSet:
    """Lower all losses above `cap` to `cap`."""
    return CurveSet.from_curves([_capped(curve, cap) for curve in curves])


def _capped(curve: RiskCurve, cap: float) -> RiskCurve:
    if cap >= curve.bound:
        return curve
    losses = np.minimum(curve.losses, largest_loss(cap))
    rises = np.diff(losses, prepend=np.float32(0)) > 0
    return replace(curve, scores=curve.scores[rises], losses=losses[rises], bound=cap)


def measured_curves(
    job: Job, ways: Sequence[Setup], ready: Ready, more: Sequence[Promise] = ()
) -> list[list[RiskCurve]]:
    """Measure one photograph: its curves for each set-up of `ways`, then two for each promise of `more`.

    First come the kinds of `Curves`; each promise of `more` adds its own curve and the bound of the picture's loss.
    The set-ups draw no more often than the job and send the same. A refused photograph has the worst curves.
    """
    drawn, setup = ready.drawn, job.setup
    bound = setup.metric.capped_bound
    if drawn.refusal is not None:
        errors = [RiskCurve.worst(bound), RiskCurve.worst(bound, "all-but", left_out=LEFT_OUT)]
        worst = [RiskCurve.worst(bound, kind, ceiling=CEILING) for kind in DETAIL]
        rest = [curve for promise in more for curve in _worst(promise, setup.metric)]
        return [[*errors, *(worst if promises_detail(way) else []), *rest] for way in ways]
    truth, low_resolution = ready.truth_and_input("looked at")
    accumulators = [way.score.start(drawn.prepared.size) for way in ways]
    first = None
    for index, pixels in enumerate(decoded_draws(drawn, setup, ready.read, low_resolution)):
        first = pixels if first is None else first
        for way, accumulator in zip(ways, accumulators, strict=True):
            if index < way.procedure.draws:
                accumulator.update(pixels)
    assert first is not None
    curves = []
    for way, accumulator in zip(ways, accumulators, strict=True):
        delivered = way.delivered(first, low_resolution)
        scores = accumulator.finish(way.context(delivered, low_resolution, ready.second))
        three, detail = (truth, delivered, low_resolution), promises_detail(way)
        if detail or any(promise.of_detail for promise in more):
            error_map, energies = way.judged(*three)
        else:
            error_map, energies = way.errors(*three), None
        usual = Losses(left_out=(LEFT_OUT,), ceiling=CEILING if detail else None)
        family = usual.curves(scores, error_map, energies, bound)
        of_way = list(family)
        shown = delivered, low_resolution, scores, setup.procedure.mixture
        for promise in more:
            of_way += _of_promise(promise, way.metric, scores, error_map, energies, shown)
        curves.append(of_way)
    return curves


_Shown = tuple[Image, Image, Map, Mixture]


def _of_promise(
    promise: Promise, metric: Metric, scores: Map, errors: Map, energies: Energies | None, shown: _Shown
) -> tuple[RiskCurve, RiskCurve]:
    rule, worst = promise.rule, _worst(promise, metric)
    # Errors are capped before they are averaged: the mean over squares of capped errors is at most the capped mean.
    capped_errors = errors if promise.cap is None else np.minimum(errors, largest_loss(promise.cap))
    found = rule.losses.curves(scores, capped_errors, energies, _bound(promise, metric))
    own = rule_for_picture(rule, metric, *shown).own_bound
    curve = next(curve for curve in found if curve.kind == rule.needs.curve_kind)
    return curve, own if isinstance(own, RiskCurve) else worst[1]


def _worst(promise: Promise, metric: Metric) -> tuple[RiskCurve, RiskCurve]:
    needs = promise.rule.needs
    worst = next(
        curve for curve in promise.rule.losses.worst(_bound(promise, metric)) if curve.kind == needs.curve_kind
    )
    return worst, RiskCurve.worst(worst.bound)


def _bound(promise: Promise, metric: Metric) -> float:
    return metric.capped_bound if promise.cap is None else min(promise.cap, metric.capped_bound)


def promises_detail(way: Setup) -> bool:
    """Tell whether the usual guarantee of this set-up is about detail."""
    return way.usual_guarantee == DETAIL_GUARANTEE
