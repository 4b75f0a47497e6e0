"""Upper confidence bounds for the mean of independent losses in [0, 1], and the binomial distribution."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.risk.betting import bisect, full_growth, growth, mixed, reaches

MARGIN = 1 + 1e-9
"""Factor on tail probabilities that covers the rounding of this module: decisions err on the safe side."""


@lru_cache(maxsize=16)
def _log_choose(n: int) -> NDArray[np.float64]:
    # All callers share one cached array, so none may write into it.
    factorials = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    logarithms: NDArray[np.float64] = factorials[n] - factorials - factorials[::-1]
    logarithms.setflags(write=False)
    return logarithms


def binomial_cdf(n: int, p: float) -> NDArray[np.float64]:
    """Return ``P(Bin(n, p) <= k)`` for k = 0..n, float64, for 0 < p < 1, to about eleven digits."""
    k = np.arange(n + 1)
    return np.cumsum(np.exp(_log_choose(n) + k * math.log(p) + (n - k) * math.log1p(-p)))


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return ``P(Bin(n, p) <= k)`` for one k and 0 < p < 1; 0 below k = 0, 1 from k = n on.

    Time and memory grow with k alone: n may have hundreds of digits.
    """
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    j = np.arange(1, k + 1)
    mean = product(n, p)
    # The term at j is the one before times (n - j + 1) p / (j (1 - p)). Logarithms, with the mean n p as one product,
    # keep n of hundreds of digits from overflowing and from losing p.
    logs = np.cumsum(np.r_[product(n, math.log1p(-p)), np.log((mean - (j - 1) * p) / j) - math.log1p(-p)])
    return min(1.0, math.fsum(np.exp(logs)))


def least_without(chance: float, p: float) -> int:
    """Return the least n with ``(1 - p)^n <= chance``, for 0 < p < 1 and 0 < chance."""
    # As fractions, since for a tiny p the quotient of the two floats would overflow.
    return max(math.ceil(Fraction(math.log(chance)) / Fraction(math.log1p(-p))), 0)


def least(holds: Callable[[int], bool], start: int) -> int:
    """Return the least n >= `start` at which `holds` becomes true for good.

    From 2^53 on it is right to 53 bits, the precision of floats, and never too small.
    """
    low, high = start - 1, max(start, 1)
    # Doubling first: the answer may have hundreds of digits, and each question costs more the larger n is.
    while not holds(high):
        low, high = high, 2 * high
    while high - low > max(1, high >> 53):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def product(n: int, factor: float) -> float:
    """Return ``n * factor`` for n of any size; infinite where it is too large."""
    try:
        return float(n * Fraction(factor))
    except OverflowError:
        return math.copysign(math.inf, factor)


def _entropy(r: float, a: float) -> float:
    """Return ``h1(r, a)``, the divergence of Bernoulli r from Bernoulli a, for 0 <= r < 1 and 0 < a < 1."""
    return (r * math.log(r / a) if r > 0 else 0.0) + (1 - r) * (math.log1p(-r) - math.log1p(-a))


def hoeffding_bentkus_budget(n: int, level: float, delta: float) -> Fraction | None:
    """Return the largest sum of n losses at which the p-value of "mean > level" is <= delta; None when 0 is too large.

    Bates, Angelopoulos, Lei, Malik and Jordan (2021), Theorem 4:
    ``p = min{ exp(-n h1(min(r, a), a)), e P(Bin(n, a) <= ceil(n r)) }``.
    """
    # The p-value grows with the sum, so the last sum that passes is the largest.
    allowed = np.flatnonzero(math.e * MARGIN * binomial_cdf(n, level) <= delta)
    budget = Fraction(int(allowed[-1])) if allowed.size else None
    needed = math.log(MARGIN / delta)
    # The p-value is the smaller of two, so one of them passing is enough.
    if n * _entropy(0.0, level) >= needed:
        # The lower end of the bracket is the last mean at which the inequality still holds.
        mean = bisect(lambda r: n * _entropy(r, level) < needed, 0.0, level)[0]
        # The two p-values allow different sums; the larger sum counts.
        budget = max(budget or Fraction(0), n * Fraction(mean))
    return budget


