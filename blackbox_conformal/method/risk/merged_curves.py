"""The sum of many risk curves as one staircase, in whole numbers, sorted once for every level."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.support.rounding import all_up

# A loss sum of 60 bits times a weight of 24 does not fit 64 bits: split at 22, each limb's sum does.
LIMB_BITS = 22
WEIGHT_BITS = 24


@dataclass(frozen=True, eq=False)
class Merged:
    """``sum_i w_i L_i(t)`` as a staircase over the distinct scores of all curves.

    Attributes
    ----------
    scores
        Distinct scores, float64 (each the value of a float32), ascending.
    high, low
        The sum once pixels of that score are trusted too, in units of ``2^-bits``: ``high * 2^22 + low``, int64,
        ``low < 2^22``. `high` is nondecreasing.
    bits
        Bits after the point.
    """

    scores: NDArray[np.float64]
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    bits: int

    def threshold(self, budget: Fraction) -> float:
        """The largest t at which the sum is <= `budget`: -inf, a score, or +inf. O(log records)."""
        if budget < 0:
            return -np.inf
        # Rounded down: the sum is whole, so it is at most the budget exactly if it is at most this.
        units = budget.numerator * 2**self.bits // budget.denominator
        high, low = divmod(units, 2**LIMB_BITS)
        if high > np.iinfo(np.int64).max:
            return np.inf
        # The pair (high, low) is searched for in two steps, as one number would not fit.
        start = int(np.searchsorted(self.high, high, side="left"))
        stop = int(np.searchsorted(self.high, high, side="right"))
        first_above = start + int(np.searchsorted(self.low[start:stop], low, side="right"))
        # Trusting is strict, so the first score whose sum is too large is itself the largest threshold.
        return float(self.scores[first_above]) if first_above < self.scores.size else np.inf

    def total(self, threshold: float) -> Fraction:
        """The sum when scores < `threshold` are trusted."""
        count = int(np.searchsorted(self.scores, threshold, side="left"))
        if count == 0:
            return Fraction(0)
        return Fraction(int(self.high[count - 1]) * 2**LIMB_BITS + int(self.low[count - 1]), 2**self.bits)

    def totals(self) -> NDArray[np.float64]:
        """The sum at every step as float64, correctly rounded to within one unit in the last place."""
        return np.add(*self._limbs())

    def means_up(self, count: int) -> NDArray[np.float32]:
        """The sum over `count` < 2^29 at every step, rounded up to float32 and never down."""
        high, low = self._limbs()
        means = all_up((high + low) / count)
        # Sum and quotient were rounded. Mean times count, a product of 24 and 29 bits, is exact, and so is its distance
        # from the high limb, which is near: the sign of what is missing is right.
        short = (high - means * np.float64(count)) + low > 0
        return np.where(short, np.nextafter(means, np.float32(np.inf)), means)

    def _limbs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        high, low = self.high.astype(np.float64), self.low.astype(np.float64)
        return np.ldexp(high, LIMB_BITS - self.bits), np.ldexp(low, -self.bits)


def merge(
    scores: NDArray[np.float32],
    order: NDArray[np.int64],
    jumps: NDArray[np.int64],
    bits: int,
    weights: NDArray[np.int64] | None = None,
) -> Merged:
    """Add staircases up.

    Parameters
    ----------
    scores
        Scores of all records, float32.
    order
        A permutation that sorts them.
    jumps
        How much each record's loss exceeds the one before it in its curve, in units of ``2^-bits``.
    weights
        A whole number of at most 2^24 a record; None: 1.
    """
    # Two limbs, since a sum of weighted jumps does not fit 64 bits; that of each limb does. The carry is added last.
    high, low = jumps >> LIMB_BITS, jumps & (2**LIMB_BITS - 1)
    if weights is not None:
        low = low * weights
        high, low = high * weights + (low >> LIMB_BITS), low & (2**LIMB_BITS - 1)
    sorted_scores = scores[order]
    # Records of one score take effect together, so only the sum after the last of them is a step.
    last = np.flatnonzero(np.r_[sorted_scores[1:] != sorted_scores[:-1], np.ones(min(1, scores.size), bool)])
    low_sum = np.cumsum(low[order])[last]
    high_sum = np.cumsum(high[order])[last] + (low_sum >> LIMB_BITS)
    return Merged(sorted_scores[last].astype(np.float64), high_sum, low_sum & (2**LIMB_BITS - 1), bits)
