"""The expected loss of a new photograph is at most alpha: conformal risk control, also weighted and with leakage."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import (
    BoundOfNew,
    BoundSource,
    Choice,
    Claim,
    Guarantee,
    number_in_words,
    require_length,
)
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import WEIGHT_BITS, CurveSet, Merged
from blackbox_conformal.method.risk.exact import as_typed, exact_bound, float_up
from blackbox_conformal.support.wording import exactly


class WithOutsiders(Guarantee):
    """A guarantee that also holds when a share `outsiders` of new pictures is of any other kind.

    An outsider loses at most the bound B and the others keep the calibrated level a, so the mean loss is at most ``(1 -
    outsiders) a + outsiders B`` (Huber's contamination, 1964). ``a = (alpha - outsiders B) / (1 - outsiders)`` makes
    this alpha.

    `outsiders`: The largest share of new pictures that are not like the calibration photographs, in [0, 1).
    """

    unsaid: ClassVar[tuple[str, ...]] = ("outsiders",)

    outsiders: float = Field(default=0.0, ge=0, lt=1, examples=[0.01])

    @model_validator(mode="after")
    def _enough_for_outsiders(self) -> Self:
        # Outsiders may always miss: once they use up the miss rate, no level is left for the others.
        if self.miss_rate is not None and self.outsiders and self.outsiders >= self.miss_rate:
            raise ValueError(
                f"expected outsiders below delta, since each of them may miss; got {self.outsiders:g} and delta "
                f"{self.miss_rate:g}. Lower outsiders, or raise delta"
            )
        return self

    def check_level(self, alpha: float, bound: float | None = None) -> None:
        """Refuse also a level that the outsiders alone use up."""
        super().check_level(alpha, bound)
        if (
            bound is None
            or self.miss_rate is not None
            or not self.outsiders
            or self._inside(as_typed(alpha), bound) > 0
        ):
            return
        raise UsageError(
            f"expected alpha above {self.outsiders * bound:g}, which {100 * self.outsiders:g} % of outsiders with the "
            f"largest loss, {bound:g}, use up; got {alpha:g}. Lower outsiders, or give the metric a cap, such as "
            "--metric lab-l1:sigma=4,cap=0.5"
        )

    def _inside(self, level: Fraction, bound: float) -> Fraction:
        """Return the level that the others must keep, so that all pictures together keep `level`."""
        share = as_typed(self.outsiders)
        # As fractions of the decimals typed, so that an exactly used-up level is seen.
        return (level - share * exact_bound(bound)) / (1 - share) if share else level

    def _overall(self, level: Fraction, bound: float) -> Fraction:
        """Return the level of all pictures if all but outsiders keep `level`."""
        share = as_typed(self.outsiders)
        return level * (1 - share) + share * exact_bound(bound)

    def _claimed(self, alpha: float, bound: float) -> float:
        """Return the level for photographs like the calibration's, which an audit of such photographs can test."""
        return float(self._inside(as_typed(alpha), bound)) if self.outsiders else alpha

    @property
    def _outsiders_in_words(self) -> str:
        if not self.outsiders:
            return ""
        return f", also if {100 * self.outsiders:g} % of new pictures are of any other kind"

    @property
    def assumptions(self) -> tuple[str, ...]:
        if not self.outsiders:
            return super().assumptions
        return (
            *super().assumptions,
            f"At most {100 * self.outsiders:g} % of new pictures are of another kind, and which these are does not "
            "depend on the others.",
        )


_FROM = {"delivered": "delivered colours", "input": "input"}


class Expected(WithOutsiders):
    """The largest error among trusted pixels is at most alpha, on average over pictures.

    ``E[L_new(t)] <= alpha``, t = sup { t : sum w_i L_i(t) + w_new B_new(t) <= alpha (sum w_i + w_new) }.

    `weights`, `weight_new`: Likelihood ratios dQ/dP of each calibration photograph and of the new one, up to a common
      factor; both or neither (Tibshirani, Barber, Candès and Ramdas 2019).
    `leaked`: At most so many calibration photographs were in the vendor's training set (Adame et al. 2025, Prop. 3.2).
    `bound_new`: An upper bound on the new photograph's own loss from its input and draws alone: a number, a staircase,
      or a nondecreasing function of the threshold. It replaces the metric's bound where it is smaller. A function is
      asked only at the calibration's scores, so if it jumps between them it trusts less than an equal staircase would.
    `bound_from`: Where the new photograph's bound comes from when its mask is made: ``metric`` (the same for all),
      ``delivered`` (its delivered colours), ``input`` (its input and its delivered colours; a window is needed).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    theorem: ClassVar[str] = "Angelopoulos, Bates, Fisch, Lei and Schuster (2024), Theorem 1"
    bounds_tile_means: ClassVar[bool] = True
    own_bound_refused: ClassVar[str] = ""
    """The quantity that a bound from the picture bounds instead of the loss; `bound_from` is then refused. Empty:
    none."""

    weights: tuple[float, ...] | None = None
    weight_new: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    leaked: int = Field(default=0, ge=0)
    bound_new: BoundOfNew | None = None
    bound_from: BoundSource = "metric"

    @field_validator("weights", mode="before")
    @classmethod
    def _from_array(cls, weights: Any) -> Any:
        return tuple(weights.tolist()) if isinstance(weights, np.ndarray) else weights

    @field_validator("bound_new")
    @classmethod
    def _number_in_range(cls, bound: BoundOfNew | None) -> BoundOfNew | None:
        if isinstance(bound, int | float) and not (math.isfinite(bound) and bound >= 0):
            raise ValueError("expected a finite number >= 0")
        return bound

    @model_validator(mode="after")
    def _together(self) -> Self:
        # The new photograph's weight multiplies its bound; without it the inequality cannot be written down.
        if (self.weights is None) != (self.weight_new is None):
            raise ValueError("weights and weight_new belong together: give both or neither")
        if self.weights is not None and not all(math.isfinite(w) and w >= 0 for w in self.weights):
            raise ValueError("expected finite weights >= 0")
        if self.weights is not None and self.leaked:
            raise ValueError(
                "weights and leaked exclude each other: the leakage bound rests on exchangeable photographs, "
                "which weighted ones are not"
            )
        if self.bound_from != "metric" and self.bound_new is not None and not isinstance(self.bound_new, RiskCurve):
            raise ValueError(
                "bound_from and bound_new both bound the new picture's own loss, and only one can be used: give one"
            )
        return self

    @field_validator("bound_from")
    @classmethod
    def _no_bound_of_something_else(cls, source: BoundSource) -> BoundSource:
        if source != "metric" and cls.own_bound_refused:
            raise ValueError(
                f"a bound from the picture bounds {cls.own_bound_refused}, so nothing would be guaranteed. Leave "
                "bound_from out"
            )
        return source

    @field_serializer("bound_new")
    def _bound_in_words(self, bound: BoundOfNew | None) -> float | str | None:
        return bound if bound is None or isinstance(bound, int | float) else "from the picture itself"

    @property
    def bound_source(self) -> BoundSource:
        return self.bound_from

    @property
    def own_bound(self) -> BoundOfNew | None:
        return self.bound_new

    def with_bound(self, bound: RiskCurve) -> Self:
        return self.model_copy(update={"bound_new": bound})

    def _sides(self, curves: CurveSet) -> tuple[Merged, Fraction, Fraction]:
        """Return the weighted sum as a staircase, the new photograph's weight, and alpha's factor in the inequality."""
        n = len(curves)
        if self.leaked > n:
            raise UsageError(f"expected at most {n} leaked photographs of {n}; got {self.leaked}")
        if self.weights is None or self.weight_new is None:
            return curves.merged, Fraction(1), Fraction(n - self.leaked + 1)
        require_length("weights", self.weights, curves)
        # The largest weight gets all the bits that sums of weighted losses leave free.
        exponent = math.frexp(max(*self.weights, self.weight_new))[1]
        scale = Fraction(2) ** (WEIGHT_BITS - exponent)
        # Rounded up on the side of the losses and exact on the side of alpha, so rounding only lowers t.
        whole = np.array([math.ceil(Fraction(weight) * scale) for weight in self.weights], dtype=np.int64)
        total = sum(map(Fraction, self.weights), Fraction(self.weight_new))
        return curves.weighted(whole), Fraction(self.weight_new) * scale, total * scale

    def choose(self, curves: CurveSet, alpha: float) -> Choice:
        """Trust nothing where weighted photographs are worth too few."""
        choice = super().choose(curves, alpha)
        level = self._inside(as_typed(alpha), curves.bound)
        # The plain reason counts photographs of equal weight, so it holds only where the weights are not to blame.
        if choice.reason is None or level >= self._floor(curves):
            return choice
        needed = self._constant(exact_bound(curves.bound)) / level - 1
        missing = math.ceil(needed - self._worth)
        return Choice(
            choice.threshold,
            missing,
            f"nothing can be trusted at {alpha:g}: {len(curves)} weighted {self.unit} are worth "
            f"{float(self._worth):.1f} of equal weight, and at least {number_in_words(math.ceil(needed))} are needed. "
            "Add photographs that are like the new ones, or choose a larger level",
        )

    def _floor(self, curves: CurveSet) -> Fraction:
        """Return the least level that so many photographs of equal weight could reach; 0 without weights.

        With true likelihood ratios lower levels would hold, but then a few photographs decide, and nobody sees an error
        in their weights.
        """
        if self.weights is None:
            return Fraction(0)
        return self._constant(exact_bound(curves.bound)) / (self._worth + 1)

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        merged, weight, factor = self._sides(curves)
        level = self._inside(alpha, curves.bound)
        if level < self._floor(curves):
            return -math.inf
        budget, highest = level * factor, exact_bound(curves.bound)
        if self.bound_new is None or isinstance(self.bound_new, int | float):
            # sum w_i L_i(t) <= alpha (sum w_i + w_new) - w_new B, solved for the left side.
            return merged.threshold(budget - weight * self._constant(highest))
        if isinstance(self.bound_new, RiskCurve):
            return _below_staircase(merged, budget, weight, self.bound_new, highest)
        return _below_function(merged, budget, weight, self.bound_new, highest)

    def _constant(self, highest: Fraction) -> Fraction:
        return min(as_typed(self.bound_new), highest) if isinstance(self.bound_new, int | float) else highest

    def _needed(self, curves: CurveSet, alpha: Fraction) -> int:
        merged, weight, factor = self._sides(curves)
        # Below every finite score only refused photographs, which carry a record at -inf, have lost anything.
        refused = merged.total(float(np.finfo(np.float32).min)) if curves.scores.size else Fraction(0)
        highest = self._constant(exact_bound(curves.bound))
        # The budget's shortfall even without an error in any other photograph, in losses of level alpha.
        short = (refused + weight * highest) / self._inside(alpha, curves.bound) - factor
        # A weighted photograph adds its own share of the factor; an unweighted one adds 1.
        each = (factor - weight) / len(curves) if self.weights is not None else Fraction(1)
        return len(curves) + (math.ceil(short / each) if each > 0 else 0)

    def risk(self, curves: CurveSet, threshold: float) -> float:
        """Return ``(sum w_i L_i(t) + w_new B_new(t)) / (sum w_i + w_new)``, with the leakage factor; 0 at -inf."""
        self.check(curves)
        if threshold == -math.inf:
            return 0.0
        merged, weight, factor = self._sides(curves)
        highest = exact_bound(curves.bound)
        if isinstance(self.bound_new, RiskCurve):
            # The metric's bound holds as well, so the smaller one counts.
            own_bound = min(Fraction(self.bound_new.loss(threshold)), highest)
        elif callable(self.bound_new):
            own_bound = min(Fraction(self.bound_new(threshold)), highest)
        else:
            own_bound = self._constant(highest)
        level = max((merged.total(threshold) + weight * own_bound) / factor, self._floor(curves))
        # Rounded up: asking for the threshold at this level must give back at least this threshold.
        return float_up(self._overall(level, curves.bound))

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        """Return the levels, each rounded up by a few units in the last place."""
        self.check(curves)
        if callable(self.bound_new) or isinstance(self.bound_new, RiskCurve):
            raise UsageError("expected levels of a calibration; got a bound_new of one picture. Ask without bound_new")
        merged, weight, factor = self._sides(curves)
        fixed = float(weight * self._constant(exact_bound(curves.bound)))
        totals = np.r_[0.0, merged.totals()]
        # Refused photographs lose as soon as anything is trusted, so the sum of 0 before them belongs to no mask.
        if merged.scores.size and merged.scores[0] == -np.inf:
            totals = totals[1:]
        levels = np.maximum((totals + fixed) / float(factor), float_up(self._floor(curves)))
        if self.outsiders:
            levels = levels * (1 - self.outsiders) + self.outsiders * float(exact_bound(curves.bound))
        # Covers the rounding of sum and division: a level rounded down would not allow its own threshold.
        return np.unique(levels * (1 + 2**-50))

    def minimum_images(self, alpha: float, bound: float) -> int:
        """Return ``ceil(B / alpha) - 1`` and the leaked ones."""
        level = self._inside(as_typed(alpha, "alpha"), bound)
        return max(math.ceil(self._constant(exact_bound(bound)) / level) - 1 + self.leaked, 0)

    def reachable_alpha(self, n: int, bound: float) -> float:
        """Return ``B / (n + 1)``, where n leaves leaked photographs out."""
        level = self._constant(exact_bound(bound)) / max(n - self.leaked + 1, 1)
        # Rounded up, so that the printed level is reachable.
        return float_up(self._overall(level, bound))

    @property
    def effective_images(self) -> float | None:
        """Return ``(sum w)^2 / sum w^2`` of the calibration photographs; None without weights."""
        return None if self.weights is None else float(self._worth)

    @property
    def _worth(self) -> Fraction:
        """Return `effective_images`, exact, so that equal weights are worth their number."""
        exact = [Fraction(weight) for weight in self.weights or ()]
        squares = sum((weight * weight for weight in exact), Fraction(0))
        return sum(exact, Fraction(0)) ** 2 / squares if squares else Fraction(0)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        return f"On average over new photographs, {self._promised(alpha, error)}{self._by(n)}."

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        if self.weights is None:
            return super().in_short(alpha, like, error)
        return f"On average over pictures as the weights expect them, {self.briefly(alpha, error)}."

    def briefly(self, alpha: float, error: str = "error") -> str:
        return f"the largest {error} where clear is at most {exactly(alpha)}"

    def _promised(self, alpha: float, error: str) -> str:
        return self.within(alpha, error)

    def within(self, alpha: float, error: str = "error") -> str:
        """Say that the loss is at most `alpha`: a clause that is true for a picture, and for a mean over pictures."""
        return f"the largest {error} among trusted pixels is at most {exactly(alpha)}"

    def _by(self, n: int) -> str:
        parts = [f" (calibrated on {n} {self.unit.removeprefix('calibration ')}"]
        if self.weights is not None:
            parts.append(f"weighted, worth {self.effective_images:.1f}")
        if self.leaked:
            parts.append(f"also if up to {self.leaked} of them were in the vendor's training set")
        if isinstance(self.bound_new, int | float):
            parts.append(f"its own loss taken to be at most {self.bound_new:g} in this picture")
        if self.bound_from != "metric":
            parts.append(f"its own loss in a picture bounded from its {_FROM[self.bound_from]}")
        return ", ".join(parts) + self._outsiders_in_words + ")"

    @property
    def assumptions(self) -> tuple[str, ...]:
        sentences = list(super().assumptions)
        if self.weights is not None:
            sentences[0] = "The weights are the true likelihood ratios of new against calibration photographs."
        if self.leaked:
            sentences[0] = (
                "The photographs that did not leak and the new one are exchangeable, given the vendor's trained model."
            )
        if self.bound_new is not None or self.bound_from != "metric":
            sentences.append(
                "The bound of the new picture's own loss holds; it was computed from its input and draws alone."
            )
        return tuple(sentences)

    def restrict(self, indices: NDArray[np.int64]) -> Self:
        if self.weights is None:
            return self
        return self.model_copy(update={"weights": tuple(self.weights[index] for index in indices)})

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        """Claim that the mean loss is at most alpha, less the outsiders' part."""
        return Claim(losses, self._claimed(alpha, bound), bound)

    def quantity(self, unit: str, error: str = "error") -> str:
        return f"the mean over {unit} of {self.loss_in_words(error)}"

    def loss_in_words(self, error: str = "error") -> str:
        return f"the largest {error} of a trusted pixel"

    def refuse_unclaimed(self, in_tiles: bool) -> None:
        if self.bound_new is not None and not isinstance(self.bound_new, int | float):
            raise UsageError(
                "expected a guarantee for any new photograph; got one with the bound of one picture. "
                "Say bound_from=delivered or bound_from=input instead: each audited picture then gets its own bound"
            )

    @property
    def by_photograph(self) -> dict[str, tuple[Any, ...]]:
        return {} if self.weights is None else {"weights": self.weights}

    @property
    def holds_on_average(self) -> bool:
        return True

    @property
    def treats_photographs_alike(self) -> bool:
        return not self.leaked and self.weights is None

    @property
    def bounds_plain_sum(self) -> bool:
        return self.treats_photographs_alike and self.bound_new is None and not self.outsiders

    def allowing_leaked(self, count: int) -> Self | None:
        alike = self.treats_photographs_alike and not self.outsiders
        return self.model_copy(update={"leaked": count}) if alike else None

    @property
    def audit_notes(self) -> tuple[str, ...]:
        if self.weights is None:
            return ()
        return (
            "With weights the claim is about new photographs whose likelihood ratio is at most weight_new: the audit "
            "photographs must be such. There is no permutation test, as calibration photographs are not.",
        )


def _below_staircase(
    merged: Merged, budget: Fraction, weight: Fraction, own_bound: RiskCurve, highest: Fraction
) -> float:
    """Return sup { t : merged(t) + weight * own_bound(t) <= budget }, exactly.

    On each step of `own_bound` the sum decides. Both sides only grow with t. If the sum stays within the budget up to a
    step's end, the next step may go on; so the first step that ends earlier is the last.
    """
    ends = [*map(float, own_bound.scores), math.inf]
    last_end = -math.inf
    for end, loss in zip(ends, [0.0, *map(float, own_bound.losses)], strict=True):
        on_step = merged.threshold(budget - weight * min(Fraction(loss), highest))
        if on_step <= end:
            return max(last_end, on_step)
        last_end = end
    return last_end


def _below_function(
    merged: Merged, budget: Fraction, weight: Fraction, own_bound: Callable[[float], float], highest: Fraction
) -> float:
    """Return the largest score (or +inf) at which merged(t) + weight * own_bound(t) <= budget; no bound falls."""
    # Scores of -inf are no thresholds: they stand for refused photographs.
    candidates = np.r_[merged.scores[merged.scores > -np.inf], np.inf]
    low, high = -1, candidates.size - 1
    while low < high:
        middle = (low + high + 1) // 2
        # Bisection, since the user's bound may be a slow function: at most log2(scores) questions.
        threshold = float(candidates[middle])
        value = float(own_bound(threshold))
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"expected bound_new to return finite numbers >= 0; got {value!r} at {threshold!r}")
        if merged.total(threshold) + weight * min(Fraction(value), highest) <= budget:
            low = middle
        else:
            high = middle - 1
    return float(candidates[low]) if low >= 0 else -math.inf


PLUGIN = Expected
