"""Calibrate several vendors or settings on some photographs, and measure all on the others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.drawing.spending.spent import spending_on
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.method.audits.clear_part import Details, Squares, details_of, squares_of
from blackbox_conformal.method.audits.control_variates import RandomPart
from blackbox_conformal.method.audits.detail_shares import REFERENCE, VENDOR, DetailMeter, DetailShares, free_shares
from blackbox_conformal.method.audits.known_facts import FactCounts, known_facts
from blackbox_conformal.method.audits.quality import decibels, peak_signal_to_noise
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.study.choose import comparison
from blackbox_conformal.study.choose.comparison import (
    INTERVALS,
    OURS,
    SOFT,
    ComparedEstimate,
    ComparedPicture,
    Comparison,
    EvaluatedPhotograph,
    OnCompared,
    Standing,
    estimates_of,
    rows_of,
)
from blackbox_conformal.study.choose.contestants import Contest, remaining
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.random_part import of_free_pictures
from blackbox_conformal.study.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.unseen_photographs import TUNING_FILE, TuningRecord, note_looked_at
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.types import Image, Map


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """Curves of errors (and of detail) of a calibration photograph, and the baselines' summaries."""

    curves: list[RiskCurve]
    ratios: NDArray[np.float32] | None
    soft: NDArray[np.float64] | None


def compare_contestants(
    contest: Contest, alphas: Sequence[float], on_picture: OnCompared = lambda _: None
) -> Comparison:
    """Calibrate each contestant on some photographs and measure all on the others.

    `on_picture`: Called with each measured photograph that the vendor did not refuse.
    """
    tuning_file, whole = contest.root / TUNING_FILE, contest.jobs[0].whole or contest.jobs[0]
    if tuning_file.exists():
        TuningRecord.load(tuning_file)
    contest.confirm()
    measured: list[list[EvaluatedPhotograph]] = []
    standings: list[Standing] = []
    free_values: list[_FreeValues] = []
    # Contestants have one degradation and scale, so whatever costs nothing is measured once for all.
    meter = DetailMeter(contest.jobs[0].setup.procedure.mixture)
    for contestant, job in zip(contest.contestants, contest.jobs, strict=True):
        job.limits = remaining(job.limits, contest.folders - {job.folder})
        before, label, refused = spending_on(job.folder, job.keys), contestant.label, 0
        calibrating, unseen, everything = contest.parts(job)
        baselines_too = contest.baselines and job.setup.procedure.draws > 1
        with job.drawing() as drawing:
            calibrated: list[_Calibrated] = []
            for drawn, photograph in drawing.each(partial(_calibrate, job, contest.rule, baselines_too), calibrating):
                calibrated.append(photograph)
                refused += drawn.refusal is not None
                job.listeners.progress(f"calibrating {label}", len(calibrated), len(calibrating))
            scales = _scales(contest.rule, calibrated, alphas)
            found = []
            measure = partial(_measure, job, label, contest, baselines_too, scales, on_picture, meter)
            for drawn, shown in drawing.each(measure, unseen):
                found.append((drawn.prepared.truth_digest or "", shown))
                refused += drawn.refusal is not None
                job.listeners.progress(f"measuring {label}", len(found), len(unseen))
        if contest.paid is not None:
            values = partial(_share_and_loss, job, contest.rule, [scales[OURS, alpha] for alpha in alphas])
            free_values.append(of_free_pictures(job.whole or job, everything, values, f"free pictures beside {label}"))
        shown_of = dict(found)
        order = sorted(shown_of) if contest.paid is None else [one.truth_digest or "" for one in unseen]
        measured.append([shown_of[truth] for truth in order])
        after, wanted = spending_on(job.folder, job.keys), len(job.keys)
        standing = Standing(
            contestant=label,
            draws=job.setup.procedure.draws,
            wanted=wanted,
            calls=after.calls - before.calls,
            cached=wanted if job.setup.adapter.capabilities.local else before.stored,
            refused=refused,
            failed=after.failed,
            spent_usd=None if after.unpriced > before.unpriced else after.spent_usd - before.spent_usd,
            usd_per_photograph=None if after.unpriced else after.spent_usd / len(job.pictures),
            latency=after.latency,
            facts=FactCounts.of([shown.facts for shown in measured[-1]]),
        )
        standings.append(standing)
    # All photographs, since the comparison shows them.
    setup = whole.setup
    note_looked_at(contest.root, whole.pictures, specification_text(setup.score), setup.procedure.draws)
    n_calibration = len(whole.pictures) - contest.held_out
    rows = [
        row
        for standing, photographs, job in zip(standings, measured, contest.jobs, strict=True)
        for row in rows_of(
            standing.contestant,
            photographs,
            measured[0],
            alphas,
            n_calibration,
            contest.seed,
            (contest.rule, job.setup.metric),
            priced=standing.usd_per_photograph is not None,
        )
    ]
    detail = {
        standing.contestant: DetailShares.of([one.detail for one in photographs])
        for standing, photographs in zip(standings, measured, strict=True)
    }
    free = free_shares(max(([one.detail for one in each] for each in measured), key=lambda each: sum(map(bool, each))))
    labels = [standing.contestant for standing in standings]
    part, estimates = _estimated(contest, labels, measured, free_values, alphas)
    return Comparison(
        n_calibration,
        len(measured[0]),
        tuple(rows),
        tuple(standings),
        detail | free,
        contest.rule,
        part,
        tuple(estimates),
    )


