"""A calibration measured on photographs that it has not seen, and one pool of photographs split at random."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.audits.findings import Audit, AuditedPicture
from blackbox_conformal.method.audits.random_splits import Splits, split_audit
from blackbox_conformal.method.audits.sequential import AuditStop
from blackbox_conformal.method.guarantees.corollaries import error_in_words
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.guarantees.high_probability import levels_together
from blackbox_conformal.method.guarantees.instance_bound import refuse_bound
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.audit.audited_rule import audited_rule, photographs_of
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.study.audit.measure import Measure, OnPicture, WorstCrops
from blackbox_conformal.study.audit.stopping import PhotographTurns, Stopping
from blackbox_conformal.study.calibrate.calibrated_rule import check_groups, tolerance_of
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plan.planning import audited_levels
from blackbox_conformal.study.run_folder import is_first_look
from blackbox_conformal.study.stages.evaluate import drifted
from blackbox_conformal.study.stages.memory import audit_bytes_a_pixel
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.text import name_of, printable


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What is audited.

    Attributes
    ----------
    rule
        A guarantee of `calibration` (see `audited_rule`).
    levels
        Ascending.
    group
        The group that every photograph is of; None: of any.
    tiles
        Picture's name → photograph that it is a tile of; a photograph then counts once.
    groups
        Picture's name → group; the risk of each is shown, and the guarantee stays as it is.
    """

    calibration: Calibration
    rule: Guarantee
    levels: tuple[float, ...]
    group: str | None = None
    tiles: Mapping[str, str] | None = None
    groups: Mapping[str, str] | None = None

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        alphas: Collection[float] = (),
        *,
        guarantee: str | Guarantee | None = None,
        group: str | None = None,
        tiles: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> "AuditRequest":
        """The request for the levels `alphas`, or for those that hold together, or for the usual ones.

        Raises
        ------
        UsageError
            The guarantee cannot be audited; says why. Or a level cannot be.
        """
        rule = audited_rule(calibration, guarantee, group, tiles)
        rule.unit_curves(calibration.curves_for(rule))
        rule.refuse_unclaimed(tiles is not None)
        bound = calibration.bound_for(rule)
        levels = tuple(sorted(set(alphas or levels_together(rule) or audited_levels(bound))))
        for alpha in levels:
            rule.check_level(alpha, bound)
        return cls(calibration, rule, levels, group, tiles, groups)

    @property
    def curves(self) -> CurveSet:
        """The curves that the guarantee is about."""
        return self.calibration.curves_for(self.rule)


def audit_photographs(
    request: AuditRequest,
    setup: Setup,
    paths: Sequence[Path],
    terms: Terms,
    *,
    on_picture: OnPicture = lambda *_: None,
    crops: WorstCrops | None = None,
    stop: bool = True,
) -> Audit:
    """Measure a calibration on photographs that it has not seen.

    Parameters
    ----------
    stop
        Draw photographs when their turn comes, and end once the guarantee is confirmed or contradicted. Otherwise, and
        where all draws are on this machine, every photograph is measured.
    on_picture
        Gets each photograph's pixels and maps, in worker threads.
    crops
        Keeps the surroundings of the worst pixels.

    Raises
    ------
    CalibrationError
        A photograph was used for calibration or tuning, one stands twice, or there is none.
    UsageError
        A photograph alone would take more memory than the terms allow, or is no tile of a named photograph, or the
        guarantee takes a bound from the picture that metric or degradation do not allow.
    BudgetError
        See `Job.confirm`.
    ModelChangedError
        The vendor answers with a model that was not calibrated.
    """
    calibration, rule, levels = request.calibration, request.rule, request.levels
    if not paths:
        raise CalibrationError("expected at least one audit photograph; got none")
    refuse_bound(rule, setup.metric, setup.procedure.mixture, setup.procedure.scale)
    names = [name_of(path) for path in paths]
    photographs_of(rule, names, request.tiles)
    check_groups(request.groups, names)
    job = Job.of_photographs(
        setup,
        paths,
        terms,
        models=calibration.vendor_models,
        pixel_bytes=audit_bytes_a_pixel(len(levels)),
    )
    _refuse_known(job.pictures, calibration)
    job.confirm()
    keep = crops or WorstCrops(0)
    measure = Measure(rule, request.curves, levels, tolerance_of(rule), on_picture, keep.most > 0)
    ending = None
    if stop and not setup.adapter.capabilities.local:
        audited, answers, ending = _until_settled(job, measure, request, keep)
    else:
        audited, answers = [], []
        _measure(job, measure, audited, answers, keep, len(job.pictures))
    audited.sort(key=lambda picture: picture.truth)
    photographs = photographs_of(rule, [picture.name for picture in audited], request.tiles)
    thresholds = [rule.threshold(request.curves, alpha) for alpha in levels]
    drift = drifted(calibration, answers, thresholds, request.group) if photographs is None else None
    audit = conclude(
        calibration,
        rule,
        levels,
        audited,
        clusters=photographs,
        stop=ending,
        first_look=is_first_look(job.folder, [picture.truth for picture in audited]),
        groups=request.groups,
        calls=job.calls,
        cached=job.cached,
    )
    return replace(audit, drift=drift)


