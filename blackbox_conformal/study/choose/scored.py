"""Hold what tuning found: every candidate, and the calibration of the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.study.calibrate.calibrating import ChosenBound
from blackbox_conformal.study.plan.expected_shares import CurveOutlook
from blackbox_conformal.study.plan.frontier import levels_around
from blackbox_conformal.study.unseen_photographs import TuningRecord
from blackbox_conformal.support.blocks import Block, Faces, Facts, Figure, How, Note, Table
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.plots import Dot, Dots
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import expected, share


@dataclass(frozen=True, slots=True)
class Candidate:
    """A score and its number of draws."""

    score: Score
    draws: int
    label: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate and its worth."""

    candidate: Candidate
    # Mean trusted share of the tuning pictures, at the threshold that a calibration on `n` like them would choose.
    trusted_share: float
    calls: int  # Paid calls for calibrating on n photographs, a second vendor's included.
    alpha: float  # The level; where a share is wanted, the smallest at which it is expected.
    # Where a share is wanted: with probability 0.9 one calibration's share is within this of `trusted_share`.
    error: float | None = None
    kept: float | None = None  # For guarantees about detail: mean share of the added right detail that stays clear.

    @property
    def worth(self) -> float:
        """Return the figure of which the best candidate has most."""
        return self.trusted_share if self.kept is None else self.kept

    @property
    def row(self) -> dict[str, Any]:
        """Return the figures as scripts read them."""
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
    """Return the sum of losses that the tuning photographs may have, as if calibrated on `n_calibration` others."""
    return (Fraction(str(alpha)) * (n_calibration + 1) - Fraction(str(bound))) / n_calibration * n_tuning


@dataclass(frozen=True, slots=True)
class TuningCurves:
    """Curves of the tuning photographs under one candidate."""

    errors: CurveSet
    # For guarantees about detail: curves of what is bounded, and of clear right detail.
    bounded: CurveSet | None = None
    right: CurveSet | None = None


def scored_at(
    alpha: float, candidate: Candidate, curves: TuningCurves, n_calibration: int, rule: Guarantee | None = None
) -> Scored:
    """Score a candidate at a level."""
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
    """Score a candidate at the smallest level that is expected to trust `share`; None: no level is.

    `usual`: The metric's usual level, around which levels are tried.
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


NEARLY = 0.01  # Trusted shares this close are nearly as good.


@dataclass(frozen=True, slots=True, repr=False)
class Tuning(Faces):
    """Every candidate, the best first, the photographs that were looked at, and the cost.

    Attributes
    ----------
    calibration
        Of the best candidate on unseen photographs; None: not asked for.
    calls, cached, cost_usd
        Calls made, draws that were stored before, and the price, calibration included.
    bound
        The guarantee with its best confidence bound, where that was open.
    """

    scored: tuple[Scored, ...]
    alpha: float
    tuning: tuple[KnownPhotograph, ...]
    calls: int
    cached: int
    cost_usd: Decimal
    calibration: Calibration | None = None
    bound: ChosenBound | None = None

    def __repr__(self) -> str:
        best = self.best
        return (
            f"<Tuning at alpha={self.alpha:g}: {best.candidate.label} is the best of {len(self.scored)} candidates, "
            f"with {best.trusted_share:.1%} trusted on {len(self.tuning)} photographs>"
        )

    def blocks(self) -> Iterator[Block]:
        """Show every candidate, a cheaper one that is nearly as good, and the choice."""
        shared = self.best.error is not None
        n = counted(len(self.tuning), "tuning photograph")
        level: dict[str, How] = {"alpha": "{alpha:g}"} if shared else {}
        yield Table(
            "candidates",
            {
                "score": "{score}",
                **level,
                "trusted share": lambda row: (
                    expected(row["trusted_share"], row["error"]) if shared else share(row["trusted_share"])
                ),
                **({} if self.best.kept is None else {"right detail kept": "{kept:share}"}),
                "paid calls to calibrate on the other photographs": "{calls}",
            },
            [scored.row for scored in self.scored],
            title=f"Smallest levels for the wanted share, on {n}"
            if shared
            else f"Candidates at alpha={self.alpha:g}, on {n}",
        )
        dots = [
            Dot(scored.candidate.label, share(scored.trusted_share), 100 * scored.trusted_share, "promised")
            for scored in self.scored
        ]
        yield Figure([Dots("Trusted share of the tuning photographs", dots, scale=(0.0, 100.0), unit="%")])
        best, cheaper = self.best.candidate, self.cheapest(NEARLY)
        if cheaper.calls < self.best.calls and not shared:
            yield Note(
                f"{cheaper.candidate.label} trusts {share(cheaper.trusted_share)} for {cheaper.calls} calls instead of "
                f"{self.best.calls}, and {n} hardly tell the two apart; --candidate {cheaper.candidate.label} chooses "
                "it",
                remark="note",
            )
        score = specification_text(best.score)
        rule = None if self.bound is None else specification_text(self.bound.rule)
        yield Facts(
            {
                "best": f"{best.label}: --score {score} --draws {best.draws}",
                **(
                    {}
                    if self.bound is None
                    else {
                        "confidence bound": f"--guarantee {rule}, which trusts {share(self.bound.trusted_share)} there"
                    }
                ),
                **({"level": f"{self.alpha:g}, chosen on the tuning photographs"} if shared else {}),
            },
            {
                "best": {"score": score, "draws": best.draws},
                "guarantee": rule,
                "alpha": self.alpha,
                "n_tuning": len(self.tuning),
            },
        )

    @property
    def record(self) -> TuningRecord:
        """Return the record for `calibrate`: the best candidate, and the photographs that were looked at."""
        best = self.best.candidate
        score = specification_text(best.score)
        return TuningRecord(score=score, draws=best.draws, alpha=self.alpha, photographs=self.tuning)

    @property
    def best(self) -> Scored:
        """Return the candidate of most worth; of equals, the one with fewer calls."""
        return self.scored[0]

    def cheapest(self, within: float) -> Scored:
        """Return the candidate with fewest calls among all worth at most `within` less than the best."""
        enough = self.best.worth - within
        return min((scored for scored in self.scored if scored.worth >= enough), key=lambda near: near.calls)
