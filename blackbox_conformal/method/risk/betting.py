"""The upper confidence bound for the mean of losses in [0, 1] by betting (Waudby-Smith and Ramdas 2024, constant bets).

For each bet ``rho_j = j / (bets + 1)`` the product of ``1 - rho_j (L_i - m) / (1 - m)`` over independent losses has a
mean of at most 1 when the true mean is at least m. So has their average, weighted by a stake that was fixed beforehand.
The bound is the least m whose average reaches 1 / delta. A full bet, rho = 1, may join: its factor ``(1 - L_i) / (1 -
m)`` grows most where no loss is large, and a loss of 1 takes all of its stake.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-12  # Added to the required log-wealth: covers the rounding of a sum of logarithms.


def growth(losses: NDArray[np.float64], mean: float, bets: int) -> NDArray[np.float64]:
    """Return the log of each bet's growth against `mean` with each loss: (bets, m), 0 < mean < 1."""
    shares = np.arange(1, bets + 1) / (bets + 1)
    return np.log1p(-shares[:, None] * (losses[None, :] - mean) / (1 - mean))


def full_growth(losses: NDArray[np.float64], mean: float) -> NDArray[np.float64]:
    """Return the same for the full bet, (m,) float64; -inf where the loss is 1."""
    with np.errstate(divide="ignore"):
        grown: NDArray[np.float64] = np.log1p(-losses) - math.log1p(-mean)
    return grown


def split_stake(bets: int, full: float) -> NDArray[np.float64]:
    """Return a stake, (bets + 1,) float64, sum 1: `full` on the full bet, the last, the rest evenly on the others."""
    stake: NDArray[np.float64] = np.append(np.full(bets, (1 - full) / bets), full)
    return stake


def mixed(logs: NDArray[np.float64], stake: NDArray[np.float64] | None = None) -> float:
    """Return the log of the joint worth of bets with these (bets,) logarithms; without `stake`, evenly."""
    if stake is None:
        stake = np.full(logs.size, 1 / logs.size)
    # The largest is taken out before exponentials, which would overflow for hundreds of photographs.
    highest = float(logs.max())
    return highest + math.log(float((np.exp(logs - highest) * stake).sum() / stake.sum()))


def reaches(log_wealth: float, delta: float) -> bool:
    """Tell whether a wealth is at least ``1 / delta``, by more than rounding."""
    return log_wealth >= math.log(1 / delta) + ROUNDING


def mixture_log_wealth(
    losses: NDArray[np.float64], mean: float, bets: int, stake: NDArray[np.float64] | None = None
) -> float:
    """Return the log of the average wealth against `mean`; it falls with every loss and grows with `mean`.

    A `stake` of ``bets + 1`` numbers ends with the full bet's.
    """
    # Sorted, so that the sum depends on the losses alone.
    losses = np.sort(losses)
    logs = growth(losses, mean, bets).sum(axis=1)
    if stake is not None and stake.size > bets:
        logs = np.r_[logs, full_growth(losses, mean).sum()]
    return mixed(logs, stake)


def mixture_certifies(
    losses: NDArray[np.float64], level: float, delta: float, bets: int, stake: NDArray[np.float64] | None = None
) -> bool:
    """Tell whether the mixture bound of the mean is at most `level`, for 0 < level < 1."""
    return reaches(mixture_log_wealth(losses, level, bets, stake), delta)


def thresholds_certified(
    counts: NDArray[np.int64],
    losses: NDArray[np.float64],
    level: float,
    delta: float,
    bets: int,
    stake: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return how many thresholds, from the first on, `mixture_certifies` after each sample: (samples,).

    The count is right to within rounding. `counts`, (samples, photographs), says how often each sample holds each
    photograph. `losses` are (photographs, thresholds) and never fall along the thresholds.
    """
    logs = growth(losses.ravel(), level, bets)
    if stake is not None and stake.size > bets:
        # Finite, since zero times infinity is no number: a loss of 1 takes all that any sample could have won.
        logs = np.vstack([logs, np.maximum(full_growth(losses.ravel(), level), -1e6)])
    logs = logs.reshape(-1, *losses.shape)
    shares = np.full(len(logs), 1 / len(logs)) if stake is None else stake / stake.sum()
    low, high = np.zeros(len(counts), np.int64), np.full(len(counts), losses.shape[1])
    while (low < high).any():
        middle = np.minimum((low + high) // 2, losses.shape[1] - 1)
        won = np.einsum("sn,bns->bs", counts, logs[:, :, middle])
        highest = won.max(axis=0)
        holds = highest + np.log(shares @ np.exp(won - highest)) >= math.log(1 / delta) + ROUNDING
        searched = low < high
        low, high = np.where(searched & holds, middle + 1, low), np.where(searched & ~holds, middle, high)
    return low


def mixture_upper(
    losses: NDArray[np.float64], delta: float, bets: int, stake: NDArray[np.float64] | None = None
) -> float:
    """Return ``sup { m : wealth(m) < 1 / delta }``: the upper bound for the mean at confidence 1 - delta."""
    return bisect(lambda mean: mixture_certifies(losses, mean, delta, bets, stake), 0.0, 1.0)[1]


def bisect(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Return neighbouring floats around the point from which on `holds`: `low` does not hold, `high` does."""
    while True:
        # Written so that it cannot overflow, and so that it stops at neighbouring floats.
        middle = low + (high - low) / 2
        if not low < middle < high:
            return low, high
        if holds(middle):
            high = middle
        else:
            low = middle