def _until_settled(
    job: Job, measure: Measure, request: AuditRequest, keep: WorstCrops
) -> tuple[list[AuditedPicture], list[Answers], AuditStop]:
    """Draw and measure photographs in turn until the audit is settled, or none is left."""
    audited: list[AuditedPicture] = []
    answers: list[Answers] = []
    turns = PhotographTurns(job, request.tiles)
    stopping = Stopping(request.calibration, request.rule, request.levels, request.tiles)
    for batch in turns.batches(stopping):
        _measure(job.only(batch), measure, audited, answers, keep, len(job.pictures))
        stopping.look(audited)
    return audited, answers, stopping.stop(turns.given)


def _measure(
    job: Job,
    measure: Measure,
    audited: list[AuditedPicture],
    answers: list[Answers],
    keep: WorstCrops,
    given: int,
) -> None:
    """Draw and measure the pictures of `job`; `given`: how many there are in all."""
    with job.run(measure) as measured:
        for _, one in measured:
            audited.append(one.picture)
            answers.append(one.answers)
            for crop in one.crops:
                keep.offer(*crop)
            job.listeners.progress("auditing", len(audited), given)


def _refuse_known(pictures: Sequence[Prepared], calibration: Calibration) -> None:
    """Refuse photographs that calibration or tuning has seen, and copies of them."""
    sources = [(picture, calibration.known(picture.sketch, picture.input_digest)) for picture in pictures]
    used = [(picture, source) for picture, source in sources if source is not None]
    if used:
        name, source = printable(used[0][0].name), used[0][1]
        which = "" if source == f"calibration photograph {name}" else f", which is {source}"
        raise CalibrationError(
            f"expected photographs that calibration has not seen; {len(used)} of {len(pictures)} were used for it, "
            f"first {name}{which}. Leave them out"
        )


def audit_splits(
    calibration: Calibration,
    alphas: Sequence[float] | None = None,
    *,
    audited: Audit | None = None,
    splits: int = 100,
    share: float | None = None,
    seed: int = 0,
    guarantee: str | Guarantee | None = None,
    group: str | None = None,
    tiles: Mapping[str, str] | None = None,
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
    guarantee, group, tiles
        As for `AuditRequest`; tiles are split whole.

    Raises
    ------
    UsageError
        Random splits say nothing of the guarantee; says why.
    """
    rule = audited_rule(calibration, guarantee, group, tiles)
    curves = calibration.curves_for(rule)
    alphas = alphas or levels_together(rule) or audited_levels(calibration.bound_for(rule))
    error = error_in_words(calibration.procedure.metric)
    if audited is None:
        share = 0.7 if share is None else share
        return split_audit(rule, curves, alphas, splits=splits, share=share, seed=seed, error=error)
    names = [picture.name for picture in audited.pictures]
    photographs = photographs_of(rule, names, tiles)
    rule.refuse_unclaimed(photographs is not None)
    together = CurveSet.from_curves([*curves, *(picture.curve for picture in audited.pictures)])
    extended, calibrating = rule.extended(photographs, len(names))
    return split_audit(
        extended,
        together,
        alphas,
        splits=splits,
        n_calibration=(calibrating or len(curves)) if share is None else None,
        share=share or 0.7,
        seed=seed,
        error=error,
    )
