"""Make one procedure, with score, metric and vendor, from a user's choices, each checked against the others."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blackbox_conformal.documents.procedure import Fit, Procedure, SeedPolicy, delivery_rule
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.aligned import aligned
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.reduction import Reduction
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.bands import Bands, rendered
from blackbox_conformal.method.images.encode import image_png, upload_png
from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image, read_output
from blackbox_conformal.method.images.resemblance import Sent
from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.metrics._detail import hides
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import DEFAULT_TOLERANCE
from blackbox_conformal.method.risk.whole_errors import foretold_psnr, squared_errors
from blackbox_conformal.method.safe_pictures import back_projected, picture_to_show
from blackbox_conformal.method.scores.score import Context, Score, accumulated_map
from blackbox_conformal.study.stages.defaults import (
    DEFAULT_DRAWS,
    DEFAULT_METRIC,
    DETAIL_GUARANTEE,
    ERROR_GUARANTEE,
    SEVERAL_DRAWS,
    default_score,
)
from blackbox_conformal.study.stages.uploads import SourcedUpload, sent_pixels
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.types import Image, Map
from blackbox_conformal.vendor.adapter import FORETOLD_PSNR, Adapter, Box, Capabilities, Pasted, Upload


@dataclass(frozen=True, slots=True)
class Setup:
    """A procedure together with the objects that carry it out."""

    adapter: Adapter
    procedure: Procedure
    score: Score
    metric: Metric
    perturbation: Perturbation | None
    second: Adapter | None = None
    beside: tuple[Capabilities, ...] = ()  # Limits of further vendors that are to get the same pictures.

    @property
    def bands(self) -> Bands | None:
        """Return the declared meaning of pictures' numbers; None: 8-bit sRGB."""
        return self.procedure.bands

    @property
    def limits(self) -> tuple[Capabilities, ...]:
        """Return the limits of every vendor that gets the photographs, which must fit them all."""
        vendors = [vendor for vendor in (self.adapter, self.second) if vendor is not None]
        return (*(vendor.capabilities for vendor in vendors), *self.beside)

    def input_of(self, name: str, truth: Image, digest: str) -> Image:
        """Return a photograph's input, (h, w, 3) uint8, as given or made; parameters as `Procedure.degraded`."""
        file = self.adapter.given_input(name)
        if file is None:
            return self.procedure.degraded(truth, digest)
        low, scale, mixture = read_image(file, bands=self.bands).pixels, self.procedure.scale, self.procedure.mixture
        height, width = truth.shape[0] // scale, truth.shape[1] // scale
        if low.shape != (height, width, truth.shape[2]):
            raise ImageError(
                f"expected an input of {width}×{height} pixels beside a photograph {scale} times as large; got "
                f"{low.shape[1]}×{low.shape[0]}. Give the one that belongs to it, or another scale"
            )
        if not (mixture.given or np.array_equal(low, self.procedure.degraded(truth, digest))):
            raise UsageError(
                f"expected the input that {mixture.text} makes of the photograph; another one was given. Name the "
                "degradation that made it, or --degradation given if none is known"
            )
        return low

    def context(self, delivered: Image, low_resolution: Image, second: Image | None) -> Context:
        """Return a picture's context, which a score sees besides its draws."""
        procedure = self.procedure
        return Context(delivered, low_resolution, procedure.scale, second, procedure.mixture.linear_part())

    @property
    def usual_guarantee(self) -> str:
        """Return the promise where no guarantee is named.

        It is about invented detail if the score is a share of detail and the metric is the usual one; else about
        errors.
        """
        detail = self.score.is_share and _shows_detail(self.metric, self.procedure.mixture)
        return DETAIL_GUARANTEE if detail else ERROR_GUARANTEE

    def promised(self, guarantee: str | Guarantee | None) -> Guarantee:
        """Return the named guarantee, or the usual one."""
        rule: Guarantee = member("guarantees", guarantee or self.usual_guarantee)
        return rule.naming(DEFAULT_TOLERANCE)

    def errors(self, truth: Image, delivered: Image, low_resolution: Image) -> Map:
        """Return a photograph's error map, (H, W) float32, capped; its input is `low_resolution`."""
        return self.metric.capped(self.metric.errors(truth, delivered, low_resolution, self.procedure.mixture))

    def judged(self, truth: Image, delivered: Image, low_resolution: Image) -> tuple[Map, Energies]:
        """Return the error map as `errors` does, and energies of detail."""
        energies = self.detail_metric.energies(truth, delivered, low_resolution, self.procedure.mixture)
        if self.metric.counts_detail:
            return self.metric.capped(energies.share), energies
        return self.errors(truth, delivered, low_resolution), energies

    @property
    def detail_metric(self) -> Metric:
        """Return the metric if it counts invented and added detail, else `invention`."""
        if self.bands:
            raise UsageError(
                "expected a guarantee about errors for pictures of declared bands; got one about detail, which is "
                "counted in sRGB. Give --guarantee expected"
            )
        return self.metric if self.metric.counts_detail else member("metrics", "invention")

    def delivered(self, draw: Image, low_resolution: Image) -> Image:
        """Return a draw as delivered: moved to where its input lies, made consistent with it, or as it is."""
        if self.procedure.delivery == "aligned":
            return aligned(draw, low_resolution)[0]
        steps = self.procedure.back_projections
        return back_projected(draw, low_resolution, self.procedure.mixture.linear_part(), steps) if steps else draw

    def sent(self, pixels: Image) -> Sent:
        """Return the upload `pixels`, (h, w, 3) uint8, that answers must resemble, except where it shows nothing."""
        return Sent(rendered(pixels), None if self.bands else self.procedure.mixture.hidden(pixels))

    def with_score(self, score: Score, draws: int, delivery: str | None = None) -> "Setup":
        """Return the set-up with another score and number of draws, and a second vendor where the score needs it.

        `delivery`: another rule of delivery; None keeps this one.
        """
        second = self.second if score.needs_second else None
        settings = {**_settings(self.procedure), "draws": draws, "delivery": delivery or self.procedure.delivery}
        return set_up(self.adapter, score=score, metric=self.metric, second=second, **settings)

    def with_stand_in(self, stand_in: Adapter) -> "Setup":
        """Return the set-up with another vendor, which gets only what fits this one's vendor, too."""
        settings = _settings(self.procedure) | {"seeds": "per-image", "first_seed": None, "perturbation": None}
        return replace(set_up(stand_in, score=self.score, metric=self.metric, **settings), beside=self.limits)


