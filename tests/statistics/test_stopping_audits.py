"""An audit looked at after every photograph errs as seldom as it says; a bound for a fixed number errs more often."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.audits.confidence import BETS, LEVEL
from blackbox_conformal.method.audits.sequential import EARLY, level_test
from blackbox_conformal.method.guarantees.guarantee import Claim, guarantee
from blackbox_conformal.method.risk.betting import growth

ALPHA, RUNS, MOST = 0.1, 1000, 300
STEPS = np.arange(1, 25) / 24


def bernoulli(rng, size):
    """Losses of 0 or 1, whose mean is just above alpha."""
    return (rng.random(size) < ALPHA + 1e-6) * 1.0


def tied(rng, size):
    """Five values with a mean just above alpha: 0.05, 0.1, 0.15, 0.2, and often 0."""
    return np.where(rng.random(size) < 0.8 + 8e-6, rng.integers(1, 5, size) / 20, 0.0)


def rare(rng, size):
    """One in twenty is lost, the others lose 0.053: a mean just above alpha."""
    return np.where(rng.random(size) < 0.05, 1.0, 0.05 / 0.95 + 1e-6)


def beta(rng, size):
    """Losses over the whole range, with a mean of alpha."""
    return rng.beta(0.5, 4.5, size)


def made_from(known, *, averages=True):
    return level_test(Claim(known, ALPHA, 1.0, averages), alike=True, levels=1)


def ever(wealth, needed):
    """For each run whether the wealth reaches what is needed at any number of photographs."""
    return (wealth >= needed).any(axis=1)


def wealth_of(losses, level, stake):
    """(runs, photographs): what the bets against `level` are worth after each photograph."""
    return np.array([stake @ np.exp(np.cumsum(growth(run, level, BETS), axis=1)) for run in losses])


@pytest.mark.parametrize("source", [bernoulli, tied, rare, beta])
def test_looking_after_every_photograph_rarely_confirms_and_at_a_fixed_number_often(tools, source):
    rng = np.random.default_rng(50)
    test = made_from(source(rng, 40) / 2)
    losses = source(rng, (RUNS, MOST))
    confirmed = ever(wealth_of(losses, test.level, test.above), 1 / LEVEL)
    print(source.__name__, confirmed.mean())
    assert tools.verdict(confirmed).keeps(LEVEL)
    if source is bernoulli:
        # For losses of 0 or 1 there is an exact bound for a fixed number, which shows what looking again does to it.
        allowed = np.array([_binomial_budget(n) for n in range(1, MOST + 1)])
        peeked = (np.cumsum(losses, axis=1) <= allowed).any(axis=1)
        print("peeking", peeked.mean())
        assert tools.verdict(peeked).breaks(LEVEL)


def _binomial_budget(n):
    """The largest number of losses at which a binomial test for this number of photographs alone confirms; -1: none."""
    found, total = -1, 0.0
    for count in range(n + 1):
        total += math.comb(n, count) * ALPHA**count * (1 - ALPHA) ** (n - count)
        if total > LEVEL:
            return found
        found = count
    return found


def test_the_wealth_above_is_that_of_the_tests(tools):
    rng = np.random.default_rng(51)
    test = made_from(rng.uniform(0, 0.1, 40))
    for count in (10, 40, 160):
        losses = rng.uniform(0, 0.3, count)
        against = wealth_of(1 - losses[None], 1 - test.allowed, test.below)[0, -1]
        assert test.p_against(losses) == pytest.approx(min(1.0, test.luck + 1 / against))
        confirms = wealth_of(losses[None], test.level, test.above)[0, -1] >= 1 / LEVEL
        assert confirms == (test.bound(losses) <= ALPHA)


@pytest.mark.parametrize("source", ["tied", "0 or 1"])
def test_a_guarantee_on_average_is_rarely_contradicted_early_and_often_without_the_allowance(tools, source):
    """Calibrations on 40 photographs whose risk is alpha on average: many lie above it, and audits see that."""
    rule, early, naive, risks = guarantee("expected"), [], [], []
    for seed in range(400):
        rng = np.random.default_rng([seed, 52])
        known, unseen = (_table(rng, count, source) for count in (40, MOST))
        threshold = rule.threshold(tools.curves(known), ALPHA)
        test = made_from(tools.below(known, threshold))
        losses = tools.below(unseen, threshold)
        risks.append(losses.mean())
        mirrored = 1 - losses[None]
        early.append(ever(wealth_of(mirrored, 1 - test.allowed, test.below), 1 / (test.share - test.luck))[0])
        naive.append(ever(wealth_of(mirrored, 1 - ALPHA, test.below), 1 / LEVEL)[0])
    print(source, np.mean(risks), np.mean(early), np.mean(naive))
    assert tools.verdict(risks).keeps(ALPHA)
    assert tools.verdict(early).keeps(EARLY)
    if source == "0 or 1":
        # Calibrations on losses that hardly vary lie close to alpha, which leaves the allowance nothing to do.
        assert tools.verdict(naive).breaks(LEVEL)


def _table(rng, count, source):
    """(count, 24) losses that grow with the score."""
    if source == "tied":
        return np.round(rng.choice([0.1, 0.3, 0.9], (count, 1)) * STEPS * 20) / 20
    return (rng.random((count, 1)) < 0.4 * STEPS) * 1.0


def test_a_high_probability_guarantee_has_no_allowance():
    test = made_from(np.full(40, 0.05), averages=False)
    assert (test.allowed, test.luck, test.share) == (ALPHA, 0.0, EARLY)
