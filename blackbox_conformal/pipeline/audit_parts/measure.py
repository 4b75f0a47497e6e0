"""One audited photograph: its loss at every level, and what lies inside and outside its masks.

What follows from all of them lives in `conclude`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from blackbox_conformal.audits.findings import AuditedPicture
from blackbox_conformal.audits.quality import NO_PIXELS, QualityMaps
from blackbox_conformal.audits.worst_pixels import Place, worst_place
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.guarantees.instance_bound import rule_for_picture
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.pipeline.audit_parts.worst_crops import WorstCrops
from blackbox_conformal.pipeline.job import Job, Ready
from blackbox_conformal.pipeline.stages.evaluate import Evaluation, evaluate
from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.trust import trusted
from blackbox_conformal.types import Image, Map, Mask

Levels = Sequence[tuple[float, float]]
"""(alpha, threshold) pairs."""

OnPicture = Callable[[Prepared, Evaluation, Image, Image, Map, RiskCurve, Levels], None]
"""Called with an audited picture, its evaluation, its truth, the vendor's input, its error map, its curve and the
thresholds that its masks were made with."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Measures each photograph of a job.

    Attributes
    ----------
    rule, curves, levels
        The guarantee, the calibration's curves, and the levels at which masks are made.
    tolerance
        The error above which a trusted pixel is wrong, for guarantees on shares of the picture.
    on_picture
        Gets each photograph's pixels and maps, in worker threads.
    crops
        Keeps the surroundings of the worst pixels.
    """

    job: Job
    rule: Guarantee
    curves: CurveSet
    levels: Sequence[float]
    tolerance: float | None
    on_picture: OnPicture
    crops: WorstCrops | None

    def __call__(self, ready: Ready) -> tuple[AuditedPicture, Answers]:
        """What is measured on one photograph, and what the answers to it were like."""
        picture, metric = ready.drawn.prepared, self.job.setup.metric
        if ready.drawn.refusal is not None:
            worst = RiskCurve.worst(metric.bound, tolerance=self.tolerance)
            thresholds = [self.rule.threshold(self.curves, alpha) for alpha in self.levels]
            return _refused(picture, worst, thresholds), Answers.unknown(1)
        truth = self.job.truth(picture, "audited")
        low = degrade(truth, self.job.setup.procedure.scale)
        found = evaluate(ready.drawn, self.job.setup, ready.read, low, ready.second)
        errors = metric.map(truth, found.delivered)
        curve = RiskCurve.from_maps(found.indecision, errors, bound=metric.bound, tolerance=self.tolerance)
        own = rule_for_picture(self.rule, metric, found.delivered, found.low_resolution, found.indecision)
        thresholds = [own.threshold(self.curves, alpha) for alpha in self.levels]
        self.on_picture(picture, found, truth, low, errors, curve, list(zip(self.levels, thresholds, strict=True)))
        quality = QualityMaps(truth, found.delivered, metric)
        masks = [trusted(found.indecision, threshold) for threshold in thresholds]
        places = [worst_place(errors, mask) for mask in masks]
        losses = [curve.loss(threshold) for threshold in thresholds]
        self._offer(picture, found.delivered, truth, losses, places, masks)
        assert picture.truth_digest is not None
        audited = AuditedPicture(
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
        return audited, found.answers

    def _offer(
        self,
        picture: Prepared,
        delivered: Image,
        truth: Image,
        losses: Sequence[float],
        places: Sequence[Place | None],
        masks: Sequence[Mask],
    ) -> None:
        """Offer the surroundings of the worst trusted pixels to `crops`."""
        assert picture.truth_digest is not None
        for alpha, loss, place, mask in zip(self.levels, losses, places, masks, strict=True):
            if self.crops is not None and place is not None and loss > 0:
                digest = picture.truth_digest
                self.crops.offer(alpha, loss, picture.name, digest, place, (delivered, truth), mask)


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
