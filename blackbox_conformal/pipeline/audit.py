"""A calibration measured on photographs that it has not seen.

The tests live in `audit.verdict`; drawing is the same as at calibration.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.audit.claim import claim
from blackbox_conformal.audit.permutation import resplit_risks
from blackbox_conformal.audit.quality import peak_signal_to_noise
from blackbox_conformal.audit.verdict import Judgement, Verdict, judge, overall
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.photographs import find_photographs
from blackbox_conformal.pipeline.calibrate import run_folder, tolerance_of
from blackbox_conformal.pipeline.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.plan import refuse_unlimited
from blackbox_conformal.pipeline.prepare import Prepared, prepare_photographs, read_truth
from blackbox_conformal.pipeline.second import second_opinions
from blackbox_conformal.pipeline.settings import set_up_as
from blackbox_conformal.pipeline.warming import warming
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.types import Image, Map

DEFAULT_LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3)

OnPicture = Callable[[Prepared, Evaluation, Image, Image, Map, RiskCurve], None]
"""Called with an audited picture, its evaluation, its truth, the vendor's input, its metric map and its curve."""


@dataclass(frozen=True, slots=True)
class AuditedPicture:
    """One audit photograph: its curve, and at each level its loss, trusted share and PSNR (dB) inside the mask."""

    name: str
    truth: str
    curve: RiskCurve
    losses: tuple[float, ...]
    shares: tuple[float, ...]
    psnr_trusted: tuple[float, ...]
    psnr_all: float


