"""A calibration measured on photographs that it has not seen.

The tests live in `audit.verdict`, what follows from the measured pictures in `conclude`; drawing is the same as at
calibration.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.audit.findings import Audit, AuditedPicture
from blackbox_conformal.audit.quality import NO_PIXELS, QualityMaps
from blackbox_conformal.audit.worst import worst_place
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.images.names import name_of, printable
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.pipeline.auditing.audit_document import audit_json as audit_json
from blackbox_conformal.pipeline.auditing.audited_rule import audited_rule, clusters_of
from blackbox_conformal.pipeline.auditing.conclude import conclude
from blackbox_conformal.pipeline.auditing.worst_crops import WorstCrops
from blackbox_conformal.pipeline.calibrate import run_folder, tolerance_of
from blackbox_conformal.pipeline.job import job_limits
from blackbox_conformal.pipeline.plan import refuse_unlimited
from blackbox_conformal.pipeline.stages.at_hand import rule_at_hand
from blackbox_conformal.pipeline.stages.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.stages.drifted import drifted
from blackbox_conformal.pipeline.stages.equal_draws import EqualDraws
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.stages.levels import audited_levels
from blackbox_conformal.pipeline.stages.memory import audit_bytes_a_pixel
from blackbox_conformal.pipeline.stages.prepare import Prepared, prepare_photographs, read_truth
from blackbox_conformal.pipeline.stages.room import narrowed, refuse_large
from blackbox_conformal.pipeline.stages.second import second_opinions
from blackbox_conformal.pipeline.stages.settings import set_up_as
from blackbox_conformal.pipeline.stages.warming import warming
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.types import Image, Map

Levels = Sequence[tuple[float, float]]
"""(alpha, threshold) pairs."""

OnPicture = Callable[[Prepared, Evaluation, Image, Image, Map, RiskCurve, Levels], None]
"""Called with an audited picture, its evaluation, its truth, the vendor's input, its error map, its curve and the
thresholds that its masks were made with."""


def audit_calibration(
    adapter: Adapter,
    images: str | Path | Sequence[str | Path],
    calibration: Calibration,
    alphas: Sequence[float] | None = None,
    *,
    guarantee: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    group: str | None = None,
    clusters: Mapping[str, str] | None = None,
    second: Adapter | None = None,
    run: str | Path | None = None,
    limits: Limits | None = None,
    memory_bytes: int | None = None,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    on_picture: OnPicture = lambda *_: None,
    crops: WorstCrops | None = None,
) -> Audit:
    """Measure `calibration` on unseen photographs.

    Parameters
    ----------
    guarantee, parameters
        Another guarantee than the calibration's own.
    group
        Audit the guarantee within this group; every photograph must be of it.
    clusters
        Picture's name → photograph that it is a tile of; a photograph then counts once.
    memory_bytes
        The most memory that the calculation may take: fewer photographs are audited at a time. None: no limit.
    on_picture
        Gets each photograph's pixels and maps, in worker threads.
    crops
        Keeps the surroundings of the worst pixels.

    Raises
    ------
    CalibrationError
        A photograph was used for calibration or tuning, or one stands twice.
    UsageError
        The guarantee cannot be audited; says why. Or a photograph alone would take more than `memory_bytes`.
    ProcedureMismatchError
        The vendor or its settings are not those that were calibrated.
    ModelChangedError
        The vendor answers with a model that was not calibrated.
    """
    setup = set_up_as(adapter, calibration.procedure, second)
    rule = audited_rule(calibration, guarantee, parameters, group, clusters)
    curves = calibration.curves_for(rule)
    rule.unit_curves(curves)
    rule.refuse_unclaimed(clusters is not None)
    folder = Path(run) if run is not None else run_folder(Path("runs"), setup.procedure)
    refuse_unlimited(adapter, limits, folder)
    sources = [images] if isinstance(images, (str, Path)) else list(images)
    paths = [photograph.path for photograph in find_photographs([Path(source) for source in sources])]
    if not paths:
        raise CalibrationError("expected at least one audit photograph; got none")
    clusters_of(rule, [name_of(path) for path in paths], clusters)
    levels = sorted(set(alphas or audited_levels(calibration.bound_for(rule))))
    for alpha in levels:
        rule.check_level(alpha, calibration.bound_for(rule))
    pixel_bytes = audit_bytes_a_pixel(len(levels))
    refuse_large(paths, memory_bytes, pixel_bytes=pixel_bytes)
    pictures = prepare_photographs(paths, setup, progress, memory_bytes=memory_bytes)
    _refuse_seen(pictures, calibration)
    audited: list[AuditedPicture] = []
    answers: list[Answers] = []
    calls = cached = 0
    limits = job_limits(limits, setup, pictures)
    with (
        warming(setup),
        second_opinions(setup, pictures, folder, limits, listener, on_sampler) as opinions,
        Sampler(
            adapter,
            folder,
            limits,
            models=calibration.vendor_models,
            check=output_check(setup),
            counted=EqualDraws(setup),
            listener=listener,
        ) as sampler,
    ):
        on_sampler(sampler)

        def work(drawn: Drawn) -> tuple[AuditedPicture, Answers]:
            picture = drawn.prepared
            assert picture.path is not None
            if drawn.refusal is not None:
                worst = RiskCurve.worst(setup.metric.bound, tolerance=tolerance_of(rule))
                return _refused(picture, worst, [rule.threshold(curves, alpha) for alpha in levels]), Answers.unknown(1)
            truth, _ = read_truth(picture.path, setup.procedure.scale)
            low = degrade(truth, setup.procedure.scale)
            opinion = opinions.of(picture)
            found = evaluate(drawn, setup, lambda k: sampler.read(drawn.outcomes[k]), low, opinion)
            errors = setup.metric.map(truth, found.delivered)
            curve = RiskCurve.from_maps(
                found.indecision, errors, bound=setup.metric.bound, tolerance=tolerance_of(rule)
            )
            own = rule_at_hand(rule, setup.metric, found)
            thresholds = [own.threshold(curves, alpha) for alpha in levels]
            on_picture(picture, found, truth, low, errors, curve, list(zip(levels, thresholds, strict=True)))
            quality = QualityMaps(truth, found.delivered, setup.metric)
            masks = [trusted(found.indecision, threshold) for threshold in thresholds]
            places = [worst_place(errors, mask) for mask in masks]
            losses = [curve.loss(threshold) for threshold in thresholds]
            assert picture.truth_digest is not None
            for alpha, loss, place, mask in zip(levels, losses, places, masks, strict=True):
                if crops is not None and place is not None and loss > 0:
                    pixels = (found.delivered, truth)
                    crops.offer(alpha, loss, picture.name, picture.truth_digest, place, pixels, mask)
            one = AuditedPicture(
                name=picture.name,
                truth=picture.truth_digest,
                curve=curve,
                losses=tuple(losses),
                shares=tuple(float(mask.mean()) for mask in masks),
                inside=tuple(quality.over(mask) for mask in masks),
                outside=tuple(quality.over(~mask) for mask in masks),
                worst=tuple(places),
                whole=quality.over(),
                broken_bound=_exceeds(own, curve, thresholds),
            )
            return one, found.answers

        room = narrowed(memory_bytes, pixel_bytes)
        for drawn, (one, seen) in map_pictures(
            drawn_pictures(sampler, pictures), work, memory_bytes=room, on_error=sampler.fail
        ):
            audited.append(one)
            answers.append(seen)
            cached += sum(outcome.cached for outcome in drawn.outcomes)
            calls += sum(not outcome.cached for outcome in drawn.outcomes)
            progress("auditing", len(audited), len(pictures))
    audited.sort(key=lambda one: one.truth)
    tiles = clusters_of(rule, [one.name for one in audited], clusters)
    used = [rule.threshold(curves, alpha) for alpha in levels]
    drift = drifted(calibration, answers, used, group) if tiles is None else None
    found = conclude(calibration, rule, levels, audited, clusters=tiles, calls=calls, cached=cached)
    return replace(found, drift=drift)


def _refused(picture: Prepared, worst: RiskCurve, thresholds: Sequence[float]) -> AuditedPicture:
    """A photograph that the vendor refused: the worst loss as soon as anything is trusted, and no pixels."""
    assert picture.truth_digest is not None
    nothing = (NO_PIXELS,) * len(thresholds)
    losses = tuple(worst.loss(threshold) for threshold in thresholds)
    shares, places = (0.0,) * len(thresholds), (None,) * len(thresholds)
    return AuditedPicture(
        picture.name, picture.truth_digest, worst, losses, shares, nothing, nothing, places, NO_PIXELS
    )


def _exceeds(own: Guarantee, curve: RiskCurve, thresholds: Sequence[float]) -> bool:
    """Whether the picture's loss is above the bound that `own` was computed with, which no theorem then covers."""
    bound = own.own_bound
    if bound is None:
        return False
    if isinstance(bound, RiskCurve):
        # Both are staircases: it is enough to look just above each of the loss's steps.
        steps = np.nextafter(curve.scores.astype(np.float64), np.inf)
        return bool((curve.loss(steps) > bound.loss(steps)).any())
    most = bound if isinstance(bound, int | float) else math.inf
    return any(curve.loss(threshold) > most for threshold in thresholds)


def _refuse_seen(pictures: Sequence[Prepared], calibration: Calibration) -> None:
    found = ((picture, calibration.known(picture.sketch, picture.input_digest)) for picture in pictures)
    seen = [(picture, known) for picture, known in found if known is not None]
    if seen:
        raise CalibrationError(
            f"expected photographs that calibration has not seen; {len(seen)} of {len(pictures)} were used for it, "
            f"first {printable(seen[0][0].name)}, which is {seen[0][1]}. Leave them out"
        )