_FreeValues = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Digest of a photograph → free picture → trusted share and loss at each level."""


def _estimated(
    contest: Contest,
    labels: Sequence[str],
    measured: Sequence[Sequence[EvaluatedPhotograph]],
    free: Sequence[_FreeValues],
    alphas: Sequence[float],
) -> tuple[RandomPart | None, Sequence[ComparedEstimate]]:
    """Return what was bought, and what free pictures add to each contestant's figures; nothing where all is bought."""
    if contest.paid is None:
        return None, ()
    named = [(one.name, one.truth_digest or "") for one in contest.parts(contest.jobs[0])[-1]]
    # What free pictures show depends on a contestant's masks, so the record names photographs alone.
    part = RandomPart.of(named, {truth: dict.fromkeys(free[0][truth], ()) for _, truth in named}, contest.seed)
    bound = contest.rule.loss_bound(contest.jobs[0].setup.metric.capped_bound)
    arrays = [np.array([list(each[truth].values()) for _, truth in named], np.float64) / (1, bound) for each in free]
    return part, list(estimates_of(labels, measured, arrays, alphas, contest.rule, bound))


def _share_and_loss(job: Job, rule: Guarantee, scales: Sequence[float], ready: Ready) -> list[tuple[float, float]]:
    """Return what a picture's masks trust and lose; the worst where the picture would be refused."""
    bound = job.setup.metric.capped_bound
    try:
        seen = _seen(job, rule, False, ready)
    except PayloadError:
        return [(0.0, _worst(rule, bound)[-1].loss(scale)) for scale in scales]
    curve = seen.curves(rule, bound)[-1]
    return [(float(trusted(seen.evaluation.score_map, scale).mean()), curve.loss(scale)) for scale in scales]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Measurements of one answered photograph, and its draws where baselines need them."""

    truth: Image
    low: Image
    evaluation: Evaluation
    errors: Map
    energies: Energies | None
    draws: list[Image]

    def curves(self, rule: Guarantee, bound: float) -> list[RiskCurve]:
        """Return the curve of the largest error and, where the rule is about detail, of detail."""
        scores = self.evaluation.score_map
        curve = RiskCurve.from_maps(scores, self.errors, bound=bound)
        if self.energies is None or rule.threshold_ceiling is None:
            return [curve]
        detail = curve.of_detail(scores, self.energies, rule.threshold_ceiling)
        return [curve, *(one for one in detail if one.kind == rule.needs.curve_kind)]


def _seen(job: Job, rule: Guarantee, baselines_too: bool, ready: Ready) -> _Seen:
    setup = job.setup
    truth, low = ready.truth_and_input("compared")
    draws: list[Image] = []
    keep = draws.append if baselines_too else lambda _: None
    evaluation = evaluate(ready.drawn, setup, ready.read, low, on_draw=keep)
    pixels = truth, evaluation.delivered, low
    errors, energies = (setup.errors(*pixels), None) if rule.threshold_ceiling is None else setup.judged(*pixels)
    return _Seen(truth, low, evaluation, errors, energies, draws)


def _calibrate(job: Job, rule: Guarantee, baselines_too: bool, ready: Ready) -> _Calibrated:
    bound = job.setup.metric.capped_bound
    if ready.drawn.refusal is not None:
        return _Calibrated(_worst(rule, bound), None, None)
    seen = _seen(job, rule, baselines_too, ready)
    curves = seen.curves(rule, bound)
    if not baselines_too:
        return _Calibrated(curves, None, None)
    ratios = comparison.intervals(seen.draws, seen.evaluation.delivered, seen.truth).ratios
    return _Calibrated(curves, ratios, comparison.soft_errors(seen.evaluation.score_map, seen.errors))


def _worst(rule: Guarantee, bound: float) -> list[RiskCurve]:
    kind, ceiling = rule.needs.curve_kind, rule.threshold_ceiling
    return [RiskCurve.worst(bound), *([] if ceiling is None else [RiskCurve.worst(bound, kind, ceiling=ceiling)])]


def _measure(
    job: Job,
    label: str,
    contest: Contest,
    baselines_too: bool,
    scales: dict[tuple[str, float], float],
    on_picture: OnCompared,
    meter: DetailMeter,
    ready: Ready,
) -> EvaluatedPhotograph:
    height, width = ready.drawn.prepared.size
    cost = sum((outcome.cost_usd for outcome in ready.drawn.outcomes), Decimal(0))
    bound = job.setup.metric.capped_bound
    if ready.drawn.refusal is not None:
        # Nothing is trusted, and it counts as in an audit.
        worst = _worst(contest.rule, bound)[-1]
        figures = {
            (method, alpha): (0.0, worst.loss(scale) if method == OURS else 0.0, math.nan)
            for (method, alpha), scale in scales.items()
        }
        return EvaluatedPhotograph(figures, math.nan, height * width / 1e6, cost)
    seen = _seen(job, contest.rule, baselines_too, ready)
    truth, evaluation, errors = seen.truth, seen.evaluation, seen.errors
    width_map = comparison.intervals(seen.draws, evaluation.delivered, truth).width if baselines_too else None
    figures = {
        (method, alpha): _figures(method, scale, evaluation, truth, errors, width_map)
        for (method, alpha), scale in scales.items()
    }
    levels = [alpha for method, alpha in scales if method == OURS]
    right = {}
    if seen.energies is not None:
        curve = seen.curves(contest.rule, bound)[-1]
        faithful = seen.energies.whole - seen.energies.part
        for alpha in levels:
            shown, _, inside = figures[OURS, alpha]
            figures[OURS, alpha] = shown, curve.loss(scales[OURS, alpha]), inside
            clear = trusted(evaluation.score_map, scales[OURS, alpha])
            right[alpha] = float(faithful[clear].sum(dtype=np.float64))
    prepared = ready.drawn.prepared
    on_picture(
        ComparedPicture(
            contestant=label,
            name=prepared.name,
            identity=prepared.truth_digest or "",
            truth=truth,
            delivered=evaluation.delivered,
            low=seen.low,
            score_map=evaluation.score_map,
            thresholds={alpha: scales[OURS, alpha] for alpha in levels},
            shares={alpha: figures[OURS, alpha][0] for alpha in levels},
            losses={alpha: figures[OURS, alpha][1] for alpha in levels},
        )
    )
    whole, low, mixture = peak_signal_to_noise(truth, evaluation.delivered), seen.low, job.setup.procedure.mixture
    made = evaluation.context.reference(degraded=not mixture.linear) if job.setup.procedure.scale > 1 else None
    detail = meter(prepared.truth_digest or "", truth, low, evaluation.delivered, made)
    beside: tuple[Squares, Details] = {}, {}
    if made is not None:
        masks = [trusted(evaluation.score_map, scales[OURS, alpha]) for alpha in levels]
        squares = squares_of(truth, [(VENDOR, evaluation.delivered), (REFERENCE, made)], masks)
        beside = squares, details_of(truth, low, evaluation.delivered, made, masks, mixture)
    facts = known_facts(low, evaluation.delivered, truth)
    return EvaluatedPhotograph(figures, whole, height * width / 1e6, cost, detail, right, facts, *beside)


def _scales(
    rule: Guarantee, calibrated: Sequence[_Calibrated], alphas: Sequence[float]
) -> dict[tuple[str, float], float]:
    errors, own = (CurveSet.from_curves([each.curves[place] for each in calibrated]) for place in (0, -1))
    most = math.inf if rule.beside is None else rule.beside[0].threshold(errors, rule.beside[1])
    scales = {(OURS, alpha): min(rule.threshold(own, alpha), most) for alpha in alphas}
    ratios = [photograph.ratios for photograph in calibrated if photograph.ratios is not None]
    soft = [photograph.soft for photograph in calibrated if photograph.soft is not None]
    if ratios:
        widened = comparison.interval_scale(ratios)
        scales |= {(INTERVALS, alpha): alpha / widened if widened > 0 else math.inf for alpha in alphas}
        scales |= {(SOFT, alpha): comparison.soft_scale(soft, alpha) for alpha in alphas}
    return scales


def _figures(
    method: str, scale: float, evaluation: Evaluation, truth: Image, errors: Map, width: Map | None
) -> tuple[float, float, float]:
    if method == SOFT:
        soft = comparison.soft_mask(evaluation.score_map, scale)
        full = soft >= 1
        squares = np.square((truth.astype(np.float32) - evaluation.delivered) / 255).mean(axis=2)
        weight = float(soft.sum(dtype=np.float64))
        error = float((soft * squares).sum(dtype=np.float64)) / weight if weight else math.nan
        return float(soft.mean(dtype=np.float64)), _largest(errors, full), decibels(error)
    scores = evaluation.score_map if method == OURS else width
    assert scores is not None
    mask = trusted(scores, scale)
    return float(mask.mean()), _largest(errors, mask), peak_signal_to_noise(truth, evaluation.delivered, mask)


def _largest(errors: Map, mask: NDArray[np.bool_]) -> float:
    return float(errors[mask].max()) if mask.any() else 0.0
