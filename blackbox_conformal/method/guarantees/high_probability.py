"""With confidence 1 - delta over calibration sets, the mean loss is at most alpha: risk-controlling prediction sets."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from blackbox_conformal.errors import UsageError
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
from blackbox_conformal.method.guarantees._of_loss import OfLoss
from blackbox_conformal.method.guarantees.guarantee import Choice, Claim, Guarantee
from blackbox_conformal.method.guarantees.per_image import limits
from blackbox_conformal.method.risk.betting import mixture_certifies, mixture_upper, split_stake, thresholds_certified
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import as_typed, exact_bound, float_up
from blackbox_conformal.method.risk.samples import Samples
from blackbox_conformal.support.wording import complement, exactly


@dataclass(frozen=True)
class HoeffdingBentkus:
    """Bates, Angelopoulos, Lei, Malik and Jordan (2021), Theorem 4."""

    delta: float

    def threshold(self, curves: CurveSet, level: float) -> float:
        budget = hoeffding_bentkus_budget(len(curves), level, self.delta)
        # Budgets are for losses in [0, 1], curves in the metric's unit.
        return -math.inf if budget is None else curves.merged.threshold(budget * exact_bound(curves.bound))

    def upper(self, curves: CurveSet, threshold: float) -> float:
        total = curves.merged.total(threshold) / exact_bound(curves.bound)
        return hoeffding_bentkus_upper(total, len(curves), self.delta)

    def least(self, refused: int, level: float) -> int:
        return hoeffding_bentkus_least(refused, level, self.delta)

    def upper_of_none(self, n: int) -> float:
        return hoeffding_bentkus_upper(Fraction(0), n, self.delta)


@dataclass(frozen=True)
class Binomial:
    """Clopper and Pearson (1934) for losses of 0 or 1; every other loss above 0 counts as 1."""

    delta: float

    def threshold(self, curves: CurveSet, level: float) -> float:
        budget = binomial_budget(len(curves), level, self.delta)
        if budget is None:
            return -math.inf
        # Up to the (budget + 1)-th smallest limit at most `budget` photographs have a loss. Trusting is strict, so at
        # that limit itself the next photograph still has none.
        return float(np.sort(limits(curves, Fraction(0)))[budget]) if budget < len(curves) else math.inf

    def upper(self, curves: CurveSet, threshold: float) -> float:
        return binomial_upper(int(np.count_nonzero(curves.losses_at(threshold))), len(curves), self.delta)

    def least(self, refused: int, level: float) -> int:
        return binomial_least(refused, level, self.delta)

    def upper_of_none(self, n: int) -> float:
        return binomial_upper(0, n, self.delta)


@dataclass(frozen=True)
class BettingMixture:
    """The betting bound with constant bets (Waudby-Smith and Ramdas 2024).

    The share `full` of the stake lies on the full bet, the rest evenly on `bets` below it.
    """

    delta: float
    bets: int
    full: float

    @property
    def stake(self) -> NDArray[np.float64] | None:
        """Return the stake on each bet; None: evenly on the bets below the full one."""
        return split_stake(self.bets, self.full) if self.full else None

    def threshold(self, curves: CurveSet, level: float) -> float:
        candidates, stake = np.r_[curves.merged.scores, np.inf], self.stake

        def fails(index: int) -> bool:
            losses = curves.losses_at(float(candidates[index])) / curves.bound
            return not mixture_certifies(losses, level, self.delta, self.bets, stake)

        # The bound grows with t, so if one t passes, every smaller t passes too.
        passing = _first(fails, candidates.size)
        return float(candidates[passing - 1]) if passing else -math.inf

    def upper(self, curves: CurveSet, threshold: float) -> float:
        return mixture_upper(curves.losses_at(threshold) / curves.bound, self.delta, self.bets, self.stake)

    def least(self, refused: int, level: float) -> int:
        return mixture_least(refused, level, self.delta, self.bets, self.stake)

    def upper_of_none(self, n: int) -> float:
        return mixture_upper_of_none(n, self.delta, self.bets, self.stake)


MeanBound = HoeffdingBentkus | Binomial | BettingMixture
"""An upper confidence bound for the mean loss of n independent photographs.

