"""A calibration measured on photographs that it has not seen.

The tests live in `audits.verdict`, what follows from the measured pictures in `conclude`; drawing is the same as at
calibration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.audits.findings import Audit, AuditedPicture
from blackbox_conformal.audits.random_splits import Splits, split_audit
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.pipeline.audit_parts.audit_document import audit_json as audit_json
from blackbox_conformal.pipeline.audit_parts.audited_rule import audited_rule, clusters_of
from blackbox_conformal.pipeline.audit_parts.conclude import conclude
from blackbox_conformal.pipeline.audit_parts.measure import Measure, OnPicture, WorstCrops
from blackbox_conformal.pipeline.calibrating import run_folder, tolerance_of
from blackbox_conformal.pipeline.job import Ask, Job, Watch
from blackbox_conformal.pipeline.planning import audited_levels
from blackbox_conformal.pipeline.stages.evaluate import drifted
from blackbox_conformal.pipeline.stages.memory import audit_bytes_a_pixel
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import set_up_as
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.text import name_of, printable


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
    ask: Ask | None = None,
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
    ask
        Asks a person before anything is spent; None: nobody is asked, so that `limits` have to be given.

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
    sources = [images] if isinstance(images, (str, Path)) else list(images)
    paths = [photograph.path for photograph in find_photographs([Path(source) for source in sources])]
    if not paths:
        raise CalibrationError("expected at least one audit photograph; got none")
    clusters_of(rule, [name_of(path) for path in paths], clusters)
    levels = sorted(set(alphas or audited_levels(calibration.bound_for(rule))))
    for alpha in levels:
        rule.check_level(alpha, calibration.bound_for(rule))
    job = Job.of_photographs(
        setup,
        paths,
        folder,
        limits,
        models=calibration.vendor_models,
        memory_bytes=memory_bytes,
        pixel_bytes=audit_bytes_a_pixel(len(levels)),
        ask=ask,
        watch=Watch(listener, progress, on_sampler),
    )
    _refuse_seen(job.pictures, calibration)
    job.confirm()
    measure = Measure(job, rule, curves, levels, tolerance_of(rule), on_picture, crops)
    audited, answers = _measured(job, measure)
    tiles = clusters_of(rule, [one.name for one in audited], clusters)
    used = [rule.threshold(curves, alpha) for alpha in levels]
    drift = drifted(calibration, answers, used, group) if tiles is None else None
    found = conclude(calibration, rule, levels, audited, clusters=tiles, calls=job.calls, cached=job.cached)
    return replace(found, drift=drift)


def _measured(job: Job, measure: Measure) -> tuple[list[AuditedPicture], list[Answers]]:
    """Every photograph by the digest of its truth, and what the answers were like, as they arrived."""
    audited: list[AuditedPicture] = []
    answers: list[Answers] = []
    with job.run(measure) as finished:
        for _, (one, seen) in finished:
            audited.append(one)
            answers.append(seen)
            job.watch.progress("auditing", len(audited), len(job.pictures))
    return sorted(audited, key=lambda one: one.truth), answers


def _refuse_seen(pictures: Sequence[Prepared], calibration: Calibration) -> None:
    found = ((picture, calibration.known(picture.sketch, picture.input_digest)) for picture in pictures)
    seen = [(picture, known) for picture, known in found if known is not None]
    if seen:
        raise CalibrationError(
            f"expected photographs that calibration has not seen; {len(seen)} of {len(pictures)} were used for it, "
            f"first {printable(seen[0][0].name)}, which is {seen[0][1]}. Leave them out"
        )


def audit_splits(
    calibration: Calibration,
    alphas: Sequence[float] | None = None,
    *,
    audited: Audit | None = None,
    splits: int = 100,
    share: float | None = None,
    seed: int = 0,
    guarantee: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    group: str | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Splits:
    """Split a pool at random, calibrate on a part, measure the rest; from curves alone.

    Parameters
    ----------
    calibration
        Its photographs are the pool.
    audited
        An audit of it with the same guarantee: its photographs join the pool.
    splits
        How many random splits.
    share
        The share of the pool that calibrates; None: 0.7, or as many as `calibration` has when others join.
    guarantee, parameters, group, clusters
        As for `pipeline.auditing.audit_calibration`; clusters are split whole.

    Raises
    ------
    UsageError
        Random splits say nothing of the guarantee; says why.
    """
    rule = audited_rule(calibration, guarantee, parameters, group, clusters)
    curves = calibration.curves_for(rule)
    alphas = alphas or audited_levels(calibration.bound_for(rule))
    if audited is None:
        return split_audit(rule, curves, alphas, splits=splits, share=0.7 if share is None else share, seed=seed)
    names = [one.name for one in audited.pictures]
    tiles = clusters_of(rule, names, clusters)
    rule.refuse_unclaimed(tiles is not None)
    together = CurveSet.from_curves([*curves, *(one.curve for one in audited.pictures)])
    extended, calibrating = rule.extended(tiles, len(names))
    return split_audit(
        extended,
        together,
        alphas,
        splits=splits,
        n_calibration=(calibrating or len(curves)) if share is None else None,
        share=share or 0.7,
        seed=seed,
    )
