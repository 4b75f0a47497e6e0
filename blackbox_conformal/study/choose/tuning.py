"""Choose a score on some photographs, and calibrate the best one on the others.

A choice made on photographs that calibrate voids the guarantee. So content splits the photographs first. Candidates are
compared on the tuning part; the calibration file keeps that part's digests and refuses to calibrate on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from blackbox_conformal.errors import CalibrationError, PluginError, UsageError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee, usual_level
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.risk.curve import DETAIL, RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.calibrate.calibrating import (
    CalibrationRun,
    calibrate_job,
    check_enough,
    chosen_bound,
    refuse_detail,
)
from blackbox_conformal.study.choose.scored import (
    Candidate,
    Tuning,
    TuningCurves,
    losses_allowed,
    scored_at,
    scored_reaching,
)
from blackbox_conformal.study.job import Job, Terms
from blackbox_conformal.study.plan.planning import plan_job
from blackbox_conformal.study.stages.defaults import ERROR_GUARANTEE, SEVERAL_DRAWS
from blackbox_conformal.study.stages.evaluate import decoded_draws
from blackbox_conformal.study.stages.memory import PIXEL_BYTES
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.study.stages.ready import Ready
from blackbox_conformal.study.stages.settings import Setup, member
from blackbox_conformal.study.unseen_photographs import TUNING_FILE, Unseen, split_prepared, together
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import specification_text

CANDIDATE_BYTES = 18  # Bytes per pixel that each further score takes.


@dataclass(frozen=True, slots=True)
class TuningJob:
    """Photographs to compare candidates on, and others to calibrate the best one on."""

    whole: Job  # The job on all, under one budget.
    tuning: tuple[Prepared, ...]
    calibrating: tuple[Prepared, ...]
    known: tuple[KnownPhotograph, ...]  # Others that were looked at before, or that taught a candidate's weights.
    overruled: int  # How many of `calibrating` were looked at, but chose nothing, as the user says.
    only_choose: bool  # Whether the best candidate is not calibrated; `whole` is then the job on `tuning`.

    @classmethod
    def of_photographs(
        cls,
        setup: Setup,
        paths: Sequence[Path],
        terms: Terms,
        *,
        candidates: Sequence[Candidate],
        share: float,
        seed: int,
        only_choose: bool = False,
        nothing_chosen: bool = False,
    ) -> TuningJob:
        """Split the photographs, a `share` to tune on, and leave out all that earlier choices were made on.

        With `nothing_chosen` the user says that the earlier choices led to nothing here.
        """
        job = Job.of_photographs(setup, paths, terms, pixel_bytes=bytes_a_pixel(len(candidates)))
        calibrating, tuning = split_prepared(job.pictures, max(1, math.floor(share * len(paths))), seed)
        if only_choose:
            return cls(job.only(tuning), tuple(tuning), tuple(calibrating), (), 0, only_choose)
        taught = together(*(candidate.score.taught_by for candidate in candidates))
        found = Unseen.of(calibrating, job.folder, taught, nothing_chosen=nothing_chosen, everywhere=True)
        whole = job.only([*tuning, *found.pictures])
        return cls(whole, tuple(tuning), tuple(found.pictures), found.known, found.overruled, only_choose)

    def choose(
        self,
        candidates: Sequence[Candidate],
        alpha: float | None,
        rule: Guarantee | None = None,
        want_share: float | None = None,
    ) -> Tuning:
        """Agree on one budget, compare the candidates, and record what was looked at.

        Parameters and errors as for `tune_job`.
        """
        _check(self.whole.setup, alpha, len(self.calibrating), len(self.tuning), rule)
        if rule is not None and alpha is not None:
            check_enough(rule, len(self.calibrating), alpha, self.whole.setup.metric.capped_bound)
        self.whole.confirm(lambda: plan_job(self.whole, rule or Expected()))
        tuning = tune_job(self.whole.only(self.tuning), candidates, alpha, len(self.calibrating), rule, want_share)
        # Kept before anybody sees what the photographs show.
        tuning.record.keep(self.whole.folder / TUNING_FILE)
        return tuning

    def calibrate(self, tuning: Tuning, rule: Guarantee | None = None) -> CalibrationRun:
        """Calibrate the best candidate on the unseen photographs; errors as for `calibrate_job`."""
        best = tuning.best.candidate
        setup = self.whole.setup.with_score(best.score, best.draws)
        job = self.whole.only(self.calibrating).chosen(setup)
        chosen = tuning.bound.rule if tuning.bound is not None else rule or Expected()
        known = together(self.known, tuning.tuning)
        return calibrate_job(job, guarantee=chosen, alpha=tuning.alpha, tuning=known, overruled=self.overruled)


@dataclass(frozen=True, slots=True)
class ToTune:
    """The set-up of a tuning, the candidates, and the guarantee to compare them under."""

    setup: Setup
    candidates: Sequence[Candidate]
    rule: Guarantee

    @classmethod
    def of(
        cls,
        build: Callable[[Score | None, str | Guarantee | None], Setup],
        typed: Sequence[str],
        draws: int,
        *,
        second: bool,
        alpha: float | None,
        want_share: float | None,
        guarantee: str | Guarantee | None,
    ) -> ToTune:
        """Fill in what the user did not name.

        `build`: Makes the set-up for a score (None: the usual one) and a guarantee.
        `typed`: The named candidates; empty: all that fit.
        """
        if (alpha is None) == (want_share is None):
            raise UsageError(
                "expected one of --alpha and --want-share (alpha and want_share in Python); got "
                f"{'neither' if alpha is None else 'both'}. Give --alpha 0.1, say, or --want-share 0.5"
            )
        if want_share is not None and guarantee is not None:
            raise UsageError(
                "expected --want-share without --guarantee (guarantee in Python), since levels are compared under "
                "expected. Leave one out"
            )
        named = parse_candidates(typed, draws)
        # This guarantee alone compares levels for a wanted share, and scores of any unit.
        any_unit = want_share is not None or second or not all(one.score.is_share for one in named)
        if guarantee is None and any_unit:
            guarantee = ERROR_GUARANTEE
        rule = build(None, None).promised(None) if guarantee is None else member("guarantees", guarantee)
        detail = rule.threshold_ceiling is not None
        candidates = named or parse_candidates(default_candidates(draws, second=second, shares=detail), draws)
        comparing = next((candidate.score for candidate in candidates if candidate.score.needs_second), None)
        if comparing is None and second:
            raise UsageError(
                "expected no --second-adapter, since no candidate compares with a second vendor; add --candidate "
                "second-opinion, or leave --second-adapter out"
            )
        setup = build(comparing, guarantee)
        for candidate in candidates if detail else ():
            refuse_detail(rule, setup.with_score(candidate.score, candidate.draws))
        if alpha is not None:
            # Guarantees of errors are compared under `expected`.
            bound = setup.metric.capped_bound
            (rule if detail else Expected()).check_level(alpha, rule.loss_bound(bound) if detail else bound)
        return cls(setup, candidates, rule)


def default_candidates(draws: int, *, second: bool = False, shares: bool = False) -> list[str]:
    """Return the settings that each score offers (`Score.candidates`), with `draws` draws or one where that is enough.

    The first setting of a score of several draws is also tried with half of them.

    `second`: Whether there is a second vendor to compare with.
    `shares`: Whether to take only scores that are shares of detail.
    """
    labels = []
    for name in catalog.names("scores"):
        # A score of which one setting cannot be used is left out whole.
        with suppress(PluginError, UsageError):
            kind, own = catalog.member("scores", name), []
            for index, setting in enumerate(kind.candidates if not shares or kind.is_share else ()):
                text = f"{name}:{setting}"
                score: Score = member("scores", text)
                if score.needs_second and not second:
                    continue
                fewest = score.minimum_draws
                counts = {1} if fewest == 1 else {draws} if index else {draws, max(fewest, draws // 2)}
                own += [parse_candidate(f"{text}@{count}", draws).label for count in sorted(counts) if count <= draws]
            labels += own
    return labels


def parse_candidate(text: str, draws: int) -> Candidate:
    """Read `NAME:key=value@DRAWS`; without ``@`` the score gets `draws`, or one if that is enough."""
    specification, at, count = text.rpartition("@")
    if not at:
        specification, count = text, ""
    score: Score = member("scores", specification)
    wanted = int(count) if count.isdigit() else (1 if score.minimum_draws == 1 else draws)
    if count and not count.isdigit():
        raise UsageError(f"expected NAME[:k=v,…]@DRAWS; got {text!r}")
    if score.minimum_draws > draws:
        raise UsageError(
            f"{text!r} needs at least {score.minimum_draws} draws, and --draws is the most; got --draws {draws}. Add "
            f"--draws {max(SEVERAL_DRAWS, score.minimum_draws)}"
        )
    if not score.minimum_draws <= wanted <= draws:
        raise UsageError(
            f"{text!r}: expected {score.minimum_draws} to {draws} draws (--draws is the most); got {wanted}"
        )
    return Candidate(score, wanted, f"{specification_text(score)}@{wanted}")


def parse_candidates(texts: Sequence[str], draws: int) -> list[Candidate]:
    """Read candidates, without duplicates."""
    candidates = [parse_candidate(text, draws) for text in texts]
    return list({candidate.label: candidate for candidate in candidates}.values())


def tune_job(
    job: Job,
    candidates: Sequence[Candidate],
    alpha: float | None,
    n_calibration: int,
    rule: Guarantee | None = None,
    want_share: float | None = None,
) -> Tuning:
    """Compare candidates on a job's photographs, as if calibrated on `n_calibration` others.

    A `rule` about detail compares by the right detail that stays clear, any other by ``expected``. Then the confidence
    bound of `rule` is chosen, where it is open.

    `alpha`: The level to compare at; None where a share is wanted.
    `want_share`: The wanted trusted share, 0 to 1: the best candidate is expected to reach it at the smallest level.
    """
    _check(job.setup, alpha, n_calibration, len(job.pictures), rule)
    measured = job.gathered("tuning", partial(measure, candidates, rule), [candidate.score for candidate in candidates])
    photographs = [KnownPhotograph.of(drawn.prepared.sketch) for drawn, _ in measured]
    sets = {
        one.label: TuningCurves(*(CurveSet.from_curves(kind) for kind in zip(*of_one, strict=True)))
        for one, *of_one in zip(candidates, *(of_each for _, of_each in measured), strict=True)
    }
    if alpha is not None:
        scored = [scored_at(alpha, one, sets[one.label], n_calibration, rule) for one in candidates]
    else:
        usual = usual_level(job.setup.metric.capped_bound)
        found = [scored_reaching(want_share or 0, one, sets[one.label], n_calibration, usual) for one in candidates]
        scored = [one for one in found if one is not None]
    if not scored:
        raise CalibrationError(
            f"no level is expected to let {100 * (want_share or 0):g} % be trusted after calibrating on "
            f"{n_calibration} photographs. Add photographs, or want less with --want-share"
        )
    scored.sort(key=lambda one: (one.alpha, -round(one.worth, 6), one.calls, one.candidate.label))
    photographs.sort(key=lambda photograph: photograph.truth)
    best = sets[scored[0].candidate.label].errors
    bound = None if rule is None else chosen_bound(rule, best, scored[0].alpha, n_calibration)
    spent = job.calls, job.cached, job.cost_usd
    return Tuning(tuple(scored), scored[0].alpha, tuple(photographs), *spent, bound=bound)


def _check(setup: Setup, alpha: float | None, n_calibration: int, n_tuning: int, rule: Guarantee | None) -> None:
    if setup.procedure.delivery in ("mean", "medoid"):
        raise UsageError(
            "expected --delivery first or consistent: candidates with fewer draws must deliver the same picture"
        )
    if n_calibration < 1:
        raise CalibrationError(
            "expected photographs to calibrate on beside those that candidates are compared on; got none. Add some"
        )
    bound = setup.metric.capped_bound
    if rule is not None and rule.threshold_ceiling is not None:
        bound = rule.loss_bound(bound)
    if alpha is not None and losses_allowed(alpha, bound, n_calibration, n_tuning) < 0:
        raise CalibrationError(
            f"alpha={alpha:g} cannot be reached with {n_calibration} calibration photographs for a loss bounded by "
            f"{bound:g}. Add photographs, tune on fewer, or raise alpha"
        )


def bytes_a_pixel(candidates: int) -> int:
    """Return bytes per pixel for this many scores side by side."""
    return PIXEL_BYTES + CANDIDATE_BYTES * max(0, candidates - 1)


def measure(candidates: Sequence[Candidate], rule: Guarantee | None, ready: Ready) -> list[list[RiskCurve]]:
    """Return the curves of a photograph under each candidate, as in `TuningCurves`; the worst for a refused one."""
    drawn, setup = ready.drawn, ready.setup
    bound, ceiling = setup.metric.capped_bound, None if rule is None else rule.threshold_ceiling
    if drawn.refusal is not None:
        # A refused photograph has nothing clear, right detail neither.
        none = np.empty(0, np.float32)
        nothing = RiskCurve(none, none, 1.0, "marked", ceiling=ceiling)
        worst = [RiskCurve.worst(bound, kind, ceiling=ceiling) for kind in DETAIL if ceiling is not None]
        detail = [] if ceiling is None else [*_of_kind(rule, worst), nothing]
        return [[RiskCurve.worst(bound), *detail] for _ in candidates]
    truth, low_resolution = ready.truth_and_input("tuned on")
    accumulators = [candidate.score.start(drawn.prepared.size) for candidate in candidates]
    delivered = None
    for index, pixels in enumerate(decoded_draws(drawn, setup, ready.read, low_resolution)):
        delivered = setup.delivered(pixels, low_resolution) if delivered is None else delivered
        for candidate, accumulator in zip(candidates, accumulators, strict=True):
            if index < candidate.draws:
                accumulator.update(pixels)
    assert delivered is not None
    shown, context = (truth, delivered, low_resolution), setup.context(delivered, low_resolution, ready.second)
    errors, energies = (setup.errors(*shown), None) if ceiling is None else setup.judged(*shown)
    found = []
    for accumulator in accumulators:
        scores = accumulator.finish(context)
        curves = [RiskCurve.from_maps(scores, errors, bound=bound)]
        if energies is not None and ceiling is not None:
            right = energies._replace(part=energies.whole - energies.part)
            curves += _of_kind(rule, curves[0].of_detail(scores, energies, ceiling))
            # The curve that `marked` counts for invented detail, here for right detail.
            curves += curves[0].of_detail(scores, right, ceiling)[:1]
        found.append(curves)
    return found


def _of_kind(rule: Guarantee | None, curves: Sequence[RiskCurve]) -> list[RiskCurve]:
    return [curve for curve in curves if rule is not None and curve.kind == rule.needs.curve_kind]
