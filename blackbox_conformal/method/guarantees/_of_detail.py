"""Guarantees of an expected share of detail, whose curves the metric `invention` makes."""

from typing import ClassVar

from pydantic import Field

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support.wording import exactly

CEILING = 0.9
"""The largest threshold where scores are shares: what the score holds to be invented to nine tenths is never clear."""


class OfDetail(Expected):
    """``E[ L_new(t) ] <= alpha`` for a share L of detail, in [0, 1]; parameters of `Expected` but bound_from.

    Attributes
    ----------
    ceiling
        No pixel is clear whose score is at least this, whatever the level; must be that of the curves. The loss counts
        as 1 above it, so that it never falls and no level below 1 allows it.
    """

    theorem: ClassVar[str] = "Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Theorem 1, with B = 1"
    refused: ClassVar[dict[str, str]] = dict.fromkeys(
        ("delta", "confidence"),
        "it bounds a mean, also over calibration sets. With --metric invention, --guarantee high-probability and "
        "--guarantee per-image bound the largest share of a clear pixel",
    )

    ceiling: float = Field(default=CEILING, allow_inf_nan=False)

    def check(self, curves: CurveSet, alpha: float | None = None) -> None:
        """As for every guarantee, and the ceiling must be that of the curves."""
        super().check(curves, alpha)
        if curves.ceiling != self.ceiling:
            raise CalibrationError(
                f"expected curves with the ceiling {self.ceiling:g}; these were made with {curves.ceiling}. Calibrate "
                f"with --guarantee {self.plugin_name()}:ceiling=…, which takes no further call"
            )

    @property
    def threshold_ceiling(self) -> float | None:
        """As `ceiling` says."""
        return self.ceiling

    @property
    def _notes(self) -> str:
        return (
            "Detail is what differs from plain enlargement of the input and is no wide cast of colour. It counts by "
            f"its energy, the square of the difference. No pixel is clear whose score is {exactly(self.ceiling)} or "
            "more."
        )
