"""What tuning found: every candidate, and the calibration of the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.study.calibrate.calibrating import ChosenBound
from blackbox_conformal.study.plan.candidates import Scored
from blackbox_conformal.study.unseen_photographs import TuningRecord
from blackbox_conformal.support.blocks import Block, Faces, Facts, Figure, How, Note, Table
from blackbox_conformal.support.catalog import specification_text
from blackbox_conformal.support.plots import Dot, Dots
from blackbox_conformal.support.text import counted
from blackbox_conformal.support.wording import expected, share

NEARLY = 0.01
"""Trusted shares that are no farther apart are nearly as good."""


@dataclass(frozen=True, slots=True, repr=False)
class Tuning(Faces):
    """Every candidate, the best first, the photographs that were looked at, and what that took.

    Attributes
    ----------
    calibration
        Of the best candidate on the photographs that were not looked at; None where none was asked for.
    calls, cached, cost_usd
        Calls to the vendor, draws that were stored before, and what the calls cost, calibration included.
    bound
        The guarantee with the best of its confidence bounds, where it leaves that open.
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
        """Every candidate with what it trusts and costs, a cheaper one that is nearly as good, and what was chosen."""
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
        """What `calibrate` has to know of the choice: the best candidate, and the photographs that were looked at."""
        best = self.best.candidate
        score = specification_text(best.score)
        return TuningRecord(score=score, draws=best.draws, alpha=self.alpha, photographs=self.tuning)

    @property
    def best(self) -> Scored:
        """The candidate of most `Scored.worth`; among equals, the one with fewer calls."""
        return self.scored[0]

    def cheapest(self, within: float) -> Scored:
        """Of the candidates that are worth at most `within` less than the best, the one with fewest calls."""
        enough = self.best.worth - within
        return min((scored for scored in self.scored if scored.worth >= enough), key=lambda near: near.calls)
