"""Which curves of a photograph are made."""

from dataclasses import dataclass

from blackbox_conformal.method.kernels.detail import Energies
from blackbox_conformal.method.risk.curve import DETAIL, RiskCurve
from blackbox_conformal.support.types import Map

DEFAULT_TOLERANCE = 0.1
"""Shares of pixels wrong by more than this are always stored, so that `false-trust` needs no second calibration."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What is lost, beside the largest trusted error: a curve each.

    Attributes
    ----------
    tolerances, left_out, sides
        As `RiskCurve.family` takes them.
    ceiling
        The largest threshold of curves of detail; None: none are made.
    """

    tolerances: tuple[float, ...] = ()
    left_out: tuple[float, ...] = ()
    sides: tuple[float, ...] = ()
    ceiling: float | None = None

    def curves(self, scores: Map, errors: Map, energies: Energies | None, bound: float) -> list[RiskCurve]:
        """Those of one photograph, that of the largest error first; `energies` are needed where there is a ceiling."""
        family = RiskCurve.family(
            scores, errors, bound=bound, tolerances=self.tolerances, left_out=self.left_out, sides=self.sides
        )
        if self.ceiling is None:
            return family
        assert energies is not None
        return [*family, *family[0].of_detail(scores, energies, self.ceiling)]

    def worst(self, bound: float) -> list[RiskCurve]:
        """The same of a photograph that the vendor refused, of which nothing else is known."""
        return [
            RiskCurve.worst(bound),
            *(RiskCurve.worst(bound, "share", tolerance=tolerance) for tolerance in self.tolerances),
            *(RiskCurve.worst(bound, "all-but", left_out=share) for share in self.left_out),
            *(RiskCurve.worst(bound, "local", side=side) for side in self.sides),
            *(RiskCurve.worst(bound, kind, ceiling=self.ceiling) for kind in DETAIL if self.ceiling is not None),
        ]
