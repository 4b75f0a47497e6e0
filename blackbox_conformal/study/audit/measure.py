"""Measure one audited photograph: losses at every level, quality inside and outside masks, and worst places."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox_conformal.errors import PayloadError
from blackbox_conformal.method.audits.clear_part import INPUT, details_of, squares_of
from blackbox_conformal.method.audits.detail_shares import PLAIN, REFERENCE, VENDOR, DetailMeter
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.known_facts import known_facts
from blackbox_conformal.method.audits.quality import NO_PIXELS, QualityMaps
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.guarantees.instance_bound import rule_for_picture
from blackbox_conformal.method.images.bands import rendered
from blackbox_conformal.method.images.encode import image_png, mask_png
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.trust import PixelPlace, trusted, window, worst_place
from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.method.safe_pictures import picture_to_show
from blackbox_conformal.study.stages.draws import Drawn
from blackbox_conformal.study.stages.evaluate import Evaluation, curves_of, errors_of_whole, evaluate
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.files import write_together
from blackbox_conformal.support.text import file_stem
from blackbox_conformal.support.types import Image, Map, Mask

CROP_SIDE = 128  # Sides of a crop in pixels.


@dataclass(frozen=True, slots=True)
class Crop:
    """The surroundings of one worst pixel."""

    # The photograph, and the digest of its pixels.
    name: str
    truth: str
    # Top left corner in the picture.
    row: int
    column: int
    # (h, w, 3) uint8.
    delivered: Image
    photograph: Image
    mask: Mask  # (h, w) bool, True = trusted.

    @classmethod
    def around(cls, place: PixelPlace, name: str, truth: str, pixels: tuple[Image, Image], mask: Mask) -> "Crop":
        """Cut out the surroundings of `place`; `pixels`: delivered picture and photograph, (H, W, 3) uint8 each."""
        rows, columns = window(place, (mask.shape[0], mask.shape[1]), CROP_SIDE)
        delivered, photograph = (np.ascontiguousarray(image[rows, columns]) for image in pixels)
        return cls(name, truth, rows.start, columns.start, delivered, photograph, mask[rows, columns].copy())


class WorstCrops:
    """The crops of the `most` photographs with the largest losses at each level."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: dict[float, list[tuple[float, float, str, int, Crop]]] = {}
        self._count = 0

    def offer(self, alpha: float, loss: float, error: float, crop: Crop) -> None:
        """Keep a crop if its picture's loss is among the largest at `alpha`."""
        worst = self._kept.setdefault(alpha, [])
        self._count += 1
        # The counter settles ties: crops themselves cannot be compared.
        entry = (loss, error, crop.truth, self._count, crop)
        if len(worst) < self.most:
            heapq.heappush(worst, entry)
        # The smallest of the kept ones lies in front: only it must be beaten.
        elif worst and (loss, error) > worst[0][:2]:
            heapq.heapreplace(worst, entry)

    def of(self, alpha: float) -> list[Crop]:
        """Return the crops at `alpha`, worst first."""
        return [
            entry[-1] for entry in sorted(self._kept.get(alpha, []), key=lambda entry: (-entry[0], -entry[1], entry[2]))
        ]

    def write(self, folder: Path, *, force: bool = False) -> dict[tuple[float, str], dict[str, Path]]:
        """Write every crop as ``alpha-<level>-<rank>-<name>-delivered.png``, ``-truth.png``, ``-mask.png``.

        Returns: The files by level and digest of the photograph.
        """
        contents: dict[Path, bytes] = {}
        files: dict[tuple[float, str], dict[str, Path]] = {}
        for alpha in sorted(self._kept):
            for rank, crop in enumerate(self.of(alpha), 1):
                start = f"alpha-{alpha:g}-{rank:02d}-{file_stem(crop.name)}"
                paths = {kind: folder / f"{start}-{kind}.png" for kind in ("delivered", "truth", "mask")}
                contents[paths["delivered"]] = image_png(rendered(crop.delivered))
                contents[paths["truth"]] = image_png(rendered(crop.photograph))
                contents[paths["mask"]] = mask_png(crop.mask)
                files[alpha, crop.truth] = paths
        write_together(contents, force=force)
        return files


Levels = Sequence[tuple[float, float]]  # (alpha, threshold) pairs.

