"""Several vendors or settings on the same photographs: one calibrates on some, all are measured on the others.

The earlier methods that stand beside them live in `baselines`; drawing is the same as at calibration.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.audits.quality import decibels, squared_error
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.pipeline.comparison_parts import baselines
from blackbox_conformal.pipeline.comparison_parts.comparison import (
    INTERVALS,
    OURS,
    SOFT,
    Comparison,
    Measured,
    Standing,
    rows_of,
)
from blackbox_conformal.pipeline.comparison_parts.contestants import (
    Contestant,
    contest_jobs,
    folders_of,
    refuse_incomparable,
    remaining,
    vendor_folder,
)
from blackbox_conformal.pipeline.held_out import split_prepared
from blackbox_conformal.pipeline.job import Job, Ready, Watch
from blackbox_conformal.pipeline.planning import refuse_unlimited
from blackbox_conformal.pipeline.prices.spending import spending_on
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import task_keys
from blackbox_conformal.scores.score import Accumulator, Context, Score
from blackbox_conformal.types import Image, Map


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a calibration photograph leaves: its curve and the summaries of the baselines."""

    curve: RiskCurve
    ratios: NDArray[np.float32] | None
    soft: NDArray[np.float64] | None


def compare(
    contestants: Sequence[Contestant],
    paths: Sequence[Path],
    alphas: Sequence[float],
    *,
    root: Path,
    held_out: int,
    limits: Limits | None = None,
    seed: int = 0,
    memory_bytes: int | None = None,
    with_baselines: bool = True,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
) -> Comparison:
    """Compare `contestants` on the photographs in `paths`, `held_out` of which nobody calibrates on.

    Parameters
    ----------
    root
        Each vendor gets a folder of its own below it; settings of one vendor share paid draws. A run folder that exists
        is used itself, for all of them.
    limits
        Hold for all contestants together, and for the draws of this comparison alone.
    memory_bytes
        Most memory that the calculation may take: fewer photographs are evaluated at a time. None: no limit.

    Raises
    ------
    UsageError
        Fewer than two contestants, equal ones, or ones that differ in metric or magnification; or a photograph alone
        would take more than `memory_bytes`.
    CalibrationError
        Too few photographs.
    """
    refuse_incomparable(contestants, len(paths), held_out)
    for contestant in contestants:
        refuse_unlimited(contestant.setup.adapter, limits, vendor_folder(root, contestant.setup))
    jobs = contest_jobs(
        contestants,
        paths,
        root=root,
        limits=limits,
        memory_bytes=memory_bytes,
        with_baselines=with_baselines,
        watch=Watch(listener, progress, on_sampler),
    )
    return compare_jobs(
        contestants, jobs, alphas, root=root, held_out=held_out, limits=limits, seed=seed, with_baselines=with_baselines
    )


def compare_jobs(
    contestants: Sequence[Contestant],
    jobs: Sequence[Job],
    alphas: Sequence[float],
    *,
    root: Path,
    held_out: int,
    limits: Limits | None = None,
    seed: int = 0,
    with_baselines: bool = True,
) -> Comparison:
    """Compare `contestants`, each of which has its job in `jobs`; else as `compare`."""
    limits = limits or Limits()
    photographs = len(jobs[0].pictures)
    keys_of = [task_keys(job.setup.adapter.identity(), job.tasks) for job in jobs]
    if limits.counted is None and limits.spending:
        limits = replace(limits, counted=frozenset().union(*keys_of))
    found = []
    standings = []
    for contestant, job, keys in zip(contestants, jobs, keys_of, strict=True):
        job.limits = remaining(limits, folders_of(root, [other.setup for other in jobs]) - {job.folder})
        beside = with_baselines and contestant.setup.procedure.draws > 1
        calibrating, unseen = split_prepared(job.pictures, held_out, seed)
        before = spending_on(job.folder, keys)
        measured, refused = _run(contestant.label, job, calibrating, unseen, alphas, beside)
        found.append(measured)
        after = spending_on(job.folder, keys)
        standings.append(
            Standing(
                contestant=contestant.label,
                draws=contestant.setup.procedure.draws,
                wanted=len(keys),
                calls=after.calls - before.calls,
                cached=len(keys) if contestant.setup.adapter.capabilities.local else before.stored,
                refused=refused,
                failed=after.failed,
                spent_usd=None if after.unpriced > before.unpriced else after.spent_usd - before.spent_usd,
                usd_per_photograph=None if after.unpriced else after.spent_usd / photographs,
                latency=after.latency,
            )
        )
    rows = [
        row
        for index, contestant in enumerate(contestants)
        for row in rows_of(
            contestant.label,
            found[index],
            found[0],
            alphas,
            photographs - held_out,
            seed,
            priced=standings[index].usd_per_photograph is not None,
        )
    ]
    return Comparison(photographs - held_out, held_out, tuple(rows), tuple(standings))


class Recorder:
    """A score that also keeps the draws it was shown."""

    def __init__(self, inner: Score) -> None:
        self.minimum_draws = inner.minimum_draws
        self.draws: list[Image] = []
        self._inner = inner
        self._accumulator: Accumulator | None = None

    def start(self, shape: tuple[int, int]) -> "Recorder":
        self._accumulator = self._inner.start(shape)
        return self

    def update(self, *draws: Image) -> None:
        assert self._accumulator is not None
        self.draws += draws
        self._accumulator.update(*draws)

    def finish(self, context: Context) -> Map:
        assert self._accumulator is not None
        return self._accumulator.finish(context)


