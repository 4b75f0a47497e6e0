"""Adding photographs until an audit confirms keeps the 5 %: the bound is one at every number at once (Ville)."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.audits.confidence import BETS, LEVEL, stakes, upper_bound
from blackbox_conformal.method.risk.betting import growth

RUNS, MOST, ALPHA = 2000, 500, 0.1


def bernoulli(rng, size):
    return (rng.random(size) < ALPHA).astype(np.float64)


def beta(rng, size):
    return rng.beta(0.5, 4.5, size)


def rare(rng, size):
    """One in twenty is lost, the others lose a little: 0.05 + 0.95 u with mean 0.1 in all."""
    return np.where(rng.random(size) < 0.05, 1.0, rng.uniform(0, 0.1 / 0.95, size))


@pytest.mark.parametrize("losses", [bernoulli, beta, rare])
def test_looking_after_every_photograph_rarely_confirms_a_mean_at_the_level(losses):
    rng = np.random.default_rng(0)
    stake = stakes(losses(rng, 40) / 2, ALPHA)
    ever = 0
    for _ in range(RUNS):
        found = losses(rng, MOST)
        wealth = stake @ np.exp(np.cumsum(growth(found, ALPHA, BETS), axis=1))
        ever += bool((wealth >= 1 / LEVEL).any())
    print(losses.__name__, ever / RUNS)
    assert ever / RUNS <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


def test_the_wealth_is_what_the_bound_is_made_of():
    rng = np.random.default_rng(1)
    stake = stakes(rng.uniform(0, 0.1, 40), ALPHA)
    for count in (20, 40, 80, 160):
        found = rng.uniform(0, 0.12, count)
        wealth = float(stake @ np.exp(growth(found, ALPHA, BETS).sum(axis=1)))
        assert (wealth >= 1 / LEVEL) == (upper_bound(found, stake=stake) <= ALPHA)
