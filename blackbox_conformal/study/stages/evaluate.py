"""Make of draws the delivered picture and its score map; with the truth, also its error map and risk curves.

One draw is read at a time, so memory does not grow with their number.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import PayloadError, UsageError
from blackbox_conformal.method.aligned import aligned
from blackbox_conformal.method.audits.detail_shares import REFERENCE, TRUTH, VENDOR, DetailMeter, Measured, energies_of
from blackbox_conformal.method.audits.drift import drift
from blackbox_conformal.method.audits.mask_worth import DetailByScore
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.facts.levels import PairSizes
from blackbox_conformal.method.images.bands import is_deep
from blackbox_conformal.method.images.picture import is_blank
from blackbox_conformal.method.images.reference import agreement
from blackbox_conformal.method.images.resemblance import Resemblance, Sent
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.method.kernels.spectra import moments_of
from blackbox_conformal.method.metrics._detail import hides
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.pair_facts import pair_sizes
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.method.risk.curve import Losses, RiskCurve
from blackbox_conformal.method.risk.whole_errors import (
    LEAST,
    Errors,
    SquaredErrors,
    Twentieths,
    WholeErrors,
    whole_errors,
)
from blackbox_conformal.method.safe_pictures import may_be_shown, picture_to_show
from blackbox_conformal.method.scores.score import Context, Score
from blackbox_conformal.study.stages.draws import (
    Drawn,
    DrawnPicture,
    drawn_picture,
    equal_draws,
    incomplete,
    must_differ,
)
from blackbox_conformal.study.stages.memory import give_back
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, known_picture
from blackbox_conformal.support.text import clean
from blackbox_conformal.support.types import Image, Map

MEASURED = 1024
"""Pixels a side of a picture's middle, the part that measures agreement and what may be shown outside masks."""


_COMPARED = {VENDOR: "delivered", REFERENCE: "reference"}  # Pictures whose detail is measured.


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The delivered picture and its score map, from the draws of one picture."""

    delivered: Image  # (H, W, 3) uint8; with declared bands every picture is (H, W, bands) uint16.
    draw: int | None  # Index of the delivered draw, as it is, aligned or made consistent; None for the mean.
    score_map: Map  # (H, W) float32.
    model: str | None  # The vendor's name of the model, or of several; None when it gives none.
    notes: tuple[str, ...]  # Notes for a reader: lossy answers, blank answers.
    low_resolution: Image  # What the vendor was sent: (h, w, 3) uint8.
    answers: Answers  # How the draws compare with what was sent.
    judged: bool  # Whether every draw is known to show what was sent; else no pixel is trusted.
    context: Context  # The score's data besides the draws.


def evaluate(
    drawn: Drawn,
    setup: Setup,
    read: Callable[[int], bytes],
    low_resolution: Image,
    second: Image | None = None,
    *,
    on_draw: Callable[[Image], None] = lambda _: None,
) -> Evaluation:
    """Return delivered picture and score map from draws and their input, (h, w, 3) uint8.

    `on_draw` gets each draw, (H, W, 3) uint8.
    """
    procedure = setup.procedure
    height, width = drawn.prepared.size
    accumulator = setup.score.start((height, width))
    moments: Moments | None = None
    first: Image | None = None
    all_equal = True
    notes: dict[str, None] = {}
    fits: list[Resemblance] = []
    sent = setup.sent(low_resolution)
    give_back(drawn.prepared.size)
    for index in range(procedure.draws):
        pixels = _decode(drawn, setup, read, index, sent, notes, fits)
        if first is None:
            first = pixels
        # Nearly all different pictures differ in the first rows.
        if index and all_equal:
            all_equal = all(
                np.array_equal(pixels[top : top + 64], first[top : top + 64]) for top in range(0, height, 64)
            )
        accumulator.update(pixels)
        on_draw(pixels)
        if procedure.delivery in ("mean", "medoid"):
            moments = moments or moments_of((height, width), pixels)
            moments.add(pixels)
        del pixels  # Room for the next.
    if all_equal and must_differ(setup) and not is_blank(low_resolution):
        raise equal_draws(drawn.prepared.name, procedure.draws)
    assert first is not None
    if moments is None:
        draw, delivered = 0, setup.delivered(first, low_resolution)
    else:
        draw, delivered = None, moments.mean_image()
    if procedure.delivery == "medoid":
        # The draw nearest to the rounded mean, the first of several: up to rounding the squared-distance medoid.
        mean, least = delivered, -1
        for index, pixels in enumerate(decoded_draws(drawn, setup, read, low_resolution)):
            wide: Any = np.int64 if is_deep(pixels) else np.int32
            distance = int(np.square(pixels.astype(wide) - mean).sum(dtype=np.int64))
            if least < 0 or distance < least:
                draw, delivered, least = index, pixels, distance
    context = setup.context(delivered, low_resolution, second)
    score_map = accumulator.finish(context)
    if procedure.delivery == "aligned":
        # No score is above 1, see `settings`.
        score_map[aligned(first, low_resolution)[1]] = 1
    model = ", ".join(sorted({model for outcome in drawn.outcomes for model in outcome.models})) or None
    agreed = math.nan
    if (degraded := setup.score.reference_degraded) is not None:
        middle, *_ = context.middle(MEASURED)
        assert middle.low_resolution is not None
        agreed = agreement(middle.delivered, middle.reference(degraded=degraded), middle.low_resolution)
    answers = Answers.of([fit.edges for fit in fits], [fit.difference for fit in fits], score_map, agreed)
    judged = all(fit.judged for fit in fits)
    return Evaluation(delivered, draw, score_map, model, tuple(notes), low_resolution, answers, judged, context)


def calibration_curves(
    drawn: Drawn,
    setup: Setup,
    read: Callable[[int], bytes],
    truth: Image,
    low_resolution: Image,
    losses: Losses,
    second: Image | None = None,
) -> tuple[list[RiskCurve], Answers, WholeErrors, PairSizes, SquaredErrors, DetailByScore]:
    """Return one photograph's risk curves, answers, errors of the whole, differences, and sums by score."""
    sizes: list[PairSizes] = []

    def compare(draw: Image) -> None:
        if not sizes:
            sizes.append(pair_sizes(low_resolution, draw))

    evaluation = evaluate(drawn, setup, read, low_resolution, second, on_draw=compare)
    errors, energies, curves = curves_of(evaluation, setup, truth, losses)
    whole = errors_of_whole(evaluation, setup, truth, errors)
    return curves, evaluation.answers, whole, sizes[0], *_by_score(evaluation, setup, truth, energies)


