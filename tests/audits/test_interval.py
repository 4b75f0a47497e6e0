"""The exact interval of an audit of 0/1 losses: what it is, that it covers, and where it may not be used."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from blackbox_conformal.method.audits.confidence import LEVEL, Betting, Exact, interval_for, upper_bound
from blackbox_conformal.method.audits.verdict import BEFOREHAND, BEFOREHAND_EXACT, beforehand, judge, meaning

exact = Exact()


def losses_of(ones, m):
    return (np.arange(m) < ones) * 1.0


@pytest.mark.parametrize(("ones", "m"), [(0, 29), (1, 46), (5, 103), (20, 60), (59, 60)])
def test_the_ends_are_those_of_clopper_and_pearson(ones, m):
    losses = losses_of(ones, m)
    assert exact.upper(losses) == pytest.approx(beta.ppf(1 - LEVEL, ones + 1, m - ones), rel=1e-8)
    assert exact.lower(losses) == pytest.approx(beta.ppf(LEVEL, ones, m - ones + 1) if ones else 0, rel=1e-8, abs=1e-12)
    assert exact.p_above(losses, 0.1) == pytest.approx(min(1, binom.sf(ones - 1, m, 0.1)), rel=1e-8)


@pytest.mark.parametrize(("misses", "needed", "betting"), [(0, 29, 44), (1, 46, 65), (2, 61, 85), (5, 103, 136)])
def test_so_many_photographs_confirm_a_miss_rate_of_a_tenth(misses, needed, betting):
    for upper, least in ((exact.upper, needed), (upper_bound, betting)):
        assert upper(losses_of(misses, least)) <= 0.1 < upper(losses_of(misses, least - 1))


def test_both_ends_cover_at_their_level_and_looking_again_breaks_them():
    rng = np.random.default_rng(70)
    samples = (rng.random((3000, 120)) < 0.1) * 1.0
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / len(samples))
    ones = samples.sum(axis=1).astype(int)
    upper = np.array([exact.upper(losses_of(k, 120)) for k in range(121)])
    lower = np.array([exact.lower(losses_of(k, 120)) for k in range(121)])
    assert np.mean(upper[ones] < 0.1) <= most
    assert np.mean(lower[ones] > 0.1) <= most
    # The control: whoever adds photographs until the bound pleases is wrong more often.
    # The bound grows with the misses.
    least = {m: next(k for k in range(m) if exact.upper(losses_of(k, m)) >= 0.1) - 1 for m in range(29, 121)}
    running = samples.cumsum(axis=1)
    ever = np.any([running[:, m - 1] <= k for m, k in least.items()], axis=0)
    assert np.mean(ever) > 2 * LEVEL


def test_other_losses_count_on_the_safe_side():
    rng = np.random.default_rng(71)
    losses = rng.random((500, 40)) * (rng.random((500, 40)) < 0.3)
    assert np.mean([exact.upper(sample) < 0.15 for sample in losses]) <= LEVEL
    assert np.mean([exact.lower(sample) > 0.15 for sample in losses]) <= LEVEL


def test_the_number_that_confirms_is_the_least_one():
    for level in (0.02, 0.1, 0.3):
        fewest = exact.fewest(np.zeros(1), level)
        assert exact.upper(np.zeros(fewest)) <= level < exact.upper(np.zeros(fewest - 1))
    assert exact.fewest(losses_of(1, 10), 0.1) is None
    assert exact.fewest(losses_of(1, 10), 0.1 + 1e-9) is None
    more = exact.further(losses_of(1, 25), 0.1)
    assert exact.upper(losses_of(math.ceil((25 + more) / 25), 25 + more)) <= 0.1
    above = exact.further(losses_of(10, 30), 0.25)
    assert exact.lower(losses_of((30 + above) // 3, 30 + above)) >= 0.25 - 1e-3
    assert exact.further(np.zeros(30), 0.1) is None
    assert exact.further(losses_of(3, 30), 0.1) is None


def test_it_is_used_for_losses_of_0_or_1_of_a_fixed_number_alone():
    assert isinstance(interval_for(None, 0.1, 1.0, exact=True), Exact)
    assert isinstance(interval_for(None, 0.1, 1.0, exact=False), Betting)
    fixed, open_ended = judge(np.zeros(30), 0.1, 1.0, exact=True), judge(np.zeros(30), 0.1, 1.0)
    assert (fixed.verdict, open_ended.verdict) == ("confirmed", "inconclusive")
    assert (fixed.exact, open_ended.exact) == (True, False)
    assert beforehand([fixed, open_ended]) == BEFOREHAND_EXACT
    assert beforehand([open_ended]) == BEFOREHAND
    assert beforehand([judge(np.zeros(300), 0.1, 1.0)]) is None
    short = judge(np.zeros(21), 0.1, 1.0, exact=True)
    assert "About 8 photographs more than these, all of them new, would confirm it if they err as these do" in meaning(
        short, 0.1
    )


def test_a_clear_excess_of_misses_is_contradicted():
    found = judge(losses_of(30, 60), 0.1, 1.0, np.full(999, 0.1), exact=True)
    assert found.verdict == "contradicted"
    assert found.interval[0] > 0.1
