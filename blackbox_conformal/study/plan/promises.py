"""List promises that can be compared, and the set-ups (numbers of draws, deliveries) that can keep them."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import Guarantee, usual_level
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound, rule_for_picture
from blackbox_conformal.method.guarantees.marked import CEILING
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import DETAIL, Losses, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import largest_loss
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.defaults import DETAIL_GUARANTEE, default_score
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, can_deliver_consistent, member
from blackbox_conformal.support.catalog import specification_text

CAP = 0.5  # Errors of `CAPPED` are compared with this cap and without a cap; in units of `lab-l1`.
CAPPED = "lab-l1"  # The metric that is compared with a cap, too.


@dataclass(frozen=True, slots=True)
class Promise:
    """A guarantee to compare."""

    name: str  # In tables.
    guarantee: str  # As typed.
    cap: float | None = None  # Larger errors count as this; None: the metric's own cap, if it has one.

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
    rule: Guarantee
    if guarantee is None:
        found: list[Promise] = []
        for name, text in PILOTED.items():
            rule = member("guarantees", text)
            with suppress(UsageError):
                refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
                caps = _caps(setup.metric) if rule.bound_source == "metric" else (setup.metric.cap,)
                found += [Promise(_named(name, cap), text, cap) for cap in caps]
        return tuple(found)
    rule = member("guarantees", guarantee)
    if not rule.is_foretold or promises(setup.metric, guarantee, detail=True):
        return ()
    text = specification_text(rule)
    return (Promise(text, text, setup.metric.cap),)


def _caps(metric: Metric) -> tuple[float | None, ...]:
    return (None, CAP) if metric.cap is None and metric.plugin_name() == CAPPED else (metric.cap,)


def promises(metric: Metric, guarantee: str | Guarantee | None = None, *, detail: bool = False) -> tuple[Promise, ...]:
    """Return the promises to compare: all, or only the named guarantee; empty where all do not include it.

    Means of `CAPPED` are compared with a cap, too, unless `metric` has one. `detail` adds the guarantees about detail.
    """
    found: list[Promise] = []
    for name, text in {**(DETAIL_GUARANTEES if detail else {}), **GUARANTEES}.items():
        rule: Guarantee = member("guarantees", text)
        if guarantee is None or rule == member("guarantees", guarantee):
            # A cap promises no more about single photographs.
            may_be_capped = rule.bounds_plain_sum and rule.threshold_ceiling is None
            caps = _caps(metric) if may_be_capped else _caps(metric)[:1]
            found += [Promise(_named(name, cap), text, cap) for cap in caps]
    return tuple(found)


def _named(name: str, cap: float | None) -> str:
    return name if cap is None else f"{name}, cap {cap:g}"


def ways(setup: Setup, draws: Collection[int] = (), *, deliver_consistent: bool = False) -> list[Setup]:
    """Return the set-up, and variants that send the vendor the same and that vendor and inputs allow.

    `draws`: Other numbers of draws to try, each with its usual score.
    `deliver_consistent`: Also try each with a consistent delivery, where the set-up delivers the first draw.
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
    found = []
    for curve in curves:
        if cap < curve.bound:
            losses = np.minimum(curve.losses, largest_loss(cap))
            rises = np.diff(losses, prepend=np.float32(0)) > 0
            curve = replace(curve, scores=curve.scores[rises], losses=losses[rises], bound=cap)
        found.append(curve)
    return CurveSet.from_curves(found)


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
        of_way = list(usual.curves(scores, error_map, energies, bound))
        for promise in more:
            rule, metric = promise.rule, way.metric
            # Errors are capped before they are averaged: the mean over squares of capped errors is at most the capped
            # mean.
            lowered = error_map if promise.cap is None else np.minimum(error_map, largest_loss(promise.cap))
            found = rule.losses.curves(scores, lowered, energies, _bound(promise, metric))
            curve = next(curve for curve in found if curve.kind == rule.needs.curve_kind)
            own = rule_for_picture(rule, metric, delivered, low_resolution, scores, setup.procedure.mixture).own_bound
            of_way += [curve, own if isinstance(own, RiskCurve) else _worst(promise, metric)[1]]
        curves.append(of_way)
    return curves


def _worst(promise: Promise, metric: Metric) -> tuple[RiskCurve, RiskCurve]:
    rule = promise.rule
    worst = next(one for one in rule.losses.worst(_bound(promise, metric)) if one.kind == rule.needs.curve_kind)
    return worst, RiskCurve.worst(worst.bound)


def _bound(promise: Promise, metric: Metric) -> float:
    return metric.capped_bound if promise.cap is None else min(promise.cap, metric.capped_bound)


def promises_detail(way: Setup) -> bool:
    """Tell whether the usual guarantee of this set-up is about detail."""
    return way.usual_guarantee == DETAIL_GUARANTEE