def _run(
    label: str,
    job: Job,
    calibrating: Sequence[Prepared],
    unseen: Sequence[Prepared],
    alphas: Sequence[float],
    beside: bool,
) -> tuple[list[Measured], int]:
    """Each unseen photograph as measured, by its content, and how many photographs the vendor refused."""
    refused = 0
    with job.drawing() as drawing:
        seen = []
        for drawn, one in drawing.each(partial(_see, job, beside), calibrating):
            seen.append(one)
            refused += drawn.refusal is not None
            job.watch.progress(f"calibrating {label}", len(seen), len(calibrating))
        scales = _scales(seen, alphas)
        measured = []
        for drawn, shown in drawing.each(partial(_measure, job, beside, scales), unseen):
            measured.append((drawn.prepared.truth_digest or "", shown))
            refused += drawn.refusal is not None
            job.watch.progress(f"measuring {label}", len(measured), len(unseen))
    return [shown for _, shown in sorted(measured, key=lambda pair: pair[0])], refused


def _look(job: Job, beside: bool, ready: Ready) -> tuple[Image, Evaluation, Map, list[Image]]:
    """Truth, evaluation, error map, and the draws where earlier methods need them."""
    setup = job.setup
    truth = job.truth(ready.drawn.prepared, "compared")
    recorder = Recorder(setup.score)
    watched: Any = recorder if beside else setup.score
    low = degrade(truth, setup.procedure.scale)
    found = evaluate(ready.drawn, replace(setup, score=watched), ready.read, low)
    return truth, found, setup.metric.map(truth, found.delivered), recorder.draws


def _see(job: Job, beside: bool, ready: Ready) -> _Seen:
    bound = job.setup.metric.bound
    if ready.drawn.refusal is not None:
        return _Seen(RiskCurve.worst(bound), None, None)
    truth, found, errors, draws = _look(job, beside, ready)
    curve = RiskCurve.from_maps(found.indecision, errors, bound=bound)
    if not beside:
        return _Seen(curve, None, None)
    ratios = baselines.intervals(draws, found.delivered, truth).ratios
    return _Seen(curve, ratios, baselines.soft_errors(found.indecision, errors))


def _measure(job: Job, beside: bool, scales: dict[tuple[str, float], float], ready: Ready) -> Measured:
    height, width = ready.drawn.prepared.size
    cost = sum((outcome.cost_usd for outcome in ready.drawn.outcomes), Decimal(0))
    if ready.drawn.refusal is not None:
        return Measured(_of_refused(scales, job.setup.metric.bound), math.nan, height * width / 1e6, cost)
    truth, found, errors, draws = _look(job, beside, ready)
    width_map = baselines.intervals(draws, found.delivered, truth).width if beside else None
    figures = {
        (method, alpha): _figures(method, scale, found, truth, errors, width_map)
        for (method, alpha), scale in scales.items()
    }
    whole = decibels(squared_error(truth, found.delivered))
    return Measured(figures, whole, height * width / 1e6, cost)


def _scales(seen: Sequence[_Seen], alphas: Sequence[float]) -> dict[tuple[str, float], float]:
    """What each method learned: (method, level) → threshold, width below which to trust, or soft scale."""
    curves = CurveSet.from_curves([one.curve for one in seen])
    found = {(OURS, alpha): Expected().threshold(curves, alpha) for alpha in alphas}
    ratios = [one.ratios for one in seen if one.ratios is not None]
    soft = [one.soft for one in seen if one.soft is not None]
    if ratios:
        widened = baselines.interval_scale(ratios)
        found |= {(INTERVALS, alpha): alpha / widened if widened > 0 else math.inf for alpha in alphas}
        found |= {(SOFT, alpha): baselines.soft_scale(soft, alpha) for alpha in alphas}
    return found


def _of_refused(
    scales: dict[tuple[str, float], float], bound: float
) -> dict[tuple[str, float], tuple[float, float, float]]:
    """A photograph that the vendor refused: nothing of it is trusted, and it counts as an audit counts it."""
    worst = RiskCurve.worst(bound)
    return {
        (method, alpha): (0.0, worst.loss(scale) if method == OURS else 0.0, math.nan)
        for (method, alpha), scale in scales.items()
    }


def _figures(
    method: str, scale: float, found: Evaluation, truth: Image, errors: Map, width: Map | None
) -> tuple[float, float, float]:
    """Share, largest error among trusted pixels, PSNR inside the mask."""
    if method == SOFT:
        soft = baselines.soft_mask(found.indecision, scale)
        full = soft >= 1
        squares = np.square((truth.astype(np.float32) - found.delivered) / 255).mean(axis=2)
        weight = float(soft.sum(dtype=np.float64))
        error = float((soft * squares).sum(dtype=np.float64)) / weight if weight else math.nan
        return float(soft.mean(dtype=np.float64)), _largest(errors, full), decibels(error)
    scores = found.indecision if method == OURS else width
    assert scores is not None
    mask = trusted(scores, scale)
    return float(mask.mean()), _largest(errors, mask), decibels(squared_error(truth, found.delivered, mask))


def _largest(errors: Map, mask: NDArray[np.bool_]) -> float:
    return float(errors[mask].max()) if mask.any() else 0.0