def member(family: str, choice: Any, **parameters: Any) -> Any:
    """Return a family member from `name:key=value` text plus keywords, or the given instance."""
    if isinstance(choice, str):
        name, typed = catalog.parse(choice)
        return catalog.load(family, name, **{**typed, **parameters})
    if isinstance(choice, catalog.Plugin) and not parameters:
        return choice
    raise UsageError(f"expected {family} as text such as 'name:key=value' or an instance; got {choice!r}")


def set_up(
    adapter: Adapter,
    *,
    scale: int | None = None,
    draws: int = DEFAULT_DRAWS,
    score: str | Score | None = None,
    metric: str | Metric = DEFAULT_METRIC,
    delivery: str = "first",
    seeds: SeedPolicy = "per-image",
    first_seed: int | None = None,
    perturbation: str | None = None,
    second: Adapter | None = None,
    seed: int = 0,
    fit: Fit | None = None,
    degradation: str | None = None,
    guarantee: str | Guarantee | None = None,
) -> Setup:
    """Make one procedure from its parts, each checked against the vendor's capabilities.

    `score`, `guarantee`: None: the usual ones; a guarantee brings its score.
    """
    for vendor in filter(None, (adapter, second)):
        _refuse_no_vendor(vendor)
    chosen_metric: Metric = member("metrics", metric)
    chosen_metric.require()
    perturb = None if perturbation is None else catalog.load("images.perturbation", perturbation)
    mixture = Mixture.of_text(adapter.capabilities.degradation if degradation is None else degradation)
    chosen_scale = _scale(adapter, scale, mixture)
    mixture = mixture.at(chosen_scale)
    chosen_metric.require_degradation(mixture)
    if guarantee is None:
        of_detail = _shows_detail(chosen_metric, mixture)
    else:
        of_detail = member("guarantees", guarantee).threshold_ceiling is not None
    chosen_score: Score = member("scores", score or default_score(draws, chosen_scale, of_detail=of_detail))
    _check_draws(adapter, draws, chosen_score, perturb)
    if (refused := chosen_score.refused_at(chosen_scale)) is not None:
        raise UsageError(f"{refused}; got scale {chosen_scale}. Give --score bicubic-gap:sigma=8")
    chosen_score = chosen_score.suited(mixture)
    adapter = adapter.suited(ScoredAnswers(chosen_scale, mixture, chosen_score.reference_degraded))
    if seeds == "shared" and not adapter.capabilities.seedable:
        raise UsageError(f"adapter {adapter.name} takes no seed, so seeds cannot be shared; use per-image seeds")
    seedable = adapter.capabilities.seedable or (second is not None and second.capabilities.seedable)
    _check_second(chosen_score, second, chosen_scale)
    procedure = Procedure(
        vendor=adapter.identity(),
        scale=chosen_scale,
        draws=draws,
        seeds=seeds,
        first_seed=(first_seed or 0) if seeds == "shared" else None,
        root_seed=seed if mixture.random or (seeds == "per-image" and seedable) else 0,
        perturbation=perturbation,
        perturbation_package=None if perturb is None else perturb.specification().get("package"),
        second_opinion=None if second is None else second.identity(),
        delivery=_delivery(delivery, mixture, chosen_metric, chosen_score, draws),
        degradation=mixture.specification,
        fit=fit,
        score=chosen_score.specification(),
        score_weights=chosen_score.fitted_weights,
        metric=chosen_metric.specification(),
    )
    _refuse_bands(procedure, chosen_score, chosen_metric)
    setup = Setup(adapter, procedure, chosen_score, chosen_metric, perturb, second)
    unknown = "unknown" in re.split(r"\W+", degradation or "")
    if unknown and setup.promised(guarantee).threshold_ceiling is not None:
        # Clean inputs break such a promise.
        raise UsageError(
            "expected with --degradation unknown a promise about errors; got one about invented detail, which such a "
            "calibration breaks on clean inputs. Find out how your inputs are made, at no cost: blackbox-conformal "
            f"inputs INPUTS --suggest --photographs PHOTOGRAPHS --scale {chosen_scale}. Or add --guarantee expected"
        )
    return setup


