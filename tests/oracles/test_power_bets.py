"""The bets of live pictures equal those of an independent formula: densities of beta distributions, path by path.

A bet e p^(e-1) is the density of Beta(e, 1) at p, and one on large p-values that at 1 - p. Capital that jumps between
bets is the mean, over every sequence of bets, of what that sequence gains; a sequence has the probability of a Markov
chain that begins anywhere and, before each p-value, goes to a bet at random with a probability of `JUMP` (Herbster and
Warmuth 1998, for the best expert that changes).
"""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import beta

from blackbox_conformal.watching.live_file import JUMP, POWERS, Wealth, log_wealth

P_VALUES = {
    "uniform": np.random.default_rng(0).random(400),
    "small": np.random.default_rng(1).random(300) ** 4,
    "large": 1 - np.random.default_rng(2).random(300) ** 4,
    "a change": np.concatenate([np.random.default_rng(3).random(200), np.random.default_rng(4).random(200) ** 3]),
    "ends": np.array([0.0, 1.0, 0.5, 0.0, 1.0, 1e-9, 1 - 1e-9]),
}
BETS = 1 + 2 * len(POWERS)
CHAIN = (1 - JUMP) * np.eye(BETS) + JUMP / BETS


def log_gains(p_values: np.ndarray) -> np.ndarray:
    """(n, bets): logarithm of what each bet multiplies its capital by."""
    ends = [np.maximum(end, 1e-12) for end in (p_values, 1 - p_values)]
    return np.stack([np.zeros(len(p_values)), *(beta.logpdf(end, e, 1) for end in ends for e in POWERS)], axis=1)


def bets_one_by_one(p_values: np.ndarray) -> Wealth:
    wealth = Wealth()
    for p_value in p_values:
        wealth = wealth.after(float(p_value))
    return wealth


@pytest.mark.parametrize("name", P_VALUES)
def test_capital_is_the_mean_over_every_sequence_of_bets(name: str) -> None:
    p_values = P_VALUES[name][-6:]
    gains = np.exp(log_gains(p_values))
    total = 0.0
    for path in product(range(BETS), repeat=len(p_values)):
        share = np.prod([CHAIN[before, after] for before, after in pairwise(path)]) / BETS
        total += share * np.prod(gains[range(len(path)), path])
    assert bets_one_by_one(p_values).log_wealth == pytest.approx(np.log(total), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", P_VALUES)
def test_many_bets_are_those_of_the_chain_in_logarithms(name: str) -> None:
    logs = np.full(BETS, -np.log(BETS))
    theirs = []
    for gains in log_gains(P_VALUES[name]):
        logs = logsumexp(logs[:, None] + np.log(CHAIN), axis=0) + gains
        theirs.append(logsumexp(logs))
    wealth = bets_one_by_one(P_VALUES[name])
    assert log_wealth(P_VALUES[name][:, None])[:, 0] == pytest.approx(theirs, rel=1e-12, abs=1e-12)
    assert wealth.log_wealth == pytest.approx(theirs[-1], rel=1e-12, abs=1e-12)
    assert wealth.log_highest == pytest.approx(max(0.0, *theirs), rel=1e-12, abs=1e-12)
    assert wealth.shares == pytest.approx(np.exp(logs - theirs[-1]), rel=1e-11)
