"""Choosing a score on photographs that calibration then never sees.

A choice made on calibration photographs voids the guarantee, so photographs are split first, by content; candidates are
compared on the tuning part only, and its digests go into the calibration file, which refuses them as calibration.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

from blackbox_conformal import catalog
from blackbox_conformal.calibration import KnownPhotograph
from blackbox_conformal.errors import CalibrationError, PluginError, UsageError
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.pipeline.job import job_limits
from blackbox_conformal.pipeline.plan import refuse_unlimited
from blackbox_conformal.pipeline.stages.draws import Drawn, drawn_pictures, map_pictures, output_check
from blackbox_conformal.pipeline.stages.evaluate import decoded_draws
from blackbox_conformal.pipeline.stages.memory import PIXEL_BYTES
from blackbox_conformal.pipeline.stages.prepare import prepare_photographs, read_truth
from blackbox_conformal.pipeline.stages.room import narrowed, refuse_large
from blackbox_conformal.pipeline.stages.second import second_opinions
from blackbox_conformal.pipeline.stages.settings import Setup, member
from blackbox_conformal.pipeline.stages.warming import warming
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.pack import CurveSet
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.scores.base import Context, Score
from blackbox_conformal.types import Image

CANDIDATE_BYTES = 18
"""What one more score takes for each pixel of a photograph, beside the first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A score and the number of draws it is given."""

    score: Score
    draws: int
    label: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate and what it is worth.

    Attributes
    ----------
    trusted_share
        Mean trusted share of the tuning pictures, at the threshold that a calibration on `n` photographs like them
        would choose.
    calls
        Paid calls that calibrating on the n other photographs would take, those of a second vendor included.
    """

    candidate: Candidate
    trusted_share: float
    calls: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """Every candidate, the best first, and the photographs that were looked at; calls made for them and their price."""

    scored: tuple[Scored, ...]
    alpha: float
    tuning: tuple[KnownPhotograph, ...]
    calls: int
    cached: int
    cost_usd: Decimal

    @property
    def best(self) -> Scored:
        """The candidate with the largest trusted share; among equals, the one with fewer calls."""
        return self.scored[0]

    def cheapest(self, within: float) -> Scored:
        """Of the candidates that trust at most `within` less of a picture than the best, the one with fewest calls."""
        near = [one for one in self.scored if one.trusted_share >= self.best.trusted_share - within]
        return min(near, key=lambda one: one.calls)