def _refuse_no_vendor(given: Any) -> None:
    if isinstance(given, Adapter):
        return
    if isinstance(given, str):
        way = f"bc.load_adapter({given!r})"
    elif callable(given):
        name = getattr(given, "__name__", "function")
        way = f"bc.from_function('my-model', {name if name.isidentifier() else 'function'}, scale=4)"
    else:
        way = "bc.load_adapter or bc.from_function"
    raise UsageError(f"expected a vendor; got {type(given).__name__}. Make one with {way}")


def _refuse_bands(procedure: Procedure, score: Score, metric: Metric) -> None:
    bands, several = procedure.bands, procedure.draws > 1
    if bands is None:
        return
    steps = [step for chain in procedure.mixture.chains for step in chain.steps]
    refusals = (
        (
            not 1 <= metric.fewest_bands <= bands.count,
            f"a metric that takes them; got {metric.plugin_name()}",
            "--metric band-l1:sigma=4",
        ),
        (
            not score.takes_bands,
            f"a score that takes them; got {score.plugin_name()}",
            "--score smoothed-variance" if several else "--score bicubic-gap:sigma=8",
        ),
        (
            not all(isinstance(step, Reduction) for step in steps),
            f"a degradation that takes them; got {procedure.mixture.text}",
            "--degradation bicubic, area, lanczos or given",
        ),
        (
            procedure.delivery.startswith(("aligned", "consistent")),
            f"another delivery; got {procedure.delivery}",
            "--delivery first",
        ),
        (procedure.perturbation is not None, "draws of the vendor's own; got a perturbation", "no --perturbation"),
    )
    for refused, what, cure in refusals:
        if refused:
            raise UsageError(f"expected for pictures of declared bands {what}. Give {cure}")


