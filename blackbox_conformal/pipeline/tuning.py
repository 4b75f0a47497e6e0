"""Choosing a score on photographs that calibration then never sees.

A choice made on calibration photographs voids the guarantee, so photographs are split first, by content; candidates are
compared on the tuning part only, and its digests go into the calibration file, which refuses them as calibration.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

from blackbox_conformal import catalog
from blackbox_conformal.calibration import KnownPhotograph
from blackbox_conformal.errors import CalibrationError, PluginError, UsageError
from blackbox_conformal.images.degrade import degrade
from blackbox_conformal.pipeline.job import Job, Ready, Watch
from blackbox_conformal.pipeline.stages.evaluate import decoded_draws
from blackbox_conformal.pipeline.stages.memory import PIXEL_BYTES
from blackbox_conformal.pipeline.stages.settings import Setup, member
from blackbox_conformal.risk.curve import RiskCurve
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.scores.score import Context, Score
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
    """The settings that each score offers (`Score.candidates`), at `draws` draws, or at one where one is enough.

    The first setting of a score that takes several draws is also tried with half of them. `second` says whether there
    is a second vendor to compare with. A score of another package that does not load is left out.
    """
    labels = []
    for name in catalog.names("scores"):
        with suppress(PluginError, UsageError):
            labels += _candidates_of(name, draws, second)
    return labels


def _candidates_of(name: str, draws: int, second: bool) -> list[str]:
    labels = []
    for index, setting in enumerate(catalog.member("scores", name).candidates):
        text = f"{name}:{setting}"
        score: Score = member("scores", text)
        if score.needs_second and not second:
            continue
        fewest = score.minimum_draws
        counts = {1} if fewest == 1 else {draws} if index else {draws, max(fewest, draws // 2)}
        labels += [parse_candidate(f"{text}@{count}", draws).label for count in sorted(counts) if count <= draws]
    return labels


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
    _budget(setup, alpha, n_calibration, len(paths))
    job = Job.of_photographs(
        setup,
        paths,
        run,
        limits,
        memory_bytes=memory_bytes,
        pixel_bytes=bytes_a_pixel(len(candidates)),
        watch=Watch(listener, progress, on_sampler),
    )
    return tune_job(job, candidates, alpha, n_calibration)


def tune_job(job: Job, candidates: Sequence[Candidate], alpha: float, n_calibration: int) -> Tuning:
    """Compare `candidates` on the photographs of a job; else as `tune`."""
    setup = job.setup
    budget = _budget(setup, alpha, n_calibration, len(job.pictures))
    job.confirm()
    curves: list[list[RiskCurve]] = [[] for _ in candidates]
    seen: list[KnownPhotograph] = []

    def work(ready: Ready) -> list[RiskCurve]:
        if ready.drawn.refusal is not None:
            return [RiskCurve.worst(setup.metric.bound) for _ in candidates]
        return _curves(ready, setup, candidates, job.truth(ready.drawn.prepared, "tuned on"))

    with job.run(work, scores=[candidate.score for candidate in candidates]) as finished:
        for drawn, found in finished:
            for store, curve in zip(curves, found, strict=True):
                store.append(curve)
            seen.append(KnownPhotograph.of(drawn.prepared.sketch))
            job.watch.progress("tuning", len(seen), len(job.pictures))
    scored = [
        _scored(candidate, CurveSet.from_curves(found), budget, n_calibration)
        for candidate, found in zip(candidates, curves, strict=True)
    ]
    scored.sort(key=lambda one: (-round(one.trusted_share, 6), one.calls, one.candidate.label))
    looked_at = tuple(sorted(seen, key=lambda one: one.truth))
    return Tuning(tuple(scored), alpha, looked_at, job.calls, job.cached, job.cost_usd)


def _budget(setup: Setup, alpha: float, n_calibration: int, n_tuning: int) -> Fraction:
    """The sum of losses that the tuning photographs may have, as if calibrated on `n_calibration` others."""
    if setup.procedure.delivery != "first":
        raise UsageError("expected --delivery first: candidates with fewer draws must deliver the same picture")
    bound = setup.metric.bound
    budget = (Fraction(str(alpha)) * (n_calibration + 1) - Fraction(str(bound))) / n_calibration * n_tuning
    if budget < 0:
        raise CalibrationError(
            f"alpha={alpha:g} cannot be reached with {n_calibration} calibration photographs for a loss bounded by "
            f"{bound:g}. Add photographs, tune on fewer, or raise alpha"
        )
    return budget


def _scored(candidate: Candidate, curves: CurveSet, budget: Fraction, n_calibration: int) -> Scored:
    trusted = float(np.mean(curves.trusted_shares_at(curves.merged.threshold(budget))))
    return Scored(candidate, trusted, (candidate.draws + candidate.score.needs_second) * n_calibration)


def bytes_a_pixel(candidates: int) -> int:
    """Memory that a photograph takes for each of its pixels while that many scores are computed side by side."""
    return PIXEL_BYTES + CANDIDATE_BYTES * max(0, candidates - 1)


def _curves(ready: Ready, setup: Setup, candidates: Sequence[Candidate], truth: Image) -> list[RiskCurve]:
    drawn = ready.drawn
    low_resolution = degrade(truth, setup.procedure.scale)
    accumulators = [candidate.score.start(drawn.prepared.size) for candidate in candidates]
    delivered = None
    for index, pixels in enumerate(decoded_draws(drawn, setup, ready.read, low_resolution)):
        delivered = pixels if index == 0 else delivered
        for candidate, accumulator in zip(candidates, accumulators, strict=True):
            if index < candidate.draws:
                accumulator.update(pixels)
    assert delivered is not None
    errors = setup.metric.map(truth, delivered)
    context = Context(delivered, low_resolution, setup.procedure.scale, ready.second)
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
