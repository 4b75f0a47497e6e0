"""The two confidence intervals of an audit: one that holds at every number of photographs, and an exact one.

Losses are taken as shares of the largest one, so that they lie in [0, 1].
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import (
    LEVEL,
    fewest,
    further,
    lower_bound,
    p_above,
    settling,
    stakes,
    upper_bound,
)
from blackbox_conformal.method.guarantees._binomial import MARGIN, binomial_tail
from blackbox_conformal.method.guarantees._bounds import binomial_upper

Losses = NDArray[np.float64]


class Interval(Protocol):
    """Confidence bounds for the mean of independent losses, each at `LEVEL`, and what they ask for."""

    def upper(self, losses: Losses) -> float:
        """Upper confidence bound."""

    def lower(self, losses: Losses) -> float:
        """Lower confidence bound."""

    def p_above(self, losses: Losses, level: float) -> float:
        """p-value of "the mean is at most `level`", 0 < level < 1."""

    def fewest(self, losses: Losses, level: float) -> int | None:
        """How many losses like these put the upper bound at `level` or below it; None: no practical number."""

    def further(self, losses: Losses, level: float) -> int | None:
        """How many more losses like these put a bound on the right side of `level`; None: none, or no number."""


@dataclass(frozen=True, eq=False)
class Betting:
    """By betting: it holds however often one looks. The stakes are fixed before a loss is seen; see `stakes`."""

    above: NDArray[np.float64]
    below: NDArray[np.float64]

    def upper(self, losses: Losses) -> float:
        """With the stakes `above`."""
        return upper_bound(losses, stake=self.above)

    def lower(self, losses: Losses) -> float:
        """With the stakes `below`."""
        return lower_bound(losses, stake=self.below)

    def p_above(self, losses: Losses, level: float) -> float:
        """With the stakes `below`."""
        return p_above(losses, level, self.below)

    def fewest(self, losses: Losses, level: float) -> int | None:
        """With the stakes `above`."""
        return fewest(losses, level, self.above)

    def further(self, losses: Losses, level: float) -> int | None:
        """With the stakes of the side that is asked for."""
        return further(losses, level, self.above if np.mean(losses) <= level else self.below)


class Exact:
    """For losses of 0 or 1, of a number that was fixed before looking (Clopper and Pearson 1934).

    Other losses count as 1 for the upper bound and as 0 for the lower one, so that both hold for them, too.
    """

    def upper(self, losses: Losses) -> float:
        """``sup { p : P(Bin(m, p) <= k) > LEVEL }`` for k losses above 0 of m."""
        return binomial_upper(int(np.count_nonzero(losses > 0)), losses.size, LEVEL)

    def lower(self, losses: Losses) -> float:
        """By symmetry."""
        # The lower bound of the mean is 1 less the upper bound of the mirrored losses, of which those below 1 count.
        return 1.0 - binomial_upper(int(np.count_nonzero(losses < 1)), losses.size, LEVEL)

    def p_above(self, losses: Losses, level: float) -> float:
        """``P(Bin(m, level) >= k)`` for k losses of 1."""
        # P(Bin(m, p) >= k) is P(Bin(m, 1 - p) <= m - k).
        return min(1.0, MARGIN * binomial_tail(int(np.count_nonzero(losses < 1)), losses.size, 1.0 - level))

    def fewest(self, losses: Losses, level: float) -> int | None:
        """From the share of losses above 0: an estimate, as single losses make the number jump."""
        share = float(np.mean(losses > 0))
        # Less a hair, so that 0.1 times 30 is 3 ones and not 4.
        return None if share >= level else settling(lambda m: _confirms(math.ceil(share * m - 1e-9), m, level))

    def further(self, losses: Losses, level: float) -> int | None:
        """From the share of losses; the lower bound is the mirror image of the upper one."""
        mean = float(np.mean(losses))
        if not 0 < level < 1 or mean == level:
            return None
        needed = self.fewest(losses, level) if mean < level else self.fewest(1.0 - losses, 1.0 - level)
        return None if needed is None or needed <= losses.size else needed - losses.size


def _confirms(ones: int, m: int, level: float) -> bool:
    return MARGIN * binomial_tail(ones, m, level) <= LEVEL


def interval_for(known: Losses | None, level: float, bound: float, *, exact: bool) -> Interval:
    """The interval for losses in [0, `bound`] against a mean of `level`.

    Parameters
    ----------
    known
        (n,) the calibration's own losses at the same threshold, which tell the stakes; None: nothing is known.
    exact
        Whether losses are 0 or `bound`, of a number that was fixed before looking.
    """
    if exact:
        return Exact()
    return Betting(stakes(known, level, bound), stakes(known, level, bound, mirrored=True))