@dataclass(frozen=True, slots=True)
class ScoredAnswers:
    """Scores of a vendor's single answers to inputs made in this way; see `vendor.adapter.Judge`."""

    scale: int
    mixture: Mixture
    degraded: bool | None
    """For which inputs the free reference is made, to compare answers with it; None: with plain enlargement."""

    def specified(self, score: str) -> dict[str, Any]:
        """Add parameters that follow from the inputs' making; refuse a score that needs more than answer and input."""
        if score == FORETOLD_PSNR:
            return {"name": score, "degraded": self.degraded}
        chosen: Score = member("scores", score).suited(self.mixture)
        if chosen.minimum_draws > 1 or chosen.needs_second or chosen.fitted_weights is not None:
            raise UsageError(
                "expected in the rule of a cascade a score of one draw, without another vendor or a file of weights; "
                f"got {score}. Name another, such as predicted-invention"
            )
        return chosen.specification()

    def scores(self, score: Mapping[str, Any], upload: Upload, answer: bytes, size: str) -> Map:
        """Return the score of each pixel of an answer to `upload`."""
        picture = self._shown(answer, upload.height, upload.width, size)
        context = Context(picture, sent_pixels(upload), self.scale, None, self.mixture.linear_part())
        if score["name"] == FORETOLD_PSNR:
            return squared_errors(known_picture(context, score["degraded"], self.mixture), picture)
        return accumulated_map(catalog.of_specification("scores", score), [picture], context)

    def figure(self, score: Mapping[str, Any], below: float | None, scores: Map) -> float:
        """Return the mean, the share below, or, where the scores are squared errors, the PSNR in dB."""
        if score["name"] == FORETOLD_PSNR:
            return foretold_psnr(float(scores.mean(dtype=np.float64)))
        return float(scores.mean() if below is None else (scores < below).mean())

    def cut(self, upload: Upload, boxes: Sequence[Box], digests: Sequence[str]) -> tuple[Upload, ...]:
        """Return uploads of these parts, which are cut again when they are sent."""

        def cut(box: Box, digest: str) -> Upload:
            def pixels() -> Image:
                return np.ascontiguousarray(_part(sent_pixels(upload), box))

            height, width = box.bottom - box.top, box.right - box.left
            return SourcedUpload(upload.name, digest, lambda: upload_png(pixels()), pixels, width, height)

        if not digests:
            whole = sent_pixels(upload)
            digests = [pixels_digest(_part(whole, box)) for box in boxes]
        return tuple(cut(box, digest) for box, digest in zip(boxes, digests, strict=True))

    def pasted(self, upload: Upload, below: bytes | None, above: Sequence[Pasted], size: str) -> bytes:
        """Paste parts of other answers on an answer to `upload`; without one, the parts cover everything."""
        scale = self.scale
        if below is None:
            whole = np.zeros((upload.height * scale, upload.width * scale, 3), np.uint8)
        else:
            whole = self._shown(below, upload.height, upload.width, size).copy()
        for answer, sent, kept in above:
            part = self._shown(answer, sent.bottom - sent.top, sent.right - sent.left, size)
            top, left = (kept.top - sent.top) * scale, (kept.left - sent.left) * scale
            place = _part(whole, Box(*(scale * edge for edge in kept)))
            place[:] = part[top : top + place.shape[0], left : left + place.shape[1]]
        return image_png(whole)

    def _shown(self, answer: bytes, height: int, width: int, size: str) -> Image:
        shape = height * self.scale, width * self.scale
        return read_output(answer, shape, resample=size == "resample", any_scale=size == "any").pixels


def _part(pixels: Image, box: Box) -> Image:
    return pixels[box.top : box.bottom, box.left : box.right]


def known_picture(context: Context, degraded: bool | None, mixture: Mixture) -> Image:
    """Return the picture that stands in for an unknown truth: the free reference for such inputs.

    None: plain enlargement, at scale 1 the input.
    """
    if degraded is not None:
        return context.reference(degraded=degraded)
    assert context.low_resolution is not None
    return picture_to_show("enlargement", context.delivered, context.low_resolution, mixture)


def _shows_detail(metric: Metric, mixture: Mixture) -> bool:
    usual: Metric = member("metrics", DEFAULT_METRIC)
    return metric == usual and not hides(mixture)


def set_up_as(
    adapter: Adapter, procedure: Procedure, second: Adapter | None = None, degradation: str | None = None
) -> Setup:
    """Set `procedure` up with this vendor and, where its score needs one, this second vendor.

    `degradation`: how the user says that inputs were made; None: not said.
    """
    if degradation is not None:
        procedure.require_degradation(degradation)
    score, metric = procedure.build_score(), catalog.of_specification("metrics", procedure.metric)
    setup = set_up(adapter, score=score, metric=metric, second=second, **_settings(procedure))
    procedure.require(setup.procedure)
    return setup


