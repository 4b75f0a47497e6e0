"""A score with its draws, and what it is expected to trust after calibrating on n photographs."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.plan.frontier_rows import levels_around
from blackbox_conformal.study.plan.prospects import CurveOutlook


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
    alpha
        The level; where a share is wanted, the smallest at which it is expected.
    error
        Where a share is wanted: one calibration trusts in nine cases of ten no farther from `trusted_share` than that.
    kept
        Under a guarantee of detail: the mean share of the right detail added that stays clear.
    """

    candidate: Candidate
    trusted_share: float
    calls: int
    alpha: float
    error: float | None = None
    kept: float | None = None

    @property
    def worth(self) -> float:
        """What the best candidate has most of at a level: right detail that stays clear, or what is trusted."""
        return self.trusted_share if self.kept is None else self.kept

    @property
    def row(self) -> dict[str, Any]:
        """As scripts read it."""
        return {
            "score": self.candidate.label,
            "draws": self.candidate.draws,
            "alpha": self.alpha,
            "trusted_share": self.trusted_share,
            **({} if self.kept is None else {"kept": self.kept}),
            "error": self.error,
            "calls": self.calls,
        }


def losses_allowed(alpha: float, bound: float, n_calibration: int, n_tuning: int) -> Fraction:
    """The sum of losses that the tuning photographs may have, as if calibrated on `n_calibration` others."""
    return (Fraction(str(alpha)) * (n_calibration + 1) - Fraction(str(bound))) / n_calibration * n_tuning


@dataclass(frozen=True, slots=True)
class TuningCurves:
    """Of the tuning photographs under one candidate: of the largest error, and where the guarantee is about detail,
    of what it bounds and of the right detail that is clear.
    """

    errors: CurveSet
    bounded: CurveSet | None = None
    right: CurveSet | None = None


def scored_at(
    alpha: float, candidate: Candidate, curves: TuningCurves, n_calibration: int, rule: Guarantee | None = None
) -> Scored:
    """What a candidate trusts at a level, by its curves on the tuning photographs."""
    bounded, calls = curves.bounded or curves.errors, _calls(candidate, n_calibration)
    threshold = _as_if_calibrated(alpha, bounded, n_calibration)
    if rule is not None and rule.beside is not None:
        threshold = min(threshold, _as_if_calibrated(rule.beside[1], curves.errors, n_calibration))
    trusted = float(np.mean(bounded.trusted_shares_at(threshold)))
    kept = None if curves.right is None else float(np.mean(curves.right.losses_at(threshold)))
    return Scored(candidate, trusted, calls, alpha, kept=kept)


def _as_if_calibrated(alpha: float, curves: CurveSet, n_calibration: int) -> float:
    return curves.merged.threshold(losses_allowed(alpha, curves.bound, n_calibration, len(curves)))


def scored_reaching(
    share: float, candidate: Candidate, curves: TuningCurves, n_calibration: int, usual: float
) -> Scored | None:
    """At the smallest level at which a calibration is expected to trust that share; None where there is none.

    Parameters
    ----------
    usual
        The usual level of the metric, around which levels are tried.
    """
    errors = curves.errors
    levels = [level for level in levels_around(usual) if level < errors.bound]
    for level, prospect in zip(
        levels, CurveOutlook.of(errors).prospects(Expected(), levels, n_calibration), strict=True
    ):
        if prospect.share >= share:
            return Scored(candidate, prospect.share, _calls(candidate, n_calibration), level, prospect.error)
    return None


def _calls(candidate: Candidate, n_calibration: int) -> int:
    return (candidate.draws + candidate.score.needs_second) * n_calibration
