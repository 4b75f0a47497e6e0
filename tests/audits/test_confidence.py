"""Confidence bounds: coverage whatever the bets were chosen by, how many losses they need, and audits that may stop."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from blackbox_conformal.method.audits.confidence import (
    BETS,
    LEVEL,
    Betting,
    Exact,
    further,
    interval_for,
    lower_bound,
    p_above,
    stakes,
    upper_bound,
)
from blackbox_conformal.method.audits.sequential import EARLY, AuditLook, AuditStop, allowed_risk, level_test
from blackbox_conformal.method.audits.verdict import BEFOREHAND, BEFOREHAND_EXACT, beforehand, judge, meaning
from blackbox_conformal.method.guarantees.guarantee import Claim


@pytest.mark.parametrize("foreign", [None, np.zeros(30), np.ones(30), np.full(30, 0.2), np.r_[np.zeros(29), 1.0]])
@pytest.mark.parametrize("shape", [(0.2, 1.8), (2.0, 18.0), (0.05, 0.05)])
def test_both_bounds_cover_the_mean_at_their_level_whatever_calibration_looked_like(shape, foreign):
    """Where the bets lie was fixed before, on other photographs; even quite different ones void nothing.

    A bound is searched for in fifty steps; whether it passes the mean takes one, which is the p-value's.
    """
    given = foreign is not None
    above, below = (stakes(foreign, 0.15), stakes(foreign, 0.15, mirrored=True)) if given else (None, None)
    rng = np.random.default_rng(6 if given else 3)
    mean = shape[0] / sum(shape)
    samples = [rng.beta(*shape, size=40) for _ in range(400)]
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / len(samples))
    too_low = [p_above(1 - losses, 1 - mean, above) <= LEVEL for losses in samples]
    too_high = [p_above(losses, mean, below) <= LEVEL for losses in samples]
    assert max(np.mean(too_low), np.mean(too_high)) <= most
    checked = samples[:20]
    assert [upper_bound(losses, stake=above) <= mean for losses in checked] == too_low[:20]
    assert [lower_bound(losses, stake=below) >= mean for losses in checked] == too_high[:20]


def test_bounds_tighten_with_more_photographs_and_stay_in_range():
    rng = np.random.default_rng(4)
    losses = rng.beta(1, 9, size=2000)
    widths = [upper_bound(losses[:m]) - losses[:m].mean() for m in (20, 200, 2000)]
    assert widths[0] > widths[1] > widths[2] > 0
    assert widths[2] < 0.01
    assert upper_bound(np.ones(5)) == 1.0
    assert lower_bound(np.zeros(5)) == 0.0
    # No valid bound is below this one, and a price for not knowing the right bet is paid on top.
    assert 1 - LEVEL ** (1 / 100) < upper_bound(np.zeros(100)) < 0.05


@pytest.mark.parametrize(("mean", "level"), [(0.05, 0.1), (0.1, 0.12), (0.3, 0.27), (0.14, 0.125)])
def test_so_many_more_of_the_same_settle_it_and_one_fewer_does_not(mean, level):
    """The estimate against the bound itself, on as many copies of the losses as it names."""
    losses = np.random.default_rng(1).beta(2, 2 / mean - 2, size=20)
    losses *= mean / losses.mean()
    more = further(losses, level)
    assert more is not None
    copies = -(-(20 + more) // 20)
    for count, settled in ((copies, True), (copies - 1, False)):
        many = np.tile(losses, count)
        end = upper_bound(many) <= level if mean < level else lower_bound(many) >= level
        assert bool(end) is settled


def test_no_number_is_named_where_none_would_do_or_none_is_needed():
    assert further(np.full(30, 0.1), 0.1) is None
    assert further(np.zeros(500), 0.1) is None
    assert further(np.full(20, 0.1 - 1e-6), 0.1) is None
    assert further(np.zeros(20), 1.0) is None


def naive_upper_bound(losses, stake):
    """The largest mean on a fine grid at which the bets together are worth less than 1 / LEVEL."""
    best = float(np.mean(losses))
    for mean in np.linspace(best, 1, 4001)[:-1]:
        worth = 0.0
        for place in range(BETS):
            product = stake[place]
            for loss in losses:
                product *= 1 - (place + 1) / (BETS + 1) * (loss - mean) / (1 - mean)
            worth += product
        if worth < 1 / LEVEL:
            best = mean
    return best


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_the_largest_mean_that_the_bets_do_not_refute(seed):
    rng = np.random.default_rng(seed)
    losses = rng.beta(1, 5, size=8)
    for stake in (stakes(None, 0.2), stakes(rng.beta(1, 5, size=30), 0.2)):
        assert upper_bound(losses, stake=stake) == pytest.approx(naive_upper_bound(losses, stake), abs=3e-4)
    assert upper_bound(losses) == upper_bound(losses, stake=stakes(None, 0.2))


def test_the_favoured_bet_is_the_one_that_grows_most_on_the_calibration():
    rng = np.random.default_rng(7)
    for level in (0.05, 0.1, 0.4):
        known = rng.beta(1, 9, size=50)
        found = stakes(2 * known, 2 * level, 2.0)
        products = [
            np.prod([1 - (place + 1) / (BETS + 1) * (loss - level) / (1 - level) for loss in known])
            for place in range(BETS)
        ]
        expected = np.full(BETS, 0.5 / BETS)
        expected[int(np.argmax(products))] += 0.5
        assert found == pytest.approx(expected)
        assert found.sum() == pytest.approx(1)
    assert stakes(known, 0.3, mirrored=True) == pytest.approx(stakes(1 - known, 0.7))
    for even in (stakes(None, 0.1), stakes(known, 0.0), stakes(known, 1.0)):
        assert even == pytest.approx(np.full(BETS, 1 / BETS))


def test_losses_like_those_of_calibration_need_a_fifth_fewer():
    rng = np.random.default_rng(8)
    known, losses = rng.beta(1, 60, size=100), rng.beta(1, 60, size=30)
    before, after = further(losses, 0.05), further(losses, 0.05, stake=stakes(known, 0.05))
    assert 30 + after <= 0.85 * (30 + before)
    assert upper_bound(losses, stake=stakes(known, 0.05)) < upper_bound(losses)


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


def test_other_losses_count_on_the_safe_side_and_a_clear_excess_of_misses_is_contradicted():
    rng = np.random.default_rng(71)
    losses = rng.random((500, 40)) * (rng.random((500, 40)) < 0.3)
    assert np.mean([exact.upper(sample) < 0.15 for sample in losses]) <= LEVEL
    assert np.mean([exact.lower(sample) > 0.15 for sample in losses]) <= LEVEL
    found = judge(losses_of(30, 60), 0.1, 1.0, np.full(999, 0.1), exact=True)
    assert found.verdict == "contradicted"
    assert found.interval[0] > 0.1


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
    advice = "About 8 photographs more than these, all of them new, would confirm it if they err as these do"
    assert advice in meaning(short, 0.1)


KNOWN = np.linspace(0, 0.2, 40)


def made_at(level, *, averages=True, alike=True, levels=1, bound=1.0):
    return level_test(Claim(KNOWN, level, bound, averages), alike=alike, levels=levels)


def test_a_calibration_may_lie_above_its_level_by_less_the_larger_it_is():
    for units in (10, 40, 400):
        allowed = allowed_risk(0.1, units, 0.005)
        assert 0.1 < allowed < 1
        assert allowed > allowed_risk(0.1, 2 * units, 0.005)
        assert allowed < allowed_risk(0.1, units, 0.0005)
    assert allowed_risk(0.9, 5, 0.005) == 1.0


@pytest.mark.parametrize("averages", [True, False])
@pytest.mark.parametrize("before", [[], [0.0] * 10, [0.3, 0.0, 0.2], [0.9] * 3])
def test_no_fewer_photographs_can_settle_an_audit_whatever_they_show(before, averages):
    """Compared with trying every number in turn."""
    test, losses, most = made_at(0.1, averages=averages), np.array(before), 60
    confirming = [k for k in range(most) if len(losses) + k and test.bound(np.r_[losses, np.zeros(k)]) <= 0.1]
    against = [k for k in range(most) if len(losses) + k and test.p_against(np.r_[losses, np.ones(k)]) <= test.share]
    assert test.fewest_to_confirm(losses, most) == min(confirming, default=most + 1)
    assert test.fewest_against(losses, most) == min(against, default=most + 1)


def test_photographs_that_play_different_parts_are_never_contradicted_early_and_levels_share_the_error():
    test = made_at(0.1, alike=False)
    assert test.p_against(np.ones(100)) == 1.0
    assert test.fewest_against(np.ones(10), 50) == 51
    assert made_at(0.1, alike=False, averages=False).p_against(np.ones(100)) < EARLY
    # A number that is not there is said to be out of reach.
    assert made_at(0.1).fewest_to_confirm(np.zeros(0), 5) == 6
    assert made_at(0.1).fewest_against(np.zeros(0), 1) == 2
    assert made_at(0.1, levels=5).share == pytest.approx(EARLY / 5)
    assert made_at(0.4, bound=2.0).level == pytest.approx(0.2)
    assert LEVEL > EARLY


def test_why_it_ended_is_said():
    ended = "ended after 12 of 40 photographs: "
    for reason, seen, said in (
        ("confirmed", 12, f"{ended}the running bound of the risk is not above what is claimed"),
        ("contradicted", 12, f"{ended}the risk is above what a guarantee that holds allows"),
        (None, 40, "All 40 photographs were looked at"),
    ):
        looks = (AuditLook(8, (0.2,)), AuditLook(seen, (0.09,)))
        assert said in AuditStop(40, looks, reason, (1.0,), EARLY).sentence
