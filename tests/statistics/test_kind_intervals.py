"""Intervals for all kinds of photographs hold together, however often one looks; unadjusted ones do not."""

import numpy as np

from blackbox_conformal.method.audits.confidence import BETS, LEVEL, lower_bound, upper_bound
from blackbox_conformal.method.audits.kinds import QUARTERS, AtLevel, kind_risks
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