def _by_score(
    evaluation: Evaluation, setup: Setup, truth: Image, energies: Energies | None
) -> tuple[SquaredErrors, DetailByScore]:
    """Measure the middle of a large photograph alone, since only a mean over photographs is used.

    The free reference of the whole would take longer than all the rest.
    """
    procedure, (middle, rows, columns) = setup.procedure, evaluation.context.middle(MEASURED)
    assert middle.low_resolution is not None
    # The score may have made the reference already.
    pictures = {
        name: middle.reference(degraded=not procedure.mixture.linear)
        if name == "reference"
        else picture_to_show(name, middle.delivered, middle.low_resolution, procedure.mixture)
        for name in may_be_shown(procedure.mixture, procedure.scale, procedure.delivery, deep=is_deep(truth))
    }
    by, original = Twentieths.of(evaluation.score_map[rows, columns]), truth[rows, columns]
    compared = {said: pictures[name] for said, name in _COMPARED.items() if name in pictures} | {TRUTH: original}
    known = []
    if energies is not None:
        del compared[VENDOR]
        known.append((VENDOR, Energies(*(energy[rows, columns] for energy in energies))))
    known += energies_of(original, middle.low_resolution, compared, procedure.mixture)
    return SquaredErrors.of(by, original, pictures.items()), DetailByScore.of(by, known)


def errors_of_whole(evaluation: Evaluation, setup: Setup, truth: Image, errors: Map) -> WholeErrors:
    """Return the delivered picture's errors from the truth (`errors`: the error map) and from the known picture."""
    known = known_errors(evaluation.context, setup.score, setup.metric, setup.procedure.mixture)
    return WholeErrors.of(whole_errors(truth, evaluation.delivered, _mean(errors, setup.metric)), known)


