"""The binomial distribution function, to about eleven digits for any n a calibration can have.

No guarantee lives here.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MARGIN = 1 + 1e-9
"""Factor on tail probabilities that covers the rounding of this module: decisions err on the safe side."""


@lru_cache(maxsize=16)
def _log_choose(n: int) -> NDArray[np.float64]:
    factorials = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    found: NDArray[np.float64] = factorials[n] - factorials - factorials[::-1]
    found.setflags(write=False)
    return found


def binomial_cdf(n: int, p: float) -> NDArray[np.float64]:
    """``P(Bin(n, p) <= k)`` for k = 0..n, float64, for 0 < p < 1."""
    k = np.arange(n + 1)
    return np.cumsum(np.exp(_log_choose(n) + k * math.log(p) + (n - k) * math.log1p(-p)))


def binomial_tail(k: int, n: int, p: float) -> float:
    """``P(Bin(n, p) <= k)`` for one k, for 0 < p < 1; 0 below k = 0, 1 from k = n on."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    j = np.arange(k + 1)
    return min(1.0, math.fsum(np.exp(_log_choose(n)[: k + 1] + j * math.log(p) + (n - j) * math.log1p(-p))))
