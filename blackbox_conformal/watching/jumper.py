"""The simple jumper: a martingale that grows where p-values are not uniform (Vovk, Gammerman and Shafer 2022, 8.1).

Each bet e multiplies its capital by ``1 + e (p - 1/2)``, whose mean over a uniform p is 1. Before each p-value a share
of all capital is spread evenly over the bets, so that one that lost for long can win later. A bet below 0 wins on small
p-values, one above 0 on large ones.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

BETS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Bets of 2, the largest that leave no debt, find a plain change in two thirds of the visits that bets of 1 take."""

JUMP = 0.01
"""The share of the capital that is spread over the bets before each p-value."""


def log_wealth(
    p_values: Iterable[float], bets: Sequence[float] = BETS, jump: float = JUMP, start: float = 0.0
) -> NDArray[np.float64]:
    """Logarithm of the whole capital after each p-value: (n,) float64, from `start` on.

    Parameters
    ----------
    p_values
        Each in [0, 1]; independent and uniform while nothing has changed.
    bets
        In [-2, 2], with 0 among them, so that some capital is always left.
    """
    sizes = np.array(bets, np.float64)
    capital = np.full(len(sizes), 1 / len(sizes))
    logs, log = [], start
    for p_value in p_values:
        capital = ((1 - jump) * capital + jump / len(sizes)) * (1 + sizes * (p_value - 0.5))
        total = float(capital.sum())
        log += math.log(total)
        # Only shares are kept, so that nothing overflows in years of visits.
        capital /= total
        logs.append(log)
    return np.array(logs, np.float64)
