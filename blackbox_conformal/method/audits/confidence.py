"""Confidence intervals for the mean of bounded losses: by betting (Waudby-Smith & Ramdas 2024), and exact ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.guarantees._bounds import MARGIN, binomial_tail, binomial_upper
from blackbox_conformal.method.risk.betting import ROUNDING, growth, mixed, mixture_log_wealth, mixture_upper, reaches

LEVEL = 0.05  # Error level of each bound, and of each test in an audit.
BETS = 20  # How many bets a confidence bound mixes.
_LEAST = 2.0**-52  # Smaller levels cannot be told from 0 once both are taken from 1.


def upper_bound(losses: NDArray[np.float64], level: float = LEVEL, stake: NDArray[np.float64] | None = None) -> float:
    """Return the upper confidence bound for the mean of independent losses in [0, 1]; `stake` weighs the bets."""
    return mixture_upper(losses, level, BETS, stake)


def lower_bound(losses: NDArray[np.float64], level: float = LEVEL, stake: NDArray[np.float64] | None = None) -> float:
    """Return the lower confidence bound, 1 - the upper bound of 1 - losses; 0 where rounding could decide."""
    found = 1.0 - upper_bound(1.0 - losses, level, stake)
    # The difference from 1 leaves rounding of this size, which is no bound above 0.
    return found if found > 1e-12 else 0.0


def p_above(losses: NDArray[np.float64], level: float, stake: NDArray[np.float64] | None = None) -> float:
    """Return the p-value of "the mean is at most `level`", in (0, 1): the error level of a `lower_bound` at `level`."""
    # A mean above the least level that mirrors to less than 1 is above a smaller one, too.
    level = max(level, _LEAST)
    return min(1.0, math.exp(ROUNDING - mixture_log_wealth(1.0 - losses, 1.0 - level, BETS, stake)))


def stakes(
    known: NDArray[np.float64] | None, level: float, bound: float = 1.0, *, mirrored: bool = False
) -> NDArray[np.float64]:
    """Return the stake on each bet: (`BETS`,) float64, sum 1, even where nothing is known.

    Half is spread evenly, so that a wrong guess costs at most a factor of 2. Half lies on the bet that grows most on
    the calibration losses `known`, in [0, `bound`], against a mean of `level`. These losses are fixed before anybody
    sees an audit loss, so the bound stays valid. Similar audit losses that vary then need about a fifth fewer pictures;
    losses of 0 or 1 gain nothing on average. `mirrored` asks for a lower bound: bets on ``bound - loss``.
    """
    even = np.full(BETS, 1.0 / BETS)
    if known is None or not _LEAST <= level / bound < 1:
        return even
    losses, mean = known / bound, level / bound
    if mirrored:
        losses, mean = 1.0 - losses, 1.0 - mean
    found = even / 2
    found[int(np.argmax(growth(losses, mean, BETS).mean(axis=1)))] += 0.5
    return found


def further(losses: NDArray[np.float64], level: float, stake: NDArray[np.float64] | None = None) -> int | None:
    """Estimate how many more losses like these, (m,) in [0, 1], put a confidence bound on the right side of `level`.

    Below the level the upper bound must move, above it the lower one. The wealth of a bet grows by the same factor with
    every m losses. None when the mean is the level, the bound lies there, or more than a million are needed.
    """
    mean = float(np.mean(losses))
    if not _LEAST <= level < 1 or mean == level:
        return None
    if mean > level:
        losses, level = 1.0 - losses, 1.0 - level
    needed = fewest(losses, level, stake)
    return None if needed is None or needed <= len(losses) else needed - len(losses)


def fewest(losses: NDArray[np.float64], level: float, stake: NDArray[np.float64] | None = None) -> int | None:
    """Return how many losses like these, in [0, 1], bring the upper confidence bound down to `level`.

    None when more than a million would be needed, or none suffice.
    """
    each = growth(losses, level, BETS).mean(axis=1)
    return settling(lambda units: reaches(mixed(units * each, stake), LEVEL))


def settling(settled: Callable[[int], bool]) -> int | None:
    """Return the least number at which `settled` becomes true for good; None above a million."""
    low, high = 0, 1
    while not settled(high):
        low, high = high, 2 * high
        # Twice the limit, since the answer may lie below the first number that settles.
        if high > 2 * 10**6:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high if high <= 10**6 else None


Losses = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Betting:
    """Bounds by betting, which hold however often one looks; see `stakes`.

    `fewest` and `further` say how many losses like these, or how many more, put a bound on the right side of `level`.
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]

    def upper(self, losses: Losses) -> float:
        return upper_bound(losses, stake=self.above)

    def lower(self, losses: Losses) -> float:
        return lower_bound(losses, stake=self.below)

    def p_above(self, losses: Losses, level: float) -> float:
        return p_above(losses, level, self.below)

    def fewest(self, losses: Losses, level: float) -> int | None:
        return fewest(losses, level, self.above)

    def further(self, losses: Losses, level: float) -> int | None:
        return further(losses, level, self.above if np.mean(losses) <= level else self.below)


class Exact:
    """Bounds for losses of 0 or 1, whose number was fixed before looking (Clopper and Pearson 1934).

    Any other loss counts as 1 for the upper bound and as 0 for the lower one, so both hold.
    """

    def upper(self, losses: Losses) -> float:
        """Return ``sup { p : P(Bin(m, p) <= k) > LEVEL }`` for k losses above 0 of m."""
        return binomial_upper(int(np.count_nonzero(losses > 0)), losses.size, LEVEL)

    def lower(self, losses: Losses) -> float:
        return 1.0 - binomial_upper(int(np.count_nonzero(losses < 1)), losses.size, LEVEL)

    def p_above(self, losses: Losses, level: float) -> float:
        """Return ``P(Bin(m, level) >= k)`` for k losses of 1."""
        # P(Bin(m, p) >= k) is P(Bin(m, 1 - p) <= m - k).
        return min(1.0, MARGIN * binomial_tail(int(np.count_nonzero(losses < 1)), losses.size, 1.0 - level))

    def fewest(self, losses: Losses, level: float) -> int | None:
        """Estimate from the share of losses above 0, since single losses make the number jump."""
        share = float(np.mean(losses > 0))
        if share >= level:
            return None
        # A hair less, so that 0.1 times 30 is 3 ones and not 4.
        return settling(lambda m: MARGIN * binomial_tail(math.ceil(share * m - 1e-9), m, level) <= LEVEL)

    def further(self, losses: Losses, level: float) -> int | None:
        mean = float(np.mean(losses))
        if not 0 < level < 1 or mean == level:
            return None
        needed = self.fewest(losses, level) if mean < level else self.fewest(1.0 - losses, 1.0 - level)
        return None if needed is None or needed <= losses.size else needed - losses.size


def interval_for(known: Losses | None, level: float, bound: float, *, exact: bool) -> Betting | Exact:
    """Return the interval for losses in [0, `bound`] against a mean of `level`.

    `known`, (n,): the calibration's own losses at the same threshold, or None. `exact`: losses are 0 or `bound`, and
    their number was fixed before looking.
    """
    if exact:
        return Exact()
    return Betting(stakes(known, level, bound), stakes(known, level, bound, mirrored=True))