def default_candidates(draws: int, *, second: bool = False) -> list[str]:
    """Every score that fits, at `draws` draws and at half of them where it uses more than one.

    Scores of other installed packages are among them, at `draws` draws or one. `second` says whether there is a second
    vendor to compare with.
    """
    found = []
    for name in ("bicubic-gap", "texture", "consistency"):
        found.append(f"{name}:sigma=4@1")
    for name in ("smoothed-variance", "patch-variance", "variance-of-means"):
        found.extend(f"{name}:sigma=4@{count}" for count in sorted({draws, max(2, draws // 2)}) if count <= draws)
    found.append("bicubic-gap:sigma=8@1")
    found.extend(f"smoothed-variance:sigma={sigma}@{draws}" for sigma in (2, 8))
    found.extend(f"weighted:weight={weight}@{draws}" for weight in (0.25, 0.5, 0.75))
    if draws >= 4:
        found.append(f"weighted:weight=0.5@{draws // 2}")
    if second:
        found.append("second-opinion:sigma=4@1")
    return [*found, *_of_other_packages(draws, second)]


def _of_other_packages(draws: int, second: bool) -> list[str]:
    """The scores of other installed packages, as far as they load, with their usual parameters."""
    found = []
    for name in catalog.foreign_names("scores"):
        with suppress(PluginError, UsageError):
            candidate = parse_candidate(name, draws)
            if second or not candidate.score.needs_second:
                found.append(candidate.label)
    return found


def parse_candidate(text: str, draws: int) -> Candidate:
    """`NAME:key=value@DRAWS`; without ``@`` the score gets all `draws`, or one if it needs no more.

    Raises
    ------
    UsageError
        Unknown score or parameter, or a number of draws that does not fit.
    """
    specification, at, count = text.rpartition("@")
    if not at:
        specification, count = text, ""
    score: Score = member("scores", specification)
    wanted = int(count) if count.isdigit() else (1 if score.minimum_draws == 1 else draws)
    if count and not count.isdigit():
        raise UsageError(f"expected NAME[:k=v,…]@DRAWS; got {text!r}")
    if not score.minimum_draws <= wanted <= draws:
        raise UsageError(
            f"{text!r}: expected {score.minimum_draws} to {draws} draws (--draws is the most); got {wanted}"
        )
    return Candidate(score, wanted, f"{specification_text(score)}@{wanted}")


def parse_candidates(texts: Sequence[str], draws: int) -> list[Candidate]:
    """Every different candidate once, however it was typed."""
    found = [parse_candidate(text, draws) for text in texts]
    return list({candidate.label: candidate for candidate in found}.values())


def tune(
    setup: Setup,
    paths: Sequence[Path],
    candidates: Sequence[Candidate],
    alpha: float,
    n_calibration: int,
    *,
    run: Path,
    limits: Limits | None = None,
    memory_bytes: int | None = None,
    listener: Callable[[Event], None] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    on_sampler: Callable[[Sampler], None] = lambda _: None,
) -> Tuning:
    """Compare `candidates` on the tuning photographs `paths`, as if calibrated on `n_calibration` others.

    Parameters
    ----------
    memory_bytes
        Most memory that the calculation may take: fewer photographs are evaluated at a time. None: no limit.

    Raises
    ------
    CalibrationError
        `alpha` cannot be reached with that many photographs, whatever the score.
    UsageError
        A photograph alone would take more than `memory_bytes`.
    """
    if setup.procedure.delivery != "first":
        raise UsageError("expected --delivery first: candidates with fewer draws must deliver the same picture")
    refuse_unlimited(setup.adapter, limits, run)
    bound = setup.metric.bound
    level = Fraction(str(alpha))
    budget = (level * (n_calibration + 1) - Fraction(str(bound))) / n_calibration * len(paths)
    if budget < 0:
        raise CalibrationError(
            f"alpha={alpha:g} cannot be reached with {n_calibration} calibration photographs for a loss bounded by "
            f"{bound:g}. Add photographs, tune on fewer, or raise alpha"
        )
    pixel_bytes = bytes_a_pixel(len(candidates))
    refuse_large(paths, memory_bytes, pixel_bytes=pixel_bytes)
    pictures = prepare_photographs(paths, setup, progress, memory_bytes=memory_bytes)
    curves: list[list[RiskCurve]] = [[] for _ in candidates]
    seen: list[KnownPhotograph] = []
    limits = job_limits(limits, setup, pictures)
    with (
        _warming_all(setup, candidates),
        second_opinions(setup, pictures, run, limits, listener, on_sampler) as opinions,
        Sampler(setup.adapter, run, limits, check=output_check(setup), listener=listener) as sampler,
    ):
        on_sampler(sampler)
        calls, cached, cost = opinions.calls, opinions.cached, opinions.cost_usd

        def work(drawn: Drawn) -> list[RiskCurve]:
            if drawn.refusal is not None:
                return [RiskCurve.worst(bound) for _ in candidates]
            opinion = opinions.of(drawn.prepared)
            return _curves(drawn, setup, candidates, lambda k: sampler.read(drawn.outcomes[k]), opinion)

        for drawn, found in map_pictures(
            drawn_pictures(sampler, pictures),
            work,
            memory_bytes=narrowed(memory_bytes, pixel_bytes),
            on_error=sampler.fail,
        ):
            for store, curve in zip(curves, found, strict=True):
                store.append(curve)
            seen.append(KnownPhotograph.of(drawn.prepared.sketch))
            cached += sum(one.cached for one in drawn.outcomes)
            calls += sum(not one.cached for one in drawn.outcomes)
            cost += sum((one.cost_usd for one in drawn.outcomes if not one.cached), Decimal(0))
            progress("tuning", len(seen), len(pictures))
    scored = []
    for candidate, found in zip(candidates, curves, strict=True):
        together = CurveSet.from_curves(found)
        threshold = together.merged.threshold(budget)
        trusted = float(np.mean(together.trusted_shares_at(threshold)))
        each = candidate.draws + candidate.score.needs_second
        scored.append(Scored(candidate, trusted, each * n_calibration))
    scored.sort(key=lambda one: (-round(one.trusted_share, 6), one.calls, one.candidate.label))
    return Tuning(tuple(scored), alpha, tuple(sorted(seen, key=lambda one: one.truth)), calls, cached, cost)


def bytes_a_pixel(candidates: int) -> int:
    """Memory that a photograph takes for each of its pixels while that many scores are computed side by side."""
    return PIXEL_BYTES + CANDIDATE_BYTES * max(0, candidates - 1)


@contextmanager
def _warming_all(setup: Setup, candidates: Sequence[Candidate]) -> Iterator[None]:
    """The kernels of every kind of score among `candidates`, compiled in the background."""
    kinds = {candidate.score.plugin_name(): candidate.score for candidate in candidates}
    with ExitStack() as stack:
        for score in kinds.values():
            stack.enter_context(warming(replace(setup, score=score)))
        yield


def _curves(
    drawn: Drawn, setup: Setup, candidates: Sequence[Candidate], read: Callable[[int], bytes], second: Image | None
) -> list[RiskCurve]:
    path = drawn.prepared.path
    assert path is not None
    truth, _ = read_truth(path, setup.procedure.scale)
    low_resolution = degrade(truth, setup.procedure.scale)
    accumulators = [candidate.score.start(drawn.prepared.size) for candidate in candidates]
    delivered = None
    for index, pixels in enumerate(decoded_draws(drawn, setup, read, low_resolution)):
        delivered = pixels if index == 0 else delivered
        for candidate, accumulator in zip(candidates, accumulators, strict=True):
            if index < candidate.draws:
                accumulator.update(pixels)
    assert delivered is not None
    errors = setup.metric.map(truth, delivered)
    context = Context(delivered, low_resolution, setup.procedure.scale, second)
    return [
        RiskCurve.from_maps(accumulator.finish(context), errors, bound=setup.metric.bound)
        for accumulator in accumulators
    ]


def specification_text(score: Score) -> str:
    """A score as it is typed: `name:key=value,…`, without what it would be anyway."""
    content = {key: value for key, value in score.specification().items() if value is not None}
    name = content.pop("name")
    content.pop("package", None)
    try:
        usual = type(score)().specification()
    except ValueError:
        usual = {}
    content = {key: value for key, value in content.items() if value != usual.get(key)}
    typed = ",".join(
        f"{key}={value:g}" if isinstance(value, float) and float(f"{value:g}") == value else f"{key}={value}"
        for key, value in content.items()
    )
    return f"{name}:{typed}" if typed else str(name)
