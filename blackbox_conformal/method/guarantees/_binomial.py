"""The binomial distribution function, to about eleven digits, and the least whole number from which something holds."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MARGIN = 1 + 1e-9
"""Factor on tail probabilities that covers the rounding of this module: decisions err on the safe side."""


@lru_cache(maxsize=16)
def _log_choose(n: int) -> NDArray[np.float64]:
    # One cached array serves all callers, so none may write into it.
    factorials = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    logarithms: NDArray[np.float64] = factorials[n] - factorials - factorials[::-1]
    logarithms.setflags(write=False)
    return logarithms


def binomial_cdf(n: int, p: float) -> NDArray[np.float64]:
    """``P(Bin(n, p) <= k)`` for k = 0..n, float64, for 0 < p < 1."""
    k = np.arange(n + 1)
    return np.cumsum(np.exp(_log_choose(n) + k * math.log(p) + (n - k) * math.log1p(-p)))


def binomial_tail(k: int, n: int, p: float) -> float:
    """``P(Bin(n, p) <= k)`` for one k, for 0 < p < 1; 0 below k = 0, 1 from k = n on.

    Time and memory grow with k alone: n may have hundreds of digits.
    """
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    j = np.arange(1, k + 1)
    mean = product(n, p)
    # The term at j is the one before it times (n - j + 1) p / (j (1 - p)).
    # In logarithms, and the mean n p in one product, so that n of hundreds of digits neither overflows nor loses p.
    logs = np.cumsum(np.r_[product(n, math.log1p(-p)), np.log((mean - (j - 1) * p) / j) - math.log1p(-p)])
    return min(1.0, math.fsum(np.exp(logs)))


def least_without(chance: float, p: float) -> int:
    """The least n with ``(1 - p)^n <= chance``, for 0 < p < 1 and 0 < chance: ``ceil(ln(chance) / ln(1 - p))``."""
    # As fractions: for a tiny p the quotient of the two floats would overflow.
    return max(math.ceil(Fraction(math.log(chance)) / Fraction(math.log1p(-p))), 0)


def least(holds: Callable[[int], bool], start: int) -> int:
    """The least n >= `start` at which `holds`, which stays true from there on.

    From 2^53 on it is found to 53 bits and never too small, as floats tell no more.
    """
    low, high = start - 1, max(start, 1)
    # Doubling first: the answer may have hundreds of digits, and each question costs the more the larger n is.
    while not holds(high):
        low, high = high, 2 * high
    while high - low > max(1, high >> 53):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def product(n: int, factor: float) -> float:
    """``n * factor`` for n of any size; infinite where it is too large."""
    try:
        return float(n * Fraction(factor))
    except OverflowError:
        return math.copysign(math.inf, factor)
