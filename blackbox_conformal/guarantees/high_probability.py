"""With confidence 1 - delta over calibration sets, the mean loss is at most alpha: risk-controlling prediction sets."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.guarantees._bounds import (
    hoeffding_bentkus_budget,
    hoeffding_bentkus_least,
    hoeffding_bentkus_upper,
    mixture_least,
    mixture_upper_of_none,
)
from blackbox_conformal.guarantees.claims import Claim
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.risk.betting import mixture_certifies, mixture_upper
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
        ``hoeffding-bentkus``, best when losses are near 0; ``mixture``, a betting bound, best when they vary.
    bets
        Number of constant bets that the mixture averages.
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
    method: Literal["hoeffding-bentkus", "mixture"] = "hoeffding-bentkus"
    bets: int = Field(default=20, ge=1, le=1000)

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        highest = exact_bound(curves.bound)
        level = _share(alpha, curves.bound)
        if level >= 1:
            return math.inf
        if self.method == "hoeffding-bentkus":
            budget = hoeffding_bentkus_budget(len(curves), level, self.delta)
            return -math.inf if budget is None else curves.merged.threshold(budget * highest)
        candidates = np.r_[curves.merged.scores, np.inf]
        # The bound grows with t, so every smaller t passes when one does.
        passing = _first(
            lambda index: (
                not mixture_certifies(
                    curves.losses_at(float(candidates[index])) / curves.bound, level, self.delta, self.bets
                )
            ),
            candidates.size,
        )
        return float(candidates[passing - 1]) if passing else -math.inf

    def risk(self, curves: CurveSet, threshold: float) -> float:
        """Upper confidence bound of the mean loss at `threshold`; 0 at -inf."""
        self.check(curves)
        if threshold == -math.inf:
            return 0.0
        if self.method == "hoeffding-bentkus":
            total = curves.merged.total(threshold) / exact_bound(curves.bound)
            bound = hoeffding_bentkus_upper(total, len(curves), self.delta)
        else:
            bound = mixture_upper(curves.losses_at(threshold) / curves.bound, self.delta, self.bets)
        return min(bound * (1 + 1e-12), 1.0) * curves.bound

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
        if level >= 1:
            return 0
        if self.method == "hoeffding-bentkus":
            return hoeffding_bentkus_least(refused, level, self.delta)
        return mixture_least(refused, level, self.delta, self.bets)

    def reachable_alpha(self, n: int, bound: float) -> float:
        """The bound for n losses of 0."""
        if n < 1:
            return bound
        if self.method == "hoeffding-bentkus":
            return hoeffding_bentkus_upper(Fraction(0), n, self.delta) * bound * (1 + 1e-12)
        return mixture_upper_of_none(n, self.delta, self.bets) * bound * (1 + 1e-12)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        """One sentence with the numbers."""
        return (
            f"With confidence {1 - self.delta:g}, {n} calibration photographs show that on average over new "
            f"photographs the largest {error} among trusted pixels is at most {alpha:g}."
        )

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        """The mean loss is at most alpha with this one calibration."""
        return Claim(losses, alpha, bound, averages=False)

    def quantity(self, unit: str) -> str:
        """The mean loss and how surely it is bounded, in words."""
        return (
            f"the mean over {unit} of the largest trusted error, claimed to be at most alpha for all but "
            f"{self.delta:g} of the calibration sets"
        )


def _share(alpha: Fraction, bound: float) -> float:
    """`alpha` as a share of the bound, above 0 however small it is."""
    return max(float(alpha / exact_bound(bound)), math.ulp(0.0))


def _first(holds: Callable[[int], bool], stop: int) -> int:
    """The first index at which `holds`, which stays true from there on; `stop` when none below does."""
    low, high = 0, stop
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


PLUGIN = HighProbability