def _settings(procedure: Procedure) -> dict[str, Any]:
    same = ("scale", "draws", "delivery", "seeds", "first_seed", "perturbation", "fit", "degradation")
    return {name: getattr(procedure, name) for name in same} | {"seed": procedure.root_seed}


def can_deliver_consistent(mixture: Mixture, metric: Metric) -> bool:
    """Tell whether pictures can be made consistent with inputs while the metric still sees errors."""
    return mixture.linear and not metric.averages_colours


def _delivery(text: str, mixture: Mixture, metric: Metric, score: Score, draws: int) -> str:
    rule = delivery_rule(text)
    if rule == "aligned" and (draws > 1 or not score.is_share):
        raise UsageError(
            "expected one draw and a score that is a share beside --delivery aligned, so that repeated edges get the "
            f"highest score, 1; got {counted(draws, 'draw')} and {score.plugin_name()}. Leave --draws and --score out"
        )
    if rule.startswith("consistent") and metric.averages_colours:
        raise UsageError(
            "expected a metric that sees detail finer than the input beside --delivery consistent; got "
            f"{metric.plugin_name()}:order=difference-of-blurs. The input fixes averaged colours, so nearly every "
            "pixel would be trusted, invented texture too. Give --metric lab-l1 or --delivery first"
        )
    if rule.startswith("consistent") and not mixture.linear:
        raise UsageError(
            "expected a degradation of linear steps that are the same for every photograph, such as bicubic or "
            f"blur:1.5+bicubic, since --delivery {rule} makes inputs of delivered pictures; got {mixture.text}. "
            "Give --delivery first"
        )
    return rule


def _check_draws(adapter: Adapter, draws: int, score: Score, perturbation: Perturbation | None) -> None:
    if adapter.members and (draws > 1 or perturbation is not None):
        raise UsageError(
            "expected one draw of each picture from a cascade, whose rule looks at one answer; leave --draws, "
            "--perturbation and --score out, or name a --score of one draw"
        )
    if draws < score.minimum_draws:
        raise UsageError(
            f"{score.plugin_name()} needs at least {score.minimum_draws} draws; got {draws}. Add --draws "
            f"{max(SEVERAL_DRAWS, score.minimum_draws)}"
        )
    if perturbation is not None and perturbation.maximum_draws is not None and draws > perturbation.maximum_draws:
        raise UsageError(
            f"perturbation {perturbation.plugin_name()} makes at most {perturbation.maximum_draws} different draws; "
            f"got {draws}. Lower --draws"
        )
    if adapter.capabilities.deterministic and perturbation is None and draws > 1:
        raise UsageError(
            f"adapter {adapter.name} answers equal requests equally as it is configured, so {draws} draws would be one"
            " picture, paid so many times: name the parameter that takes a seed if it has one, add --perturbation"
            " dihedral, or take one draw: leave --draws and --score out"
        )


def _check_second(score: Score, second: Adapter | None, scale: int) -> None:
    if score.needs_second and second is None:
        raise UsageError(f"{score.plugin_name()} compares with a second vendor's picture: give --second-adapter NAME")
    if second is not None and not score.needs_second:
        raise UsageError(f"{score.plugin_name()} compares with no second vendor: leave --second-adapter out")
    if second is not None and scale not in second.capabilities.scale_factors:
        factors = ", ".join(map(str, second.capabilities.scale_factors))
        raise UsageError(
            f"the second vendor {second.name} does not offer scale {scale}, only {factors}: give --scale"
            f" {second.capabilities.scale_factors[0]}, or another --second-adapter"
        )


def _scale(adapter: Adapter, scale: int | None, mixture: Mixture) -> int:
    configured, offered = getattr(adapter, "scale", None), adapter.capabilities.scale_factors
    if scale is None and isinstance(configured, int):
        scale = configured
    if scale is None and (mixture.resizes or mixture.scale in offered):
        scale = mixture.scale
    if scale is None:
        scale = 4 if 4 in offered else offered[0]
    if scale not in offered:
        few = ", ".join(map(str, offered))
        raise UsageError(f"adapter {adapter.name} offers scale {few}; got {scale}. Give --scale {offered[0]}")
    if isinstance(configured, int) and configured != scale:
        raise UsageError(f"--scale {scale} contradicts -p scale={configured}; give one of them")
    return scale
