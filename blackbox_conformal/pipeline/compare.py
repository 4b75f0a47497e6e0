"""Several vendors or settings on the same photographs: one calibrates on some, all are measured on the others.

The earlier methods that stand beside them live in `baselines`; drawing is the same as at calibration.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.audit.quality import squared_error
from blackbox_conformal.canonical import digest_json
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.indecision.base import Accumulator, Context, Indecision
from blackbox_conformal.pipeline import baselines
from blackbox_conformal.pipeline.comparison import INTERVALS, OURS, SOFT, Comparison, Measured, Standing, rows_of
from blackbox_conformal.pipeline.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.plan import Plan, plan, refuse_unlimited
from blackbox_conformal.pipeline.prepare import Prepared, prepare_photographs, read_truth
from blackbox_conformal.pipeline.settings import Setup
from blackbox_conformal.pipeline.spending import Spending, read_spending
from blackbox_conformal.pipeline.split import split
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.sampling.task import Task
from blackbox_conformal.types import Image, Map


@dataclass(frozen=True, slots=True)
class Contestant:
    """One vendor with its settings; `label` is for people."""

    label: str
    setup: Setup


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
    with_baselines: bool = True,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
) -> Comparison:
    """Compare `contestants` on the photographs in `paths`, `held_out` of which nobody calibrates on.

    Parameters
    ----------
    root
        Each vendor gets a folder of its own below it; settings of one vendor share paid draws.
    limits
        Hold for all contestants together.

    Raises
    ------
    UsageError
        Fewer than two contestants, equal ones, or ones that differ in metric or magnification.
    CalibrationError
        Too few photographs.
    """
    _check(contestants, len(paths), held_out)
    limits = limits or Limits()
    for contestant in contestants:
        refuse_unlimited(contestant.setup.adapter, limits)
    found = []
    standings = []
    for contestant in contestants:
        folder = vendor_folder(root, contestant.setup)
        others = {vendor_folder(root, other.setup) for other in contestants} - {folder}
        left = remaining(limits, [read_spending(other) for other in others])
        pictures = prepare_photographs(paths, contestant.setup, seed, progress)
        calibrating, unseen = split_prepared(pictures, held_out, seed)
        measured, refused = _run(
            contestant, calibrating, unseen, alphas, folder, left, with_baselines, listener, progress, on_sampler
        )
        found.append(measured)
        price = sum((one.cost for one in measured), Decimal(0)) / len(measured)
        draws = contestant.setup.procedure.draws
        standings.append(Standing(contestant.label, draws, refused, price, read_spending(folder)))
    rows = [
        row
        for index, contestant in enumerate(contestants)
        for row in rows_of(contestant.label, found[index], found[0], alphas, len(paths) - held_out, seed)
    ]
    return Comparison(len(paths) - held_out, held_out, tuple(rows), tuple(standings))


def plan_comparison(contestants: Sequence[Contestant], paths: Sequence[Path], *, root: Path, seed: int = 0) -> Plan:
    """What is still to be drawn for all contestants together; draws that settings share count once."""
    _check(contestants, len(paths), 2)
    wanted: dict[Path, dict[tuple[str, int, int | None], Task]] = {}
    setups: dict[Path, Setup] = {}
    for contestant in contestants:
        folder = vendor_folder(root, contestant.setup)
        setups.setdefault(folder, contestant.setup)
        for picture in prepare_photographs(paths, contestant.setup, seed, lambda *_: None):
            for task in picture.tasks:
                wanted.setdefault(folder, {})[task.upload.digest, task.index, task.seed] = task
    plans = []
    for folder, tasks in wanted.items():
        template = prepare_photographs(paths[:1], setups[folder], seed, lambda *_: None)[0]
        together = replace(template, tasks=tuple(tasks.values()))
        plans.append(plan(setups[folder], [together], Expected(), run=folder))
    prices = [one.cost_usd for one in plans]
    return replace(
        plans[0],
        n=len(paths),
        calls=sum(one.calls for one in plans),
        cached=sum(one.cached for one in plans),
        cost_usd=None
        if any(price is None for price in prices)
        else (sum((p[0] for p in prices if p), Decimal(0)), sum((p[1] for p in prices if p), Decimal(0))),
        seconds=None if any(one.seconds is None for one in plans) else sum(one.seconds or 0 for one in plans),
        disk_bytes=sum(one.disk_bytes for one in plans),
    )


def allowed(limits: Limits, calls: int, contestants: Sequence[Contestant], root: Path) -> Limits:
    """A yes to a plan is a yes to its `calls` and to no more, on top of those that the folders hold already."""
    if limits.max_calls is not None or limits.max_cost_usd is not None:
        return limits
    folders = {vendor_folder(root, contestant.setup) for contestant in contestants}
    earlier = sum(one.calls for one in map(read_spending, folders) if one is not None)
    return replace(limits, max_calls=earlier + calls)


def vendor_folder(root: Path, setup: Setup) -> Path:
    """Where the draws of a vendor are kept: settings that ask it for the same draws share them."""
    return root / f"{setup.adapter.name}-{digest_json(setup.procedure.vendor).removeprefix('sha256:')[:12]}"


def remaining(limits: Limits, others: Iterable[Spending | None]) -> Limits:
    """`limits` less what other folders already hold of them."""
    held = [one for one in others if one is not None]
    cost, calls = limits.max_cost_usd, limits.max_calls
    if cost is not None:
        cost = max(Decimal(0), cost - sum((one.spent_usd + one.reserved_usd for one in held), Decimal(0)))
    if calls is not None:
        calls = max(0, calls - sum(one.calls for one in held))
    return replace(limits, max_cost_usd=cost, max_calls=calls)


@dataclass(frozen=True, slots=True)
class _Photograph:
    prepared: Prepared
    digest: str


def split_prepared(pictures: Sequence[Prepared], held_out: int, seed: int) -> tuple[list[Prepared], list[Prepared]]:
    """The same photographs on each side for every contestant, whatever it is sent."""
    photographs = [_Photograph(picture, picture.truth_digest or picture.input_digest) for picture in pictures]
    calibrating, unseen = split(photographs, held_out, seed)
    return [one.prepared for one in calibrating], [one.prepared for one in unseen]


def _check(contestants: Sequence[Contestant], photographs: int, held_out: int) -> None:
    if len(contestants) < 2:
        raise UsageError(f"expected at least two vendors or settings to compare; got {len(contestants)}")
    labels = [contestant.label for contestant in contestants]
    if len(set(labels)) < len(labels):
        raise UsageError(f"expected vendors with different labels; got {', '.join(labels)}. Give label=… to one")
    for name in ("fidelity", "scale", "degradation"):
        values = {digest_json({"value": getattr(one.setup.procedure, name)}) for one in contestants}
        if len(values) > 1:
            raise UsageError(f"expected one {name} for all, or levels cannot be equal; contestants differ in it")
    if held_out < 2 or photographs - held_out < 1:
        raise CalibrationError(
            "expected at least 2 photographs to measure on and 1 to calibrate on; "
            f"got {photographs} of which {held_out} are held out. Add photographs"
        )


class Recorder:
    """A score that also keeps the draws it was shown."""

    def __init__(self, inner: Indecision) -> None:
        self.minimum_draws = inner.minimum_draws
        self.draws: list[Image] = []
        self._inner = inner
        self._accumulator: Accumulator | None = None

    def start(self, shape: tuple[int, int]) -> "Recorder":
        self._accumulator = self._inner.start(shape)
        return self

    def update(self, pixels: Image) -> None:
        assert self._accumulator is not None
        self.draws.append(pixels)
        self._accumulator.update(pixels)

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
    with_baselines: bool,
    listener: Callable[[Event], None] | None,
    progress: Callable[[str, int, int], None],
    on_sampler: Callable[[Sampler], None],
) -> tuple[list[Measured], int]:
    setup = contestant.setup
    beside = with_baselines and setup.procedure.draws > 1
    refused = 0
    with Sampler(setup.adapter, folder, limits, check=output_check(setup), listener=listener) as sampler:
        on_sampler(sampler)

        def look(drawn: Drawn) -> tuple[Image, Evaluation, Map, list[Image]]:
            assert drawn.prepared.path is not None
            truth, _ = read_truth(drawn.prepared.path, setup.procedure.scale)
            recorder = Recorder(setup.indecision)
            watched: Any = recorder if beside else setup.indecision
            low = degrade(truth, setup.procedure.scale)
            reading = replace(setup, indecision=watched)
            found = evaluate(drawn, reading, lambda k: sampler.read(drawn.outcomes[k]), low)
            return truth, found, setup.fidelity.map(truth, found.delivered), recorder.draws

        def see(drawn: Drawn) -> _Seen:
            if drawn.refusal is not None:
                return _Seen(RiskCurve.worst(setup.fidelity.bound), None, None)
            truth, found, fidelity, draws = look(drawn)
            curve = RiskCurve.from_maps(found.indecision, fidelity, bound=setup.fidelity.bound)
            if not beside:
                return _Seen(curve, None, None)
            ratios = baselines.intervals(draws, found.delivered, truth).ratios
            return _Seen(curve, ratios, baselines.soft_errors(found.indecision, fidelity))

        seen = []
        for drawn, one in map_pictures(drawn_pictures(sampler, calibrating), see):
            seen.append(one)
            refused += drawn.refusal is not None
            progress(f"calibrating {contestant.label}", len(seen), len(calibrating))
        scales = _scales(seen, alphas)

        def measure(drawn: Drawn) -> Measured:
            height, width = drawn.prepared.size
            cost = sum((outcome.cost_usd for outcome in drawn.outcomes), Decimal(0))
            if drawn.refusal is not None:
                nothing = dict.fromkeys(scales, (0.0, 0.0, math.nan))
                return Measured(nothing, math.nan, height * width / 1e6, cost)
            truth, found, fidelity, draws = look(drawn)
            width_map = baselines.intervals(draws, found.delivered, truth).width if beside else None
            figures = {
                (method, alpha): _figures(method, scale, found, truth, fidelity, width_map)
                for (method, alpha), scale in scales.items()
            }
            whole = _decibel(squared_error(truth, found.delivered))
            return Measured(figures, whole, height * width / 1e6, cost)

        measured = []
        for drawn, shown in map_pictures(drawn_pictures(sampler, unseen), measure):
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


def _figures(
    method: str, scale: float, found: Evaluation, truth: Image, fidelity: Map, width: Map | None
) -> tuple[float, float, float]:
    """Share, largest error among trusted pixels, PSNR inside the mask."""
    if method == SOFT:
        soft = baselines.soft_mask(found.indecision, scale)
        full = soft >= 1
        squares = np.square((truth.astype(np.float32) - found.delivered) / 255).mean(axis=2)
        weight = float(soft.sum(dtype=np.float64))
        error = float((soft * squares).sum(dtype=np.float64)) / weight if weight else math.nan
        return float(soft.mean(dtype=np.float64)), _largest(fidelity, full), _decibel(error)
    scores = found.indecision if method == OURS else width
    assert scores is not None
    mask = trusted(scores, scale)
    return float(mask.mean()), _largest(fidelity, mask), _decibel(squared_error(truth, found.delivered, mask))


def _largest(fidelity: Map, mask: NDArray[np.bool_]) -> float:
    return float(fidelity[mask].max()) if mask.any() else 0.0


def _decibel(error: float) -> float:
    if math.isnan(error):
        return math.nan
    return math.inf if error == 0 else -10 * math.log10(error)
