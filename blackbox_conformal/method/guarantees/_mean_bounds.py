"""Which thresholds each upper confidence bound for the mean loss allows: the methods of `high-probability`.

Losses are taken as shares of their largest value, so that they lie in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.guarantees._bounds import (
    binomial_budget,
    binomial_least,
    binomial_upper,
    hoeffding_bentkus_budget,
    hoeffding_bentkus_least,
    hoeffding_bentkus_upper,
    mixture_least,
    mixture_upper_of_none,
)
from blackbox_conformal.method.guarantees.per_image import limits
from blackbox_conformal.method.risk.betting import mixture_certifies, mixture_upper, split_stake
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import exact_bound


class MeanBound(Protocol):
    """An upper confidence bound for the mean of n independent losses; every method is at one confidence."""

    def threshold(self, curves: CurveSet, level: float) -> float:
        """The largest threshold at which the bound is at most `level`, below 1; -inf where there is none."""

    def upper(self, curves: CurveSet, threshold: float) -> float:
        """The bound at `threshold`."""

    def least(self, refused: int, level: float) -> int:
        """The least n with which the bound is at most `level` when `refused` losses are 1 and all others 0."""

    def upper_of_none(self, n: int) -> float:
        """The bound for n losses of 0."""


@dataclass(frozen=True)
class HoeffdingBentkus:
    """Bates, Angelopoulos, Lei, Malik and Jordan (2021), Theorem 4."""

    delta: float

    def threshold(self, curves: CurveSet, level: float) -> float:
        """From the sum of losses."""
        budget = hoeffding_bentkus_budget(len(curves), level, self.delta)
        return -math.inf if budget is None else curves.merged.threshold(budget * exact_bound(curves.bound))

    def upper(self, curves: CurveSet, threshold: float) -> float:
        """From the sum of losses."""
        total = curves.merged.total(threshold) / exact_bound(curves.bound)
        return hoeffding_bentkus_upper(total, len(curves), self.delta)

    def least(self, refused: int, level: float) -> int:
        """By bisection."""
        return hoeffding_bentkus_least(refused, level, self.delta)

    def upper_of_none(self, n: int) -> float:
        """In closed form."""
        return hoeffding_bentkus_upper(Fraction(0), n, self.delta)


@dataclass(frozen=True)
class Binomial:
    """Clopper and Pearson (1934) for losses of 0 or 1; every other loss above 0 counts as 1."""

    delta: float

    def threshold(self, curves: CurveSet, level: float) -> float:
        """From the number of losses above 0."""
        budget = binomial_budget(len(curves), level, self.delta)
        if budget is None:
            return -math.inf
        # Up to the (budget + 1)-th smallest limit no more than `budget` photographs have a loss.
        return float(np.sort(limits(curves, Fraction(0)))[budget]) if budget < len(curves) else math.inf

    def upper(self, curves: CurveSet, threshold: float) -> float:
        """From the number of losses above 0."""
        return binomial_upper(int(np.count_nonzero(curves.losses_at(threshold))), len(curves), self.delta)

    def least(self, refused: int, level: float) -> int:
        """By bisection."""
        return binomial_least(refused, level, self.delta)

    def upper_of_none(self, n: int) -> float:
        """In closed form."""
        return binomial_upper(0, n, self.delta)


@dataclass(frozen=True)
class Mixture:
    """The betting bound with constant bets (Waudby-Smith and Ramdas 2024).

    Attributes
    ----------
    bets
        Number of bets below the full one.
    full
        Share of the stake on the full bet; the rest lies evenly on the others.
    """

    delta: float
    bets: int
    full: float

    @property
    def stake(self) -> NDArray[np.float64] | None:
        """What lies on each bet; None: evenly on those below the full one."""
        return split_stake(self.bets, self.full) if self.full else None

    def threshold(self, curves: CurveSet, level: float) -> float:
        """By bisection over scores."""
        candidates, stake = np.r_[curves.merged.scores, np.inf], self.stake

        def fails(index: int) -> bool:
            losses = curves.losses_at(float(candidates[index])) / curves.bound
            return not mixture_certifies(losses, level, self.delta, self.bets, stake)

        # The bound grows with t, so every smaller t passes when one does.
        passing = _first(fails, candidates.size)
        return float(candidates[passing - 1]) if passing else -math.inf

    def upper(self, curves: CurveSet, threshold: float) -> float:
        """By bisection over means."""
        return mixture_upper(curves.losses_at(threshold) / curves.bound, self.delta, self.bets, self.stake)

    def least(self, refused: int, level: float) -> int:
        """By bisection."""
        return mixture_least(refused, level, self.delta, self.bets, self.stake)

    def upper_of_none(self, n: int) -> float:
        """By bisection over means."""
        return mixture_upper_of_none(n, self.delta, self.bets, self.stake)


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
