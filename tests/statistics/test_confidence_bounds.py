"""Upper confidence bounds lie below the mean as seldom as they say; a bound with a known defect does so more often."""

import math
from fractions import Fraction

import numpy as np
import pytest

from blackbox_conformal.guarantees import _bounds as bounds
from blackbox_conformal.guarantees.choose import guarantee
from blackbox_conformal.risk import betting

SOURCES = {
    "bernoulli 0.2": (0.2, lambda rng, size: (rng.random(size) < 0.2) * 1.0),
    "bernoulli 0.02": (0.02, lambda rng, size: (rng.random(size) < 0.02) * 1.0),
    "beta": (0.25, lambda rng, size: rng.beta(0.5, 1.5, size)),
    "two points": (0.14, lambda rng, size: np.where(rng.random(size) < 0.1, 0.5, 0.1)),
}
RUNS = 3000


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_hoeffding_bentkus_misses_as_seldom_as_it_says(tools, source, n, delta):
    mean, draw = SOURCES[source]
    # The bound is below the mean exactly when the mean is certified by the sum of losses.
    budget = bounds.hoeffding_bentkus_budget(n, mean, delta)
    sums = draw(np.random.default_rng([n, 40]), (RUNS, n)).sum(axis=1)
    misses = sums <= float(budget) if budget is not None else np.zeros(RUNS)
    assert tools.verdict(misses).keeps(delta)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("delta", [0.05, 0.2])
def test_the_mixture_misses_as_seldom_as_it_says(tools, source, n, delta):
    mean, draw = SOURCES[source]
    samples = draw(np.random.default_rng([n, 41]), (RUNS, n))
    misses = [betting.mixture_certifies(losses, mean, delta, 20) for losses in samples]
    assert tools.verdict(misses).keeps(delta)


def test_the_tests_above_can_fail_a_bound_that_adds_the_maxima_of_two_halves(tools):
    """Wealth may be stopped at its maximum once; doing so in each half and adding is covered by no theorem."""
    mean, draw = SOURCES["bernoulli 0.2"]
    samples = draw(np.random.default_rng(42), (RUNS, 100))
    shares = np.arange(1, 21) / 21
    gains = np.log1p(-shares[:, None, None] * (samples[None] - mean) / (1 - mean))

    def best(half):
        wealth = np.exp(np.cumsum(half, axis=2)).mean(axis=0)
        return np.log(wealth).max(axis=1)

    misses = best(gains[:, :, :50]) + best(gains[:, :, 50:]) >= math.log(1 / 0.1)
    assert tools.verdict(misses).breaks(0.1)
    single = np.log(np.exp(gains.sum(axis=2)).mean(axis=0)) >= math.log(1 / 0.1)
    assert tools.verdict(single).keeps(0.1)


@pytest.mark.parametrize("method", ["hoeffding-bentkus", "mixture"])
def test_the_threshold_is_wrong_as_seldom_as_it_says_and_the_expected_one_more_often(tools, method):
    rng = np.random.default_rng(43)
    n, alpha, delta = 80, 0.3, 0.1
    rule, average = guarantee("high-probability", delta=delta, method=method), guarantee("expected")
    steps = np.arange(1, 51) / 50
    fails, average_fails, thresholds = [], [], []
    for _ in range(400):
        curves = tools.curves((rng.random((n, 1)) < 0.6) * steps)
        # Mean loss once scores below t are trusted: 0.6 t / 50.
        t = rule.threshold(curves, alpha)
        thresholds.append(t)
        fails.append(0.6 * t / 50 > alpha)
        average_fails.append(0.6 * average.threshold(curves, alpha) / 50 > alpha)
    assert tools.verdict(fails).keeps(delta)
    assert np.mean(thresholds) > 10
    assert tools.verdict(average_fails).breaks(delta)


@pytest.mark.parametrize("alpha", [0.2, 0.35])
def test_bounds_are_ordered_as_known(alpha):
    """For spread-out losses betting is tighter than Hoeffding–Bentkus; for losses of zero it is the other way round."""
    losses = np.random.default_rng(44).beta(1, 8, 120)
    mixture = betting.mixture_upper(losses, 0.05, 20)
    bentkus = bounds.hoeffding_bentkus_upper(sum(map(Fraction, losses)), 120, 0.05)
    hoeffding = losses.mean() + math.sqrt(math.log(1 / 0.05) / 240)
    assert losses.mean() < mixture < bentkus < hoeffding
    assert bounds.hoeffding_bentkus_upper(Fraction(0), 120, alpha) < betting.mixture_upper(np.zeros(120), alpha, 20)
