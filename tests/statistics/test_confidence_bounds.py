"""Upper confidence bounds lie below the mean as seldom as they say; a bound with a known defect does so more often."""

import math
from fractions import Fraction

import numpy as np
import pytest

from blackbox_conformal.method.guarantees import _bounds as bounds
from blackbox_conformal.method.guarantees.guarantee import guarantee
from blackbox_conformal.method.risk import betting
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.study.calibrate.calibrating import chosen_bound

SOURCES = {
    "bernoulli 0.2": (0.2, lambda rng, size: (rng.random(size) < 0.2) * 1.0),
    "bernoulli 0.02": (0.02, lambda rng, size: (rng.random(size) < 0.02) * 1.0),
    "beta": (0.25, lambda rng, size: rng.beta(0.5, 1.5, size)),
    "two points": (0.14, lambda rng, size: np.where(rng.random(size) < 0.1, 0.5, 0.1)),
}
RUNS = 3000


def every_source(test):
    for name, values in (("source", SOURCES), ("n", [30, 100]), ("delta", [0.05, 0.2])):
        test = pytest.mark.parametrize(name, values)(test)
    return test


def certified(samples, *given):
    """Whether the mixture certifies a mean by each row of `samples`: once for rows of the same losses in any order."""
    distinct, places = np.unique(np.sort(samples, axis=1), axis=0, return_inverse=True)
    return np.array([betting.mixture_certifies(losses, *given) for losses in distinct])[places.ravel()]


@every_source
def test_hoeffding_bentkus_misses_as_seldom_as_it_says(tools, source, n, delta):
    mean, draw = SOURCES[source]
    # The bound is below the mean exactly when the mean is certified by the sum of losses.
    budget = bounds.hoeffding_bentkus_budget(n, mean, delta)
    sums = draw(np.random.default_rng([n, 40]), (RUNS, n)).sum(axis=1)
    misses = sums <= float(budget) if budget is not None else np.zeros(RUNS)
    assert tools.verdict(misses).keeps(delta)


@every_source
@pytest.mark.parametrize(("seed", "stake"), [(41, None), (45, betting.split_stake(20, 0.5))], ids=["even", "full bet"])
def test_the_mixture_misses_as_seldom_as_it_says(tools, source, n, delta, seed, stake):
    mean, draw = SOURCES[source]
    misses = certified(draw(np.random.default_rng([n, seed]), (RUNS, n)), mean, delta, 20, stake)
    assert tools.verdict(misses).keeps(delta)


def test_stakes_that_sum_to_more_than_1_miss_more_often_than_they_say(tools):
    """Nothing is lost with probability 0.13; the full bet is then worth 0.98^-100 = 7.5, and the others 3 together."""
    mean, draw = SOURCES["bernoulli 0.02"]
    samples = draw(np.random.default_rng(46), (RUNS, 100))
    fixed = certified(samples, mean, 0.1, 20, betting.split_stake(20, 0.5))
    both = [
        math.exp(betting.full_growth(losses, mean).sum()) + math.exp(betting.mixture_log_wealth(losses, mean, 20)) >= 10
        for losses in samples
    ]
    assert tools.verdict(fixed).keeps(0.1)
    assert tools.verdict(both).breaks(0.1)


@pytest.mark.slow
def test_a_bound_that_is_chosen_on_other_photographs_is_wrong_as_seldom_as_it_says(tools):
    rng = np.random.default_rng(49)
    n, alpha, delta, steps = 60, 0.3, 0.1, np.arange(1, 26, dtype=np.float32) / 25
    rule, average = guarantee("high-probability", delta=delta), guarantee("expected")
    scores, fails, average_fails, methods = np.arange(25, dtype=np.float32)[None], [], [], set()

    def photographs(size):
        errors = (rng.random((size, 1)) < 0.6) * steps
        return CurveSet.from_curves([RiskCurve.from_maps(scores, row[None], bound=1.0) for row in errors])

    for _ in range(200):
        tuning, curves = photographs(15), photographs(n)
        chosen = chosen_bound(rule, tuning, alpha, n).rule
        methods.add((chosen.method, chosen.full))
        # Mean loss once scores below t are trusted: 0.6 t / 25.
        fails.append(0.6 * chosen.threshold(curves, alpha) / 25 > alpha)
        average_fails.append(0.6 * average.threshold(curves, alpha) / 25 > alpha)
    assert tools.verdict(fails).keeps(delta)
    assert tools.verdict(average_fails).breaks(delta)
    assert len(methods) > 1


