"""Intervals for all kinds of photographs hold together, however often one looks; unadjusted ones do not."""

import numpy as np
import pytest

from blackbox_conformal.method.audits.confidence import BETS, LEVEL, lower_bound, p_above, upper_bound
from blackbox_conformal.method.audits.kinds import QUARTERS, WORST_RANGE, AtLevel, kind_risks
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.risk.betting import growth

N, M, MEAN = 40, 480, 0.3
CELLS = 4 * len(QUARTERS)
EVEN = np.full(BETS, 1 / BETS)


def statistics(rng, count):
    """Three statistics that are independent of each other and of the losses, with ties."""
    return {name: rng.integers(0, 50, count).astype(float) for name in QUARTERS}


def ever_missed(rng, level):
    """Whether at any number of photographs the interval of any quarter misses its true mean.

    An end at error level `level` misses it exactly when the bets against it are worth ``1 / level``.
    """
    known, new = statistics(rng, N), statistics(rng, M)
    losses = (rng.random(M) < MEAN) * 1.0
    for name in QUARTERS:
        quarter = np.searchsorted(np.quantile(known[name], (0.25, 0.5, 0.75)), new[name], side="right")
        for cell in range(4):
            members = losses[quarter == cell]
            for one, mean in ((members, MEAN), (1 - members, 1 - MEAN)):
                wealth = EVEN @ np.exp(np.cumsum(growth(one, mean, BETS), axis=1))
                if (wealth >= 1 / level).any():
                    return True
    return False


def test_intervals_of_all_kinds_hold_together_at_every_look_and_single_ones_do_not(tools):
    rng = np.random.default_rng(20)
    together = np.array([ever_missed(rng, LEVEL / CELLS) for _ in range(300)])
    alone = np.array([ever_missed(rng, LEVEL) for _ in range(300)])
    print("some interval ever misses: together", together.mean(), "alone", alone.mean())
    assert tools.verdict(together).keeps(2 * LEVEL)
    assert tools.verdict(alone).breaks(2 * LEVEL)


def test_the_intervals_that_are_shown_are_these_and_hold():
    """Losses with ties whose mean differs between groups; no interval of an audit misses the mean of its kind."""
    rng = np.random.default_rng(21)
    means = {"a": 0.05, "b": 0.2}
    missed = 0
    for _ in range(20):
        known, new, groups = statistics(rng, N), statistics(rng, 60), rng.choice(list(means), 60)
        losses = rng.binomial(20, [means[group] for group in groups]) / 20
        found = kind_risks(known, new, list(groups), [AtLevel(0.2, Claim(losses, 0.2, 1.0), losses)])
        assert len(found) == CELLS + len(means)
        of_all = float(np.mean(list(means.values())))
        missed += any(not one.interval[0] <= means.get(one.name, of_all) <= one.interval[1] for one in found)
        own, shared = losses[groups == "b"], LEVEL / len(found)
        assert found[-1].interval == (lower_bound(own, shared), upper_bound(own, shared))
    assert missed <= 2 * LEVEL * 20 + 3


def test_one_kind_alone_has_the_interval_of_the_audit():
    losses = np.array([0.0, 0.1, 0.1, 0.5])
    (one,) = kind_risks({}, {}, ["all"] * 4, [AtLevel(0.2, Claim(losses, 0.2, 1.0), losses)])
    assert one.interval == (lower_bound(losses, LEVEL), upper_bound(losses, LEVEL))


def audited(rng, planted=None, *, same=False):
    """Return what `kind_risks` takes: losses are 0 or 1, half in the mean, or `planted` in a range of textures."""

    def photographs(count):
        found = {name: rng.integers(0, 40, count).astype(float) for name in QUARTERS}
        inside = (found["texture"] >= 15) & (found["texture"] < 25)
        means = np.full(count, 0.5) if planted is None else np.where(inside, planted, 0.35)
        return found, rng.binomial(1, means) * 1.0

    (known, calibrated), (new, losses) = photographs(60), photographs(120)
    if same:
        new, losses = known, calibrated
    return known, new, (), [AtLevel(0.5, Claim(losses, 0.5, 1.0), losses, calibrated)]


def range_is_named(rng, *, same=False):
    """Whether the lower bound of the worst range, at half the error level, is above one half."""
    known, new, _, levels = audited(rng, same=same)
    (worst,) = [one for one in kind_risks(known, new, (), levels, unseen=False) if one.name == WORST_RANGE]
    inside = (new[worst.by] >= worst.low) & (new[worst.by] < worst.high)
    return p_above(levels[0].claim.losses[inside], 0.5) <= LEVEL / 2


def test_a_worst_range_is_named_as_seldom_as_said_and_a_planted_one_is_found(tools):
    rng = np.random.default_rng(44)
    without = np.array([range_is_named(rng) for _ in range(600)])
    same = np.array([range_is_named(rng, same=True) for _ in range(200)])
    print("named without one", without.mean(), "on the photographs that chose it", same.mean())
    assert tools.verdict(without).keeps(LEVEL / 2)
    assert tools.verdict(same).breaks(LEVEL / 2)
    found = [next(one for one in kind_risks(*audited(rng, 0.95)) if one.name == WORST_RANGE) for _ in range(20)]
    named = [one for one in found if one.fails]
    print("found", len(named) / len(found))
    assert len(named) > 0.7 * len(found)
    assert all(one.by == "texture" and one.low < 25 and one.high > 15 for one in named)
    assert np.mean([one.others for one in named]) < 0.5 < min(one.interval[0] for one in named)


def test_a_worst_range_is_one_that_all_ranges_written_out_do_not_beat():
    rng = np.random.default_rng(7)
    known = {"texture": rng.integers(0, 12, 30).astype(float)}
    losses = rng.integers(0, 3, 30) / 2
    (*_, worst) = kind_risks(known, known, (), [AtLevel(0.2, Claim(losses, 0.2, 1.0), losses, losses)], unseen=False)
    ends, best = np.r_[-np.inf, np.unique(np.quantile(known["texture"], np.arange(1, 20) / 20)), np.inf], 0.0
    for low in ends:
        for high in ends[ends > low]:
            inside = (known["texture"] >= low) & (known["texture"] < high)
            if 6 <= inside.sum() <= 24:
                apart = (losses[inside].mean() - losses.mean()) * np.sqrt(inside.sum() / (~inside).sum())
                best = max(best, apart)
    chosen = (known["texture"] >= worst.low) & (known["texture"] < worst.high)
    assert worst.risk == losses[chosen].mean()
    assert worst.others == losses[~chosen].mean()
    assert (worst.risk - losses.mean()) * np.sqrt(chosen.sum() / (~chosen).sum()) == pytest.approx(best)
