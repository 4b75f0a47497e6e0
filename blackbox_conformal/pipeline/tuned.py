"""What tuning found: every candidate, and the calibration of the best."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from blackbox_conformal.calibration import Calibration
from blackbox_conformal.calibration_images import KnownPhotograph
from blackbox_conformal.display.figure import Figure
from blackbox_conformal.display.plots import Dot, Dots
from blackbox_conformal.display.table import frame, html_card
from blackbox_conformal.member_text import specification_text
from blackbox_conformal.pipeline.bound_choice import ChosenBound
from blackbox_conformal.pipeline.frontier_parts.candidates import Scored
from blackbox_conformal.pipeline.looked_at import TuningRecord

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, repr=False)
class Tuning:
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

    def to_frame(self) -> pandas.DataFrame:
        """A row for each candidate, the best first, as a table of pandas.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return frame(self._rows())

    def plot(self) -> Figure:
        """The share that each candidate trusts."""
        dots = [
            Dot(scored.candidate.label, f"{scored.trusted_share:.1%}", 100 * scored.trusted_share, "promised")
            for scored in self.scored
        ]
        return Figure([Dots("Trusted share of the tuning photographs", dots, scale=(0.0, 100.0), unit="%")])

    def _repr_html_(self) -> str:
        return html_card(repr(self)[1:-1], [], self._rows(), self.plot())

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "candidate": scored.candidate.label,
                "draws": scored.candidate.draws,
                "alpha": scored.alpha,
                "trusted_share": scored.trusted_share,
                "calls": scored.calls,
            }
            for scored in self.scored
        ]

    @property
    def record(self) -> TuningRecord:
        """What `calibrate` has to know of the choice: the best candidate, and the photographs that were looked at."""
        best = self.best.candidate
        score = specification_text(best.score)
        return TuningRecord(score=score, draws=best.draws, alpha=self.alpha, photographs=self.tuning)

    @property
    def best(self) -> Scored:
        """The candidate with the largest trusted share; among equals, the one with fewer calls."""
        return self.scored[0]

    def cheapest(self, within: float) -> Scored:
        """Of the candidates that trust at most `within` less of a picture than the best, the one with fewest calls."""
        enough = self.best.trusted_share - within
        return min((scored for scored in self.scored if scored.trusted_share >= enough), key=lambda near: near.calls)