def known_errors(context: Context, score: Score, metric: Metric, mixture: Mixture) -> Errors:
    """Return the delivered picture's errors from a picture known without the truth, plus `LEAST`.

    The known picture is the free reference if the score makes it, else plain enlargement, at scale 1 the input. A
    metric that needs the truth counts 1.
    """
    delivered, low = context.delivered, context.low_resolution
    assert low is not None
    known = known_picture(context, score.reference_degraded, mixture)
    if metric.reads_pictures:
        mean = _mean(metric.capped(metric.errors(known, delivered, low, mixture)), metric)
        return whole_errors(known, delivered, mean) + LEAST
    found = whole_errors(known, delivered, 0.0) + LEAST
    found[2] = 1.0
    return found


def _mean(errors: Map, metric: Metric) -> float:
    return min(1.0, float(errors.mean(dtype=np.float64)) / metric.capped_bound)


def curves_of(
    evaluation: Evaluation, setup: Setup, truth: Image, losses: Losses
) -> tuple[Map, Energies | None, list[RiskCurve]]:
    """Return error map and energies, if curves need them, of a photograph, and its curves: largest error, `losses`."""
    pixels = truth, evaluation.delivered, evaluation.low_resolution
    errors, energies = (setup.errors(*pixels), None) if losses.ceiling is None else setup.judged(*pixels)
    return errors, energies, losses.curves(evaluation.score_map, errors, energies, setup.metric.capped_bound)


def claim_meter(setup: Setup) -> Callable[[Ready], Measured]:
    """Return what measures the detail of one answered photograph, for a vendor's claim; empty if it was refused."""
    if hides(setup.procedure.mixture):
        raise UsageError(
            "expected inputs without holes, since whatever fills a hole is added detail; leave the step "
            "that makes them out of --degradation"
        )
    meter = DetailMeter(setup.procedure.mixture)

    def measure(ready: Ready) -> Measured:
        if ready.drawn.refusal is not None:
            return {}
        truth, low = ready.truth_and_input("audited")
        delivered = evaluate(ready.drawn, ready.setup, ready.read, low).delivered
        return meter(ready.drawn.prepared.truth_digest or "", truth, low, delivered)

    return measure


def decoded_draws(drawn: Drawn, setup: Setup, read: Callable[[int], bytes], low_resolution: Image) -> Iterator[Image]:
    """Give the draws of a picture in order, each (H, W, 3) uint8 on the delivered grid."""
    sent = setup.sent(low_resolution)
    for index in range(setup.procedure.draws):
        yield _decode(drawn, setup, read, index, sent, {}, [])


def _decode(
    drawn: Drawn,
    setup: Setup,
    read: Callable[[int], bytes],
    index: int,
    upright: Sent,
    notes: dict[str, None],
    fits: list[Resemblance],
) -> Image:
    def picture_of(k: int) -> DrawnPicture:
        sent = upright
        if setup.perturbation is not None:
            sent = setup.sent(setup.perturbation.apply(upright.pixels, k))
        return drawn_picture(read(k), drawn.prepared.tasks[k], setup, sent)

    try:
        answer = picture_of(index)
    except PayloadError:
        if not setup.adapter.capabilities.local:
            raise
        # All that are no pictures, from this one on; finding them earlier would decode twice.
        invalid = []
        for outcome in drawn.outcomes[index:]:
            try:
                picture_of(outcome.task.index)
            except PayloadError as error:
                invalid.append(replace(outcome, state="invalid", error=PayloadError(clean(str(error)))))
        raise incomplete(invalid, local=True) from None
    notes.update(dict.fromkeys(answer.notes))
    fits.append(answer.resemblance)
    if setup.perturbation is None:
        return answer.pixels
    return setup.perturbation.undo(answer.pixels, index, setup.procedure.scale)


def drifted(
    calibration: Calibration, answers: Sequence[Answers], thresholds: Sequence[float], group: str | None
) -> str | None:
    """Say how answers to new pictures differ from the calibration's, or from its `group`'s; None: they do not.

    Where tiles calibrated, nothing can be said: tiles of one photograph are more alike than photographs.
    """
    if any(image.cluster is not None for image in calibration.images):
        return None
    rows = [row for row, image in enumerate(calibration.images) if group in (None, image.group)]
    return drift(calibration.answers[rows], Answers.together(answers), thresholds)