`threshold` is the largest at which the bound is at most `level`, below 1; -inf where there is none. `upper` is the
bound at a threshold, `upper_of_none` the bound for n losses of 0. `least` is the least n at which the bound is at most
`level` when `refused` losses are 1 and all others 0.
"""


def _first(holds: Callable[[int], bool], stop: int) -> int:
    """Return the first index at which `holds` becomes true for good, else `stop`."""
    low, high = 0, stop
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


_BOUNDS: tuple[dict[str, Any], ...] = (
    {"method": "hoeffding-bentkus", "full": 0.0},
    {"method": "binomial", "full": 0.0},
    *({"method": "mixture", "full": full} for full in (0.0, 0.25, 0.5, 0.75)),
)

USUAL_STAKE = 0.75
"""The share on the full bet where neither method nor stake is named. On 63 photographs with three networks it trusted
more than Hoeffding and Bentkus in 32 settings of 36, and in the other 4 neither trusted anything."""

_IID_ONLY = "its confidence bounds need independent draws of one population, which "


class HighProbability(OfLoss):
    """The mean of the loss of `of` is at most alpha, for all but a share `delta` of calibrations.

    ``P( E[L(t)] <= alpha ) >= 1 - delta``, t = the largest whose upper confidence bound is <= alpha.

    `of` names the guarantee with the loss L.

    `delta`: Probability, over calibration sets, that the claim fails.
    `method`: ``hoeffding-bentkus``, best when losses are near 0; ``mixture``, a betting bound, best when they vary;
      ``binomial``, exact and best when every loss is 0 or the bound: any other loss above 0 counts as the bound.
    `bets`: Number of constant bets that the mixture averages.
    `full`: Share of the mixture's stake on one more bet, the full one; see `risk.betting`. Default: `USUAL_STAKE` where
      no method is named either, else 0.
    `together`: Levels at which it holds at once with confidence 1 - delta, so that one may be picked after looking;
      typed as ``[0.05,0.1]``. Any other level gets the threshold of the largest of them below it. Empty: one level that
      was chosen beforehand.
    """

    sampling: ClassVar[Literal["exchangeable", "iid"]] = "iid"
    theorem: ClassVar[str] = "Bates, Angelopoulos, Lei, Malik and Jordan (2021), Theorem 1"
    bounds_tile_means: ClassVar[bool] = True
    unsaid: ClassVar[tuple[str, ...]] = (*OfLoss.unsaid, "full", "together")
    refused: ClassVar[dict[str, str]] = {
        "weights": _IID_ONLY + "weighted photographs are not. Use expected",
        "weight_new": _IID_ONLY + "weighted photographs are not. Use expected",
        "leaked": _IID_ONLY + "leaked photographs are not. Use expected, or leave the leaked photographs out",
        "bound_new": "it speaks of the calibration set, not of one new picture, so the latter's bound cannot enter",
        "bound_from": "it speaks of the calibration set, not of one new picture, so the latter's bound cannot enter",
    }

    delta: float = Field(default=0.1, gt=0, lt=1)
    method: Literal["hoeffding-bentkus", "mixture", "binomial"] = "mixture"
    bets: int = Field(default=20, ge=1, le=1000)
    full: float = Field(default=0.0, ge=0, lt=1)
    together: tuple[float, ...] = ()

    @field_validator("together", mode="before")
    @classmethod
    def _typed_list(cls, levels: Any) -> Any:
        return levels.strip("[]").split(",") if isinstance(levels, str) else levels

    @field_validator("together")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(level) and level > 0 for level in levels):
            raise ValueError("expected finite levels above 0, such as together=[0.05,0.1]")
        return tuple(sorted(set(levels)))

    @model_validator(mode="after")
    def _usual_stake(self) -> Self:
        # A named method without a stake has none, as in files from before `USUAL_STAKE`.
        if not {"method", "full"} & self.model_fields_set:
            object.__setattr__(self, "full", USUAL_STAKE)
        return self

    @model_validator(mode="after")
    def _full_belongs_to_the_mixture(self) -> Self:
        if self.full and self.method != "mixture":
            raise ValueError(f"full is a stake of the mixture's; got method={self.method}. Say method=mixture")
        return self

    def alternatives(self) -> tuple[Guarantee, ...]:
        """Return each method, and the mixture with four stakes, unless method or stake were named."""
        if {"method", "full"} & self.model_fields_set:
            return ()
        return tuple(type(self).model_validate({**self.model_dump(), **bound}) for bound in _BOUNDS)

    def _bound(self, among: int = 1) -> MeanBound:
        delta = self.delta / among
        if self.method == "mixture":
            return BettingMixture(delta, self.bets, self.full)
        return HoeffdingBentkus(delta) if self.method == "hoeffding-bentkus" else Binomial(delta)

    def choose(self, curves: CurveSet, alpha: float) -> Choice:
        """Trust nothing below the levels that hold together."""
        if not self.together or as_typed(alpha, "alpha") >= as_typed(self.together[0]):
            return super().choose(curves, alpha)
        self.check(curves, alpha)
        return Choice(
            -math.inf,
            0,
            f"nothing can be trusted at {alpha:g}: the levels that hold together begin at {self.together[0]:g}. "
            "Choose one of them, or calibrate for a list that has this one",
        )

    @property
    def is_foretold(self) -> bool:
        return self.method == "mixture" and not self.together and not self.outsiders

    def thresholds_allowed(self, samples: Samples, alpha: float, bound: float) -> NDArray[np.int64]:
        level = self._share(as_typed(alpha), bound)
        if level >= 1:
            return np.full(len(samples.counts), samples.losses.shape[1])
        stake = BettingMixture(self.delta, self.bets, self.full).stake
        return thresholds_certified(samples.counts, samples.losses / bound, level, self.delta, self.bets, stake)

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        if not self.together:
            return self._single(curves, alpha, 1)
        return max((t for level, t in self._shared(curves) if as_typed(level) <= alpha), default=-math.inf)

    def _single(self, curves: CurveSet, alpha: Fraction, among: int) -> float:
        level = self._share(alpha, curves.bound)
        # No picture loses more than the bound, so that level always holds.
        return math.inf if level >= 1 else self._bound(among).threshold(curves, level)

    def _share(self, alpha: Fraction, bound: float) -> float:
        """Return the level of photographs like the calibration's as a share of the bound, above 0 however small."""
        # A level that rounds to 0 would make bets divide by zero.
        return max(float(self._inside(alpha, bound) / exact_bound(bound)), math.ulp(0.0))

    def _level(self, share: float, bound: float) -> float:
        """Return the level at which a confidence bound of `share` of the bound suffices, rounded up."""
        inside = min(share * (1 + 1e-12), 1.0) * bound
        return inside if not self.outsiders else float_up(self._overall(Fraction(inside), bound))

    def _shared(self, curves: CurveSet) -> list[tuple[float, float]]:
        """Return each level of `together` with its threshold, the largest level first (Holm 1979).

        The levels share delta evenly. A level at which everything is trusted has nothing left to claim, so it gives its
        part to the levels below, provided that all levels above it trust everything, too.
        """
        shared, among = [], len(self.together)
        handing_on = True
        for level in reversed(self.together):
            threshold = self._single(curves, as_typed(level), among)
            shared.append((level, threshold))
            # Below a level with something left to claim, delta is not passed on: that would break Holm's order.
            handing_on = handing_on and threshold == math.inf
            among -= handing_on
        return shared

    def risk(self, curves: CurveSet, threshold: float) -> float:
        self.check(curves)
        if threshold == -math.inf:
            return 0.0
        if self.together:
            allowed = (level for level, largest in self._shared(curves) if largest >= threshold)
            return min(allowed, default=curves.bound)
        return self._level(self._bound().upper(curves, threshold), curves.bound)

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        """Return the levels from which on each of at most 128 evenly spaced scores is allowed."""
        self.check(curves)
        if self.together:
            return np.array(sorted(level for level, threshold in self._shared(curves) if threshold > -math.inf))
        candidates = np.r_[curves.merged.scores, np.inf]
        # Each level takes a bisection, so a plot gets evenly spread ones instead of all.
        chosen = np.unique(np.linspace(0, candidates.size - 1, min(128, candidates.size)).round().astype(int))
        return np.unique(
            [self.risk(curves, float(candidates[index])) for index in chosen if candidates[index] > -np.inf]
        )

    def _needed(self, curves: CurveSet, alpha: Fraction) -> int:
        # A refused photograph loses the bound as soon as anything is trusted, so it counts as a loss of 1.
        return self._least(float(alpha), curves.bound, int(np.count_nonzero(np.isneginf(curves.scores))))

    def minimum_images(self, alpha: float, bound: float) -> int:
        """Return the least n at which the bound for n losses of 0 is at most alpha."""
        return self._least(alpha, bound, 0)

    def _least(self, alpha: float, bound: float, refused: int) -> int:
        if not self.together:
            return self._least_single(alpha, bound, refused, 1)
        # Photographs without a loss pass at a level only if they pass at all levels above it.
        above = [level for level in reversed(self.together) if level >= alpha] or [alpha]
        return max(
            self._least_single(level, bound, refused, max(len(self.together) - passed, 1))
            for passed, level in enumerate(above)
        )

    def _least_single(self, alpha: float, bound: float, refused: int, among: int) -> int:
        level = self._share(as_typed(alpha, "alpha"), bound)
        # No picture loses more than the bound, so that level needs no photograph.
        return 0 if level >= 1 else self._bound(among).least(refused, level)

    def reachable_alpha(self, n: int, bound: float) -> float:
        if self.together:
            return min((level for level in self.together if self._least(level, bound, 0) <= n), default=bound)
        return bound if n < 1 else self._level(self._bound().upper_of_none(n), bound)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        said = (
            f"With confidence {complement(self.delta)}, {n} calibration photographs show that on average over new "
            f"photographs {self.loss.within(alpha, error)}{self._outsiders_in_words}."
        )
        if self.together:
            levels = ", ".join(exactly(level) for level in self.together)
            said += f" That holds for the levels {levels} together, whichever is picked."
        return said + self._also(n, error)

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        said = self.briefly(alpha, error)
        return f"With confidence {complement(self.delta)}, on average over {like}, {said}."

    @property
    def assumptions(self) -> tuple[str, ...]:
        sentences = list(super().assumptions)
        if self.together:
            sentences = [
                sentence.replace("Nothing was chosen", "Nothing but the level was chosen").replace(
                    "setting, seed or level", "setting or seed"
                )
                for sentence in sentences
            ]
        if self.full:
            sentences.append(
                f"The stakes of the bets, {100 * self.full:g} % on the full one, were fixed before calibration."
            )
        return tuple(sentences)

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        return Claim(losses, self._claimed(alpha, bound), bound, averages=False, binary=self.method == "binomial")

    def quantity(self, unit: str, error: str = "error") -> str:
        return (
            f"the mean over {unit} of {self.loss.loss_in_words(error)}, claimed to be at most alpha for all but "
            f"{exactly(self.delta)} of the calibration sets"
        )


def holding_together(rule: Guarantee, levels: Sequence[float]) -> HighProbability:
    if not isinstance(rule, HighProbability):
        raise UsageError(
            f"expected one --alpha, since {rule.plugin_name()} holds at one level that is chosen beforehand; got "
            f"{len(levels)}. Give one, or --guarantee high-probability, whose levels can hold together"
        )
    return HighProbability.model_validate({**rule.model_dump(), "together": tuple(levels)})


def levels_together(rule: Guarantee) -> tuple[float, ...]:
    """Return the levels at which `rule` holds together, ascending; empty where one level was chosen beforehand."""
    inner = rule.innermost
    return inner.together if isinstance(inner, HighProbability) else ()


PLUGIN = HighProbability
