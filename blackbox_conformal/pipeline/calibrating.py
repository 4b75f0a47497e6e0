"""Photographs and a vendor in, a calibration out.

The order of steps lives here; each step lives elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.calibration import Calibration, CalibrationImage, KnownPhotograph
from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.guarantees.by_cluster import in_tiles
from blackbox_conformal.guarantees.guarantee import Guarantee, number_in_words
from blackbox_conformal.images.duplicates import Distinct
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.pipeline.job import Ask, Job, Progress, Ready, Watch
from blackbox_conformal.pipeline.keyword_arguments import limits_of, refuse_unknown
from blackbox_conformal.pipeline.planning import plan
from blackbox_conformal.pipeline.run_folder import tuning_photographs, write_manifest
from blackbox_conformal.pipeline.stages.draws import Drawn
from blackbox_conformal.pipeline.stages.evaluate import calibration_curves
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.settings import (
    DEFAULT_DRAWS,
    DEFAULT_METRIC,
    DEFAULT_SCORE,
    Setup,
    member,
    set_up,
)
from blackbox_conformal.procedure import Delivery, Procedure, SeedPolicy
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.scores.score import Score
from blackbox_conformal.text import name_of, printable

DEFAULT_TOLERANCE = 0.1
"""Shares of pixels wrong by more than this are always stored, so that `false-trust` needs no second calibration."""


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A calibration and what it took."""

    calibration: Calibration
    calls: int
    cached: int
    cost_usd: Decimal
    failed: int


def run_folder(root: Path, procedure: Procedure) -> Path:
    """Where the draws of a procedure are kept unless the user says otherwise: the same procedure, the same folder."""
    return root / f"{procedure.vendor['adapter']}-{procedure.fingerprint.removeprefix('sha256:')[:12]}"


def run_calibration(
    setup: Setup,
    paths: Sequence[Path],
    *,
    run: Path,
    guarantee: str = "expected",
    alpha: float | None = None,
    limits: Limits | None = None,
    groups: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
    tuning: Sequence[KnownPhotograph] = (),
    memory_bytes: int | None = None,
    listener: Callable[[Event], None] | None = None,
    progress: Progress = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    ask: Ask | None = None,
) -> CalibrationRun:
    """Draw what is missing, compute the curves, put the calibration together.

    Parameters
    ----------
    groups, clusters
        The stem of a photograph's file → its group, or the photograph that it is a tile of. Tiles of one photograph
        count once, so each needs an entry.
    memory_bytes
        Most memory that the calculation may take: fewer photographs are evaluated at a time. None: no limit.
    ask
        Asks a person before anything is spent; None: nobody is asked, so that `limits` have to be given.

    Raises
    ------
    CalibrationError
        Too few photographs for `alpha` (before anything is drawn), duplicates, or every photograph refused.
    UsageError
        A photograph alone would take more than `memory_bytes`, or `groups` or `clusters` are those of other
        photographs (before anything is drawn).
    """
    checked_rule([name_of(path) for path in paths], setup, guarantee, alpha, groups, clusters)
    watch = Watch(listener, progress, on_sampler)
    job = Job.of_photographs(setup, paths, run, limits, memory_bytes=memory_bytes, ask=ask, watch=watch)
    return calibrate_job(job, guarantee=guarantee, alpha=alpha, groups=groups, clusters=clusters, tuning=tuning)


def calibrate_job(
    job: Job,
    *,
    guarantee: str = "expected",
    alpha: float | None = None,
    groups: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
    tuning: Sequence[KnownPhotograph] = (),
) -> CalibrationRun:
    """Calibrate on the photographs of a job, after whoever is to be asked has agreed; else as `run_calibration`."""
    setup = job.setup
    rule = checked_rule([picture.name for picture in job.pictures], setup, guarantee, alpha, groups, clusters)
    _refuse_tuning(job.pictures, tuning)
    job.confirm(lambda: plan(setup, job.pictures, rule, run=job.folder, limits=job.limits))
    own = member("guarantees", guarantee).specification()
    write_manifest(job.folder, setup, job.pictures, guarantee=own)
    tolerances = tolerances_of(rule)
    curves: list[list[RiskCurve]] = []
    answers: list[Answers] = []
    images: list[CalibrationImage] = []

    def work(ready: Ready) -> tuple[list[RiskCurve], Answers]:
        if ready.drawn.refusal is not None:
            worst = [RiskCurve.worst(setup.metric.bound, tolerance=tolerance) for tolerance in (None, *tolerances)]
            return worst, Answers.unknown(1)
        truth = job.truth(ready.drawn.prepared)
        return calibration_curves(ready.drawn, setup, ready.read, truth, tolerances, ready.second)

    with job.run(work) as finished:
        for drawn, (found, seen) in finished:
            curves.append(found)
            answers.append(seen)
            images.append(_image(drawn, groups or {}, clusters or {}))
            job.watch.progress("calibrating", len(curves), len(job.pictures))
    refused = _refuse_all_refused(images, job.folder)
    calibration = Calibration.from_curves(
        setup.procedure,
        setup.metric.bound,
        images,
        [found[0] for found in curves],
        [[found[index + 1] for found in curves] for index in range(len(tolerances))],
        guarantee=own,
        answers=answers,
        tuning=tuple(tuning),
        vendor_models=tuple(sorted(job.vendor_models)),
    )
    return CalibrationRun(calibration, job.calls, job.cached, job.cost_usd, refused)


