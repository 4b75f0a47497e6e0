"""With probability 1 - delta the loss of the new photograph is within the tolerance: split conformal.

Alpha is the tolerance: on the largest trusted error, in the metric's unit, or on another loss.
"""

import math
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blackbox_conformal.errors import PluginError, UsageError
from blackbox_conformal.method.guarantees._bounds import MARGIN, binomial_cdf, binomial_tail, least, least_without
from blackbox_conformal.method.guarantees._of_loss import OfLoss
from blackbox_conformal.method.guarantees.guarantee import Claim, Needs
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import as_typed, exact_bound, float_up
from blackbox_conformal.support.rounding import float32_down
from blackbox_conformal.support.wording import complement, exactly, percent


class PerImage(OfLoss):
    """A new picture keeps the loss of `of` within alpha, in all but a share `delta` of pictures.

    ``P( L_new(t) <= tau ) >= 1 - delta``, t = the k-th smallest of ``s_i = sup { t : L_i(t) <= tau }``.

    `of` names the guarantee with the loss L. No curve falls and all are left-continuous, so ``L_new(t) > tau`` only
    where ``s_new < t``. Of n + 1 exchangeable limits, a given one is among the k smallest with probability at most k /
    (n + 1).

    `delta`: Miss rate: the share of new photographs whose loss may exceed tau.
    `confidence`: None: k = floor(delta (n + 1)), the miss rate holds on average over calibration sets. A number: the
      miss rate holds with that confidence over the calibration set, the largest k with ``P(Beta(k, n + 1 - k) > delta)
      <= 1 - confidence`` (Vovk 2012); needs independent draws.
    """

    theorem: ClassVar[str] = "Vovk, Gammerman and Shafer (2005), Proposition 4.1; Vovk (2012), Proposition 2a"
    zero_allowed: ClassVar[bool] = True
    refused: ClassVar[dict[str, str]] = {
        "weights": "it is stated for photographs that count alike. Use expected or false-trust with weights",
        "weight_new": "it is stated for photographs that count alike. Use expected or false-trust with weights",
        "leaked": "the leakage bound is stated for an expected loss. Use expected or false-trust",
        "bound_new": "its loss, a miss or none, has the bound 1 whatever the picture",
        "bound_from": "its loss, a miss or none, has the bound 1 whatever the picture",
    }

    delta: float = Field(default=0.1, gt=0, lt=1)
    confidence: float | None = Field(default=None, gt=0, lt=1)

    @property
    def _inside_rate(self) -> Fraction:
        return self._inside(as_typed(self.delta), 1.0)

    @property
    def _inside_float(self) -> float:
        """Return `_inside_rate`, rounded down where outsiders make it a number that nobody typed."""
        return math.nextafter(float(self._inside_rate), 0.0) if self.outsiders else self.delta

    def rank(self, n: int) -> int:
        """Return k; at 0 nothing can be trusted."""
        if self.confidence is None:
            # The exact product of the rate as typed: in floats 0.1 (9 + 1) could fall short of 1.
            return math.floor(self._inside_rate * (n + 1))
        # P(Beta(k, n + 1 - k) > delta) = P(Bin(n, delta) <= k - 1).
        risk = float(1 - as_typed(self.confidence))
        return int(np.count_nonzero(MARGIN * binomial_cdf(n, self._inside_float)[:n] <= risk))

    def _threshold(self, curves: CurveSet, alpha: Fraction) -> float:
        if alpha >= exact_bound(curves.bound):
            return math.inf
        rank = self.rank(len(curves))
        # Exactly k of n + 1 exchangeable limits are at most the k-th, so a new one lies below it with probability <=
        # delta.
        return float(np.sort(limits(curves, alpha))[rank - 1]) if rank else -math.inf

    def _needed(self, curves: CurveSet, alpha: Fraction) -> int:
        return self._least(1 + int(np.count_nonzero(np.isneginf(curves.scores))))

    def minimum_images(self, alpha: float, bound: float) -> int:
        """Return the least n with k >= 1; 0 when the tolerance is the bound itself."""
        return 0 if as_typed(alpha, "alpha") >= exact_bound(bound) else self._least(1)

    def _least(self, rank: int) -> int:
        if self.confidence is None:
            return math.ceil(rank / self._inside_rate) - 1
        risk = float(1 - as_typed(self.confidence))
        fewest = least_without(risk / MARGIN, self._inside_float)
        if rank == 1:
            return max(fewest, 1)
        return least(lambda n: MARGIN * binomial_tail(rank - 1, n, self._inside_float) <= risk, max(fewest, rank))

    def reachable_alpha(self, n: int, bound: float) -> float:
        """Return 0 once k >= 1, since any tolerance can then be met, else the bound."""
        return 0.0 if n >= self._least(1) else bound

    def risk(self, curves: CurveSet, threshold: float) -> float:
        """Return the k-th largest loss: the least tolerance that `threshold` keeps; the bound at k = 0, 0 at -inf."""
        self.check(curves)
        if threshold == -math.inf:
            return 0.0
        rank = self.rank(len(curves))
        return float_up(Fraction(np.sort(curves.losses_at(threshold))[-rank])) if rank else curves.bound

    def levels(self, curves: CurveSet) -> NDArray[np.float64]:
        self.check(curves)
        if not self.rank(len(curves)):
            return np.array([curves.bound])
        levels: list[float] = []
        threshold = -math.inf
        while threshold < math.inf:
            # The least tolerance at which the threshold passes this one is the k-th worst loss just above it. Curves
            # are left-continuous, so one float above a threshold shows the loss that it adds.
            level = self.risk(curves, math.nextafter(threshold, math.inf))
            passed, threshold = threshold, self._threshold(curves, as_typed(level))
            levels.append(level)
            # A subclass whose two functions disagree would keep the loop from ending.
            if threshold <= passed or len(levels) > curves.scores.size + 1:
                raise PluginError(
                    f"expected risk and _threshold of {self.plugin_name()} to be inverse to each other; at level "
                    f"{level:g} the threshold is {threshold:g}, and not above {passed:g}. Correct one of them"
                )
        return np.array(levels)

    def statement(self, alpha: float, n: int, error: str = "error") -> str:
        share = f"at least {percent(complement(self.delta))} % of new photographs"
        claim = self.loss.within(alpha, error)
        if self._of_every_pixel:
            claim = f"every trusted pixel has a {error} of at most {exactly(alpha)}"
        if self.confidence is None:
            said = f"In {share}, {claim} (calibrated on {n} photographs{self._outsiders_in_words})."
        else:
            said = (
                f"With confidence {exactly(self.confidence)}, {n} calibration photographs show that in {share} {claim}"
                f"{self._outsiders_in_words}."
            )
        return said + self._also(n, error)

    @property
    def _of_every_pixel(self) -> bool:
        return self.needs.curve_kind == "supremum"

    @property
    def needs(self) -> Needs:
        return replace(super().needs, sampling="exchangeable" if self.confidence is None else "iid")

    @property
    def miss_rate(self) -> float | None:
        return self.delta

    @property
    def holds_on_average(self) -> bool:
        return True

    def claim(self, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
        """Claim that at most a share delta of photographs loses more than alpha: losses become 0 or 1."""
        # Strict: an error equal to the tolerance is within it.
        misses = (losses > alpha).astype(np.float64)
        return Claim(misses, self._claimed(self.delta, 1.0), 1.0, averages=self.confidence is None, binary=True)

    def in_short(self, alpha: float, like: str, error: str = "error") -> str:
        said, sure = self.briefly(alpha, error), ""
        if self._of_every_pixel:
            said = f"every clear pixel's {error} is at most {exactly(alpha)}"
        if self.confidence is not None:
            sure = f" (confidence {exactly(self.confidence)})"
        return f"In at least {percent(complement(self.delta))} % of {like}{sure}, {said}."

    def quantity(self, unit: str, error: str = "error") -> str:
        claimed = self._claimed(self.delta, 1.0)
        missing = f"in which {self.loss.loss_in_words(error)} is above alpha"
        if self._of_every_pixel:
            missing = f"with a trusted pixel whose {error} is above alpha"
        return f"the share of {unit} {missing}, claimed to be at most {exactly(claimed)}"

    def refuse_unclaimed(self, in_tiles: bool) -> None:
        if in_tiles:
            raise UsageError(
                "expected single photographs for per-image; got tiles of photographs, which are not independent, and "
                "the mean over a photograph's tiles says nothing of its worst one. Audit one picture of each photograph"
            )


def limits(curves: CurveSet, tolerance: Fraction) -> NDArray[np.float64]:
    """Return ``s_i = sup { t : L_i(t) <= tolerance }`` of each curve: (n,) float64, +inf where it is never exceeded."""
    # Losses rise within a curve, so counting the losses within the tolerance finds the last such record.
    within = np.r_[0, np.cumsum(curves.losses <= float32_down(tolerance))]
    counts = within[curves.offsets[1:]] - within[curves.offsets[:-1]]
    thresholds = np.full(len(curves), np.inf)
    exceeded = counts < np.diff(curves.offsets)
    # Trusting is strict: at the score of the first record above the tolerance its pixel is not trusted yet.
    thresholds[exceeded] = curves.scores[(curves.offsets[:-1] + counts)[exceeded]]
    return thresholds


PLUGIN = PerImage
