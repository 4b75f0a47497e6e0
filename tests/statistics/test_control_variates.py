"""Bounds and estimates with free losses err as seldom as they say, with ties and useless free pictures, too."""

import math

import numpy as np
import pytest

from blackbox_conformal.method.audits.confidence import LEVEL, Betting, stakes, upper_bound
from blackbox_conformal.method.audits.control_variates import (
    GIVEN,
    REACH,
    BettingBeside,
    FreeLosses,
    PaidForetold,
    coefficients,
)
from blackbox_conformal.method.risk.betting import reaches

CLAIMED, POPULATION, RUNS = 0.2, 4000, 400
EVEN = stakes(None, CLAIMED)


def population(kind):
    """Losses of a vendor, (P,), and of four free pictures, (P, 4), one row a photograph; few values, many of them 0."""
    rng = np.random.default_rng(44)
    hard = rng.beta(0.9, 4.1, POPULATION)
    losses = np.clip(hard * rng.gamma(8, 1 / 8, POPULATION), 0, 1)
    free = np.clip(hard[:, None] * rng.gamma(4, 1 / 4, (POPULATION, 4)), 0, 1)
    if kind == "useless":
        free = rng.permutation(free)
    if kind == "opposite":
        free = 1 - free
    if kind == "rare":
        losses = np.where(rng.random(POPULATION) < 0.04, 1.0, np.round(losses * 4) / 40)
    return np.round(losses * 8) / 8, np.round(free * 8) / 8


def audits(kind, m, n, runs=RUNS):
    """Audits of n photographs of which m are bought, at random: (their losses, free losses)."""
    losses, free = population(kind)
    rng = np.random.default_rng(m)
    for _ in range(runs):
        drawn = rng.integers(0, POPULATION, n)
        yield losses[drawn[:m]], FreeLosses(free[drawn[:m]], free[drawn[m:]])


@pytest.mark.parametrize("kind", ["useful", "useless", "opposite", "rare"])
@pytest.mark.parametrize(("m", "n"), [(8, 30), (30, 120)])
def test_each_bound_misses_the_mean_risk_at_most_as_often_as_it_says(tools, kind, m, n):
    mean = population(kind)[0].mean()
    betting = [(BettingBeside(Betting(EVEN, EVEN), free, CLAIMED), losses) for losses, free in audits(kind, m, n)]
    # A bound misses the mean exactly if the wealth against the mean reaches 1 / LEVEL.
    above = np.array([reaches(one._above(losses)(mean), LEVEL) for one, losses in betting])
    below = np.array([reaches(one._below(losses)(1 - mean), LEVEL) for one, losses in betting])
    print(kind, m, above.mean(), below.mean())
    assert tools.verdict(above).keeps(LEVEL)
    assert tools.verdict(below).keeps(LEVEL)


def test_photographs_chosen_by_their_free_losses_break_the_bounds(tools):
    mean = population("useful")[0].mean()
    misses = []
    for _, everything in audits("useful", 120, 121, 50):
        losses, free = population("useful")
        easiest = np.argsort(everything.bought.sum(axis=1), kind="stable")
        rows = np.array([np.flatnonzero((free == one).all(axis=1))[0] for one in everything.bought[easiest]])
        chosen = BettingBeside(Betting(EVEN, EVEN), FreeLosses(free[rows[:40]], free[rows[40:]]), CLAIMED)
        misses.append(chosen.upper(losses[rows[:40]]) < mean)
    assert tools.verdict(np.array(misses)).breaks(LEVEL)


@pytest.mark.parametrize("kind", ["useful", "useless", "rare"])
def test_the_estimate_has_no_bias_and_its_interval_holds_as_that_of_a_mean_does(kind):
    mean, found = population(kind)[0].mean(), []
    for losses, free in audits(kind, 30, 120):
        one = free.estimate(losses)
        held = [low <= mean <= high for low, high in (one.interval, one.alone_interval)]
        found.append([one.risk - mean, *held, one.interval[1] - one.interval[0], one.worth / 30])
    bias, held, alone, _, worth = np.mean(found, axis=0)
    print(kind, bias, held, alone, worth)
    assert abs(bias) < 4 * np.std([one[0] for one in found]) / math.sqrt(RUNS)
    assert held > alone - 0.03
    assert worth > 1.3 if kind == "useful" else worth > 0.8