def _refuse_all_refused(images: Sequence[CalibrationImage], run: Path) -> int:
    """How many photographs the vendor refused, unless it refused them all."""
    refused = sum(image.refused is not None for image in images)
    if refused == len(images):
        raise CalibrationError(
            f"the vendor refused all {refused} photographs: {str(images[0].refused).removesuffix('.')}. If a setting "
            f"such as the address or the model was wrong, correct it and name another run folder: refusals in {run} "
            "count for good"
        )
    return refused


def checked_rule(
    names: Sequence[str],
    setup: Setup,
    guarantee: str,
    alpha: float | None,
    groups: Mapping[str, str] | None,
    clusters: Mapping[str, str] | None,
) -> Guarantee:
    """The guarantee of a calibration on photographs with these names, which are enough for `alpha`.

    Raises
    ------
    CalibrationError
        They are too few.
    UsageError
        `groups` or `clusters` are those of other photographs.
    """
    check_groups(groups, names)
    rule = rule_for(guarantee, names, clusters)
    check_enough(rule, len(names), alpha, setup.metric.bound)
    return rule


def rule_for(guarantee: str, names: Sequence[str], clusters: Mapping[str, str] | None) -> Guarantee:
    """The guarantee of a calibration on pictures with these names; tiles of one photograph count once."""
    rule: Guarantee = member("guarantees", guarantee)
    if clusters is None:
        return rule
    check_clusters(clusters, names)
    return in_tiles(rule, [clusters[name] for name in names])


def _refuse_tuning(pictures: Sequence[Prepared], tuning: Sequence[KnownPhotograph]) -> None:
    tuned_on = Distinct(("a tuning photograph", one.seen) for one in tuning)
    leaked = [picture.name for picture in pictures if tuned_on.twin(picture.sketch) is not None]
    if leaked:
        raise CalibrationError(
            f"{len(leaked)} of these photographs were used for tuning and cannot calibrate, first "
            f"{printable(leaked[0])}; leave them out"
        )


def tolerance_of(rule: Guarantee) -> float | None:
    """The error above which a trusted pixel is wrong, for guarantees on shares of the picture; None for others."""
    if rule.needs.curve_kind == "supremum":
        return None
    return DEFAULT_TOLERANCE if rule.stated_tolerance is None else rule.stated_tolerance


def tolerances_of(rule: Guarantee) -> tuple[float, ...]:
    """Tolerances whose shares of wrong pixels are stored: the usual one, and the one the guarantee names."""
    return tuple(sorted({DEFAULT_TOLERANCE, tolerance_of(rule) or DEFAULT_TOLERANCE}))


def check_enough(rule: Guarantee, n: int, alpha: float | None, bound: float) -> None:
    """Refuse a level that `n` photographs cannot reach, before they cost anything.

    Raises
    ------
    CalibrationError
        There are fewer photographs than the level needs; the message says how many are missing.
    """
    if n < 1:
        raise CalibrationError("expected at least one calibration photograph; got none. Name files or folders")
    if alpha is None:
        return
    largest = rule.loss_bound(bound)
    rule.check_level(alpha, largest)
    n = rule.counted(n)
    needed = rule.minimum_images(alpha, largest)
    if n < needed:
        raise CalibrationError(
            f"alpha={alpha:g} needs at least {number_in_words(needed)} calibration photographs for a loss bounded by "
            f"{largest:g}; got {n}, so {number_in_words(needed - n)} are missing. Add photographs or raise alpha"
        )


