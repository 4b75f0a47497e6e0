"""Photographs and a vendor in, a calibration out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.calibration_images import CalibrationImage, KnownPhotograph
from blackbox_conformal.method.images.duplicates import Distinct
from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import DETAIL, Kind, Losses, RiskCurve
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, WholeErrors
from blackbox_conformal.study.calibrate.calibrated_rule import check_beside, checked_rule, stored_losses
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.looked_at import together
from blackbox_conformal.study.plan.planning import plan_job
from blackbox_conformal.study.run_folder import write_manifest
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.study.stages.evaluate import calibration_curves
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.support.text import printable


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A calibration and what it took."""

    calibration: Calibration
    calls: int
    cached: int
    cost_usd: Decimal
    failed: int


def calibrate_job(
    job: Job,
    *,
    guarantee: str | Guarantee | None = None,
    alpha: float | None = None,
    groups: Mapping[str, str] | None = None,
    tiles: Mapping[str, str] | None = None,
    tuning: Sequence[KnownPhotograph] = (),
    overruled: int = 0,
) -> CalibrationRun:
    """Draw what is missing of a job's photographs, compute their curves and put the calibration together.

    Parameters
    ----------
    guarantee, alpha
        None: the usual one; a level that the photographs have to be enough for, None: none is checked.
    groups, tiles
        The stem of a photograph's file → its group, or the photograph that it is a tile of; every tile needs an entry.
    tuning
        Photographs that choices were made on.
    overruled
        How many photographs of the job were looked at, of which the user said that nothing was chosen by them.
    """
    setup, promised = job.setup, job.setup.promised(guarantee)
    rule = _checked(job, promised, alpha, groups, tiles)
    tuning = together(tuning, setup.score.taught_by)
    _refuse_tuning(job.pictures, tuning)
    job.confirm(lambda: plan_job(job, rule))
    specification, known = promised.specification(), {one.truth for one in tuning}
    history = write_manifest(job.folder, setup, job.pictures, known, overruled, guarantee=specification)
    found = _measured(job, rule, groups or {}, tiles or {})
    images, inputs, families, answers, squares, whole = zip(*found, strict=True)
    errors, *others = map(list, zip(*families, strict=True))
    refused = _refuse_useless(job, images, errors)
    calibration = Calibration.from_curves(
        setup.procedure,
        setup.metric.capped_bound,
        images,
        errors,
        **_by_field(others),
        guarantee=specification,
        answers=answers,
        squared_errors=squares,
        whole_errors=whole,
        inputs=inputs,
        tuning=tuning,
        vendor_models=tuple(sorted(job.vendor_models)),
        history=history,
    )
    return CalibrationRun(calibration, job.calls, job.cached, job.cost_usd, refused)


def _by_field(others: Sequence[list[RiskCurve]]) -> dict[str, list[list[RiskCurve]]]:
    """Curves beside those of the largest error, under the name of the field that holds such ones."""
    kinds: dict[str, tuple[Kind, ...]] = {
        "shares": ("share",),
        "all_but": ("all-but",),
        "local": ("local",),
        "detail": DETAIL,
    }
    return {name: [curves for curves in others if curves[0].kind in of_field] for name, of_field in kinds.items()}


def _checked(
    job: Job,
    promised: Guarantee,
    alpha: float | None,
    groups: Mapping[str, str] | None,
    tiles: Mapping[str, str] | None,
) -> Guarantee:
    names = [picture.name for picture in job.pictures]
    rule = checked_rule(names, job.setup, promised, alpha, groups, tiles)
    # With too few photographs for what is promised beside, nothing could be trusted at any level.
    check_beside(rule, len(names), job.setup.metric.capped_bound)
    return rule


_Measured = tuple[list[RiskCurve], Answers, SquaredErrors, WholeErrors]
_Found = tuple[CalibrationImage, InputStatistics, list[RiskCurve], Answers, SquaredErrors, WholeErrors]


def _measured(job: Job, rule: Guarantee, groups: Mapping[str, str], tiles: Mapping[str, str]) -> list[_Found]:
    """What calibrates of each photograph, in arrival order; its curves are of errors, shares and parts left out."""
    found: list[_Found] = []
    with job.run(partial(_measure, stored_losses(rule, job.setup))) as measured:
        for drawn, seen in measured:
            group = job.setup.procedure.ends_at(drawn.asked) or groups.get(drawn.prepared.name)
            found.append((_image(drawn, group, tiles), drawn.prepared.statistics, *seen))
            job.listeners.progress("calibrating", len(found), len(job.pictures))
    if not found:
        raise CalibrationError("expected photographs that the cascade's rule passes on; it passes on none of these")
    return found


def _measure(losses: Losses, ready: Ready) -> _Measured:
    """What `calibration_curves` gives of one photograph; the worst of a refused one, of which nothing else is known."""
    setup = ready.setup
    if ready.drawn.refusal is not None:
        worst = losses.worst(setup.metric.capped_bound)
        return worst, Answers.unknown(1), SquaredErrors.unknown(1), WholeErrors.refused()
    truth, low = ready.truth_and_input("calibrated")
    return calibration_curves(ready.drawn, setup, ready.read, truth, low, losses, ready.second)


def _refuse_useless(job: Job, images: Sequence[CalibrationImage], errors: Sequence[RiskCurve]) -> int:
    """How many photographs the vendor refused, unless it refused them all, or answers show no error at all."""
    refused = sum(image.refused is not None for image in images)
    if refused == len(images):
        raise CalibrationError(
            f"the vendor refused all {refused} photographs: {str(images[0].refused).removesuffix('.')}. If a setting "
            f"such as the address or the model was wrong, correct it. Refusals count until `blackbox-conformal ledger "
            f"reopen --state refused --run {job.folder}` has these draws asked for again"
        )
    if job.setup.adapter.capabilities.local and not any(curve.losses.any() for curve in errors):
        raise CalibrationError(
            "expected answers that differ from the photographs; all are equal to them, so that everything would be "
            "trusted. Name the folder of the vendor's answers with -p path=FOLDER, and not that of the photographs"
        )
    return refused


def _refuse_tuning(pictures: Sequence[Prepared], tuning: Sequence[KnownPhotograph]) -> None:
    tuned_on = Distinct(("a tuning photograph", photograph.as_sketch) for photograph in tuning)
    leaked = [picture.name for picture in pictures if tuned_on.twin(picture.sketch) is not None]
    if leaked:
        raise CalibrationError(
            f"{len(leaked)} of these photographs were used for tuning and cannot calibrate, first "
            f"{printable(leaked[0])}. Leave them out, by --tuning FILE (tuning=FILE in Python) where a FILE "
            "names them"
        )


def _image(drawn: Drawn, group: str | None, tiles: Mapping[str, str]) -> CalibrationImage:
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
        reopened=drawn.reopened,
        group=group,
        cluster=tiles.get(picture.name),
        fitted=picture.fitted,
        kind=picture.kind,
    )