def test_coefficients_of_the_same_losses_taken_for_fixed_hide_the_error(tools):
    mean, missed, kept = population("useful")[0].mean(), [], []
    for losses, free in audits("useful", 6, 60):
        fitted = np.linalg.lstsq(free.bought - free.bought.mean(axis=0), losses - losses.mean(), rcond=None)[0]
        left = losses - free.bought @ fitted
        estimate = left.mean() + np.vstack([free.bought, free.others]).mean(axis=0) @ fitted
        error = math.sqrt(left.var(ddof=1) / 6 + (free.others @ fitted).var() / 60)
        missed.append(abs(estimate - mean) > 2.015 * error)
        low, high = free.estimate(losses).interval
        kept.append(not low <= mean <= high)
    print(np.mean(missed), np.mean(kept))
    assert tools.verdict(np.array(missed)).breaks(0.25)
    assert np.mean(kept) < np.mean(missed) / 2


@pytest.mark.parametrize("kind", ["useful", "useless", "opposite"])
def test_a_bad_free_picture_costs_a_factor_of_two_at_most_and_a_good_one_narrows(kind):
    widths = []
    for losses, free in audits(kind, 120, 600, 12):
        betting = BettingBeside(Betting(EVEN, EVEN), free, CLAIMED)
        plain = Betting(EVEN, EVEN)
        assert betting.upper(losses) <= upper_bound(losses, LEVEL / 2) + 1e-9
        assert betting.lower(losses) >= 1 - upper_bound(1 - losses, LEVEL / 2) - 1e-9
        low, high = betting.lower(losses), betting.upper(losses)
        assert betting.p_above(losses, low * 0.999) <= LEVEL <= betting.p_above(losses, low * 1.001 + 1e-6)
        widths.append([high - low, plain.upper(losses) - plain.lower(losses)])
    beside, alone = np.mean(widths, axis=0)
    print(kind, beside, alone)
    assert beside < 0.95 * alone if kind != "useless" else beside < 1.15 * alone


def test_coefficients_are_those_of_ridge_regression_written_out():
    rng = np.random.default_rng(0)
    free, losses = rng.random((9, 2)), rng.random(9)
    x, y = free - free.mean(0), losses - losses.mean()
    penalty = 2 * sum((x**2).sum(0)) / 18
    a, b, c = (x[:, 0] ** 2).sum() + penalty, (x[:, 0] * x[:, 1]).sum(), (x[:, 1] ** 2).sum() + penalty
    d, e = (x[:, 0] * y).sum(), (x[:, 1] * y).sum()
    assert coefficients(free, losses) == pytest.approx(
        [(d * c - b * e) / (a * c - b * b), (a * e - b * d) / (a * c - b * b)]
    )
    assert coefficients(free[:1], losses[:1]) == pytest.approx([0, 0])


def test_a_difference_of_two_vendors_is_estimated_without_bias_and_misses_as_seldom_as_said(tools):
    """The same photographs for both; the second vendor errs by half, and on its own."""
    losses, free = population("useful")
    rng, found = np.random.default_rng(3), []
    other = np.clip(losses / 2 + np.round(rng.random(POPULATION)) / 8, 0, 1)
    mean = (losses - other).mean()
    for _ in range(RUNS):
        drawn = rng.integers(0, POPULATION, 120)
        beside = FreeLosses(free[drawn[:30]], free[drawn[30:]])
        one = beside.difference(losses[drawn[:30]], other[drawn[:30]])
        assert one.alone == pytest.approx((losses - other)[drawn[:30]].mean())
        found.append([one.risk - mean, one.interval[0] <= mean <= one.interval[1], one.worth / 30])
    bias, held, worth = np.mean(found, axis=0)
    print(bias, held, worth)
    assert abs(bias) < 4 * np.std([one[0] for one in found]) / math.sqrt(RUNS)
    assert tools.verdict(np.array([not one[1] for one in found])).keeps(2 * LEVEL)
    assert worth > 1.1


def test_audits_reach_with_the_foretold_number_what_a_pilot_foretells():
    foretold = [PaidForetold.of(losses, free.bought) for losses, free in audits("useful", 40, 41, 60)]
    paid, alone = (round(np.median([getattr(one, name) for one in foretold])) for name in ("paid", "alone"))
    print(paid, alone)
    assert paid < 0.7 * alone
    for m, name in ((paid, "interval"), (alone, "alone_interval")):
        found = [getattr(free.estimate(losses), name) for losses, free in audits("useful", m, GIVEN * m, 100)]
        assert np.mean([high - low for low, high in found]) / 2 == pytest.approx(REACH, rel=0.12)
    useless = [PaidForetold.of(losses, free.bought) for losses, free in audits("useless", 40, 41, 60)]
    assert all(one.paid <= one.alone for one in useless)
    assert np.mean([one.paid / one.alone for one in useless]) > 0.9
