"""Split the same photographs differently: the null of an audit's permutation test.

Each random split recalibrates on n of the pooled n + m photographs and measures the others.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.verdict import claim
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import as_typed, exact_bound

SPLITS = 999  # Number of random splits where all are computed at once.
SPLITS_ONE_BY_ONE = 199  # Number of random splits where each recalibrates by itself.
A_LEVEL = 40  # At least so many splits a level, so that a p-value can be half of the level's share of 0.05.


def resplit_risks(
    rule: Guarantee, curves: CurveSet, n_calibration: int, alphas: Sequence[float], seed: int = 0
) -> NDArray[np.float64] | None:
    """Return the mean audited loss at each level after recalibrating on random splits: (splits, levels) float64.

    `curves` belong to calibration and audit photographs together. None where the guarantee does not take its
    photographs as exchangeable (weights, groups, leaked ones), so that splits say nothing.
    """
    if not rule.treats_photographs_alike:
        return None
    total = len(curves)
    plain = rule.bounds_plain_sum
    # Enough splits for each level's share of 0.05.
    splits = max(SPLITS if plain else SPLITS_ONE_BY_ONE, A_LEVEL * len(alphas) - 1)
    orders = np.concatenate(list(random_orders(total, splits, seed)))
    if plain:
        return _all_at_once(curves, orders[:, :n_calibration], alphas)
    return np.array([_one(rule, curves, order, n_calibration, alphas) for order in orders])


def random_orders(total: int, count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield `count` random orders of `total` things, in blocks of (orders, total)."""
    generator = np.random.Generator(np.random.Philox(seed))
    # Many at once take a fraction of the time of one by one; a block stays in the processor's cache.
    most = max(1, 2**16 // total)
    for start in range(0, count, most):
        yield generator.permuted(np.tile(np.arange(total), (min(most, count - start), 1)), axis=1)


def _one(
    rule: Guarantee, curves: CurveSet, order: NDArray[np.int64], n_calibration: int, alphas: Sequence[float]
) -> list[float]:
    # Sorted, so that the same members give the same sums, whatever their order in the split.
    calibrating, audited = (curves.subset(np.sort(part)) for part in np.split(order, [n_calibration]))
    found = []
    for alpha in alphas:
        losses = audited.losses_at(rule.threshold(calibrating, alpha))
        found.append(float(claim(rule, losses, alpha, curves.bound).losses.mean()))
    return found


def _all_at_once(curves: CurveSet, calibrating: NDArray[np.int64], alphas: Sequence[float]) -> NDArray[np.float64]:
    """Serve every split and level of the plain expected loss with one sorted list of all records.

    A split's calibration sum is a running sum over its own records. The first score at which it exceeds the budget is
    the threshold; the sum of all photographs there, less the calibration's, is the audit's sum.
    """
    splits, n = calibrating.shape
    total = len(curves)
    scores = curves.scores[curves.order]
    jumps, owner = curves.jumps[curves.order], curves.owner[curves.order]
    last = np.flatnonzero(np.r_[scores[1:] != scores[:-1], np.ones(min(1, scores.size), bool)])
    every = np.r_[0, np.cumsum(jumps)[last]]
    budgets = [
        math.floor((as_typed(alpha, "alpha") * (n + 1) - exact_bound(curves.bound)) * Fraction(2) ** curves.bits)
        for alpha in alphas
    ]
    found = np.zeros((splits, len(budgets)))
    # One split after the other: its sums stay in the processor's cache.
    for row, part in enumerate(calibrating):
        member = np.zeros(total, np.int64)
        member[part] = 1
        sums = member[owner]
        sums *= jumps
        sum_at = np.cumsum(sums, out=sums)[last]
        for column, budget in enumerate(budgets):
            kept = int(np.searchsorted(sum_at, budget, side="right"))
            own = int(sum_at[kept - 1]) if kept else 0
            found[row, column] = int(every[kept]) - own
    found /= float(2**curves.bits) * (total - n)
    return found