def calibrate(
    adapter: Adapter,
    images: str | Path | Sequence[str | Path],
    *,
    draws: int = DEFAULT_DRAWS,
    scale: int | None = None,
    score: str | Score = DEFAULT_SCORE,
    metric: str | Metric = DEFAULT_METRIC,
    guarantee: str = "expected",
    alpha: float | None = None,
    delivery: Delivery = "first",
    seeds: SeedPolicy = "per-image",
    first_seed: int | None = None,
    perturbation: str | None = None,
    second: Adapter | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    max_cost: float | str | Decimal | None = None,
    max_calls: int | None = None,
    limits: Limits | None = None,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Calibration:
    """Calibrate `adapter` on photographs.

    Parameters
    ----------
    adapter
        The vendor, from `load_adapter`.
    images
        Files and folders of high-resolution photographs; each counts as one independent image.
    max_cost, max_calls
        The most that may be spent; one of the two is required unless draws are free.
    run
        Folder that keeps the ledger and the paid samples; by default ``runs/<adapter>-<fingerprint>``. Photographs
        that ``tune --only-choose`` looked at in it cannot calibrate.
    memory_bytes
        Most memory that the calculation may take; None: no limit.
    progress
        Called with what is done, how many are done, and how many there are in all, as work goes on.
    options
        Further parameters of `run_calibration`, such as `groups`.

    Raises
    ------
    BlackboxConformalError
        See `blackbox_conformal.errors`; running again resumes and pays nothing twice.
    """
    refuse_unknown("calibrate", calibrate, options, run_calibration)
    setup = set_up(
        adapter,
        scale=scale,
        draws=draws,
        score=score,
        metric=metric,
        delivery=delivery,
        seeds=seeds,
        first_seed=first_seed,
        perturbation=perturbation,
        second=second,
        seed=seed,
    )
    sources = [images] if isinstance(images, (str, Path)) else list(images)
    if not sources:
        raise UsageError("expected files or folders of photographs; got none")
    paths = [photograph.path for photograph in find_photographs([Path(source) for source in sources])]
    if limits is None:
        limits = limits_of(max_cost, max_calls)
    folder = Path(run) if run is not None else run_folder(Path("runs"), setup.procedure)
    options.setdefault("tuning", tuning_photographs(folder))
    return run_calibration(
        setup,
        paths,
        run=folder,
        guarantee=guarantee,
        alpha=alpha,
        limits=limits,
        memory_bytes=memory_bytes,
        progress=progress or (lambda *_: None),
        **options,
    ).calibration


def _image(drawn: Drawn, groups: Mapping[str, str], clusters: Mapping[str, str]) -> CalibrationImage:
    picture = drawn.prepared
    assert picture.truth_digest is not None
    return CalibrationImage(
        name=picture.name,
        truth=picture.truth_digest,
        sketch=picture.sketch.text,
        input=picture.input_digest,
        height=picture.size[0],
        width=picture.size[1],
        refused=None if drawn.refusal is None else str(drawn.refusal),
        group=groups.get(picture.name),
        cluster=clusters.get(picture.name),
    )


SHOWN = 3
"""How many names a message shows."""


def check_groups(groups: Mapping[str, str] | None, names: Sequence[str]) -> str | None:
    """What to say of photographs without a group; None when each has one, or no groups are given.

    Raises
    ------
    UsageError
        No photograph has a group, so the table is another one's.
    """
    without = [name for name in names if groups is not None and name not in groups]
    if groups is None or not without:
        return None
    if len(without) == len(names):
        raise UsageError(
            f"expected groups of these photographs, {_few(names)}; got groups of {_few(list(groups))}. Write one "
            "photograph,group line for each photograph, by the name of its file"
        )
    return (
        f"{len(without)} of {len(names)} photographs have no group: {_few(without)}; "
        "within a group they do not calibrate"
    )


def check_clusters(clusters: Mapping[str, str] | None, names: Sequence[str]) -> None:
    """Refuse tiles whose photograph is not named, since how many photographs there are is then unknown."""
    without = [name for name in names if clusters is not None and name not in clusters]
    if without:
        raise UsageError(
            f"expected the photograph of every calibration picture; {len(without)} of {len(names)} have none: "
            f"{_few(without)}. Write one tile,photograph line for each; a picture that is no tile is its own photograph"
        )


def _few(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more
