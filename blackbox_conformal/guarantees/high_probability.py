"""With confidence 1 - delta over calibration sets, the mean loss is at most alpha: risk-controlling prediction sets."""

import math
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from blackbox_conformal.guarantees._mean_bounds import Binomial, HoeffdingBentkus, MeanBound, Mixture
from blackbox_conformal.guarantees.claims import Claim
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.exact import as_typed, exact_bound

_IID_ONLY = "its confidence bounds need independent draws of one population, which "


class HighProbability(Guarantee):
    """``P( E[L(t)] <= alpha ) >= 1 - delta``, t = the largest whose upper confidence bound is <= alpha.

    Attributes
    ----------
    delta
        Probability, over calibration sets, that the claim fails.
    method
        ``hoeffding-bentkus``, best when losses are near 0; ``mixture``, a betting bound, best when they vary;
        ``binomial``, exact and best when every loss is 0 or the bound: any other loss above 0 counts as the bound.
    bets
        Number of constant bets that the mixture averages.
    full
        Share of the mixture's stake that lies on one more bet, the full one; see `risk.betting`.
    """

    sampling: ClassVar[Literal["exchangeable", "iid"]] = "iid"
    theorem: ClassVar[str] = "Bates, Angelopoulos, Lei, Malik and Jordan (2021), Theorem 1"
    bounds_tile_means: ClassVar[bool] = True
    refused: ClassVar[dict[str, str]] = {
        "weights": _IID_ONLY + "weighted photographs are not. Use expected",
        "weight_new": _IID_ONLY + "weighted photographs are not. Use expected",
        "leaked": _IID_ONLY + "leaked photographs are not. Use expected, or leave the leaked photographs out",
        "bound_new": "it speaks of the calibration set, not of one new picture, so the latter's bound cannot enter",
        "bound_from": "it speaks of the calibration set, not of one new picture, so the latter's bound cannot enter",
    }

    delta: float = Field(default=0.1, gt=0, lt=1)
    method: Literal["hoeffding-bentkus", "mixture", "binomial"] = "hoeffding-bentkus"
    bets: int = Field(default=20, ge=1, le=1000)
    full: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _full_belongs_to_the_mixture(self) -> Self:
        if self.full and self.method != "mixture":
            raise ValueError(f"full is a stake of the mixture's; got method={self.method}. Say method=mixture")
        return self

    def specification(self) -> dict[str, Any]:
        """As of every plugin; without a full bet there is no word of it."""
        content = super().specification()
        return {key: value for key, value in content.items() if key != "full" or value}

    @property
    def _bound(self) -> MeanBound:
        if self.method == "mixture":
            return Mixture(self.delta, self.bets, self.full)
        return HoeffdingBentkus(self.delta) if self.method == "hoeffding-bentkus" else Binomial(self.delta)

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        level = _share(alpha, curves.bound)
        return math.inf if level >= 1 else self._bound.threshold(curves, level)

    def risk(self, curves: CurveSet, threshold: float) -> float:
        """Upper confidence bound of the mean loss at `threshold`; 0 at -inf."""
        self.check(curves)
        if threshold == -math.inf:
            return 0.0
        return min(self._bound.upper(curves, threshold) * (1 + 1e-12), 1.0) * curves.bound

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        """Levels from which on each of at most 128 evenly spaced scores is allowed as threshold."""
        self.check(curves)
        candidates = np.r_[curves.merged.scores, np.inf]
        chosen = np.unique(np.linspace(0, candidates.size - 1, min(128, candidates.size)).round().astype(int))
        return np.unique(
            [self.risk(curves, float(candidates[index])) for index in chosen if candidates[index] > -np.inf]
        )

    def _needed(self, curves: CurveSet, alpha: Fraction) -> int:
        return self._least(float(alpha), curves.bound, int(np.count_nonzero(np.isneginf(curves.scores))))

    def minimum_images(self, alpha: float, bound: float) -> int:
        """Least n at which the bound for n losses of 0 is <= alpha."""
        return self._least(alpha, bound, 0)

    def _least(self, alpha: float, bound: float, refused: int) -> int:
        level = _share(as_typed(alpha, "alpha"), bound)
        return 0 if level >= 1 else self._bound.least(refused, level)

    def reachable_alpha(self, n: int, bound: float) -> float:
        """The bound for n losses of 0."""
        return bound if n < 1 else self._bound.upper_of_none(n) * bound * (1 + 1e-12)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        """One sentence with the numbers."""
        return (
            f"With confidence {1 - self.delta:g}, {n} calibration photographs show that on average over new "
            f"photographs the largest {error} among trusted pixels is at most {alpha:g}."
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What must be true for it, one sentence each; of its stakes, too."""
        if self.full:
            return (
                *super().assumptions,
                f"The stakes of the bets, {100 * self.full:g} % on the full one, were fixed before calibration.",
            )
        return super().assumptions

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        """The mean loss is at most alpha with this one calibration."""
        return Claim(losses, alpha, bound, averages=False, binary=self.method == "binomial")

    def quantity(self, unit: str) -> str:
        """The mean loss and how surely it is bounded, in words."""
        return (
            f"the mean over {unit} of the largest trusted error, claimed to be at most alpha for all but "
            f"{self.delta:g} of the calibration sets"
        )


def _share(alpha: Fraction, bound: float) -> float:
    """`alpha` as a share of the bound, above 0 however small it is."""
    return max(float(alpha / exact_bound(bound)), math.ulp(0.0))


PLUGIN = HighProbability
