"""Several vendors or settings on the same photographs: one calibrates on some, all are measured on the others.

The earlier methods that stand beside them live in `baselines`; drawing is the same as at calibration.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.audit.quality import squared_error
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.pipeline.comparing import baselines
from blackbox_conformal.pipeline.comparing.comparison import (
    INTERVALS,
    OURS,
    SOFT,
    Comparison,
    Measured,
    Standing,
    rows_of,
)
from blackbox_conformal.pipeline.comparing.contestants import (
    Contestant,
    bytes_a_pixel,
    folders_of,
    most_bytes_a_pixel,
    refuse_incomparable,
    remaining,
    vendor_folder,
)
from blackbox_conformal.pipeline.plan import refuse_unlimited
from blackbox_conformal.pipeline.prices.spending import spending_on
from blackbox_conformal.pipeline.split import split_prepared
from blackbox_conformal.pipeline.stages.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.stages.equal_draws import EqualDraws
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_photographs, read_truth
from blackbox_conformal.pipeline.stages.room import narrowed, refuse_large
from blackbox_conformal.pipeline.stages.warming import warming
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import task_keys
from blackbox_conformal.scores.base import Accumulator, Context, Score
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
    limits = limits or Limits()
    for contestant in contestants:
        refuse_unlimited(contestant.setup.adapter, limits, vendor_folder(root, contestant.setup))
    refuse_large(paths, memory_bytes, pixel_bytes=most_bytes_a_pixel(contestants, with_baselines))
    prepared = [
        prepare_photographs(paths, contestant.setup, progress, memory_bytes=memory_bytes) for contestant in contestants
    ]
    keys_of = [
        task_keys(contestant.setup.adapter.identity(), [task for picture in pictures for task in picture.tasks])
        for contestant, pictures in zip(contestants, prepared, strict=True)
    ]
    if limits.counted is None and limits.spending:
        limits = replace(limits, counted=frozenset().union(*keys_of))
    found = []
    standings = []
    for contestant, pictures, keys in zip(contestants, prepared, keys_of, strict=True):
        folder = vendor_folder(root, contestant.setup)
        others = folders_of(root, [other.setup for other in contestants]) - {folder}
        left = remaining(limits, others)
        beside = with_baselines and contestant.setup.procedure.draws > 1
        pixel_bytes = bytes_a_pixel(contestant.setup.procedure.draws, beside)
        calibrating, unseen = split_prepared(pictures, held_out, seed)
        before = spending_on(folder, keys)
        measured, refused = _run(
            contestant,
            calibrating,
            unseen,
            alphas,
            folder,
            left,
            beside,
            narrowed(memory_bytes, pixel_bytes),
            listener,
            progress,
            on_sampler,
        )
        found.append(measured)
        after = spending_on(folder, keys)
        standings.append(
            Standing(
                contestant=contestant.label,
                draws=contestant.setup.procedure.draws,
                wanted=len(keys),
                calls=after.calls - before.calls,
                cached=len(keys) if contestant.setup.adapter.capabilities.local else before.stored,
                refused=refused,
                failed=after.failed,
                spent_usd=after.spent_usd - before.spent_usd,
                usd_per_photograph=after.spent_usd / len(paths),
                latency=after.latency,
            )
        )
    rows = [
        row
        for index, contestant in enumerate(contestants)
        for row in rows_of(contestant.label, found[index], found[0], alphas, len(paths) - held_out, seed)
    ]
    return Comparison(len(paths) - held_out, held_out, tuple(rows), tuple(standings))


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
    contestant: Contestant,
    calibrating: Sequence[Prepared],
    unseen: Sequence[Prepared],
    alphas: Sequence[float],
    folder: Path,
    limits: Limits,
    beside: bool,
    memory_bytes: int | None,
    listener: Callable[[Event], None] | None,
    progress: Callable[[str, int, int], None],
    on_sampler: Callable[[Sampler], None],
) -> tuple[list[Measured], int]:
    setup = contestant.setup
    refused = 0
    with (
        warming(setup),
        Sampler(
            setup.adapter,
            folder,
            limits,
            check=output_check(setup),
            counted=EqualDraws(setup),
            listener=listener,
        ) as sampler,
    ):
        on_sampler(sampler)

        def look(drawn: Drawn) -> tuple[Image, Evaluation, Map, list[Image]]:
            assert drawn.prepared.path is not None
            truth, _ = read_truth(drawn.prepared.path, setup.procedure.scale)
            recorder = Recorder(setup.score)
            watched: Any = recorder if beside else setup.score
            low = degrade(truth, setup.procedure.scale)
            reading = replace(setup, score=watched)
            found = evaluate(drawn, reading, lambda k: sampler.read(drawn.outcomes[k]), low)
            return truth, found, setup.metric.map(truth, found.delivered), recorder.draws

        def see(drawn: Drawn) -> _Seen:
            if drawn.refusal is not None:
                return _Seen(RiskCurve.worst(setup.metric.bound), None, None)
            truth, found, errors, draws = look(drawn)
            curve = RiskCurve.from_maps(found.indecision, errors, bound=setup.metric.bound)
            if not beside:
                return _Seen(curve, None, None)
            ratios = baselines.intervals(draws, found.delivered, truth).ratios
            return _Seen(curve, ratios, baselines.soft_errors(found.indecision, errors))

        seen = []
        for drawn, one in map_pictures(
            drawn_pictures(sampler, calibrating), see, memory_bytes=memory_bytes, on_error=sampler.fail
        ):
            seen.append(one)
            refused += drawn.refusal is not None
            progress(f"calibrating {contestant.label}", len(seen), len(calibrating))
        scales = _scales(seen, alphas)

        def measure(drawn: Drawn) -> Measured:
            height, width = drawn.prepared.size
            cost = sum((outcome.cost_usd for outcome in drawn.outcomes), Decimal(0))
            if drawn.refusal is not None:
                return Measured(_of_refused(scales, setup.metric.bound), math.nan, height * width / 1e6, cost)
            truth, found, errors, draws = look(drawn)
            width_map = baselines.intervals(draws, found.delivered, truth).width if beside else None
            figures = {
                (method, alpha): _figures(method, scale, found, truth, errors, width_map)
                for (method, alpha), scale in scales.items()
            }
            whole = _decibel(squared_error(truth, found.delivered))
            return Measured(figures, whole, height * width / 1e6, cost)

        measured = []
        for drawn, shown in map_pictures(
            drawn_pictures(sampler, unseen), measure, memory_bytes=memory_bytes, on_error=sampler.fail
        ):
            measured.append((drawn.prepared.truth_digest or "", shown))
            refused += drawn.refusal is not None
            progress(f"measuring {contestant.label}", len(measured), len(unseen))
    return [shown for _, shown in sorted(measured, key=lambda pair: pair[0])], refused


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
        return float(soft.mean(dtype=np.float64)), _largest(errors, full), _decibel(error)
    scores = found.indecision if method == OURS else width
    assert scores is not None
    mask = trusted(scores, scale)
    return float(mask.mean()), _largest(errors, mask), _decibel(squared_error(truth, found.delivered, mask))


def _largest(errors: Map, mask: NDArray[np.bool_]) -> float:
    return float(errors[mask].max()) if mask.any() else 0.0


def _decibel(error: float) -> float:
    if math.isnan(error):
        return math.nan
    return math.inf if error == 0 else -10 * math.log10(error)