@dataclass(frozen=True, slots=True)
class AuditedLevel:
    """What the audit says at one level; PSNRs are means over the pictures whose mask is not empty."""

    alpha: float
    threshold: float
    judgement: Judgement
    trusted_share: float
    empty_share: float
    psnr_trusted: float
    psnr_all: float


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit of one calibration on n photographs."""

    n: int
    levels: tuple[AuditedLevel, ...]
    verdict: Verdict
    pictures: tuple[AuditedPicture, ...]
    calls: int
    cached: int


def audit_calibration(
    adapter: Adapter,
    images: str | Path | Sequence[str | Path],
    calibration: Calibration,
    alphas: Sequence[float] = DEFAULT_LEVELS,
    *,
    second: Adapter | None = None,
    run: str | Path | None = None,
    limits: Limits | None = None,
    seed: int = 0,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
    on_picture: OnPicture = lambda *_: None,
) -> Audit:
    """Measure `calibration` on unseen photographs; `on_picture` gets each one's pixels and maps, in worker threads.

    Raises
    ------
    CalibrationError
        A photograph was used for calibration or tuning, or one stands twice.
    ProcedureMismatchError
        The vendor or its settings are not those that were calibrated.
    """
    setup = set_up_as(adapter, calibration.procedure, second)
    rule = calibration.rule()
    refuse_unlimited(adapter, limits)
    sources = [images] if isinstance(images, (str, Path)) else list(images)
    paths = [photograph.path for photograph in find_photographs([Path(source) for source in sources])]
    if not paths:
        raise CalibrationError("expected at least one audit photograph; got none")
    pictures = prepare_photographs(paths, setup, seed, progress)
    _refuse_seen(pictures, calibration)
    levels = sorted(set(alphas))
    thresholds = [rule.threshold(calibration.curves_for(rule), alpha) for alpha in levels]
    audited: list[AuditedPicture] = []
    calls = cached = 0
    folder = Path(run) if run is not None else run_folder(Path("runs"), setup.procedure)
    limits = limits or Limits()
    with (
        warming(setup),
        second_opinions(setup, pictures, folder, limits, seed, listener, on_sampler) as opinions,
        Sampler(adapter, folder, limits, check=output_check(setup), listener=listener) as sampler,
    ):
        on_sampler(sampler)

        def work(drawn: Drawn) -> AuditedPicture:
            picture = drawn.prepared
            assert picture.path is not None
            truth, _ = read_truth(picture.path, setup.procedure.scale)
            if drawn.refusal is not None:
                worst = RiskCurve.worst(setup.fidelity.bound, tolerance=tolerance_of(rule))
                return _measured(picture, worst, thresholds, None)
            low = degrade(truth, setup.procedure.scale)
            opinion = opinions.of(picture)
            found = evaluate(drawn, setup, lambda k: sampler.read(drawn.outcomes[k]), low, opinion)
            fidelity = setup.fidelity.map(truth, found.delivered)
            curve = RiskCurve.from_maps(
                found.indecision, fidelity, bound=setup.fidelity.bound, tolerance=tolerance_of(rule)
            )
            on_picture(picture, found, truth, low, fidelity, curve)
            masks = [trusted(found.indecision, threshold) for threshold in thresholds]
            quality = [peak_signal_to_noise(truth, found.delivered, mask) for mask in masks]
            shares = [float(np.mean(mask)) for mask in masks]
            whole = peak_signal_to_noise(truth, found.delivered)
            return _measured(picture, curve, thresholds, (shares, quality, whole))

        for drawn, one in map_pictures(drawn_pictures(sampler, pictures), work):
            audited.append(one)
            cached += sum(outcome.cached for outcome in drawn.outcomes)
            calls += sum(not outcome.cached for outcome in drawn.outcomes)
            progress("auditing", len(audited), len(pictures))
    audited.sort(key=lambda one: one.truth)
    return conclude(calibration, rule, levels, audited, calls, cached)


def conclude(
    calibration: Calibration,
    rule: Guarantee,
    levels: Sequence[float],
    audited: Sequence[AuditedPicture],
    calls: int = 0,
    cached: int = 0,
) -> Audit:
    """The verdicts that follow from audited pictures; no picture is read."""
    losses = np.array([one.losses for one in audited], dtype=np.float64)
    claims = [claim(rule, losses[:, index], alpha, calibration.bound_for(rule)) for index, alpha in enumerate(levels)]
    resplit = None
    if any(one.losses.mean() > one.level for one in claims):
        pooled = CurveSet.from_curves([*calibration.curves_for(rule), *(one.curve for one in audited)])
        resplit = resplit_risks(rule, pooled, calibration.n, levels)
    found = []
    for index, alpha in enumerate(levels):
        one = claims[index]
        judgement = judge(one.losses, one.level, one.bound, None if resplit is None else resplit[:, index])
        shares = np.array([one.shares[index] for one in audited])
        found.append(
            AuditedLevel(
                alpha=alpha,
                threshold=rule.threshold(calibration.curves_for(rule), alpha),
                judgement=judgement,
                trusted_share=float(shares.mean()),
                empty_share=float(np.mean(shares == 0)),
                psnr_trusted=_mean([one.psnr_trusted[index] for one in audited]),
                psnr_all=_mean([one.psnr_all for one in audited]),
            )
        )
    verdict = overall([one.judgement for one in found])
    return Audit(len(audited), tuple(found), verdict, tuple(audited), calls, cached)


def audit_json(found: Audit) -> dict[str, Any]:
    """The audit as scripts read it; NaN and infinities become null."""
    return {
        "n": found.n,
        "levels": [
            {
                "alpha": level.alpha,
                "risk": level.judgement.risk,
                "ci": list(level.judgement.interval),
                "p_value": level.judgement.p_value,
                "trusted_share": level.trusted_share,
                "empty_share": level.empty_share,
                "psnr_trusted": _finite(level.psnr_trusted),
                "psnr_all": _finite(level.psnr_all),
                "verdict": level.judgement.verdict,
            }
            for level in found.levels
        ],
        "verdict": found.verdict,
    }


def _measured(
    picture: Prepared,
    curve: RiskCurve,
    thresholds: Sequence[float],
    measured: tuple[list[float], list[float], float] | None,
) -> AuditedPicture:
    shares, quality, whole = measured or ([0.0] * len(thresholds), [math.nan] * len(thresholds), math.nan)
    assert picture.truth_digest is not None
    losses = tuple(float(curve.loss(threshold)) for threshold in thresholds)
    return AuditedPicture(picture.name, picture.truth_digest, curve, losses, tuple(shares), tuple(quality), whole)


def _refuse_seen(pictures: Sequence[Prepared], calibration: Calibration) -> None:
    known = {image.truth for image in calibration.images} | set(calibration.tuning)
    inputs = {image.input for image in calibration.images}
    seen = [picture for picture in pictures if picture.truth_digest in known or picture.input_digest in inputs]
    if seen:
        raise CalibrationError(
            f"expected photographs that calibration has not seen; {len(seen)} of {len(pictures)} were used for it, "
            f"first {printable(seen[0].name)}. Leave them out"
        )


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return float(np.mean(finite)) if finite else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