@every_source
def test_the_binomial_misses_as_seldom_as_it_says_and_one_more_loss_breaks_it(tools, source, n, delta):
    """Losses between 0 and 1 count as 1, so that the bound holds for every source."""
    mean, draw = SOURCES[source]
    budget = bounds.binomial_budget(n, mean, delta)
    ones = np.count_nonzero(draw(np.random.default_rng([n, 47]), (RUNS, n)), axis=1)
    assert tools.verdict(ones <= (-1 if budget is None else budget)).keeps(delta)
    if source == "bernoulli 0.2":
        assert tools.verdict(ones <= budget + 1).breaks(delta)


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


@pytest.mark.parametrize(
    "method", [{}, {"method": "hoeffding-bentkus"}, {"method": "mixture"}, {"method": "mixture", "full": 0.5}], ids=str
)
def test_the_threshold_is_wrong_as_seldom_as_it_says_and_the_expected_one_more_often(tools, method):
    rng = np.random.default_rng(43)
    n, alpha, delta = 80, 0.3, 0.1
    rule, average = guarantee("high-probability", delta=delta, **method), guarantee("expected")
    steps = np.arange(1, 51) / 50
    fails, average_fails, thresholds = [], [], []
    for _ in range(250):
        curves = tools.curves((rng.random((n, 1)) < 0.6) * steps)
        # Mean loss once scores below t are trusted: 0.6 t / 50.
        t = rule.threshold(curves, alpha)
        thresholds.append(t)
        fails.append(0.6 * t / 50 > alpha)
        average_fails.append(0.6 * average.threshold(curves, alpha) / 50 > alpha)
    assert tools.verdict(fails).keeps(delta)
    assert np.mean(thresholds) > 10
    assert tools.verdict(average_fails).breaks(delta)


def test_binomial_thresholds_are_wrong_as_seldom_as_they_say_with_tied_scores_and_the_literal_rule_more_often(tools):
    rng = np.random.default_rng(48)
    n, alpha, delta = 80, 0.35, 0.1
    rule, scores = guarantee("high-probability", delta=delta, method="binomial"), np.arange(10)
    strict, literal = [], []
    for _ in range(400):
        curves = tools.curves((scores >= rng.integers(0, 10, (n, 1))) * 1.0)
        t = rule.threshold(curves, alpha)
        # A photograph has a loss once scores below t are trusted with probability t / 10; up to t, (t + 1) / 10.
        strict.append(t / 10 > alpha)
        literal.append((t + 1) / 10 > alpha)
    assert tools.verdict(strict).keeps(delta)
    assert tools.verdict(literal).breaks(delta)


@pytest.mark.parametrize("alpha", [0.2, 0.35])
def test_bounds_are_ordered_as_known(alpha):
    """For spread-out losses betting is tighter than Hoeffding–Bentkus; for losses of zero it is the other way round."""
    losses = np.random.default_rng(44).beta(1, 8, 120)
    mixture = betting.mixture_upper(losses, 0.05, 20)
    bentkus = bounds.hoeffding_bentkus_upper(sum(map(Fraction, losses)), 120, 0.05)
    hoeffding = losses.mean() + math.sqrt(math.log(1 / 0.05) / 240)
    assert losses.mean() < mixture < bentkus < hoeffding
    assert bounds.hoeffding_bentkus_upper(Fraction(0), 120, alpha) < betting.mixture_upper(np.zeros(120), alpha, 20)


@pytest.mark.parametrize("stake", [None, betting.split_stake(20, 0.75)])
def test_many_samples_at_once_are_certified_as_each_by_itself(stake):
    rng, seen = np.random.default_rng(6), set()
    # A loss of 1 takes what the full bet won, and some photographs are in a sample twice or never.
    losses = np.sort(np.minimum(rng.beta(0.5, 4, (15, 9)) * rng.choice([1, 3], (15, 1)), 1), axis=1)
    counts = rng.multinomial(40, np.full(15, 1 / 15), size=12)
    for level, delta in ((0.1, 0.1), (0.3, 0.1), (0.5, 0.3)):
        each = [
            [betting.mixture_certifies(np.repeat(column, sample), level, delta, 20, stake) for column in losses.T]
            for sample in counts
        ]
        found = betting.thresholds_certified(counts, losses, level, delta, 20, stake)
        np.testing.assert_array_equal(found, np.sum(each, axis=1))
        seen |= set(found.tolist())
    assert len(seen) > 3
