"""A score with its draws, and what it is expected to trust after calibrating on n photographs."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from blackbox_conformal.method.guarantees.expected import Expected
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
    """

    candidate: Candidate
    trusted_share: float
    calls: int
    alpha: float
    error: float | None = None

    @property
    def row(self) -> dict[str, Any]:
        """As scripts read it."""
        return {
            "score": self.candidate.label,
            "draws": self.candidate.draws,
            "alpha": self.alpha,
            "trusted_share": self.trusted_share,
            "error": self.error,
            "calls": self.calls,
        }


def losses_allowed(alpha: float, bound: float, n_calibration: int, n_tuning: int) -> Fraction:
    """The sum of losses that the tuning photographs may have, as if calibrated on `n_calibration` others."""
    return (Fraction(str(alpha)) * (n_calibration + 1) - Fraction(str(bound))) / n_calibration * n_tuning


def scored_at(alpha: float, candidate: Candidate, curves: CurveSet, n_calibration: int) -> Scored:
    """What a candidate trusts at a level, by its curves on the tuning photographs."""
    allowed = losses_allowed(alpha, curves.bound, n_calibration, len(curves))
    trusted = float(np.mean(curves.trusted_shares_at(curves.merged.threshold(allowed))))
    return Scored(candidate, trusted, _calls(candidate, n_calibration), alpha)


def scored_reaching(
    share: float, candidate: Candidate, curves: CurveSet, n_calibration: int, usual: float
) -> Scored | None:
    """At the smallest level at which a calibration is expected to trust that share; None where there is none.

    Parameters
    ----------
    usual
        The usual level of the metric, around which levels are tried.
    """
    levels = [level for level in levels_around(usual) if level < curves.bound]
    for level, prospect in zip(
        levels, CurveOutlook.of(curves).prospects(Expected(), levels, n_calibration), strict=True
    ):
        if prospect.share >= share:
            return Scored(candidate, prospect.share, _calls(candidate, n_calibration), level, prospect.error)
    return None


def _calls(candidate: Candidate, n_calibration: int) -> int:
    return (candidate.draws + candidate.score.needs_second) * n_calibration