OnPicture = Callable[[Prepared, Evaluation, Image, Image, Map, RiskCurve, Levels], None]
"""Called with an audited picture, evaluation, truth, vendor's input, error map, curve, and levels with thresholds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of one photograph."""

    picture: AuditedPicture
    answers: Answers
    # (level, loss, error, crop) of the worst trusted pixel at each level with a loss.
    crops: tuple[tuple[float, float, float, Crop], ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of photographs at the levels of an audit."""

    rule: Guarantee
    curves: CurveSet
    levels: Sequence[float]
    on_picture: OnPicture  # Gets each photograph's pixels and maps, in threads or on workers.
    crops: bool  # Whether crops are wanted.
    detail: DetailMeter | None = None  # Measures restored and invented detail; None: not asked.
    group: str | None = None  # See `AuditRequest`.
    # Tells the group that a picture is in by itself, by the last vendor asked, its input and its answers.
    group_by_itself: Callable[[int, str, Answers], str | None] = lambda *_: None

    def _is_elsewhere(self, drawn: Drawn, answers: Answers) -> bool:
        own = self.group_by_itself(drawn.asked, drawn.prepared.input_digest, answers)
        return self.group not in (None, own or self.group)

    def __call__(self, ready: Ready) -> Measured | None:
        """Measure a photograph; None: it is in another group by itself."""
        picture, setup, metric = ready.drawn.prepared, ready.setup, ready.setup.metric
        assert picture.truth_digest is not None
        if ready.drawn.refusal is not None:
            if self._is_elsewhere(ready.drawn, Answers.unknown(1)):
                return None
            worst, n = self._bounded(self.rule.losses.worst(metric.capped_bound)), len(self.levels)
            refused = AuditedPicture(
                picture.name,
                picture.truth_digest,
                worst,
                losses=self._worst_losses(setup),
                shares=(0.0,) * n,
                inside=(NO_PIXELS,) * n,
                outside=(NO_PIXELS,) * n,
                worst=(None,) * n,
                whole=NO_PIXELS,
                kind=picture.kind,
                ratios=tuple(WholeErrors.refused().ratios[0]),
            )
            return Measured(refused, Answers.unknown(1))
        truth, low = ready.truth_and_input("audited")
        evaluation = evaluate(ready.drawn, setup, ready.read, low, ready.second)
        if self._is_elsewhere(ready.drawn, evaluation.answers):
            return None
        # Before any map is made, while there is room.
        facts = known_facts(low, evaluation.delivered, truth)
        mixture = setup.procedure.mixture
        free = setup.procedure.scale > 1 and not setup.bands
        made = evaluation.context.reference(degraded=not mixture.linear) if free else None
        sums = {} if self.detail is None else self.detail(picture.truth_digest, truth, low, evaluation.delivered, made)
        errors, curve, rule, thresholds = self._masked(evaluation, setup, truth)
        self.on_picture(picture, evaluation, truth, low, errors, curve, list(zip(self.levels, thresholds, strict=True)))
        quality = QualityMaps(truth, evaluation.delivered, metric)
        masks = [trusted(evaluation.score_map, threshold) for threshold in thresholds]
        places = [worst_place(errors, mask) for mask in masks]
        losses, bound = [curve.loss(threshold) for threshold in thresholds], rule.own_bound
        # Where the loss is above the picture's own bound, no theorem covers it.
        broken = isinstance(bound, int | float) and any(loss > bound for loss in losses)
        if isinstance(bound, RiskCurve):
            # Both are staircases, so look just above each of the loss's steps. The curves are left-continuous: what
            # a step adds shows one float above it.
            steps = np.nextafter(curve.scores.astype(np.float64), np.inf)
            broken = bool((curve.loss(steps) > bound.loss(steps)).any())
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
            broken_bound=broken,
            kind=picture.kind,
            detail=sums,
            ratios=tuple(errors_of_whole(evaluation, setup, truth, errors).ratios[0]),
            squares=squares_of(truth, _pictures(evaluation, mixture, made), masks),
            clear_detail={} if made is None else details_of(truth, low, evaluation.delivered, made, masks, mixture),
            facts=facts,
        )
        pixels = evaluation.delivered, truth
        crops = tuple(
            (alpha, loss, place.error, Crop.around(place, picture.name, audited.truth, pixels, mask))
            for alpha, loss, place, mask in zip(self.levels, losses, places, masks, strict=True)
            if self.crops and place is not None and loss > 0
        )
        return Measured(audited, evaluation.answers, crops)

    def losses_of(self, ready: Ready) -> tuple[float, ...]:
        """Return the loss of a picture's mask at each level; the worst where the picture would be refused."""
        truth, low = ready.truth_and_input("audited")
        try:
            evaluation = evaluate(ready.drawn, ready.setup, ready.read, low)
        except PayloadError:
            return self._worst_losses(ready.setup)
        _, curve, _, thresholds = self._masked(evaluation, ready.setup, truth)
        return tuple(float(curve.loss(threshold)) for threshold in thresholds)

    def _masked(
        self, evaluation: Evaluation, setup: Setup, truth: Image
    ) -> tuple[Map, RiskCurve, Guarantee, list[float]]:
        """Return error map, risk curve, the picture's own guarantee and its threshold at each level."""
        errors, _, found = curves_of(evaluation, setup, truth, self.rule.losses)
        pixels = evaluation.delivered, evaluation.low_resolution, evaluation.score_map
        rule = rule_for_picture(self.rule, setup.metric, *pixels, setup.procedure.mixture)
        return errors, self._bounded(found), rule, [rule.threshold(self.curves, alpha) for alpha in self.levels]

    def _worst_losses(self, setup: Setup) -> tuple[float, ...]:
        worst = self._bounded(self.rule.losses.worst(setup.metric.capped_bound))
        return tuple(worst.loss(self.rule.threshold(self.curves, alpha)) for alpha in self.levels)

    def _bounded(self, curves: Sequence[RiskCurve]) -> RiskCurve:
        return next(curve for curve in curves if curve.kind == self.rule.needs.curve_kind)


def _pictures(evaluation: Evaluation, mixture: Mixture, made: Image | None) -> Iterator[tuple[str, Image]]:
    delivered, low = evaluation.delivered, evaluation.low_resolution
    yield VENDOR, delivered
    plain = INPUT if delivered.shape[:2] == low.shape[:2] else PLAIN
    yield plain, picture_to_show("enlargement", delivered, low, mixture)
    if made is not None:
        yield REFERENCE, made