def hoeffding_bentkus_least(refused: int, level: float, delta: float) -> int:
    """Return the least n at which `hoeffding_bentkus_budget` allows `refused` losses of 1, all others being 0."""
    needed = math.log(MARGIN / delta)

    def reaches(n: int) -> bool:
        # Below the level by more than rounding, so that the entropy belongs to a smaller mean.
        hoeffding = refused < n * Fraction(level) and n * Fraction(_entropy(refused / n, level)) >= needed
        return hoeffding or math.e * MARGIN * binomial_tail(refused, n, level) <= delta

    zero = least_without(delta / MARGIN, level)
    return max(zero, 1) if refused == 0 else least(reaches, max(zero, refused))


def hoeffding_bentkus_upper(total: Fraction, n: int, delta: float) -> float:
    """Return the upper bound, at confidence 1 - delta, for the mean of n losses that sum to `total`."""
    mean, count = float(total / n), math.ceil(total)
    if mean >= 1:
        return 1.0
    needed = math.log(MARGIN / delta)
    hoeffding = bisect(lambda a: a > mean and n * _entropy(mean, a) >= needed, mean, 1.0)[1]
    bentkus = bisect(lambda a: math.e * MARGIN * binomial_tail(count, n, a) <= delta, mean, 1.0)[1]
    return min(hoeffding, bentkus)


def binomial_budget(n: int, level: float, delta: float) -> int | None:
    """Return how many of n losses may be 1, the others 0, for the p-value of "mean > level" to be <= delta; None: none.

    The p-value ``P(Bin(n, level) <= k)`` is exact (Clopper and Pearson 1934).
    """
    allowed = np.flatnonzero(MARGIN * binomial_cdf(n, level) <= delta)
    return int(allowed[-1]) if allowed.size else None


def binomial_upper(ones: int, n: int, delta: float) -> float:
    """Return the upper bound, at confidence 1 - delta, for the mean of n losses: `ones` are 1, the others 0."""
    if ones >= n:
        return 1.0
    return bisect(lambda a: MARGIN * binomial_tail(ones, n, a) <= delta, ones / n, 1.0)[1]


def binomial_least(ones: int, level: float, delta: float) -> int:
    """Return the least n at which `binomial_budget` allows `ones`."""
    zero = max(least_without(delta / MARGIN, level), 1)
    return zero if ones == 0 else least(lambda n: MARGIN * binomial_tail(ones, n, level) <= delta, max(zero, ones))


def mixture_least(refused: int, level: float, delta: float, bets: int, stake: NDArray[np.float64] | None = None) -> int:
    """Return the least n at which the mixture bound allows `refused` losses of 1, all others being 0."""
    # With every bet as good as the best one, so many losses of 0 would suffice.
    best = Fraction(float(_gains(level, bets, stake)[0].max()))
    fewest = math.ceil(Fraction(math.log(1 / delta)) / best)
    # At least as many photographs as refused ones, and as many as the best bet alone would need.
    return least(lambda n: _counted_certifies(n - refused, refused, level, delta, bets, stake), max(refused, fewest, 1))


def _gains(level: float, bets: int, stake: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return the growth of each bet's logarithm with a loss of 0, and its fall with a loss of 1: (2, bets) float64."""
    ends = np.array([0.0, 1.0])
    logs = growth(ends, level, bets).T
    return logs if stake is None or stake.size == bets else np.c_[logs, full_growth(ends, level)]


def _counted_certifies(
    zeros: int, ones: int, level: float, delta: float, bets: int, stake: NDArray[np.float64] | None
) -> bool:
    gains, falls = _gains(level, bets, stake)
    # In units of the largest gain, cut off above the deciding size, so that the product fits a float.
    won = min(product(zeros, float(gains[-1])), 1e12)
    return reaches(mixed(gains / gains[-1] * won + (ones * falls if ones else 0), stake), delta)


def mixture_upper_of_none(n: int, delta: float, bets: int, stake: NDArray[np.float64] | None = None) -> float:
    """Return `mixture_upper` for n losses of 0."""
    return bisect(lambda mean: _counted_certifies(n, 0, mean, delta, bets, stake), 0.0, 1.0)[1]
