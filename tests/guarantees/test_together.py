"""Levels of `high-probability` that hold together: their thresholds, what other levels get, and what is said."""

import math

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee
from blackbox_conformal.method.guarantees.high_probability import holding_together, levels_together
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

METHODS = ["hoeffding-bentkus", "mixture", "binomial"]
EMPTY = RiskCurve(np.empty(0), np.empty(0), 1.0)


def curves_of(seed, n, largest):
    rng = np.random.default_rng(seed)
    some = [RiskCurve(np.sort(rng.permutation(40)[:4]), np.sort(rng.random(4)) * largest, 1.0) for _ in range(n // 2)]
    return CurveSet.from_curves([*some, *[EMPTY] * (n - n // 2)])


def naive_shared(curves, levels, delta, method):
    """Holm, by hand: every level from the largest at delta / A; one that trusts everything leaves delta to A - 1."""
    shares, thresholds = len(levels), {}
    everything = True
    for level in sorted(levels, reverse=True):
        t = guarantee("high-probability", delta=delta / shares, method=method).threshold(curves, level)
        thresholds[level] = t
        if everything and t == math.inf:
            shares -= 1
        else:
            everything = False
    return thresholds


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("largest", [0.1, 0.4, 1.0])
def test_thresholds_share_delta_and_a_level_that_trusts_everything_leaves_its_part(method, largest):
    curves, levels = curves_of(3, 120, largest), (0.05, 0.1, 0.2, 0.45, 0.7)
    rule = guarantee("high-probability", method=method, together=levels)
    expected = naive_shared(curves, levels, 0.1, method)
    assert {level: rule.threshold(curves, level) for level in levels} == expected
    assert math.inf in expected.values()
    single = guarantee("high-probability", method=method)
    assert all(rule.threshold(curves, level) <= single.threshold(curves, level) for level in levels)
    assert rule.levels(curves).tolist() == [level for level in levels if expected[level] > -math.inf]
    for level in levels:
        if expected[level] > -math.inf:
            assert rule.threshold(curves, rule.risk(curves, expected[level])) == expected[level]
    assert rule.risk(curves, -math.inf) == 0


def test_a_level_between_gets_the_threshold_of_the_one_below_and_a_lower_one_nothing():
    curves = curves_of(4, 120, 0.4)
    rule = guarantee("high-probability", together=[0.2, 0.1])
    assert rule.threshold(curves, 0.15) == rule.threshold(curves, 0.1) < rule.threshold(curves, 0.2)
    assert rule.threshold(curves, 0.9) == rule.threshold(curves, 0.2)
    found = choose(curves, 0.05, rule)
    assert found.threshold == -math.inf
    assert "begin at 0.1" in found.reason
    alone = guarantee("high-probability", together=[0.2])
    assert alone.threshold(curves, 0.2) == guarantee("high-probability").threshold(curves, 0.2)


@pytest.mark.parametrize("method", METHODS)
def test_the_fewest_photographs_of_a_level_are_the_first_that_reach_it(method):
    rule = guarantee("high-probability", method=method, together=[0.05, 0.1, 0.3])
    for level in (0.05, 0.1, 0.3):
        n = rule.minimum_images(level, 1.0)
        assert choose([EMPTY] * n, level, rule).threshold == math.inf
        assert choose([EMPTY] * (n - 1), level, rule).threshold == -math.inf
        assert rule.reachable_alpha(n, 1.0) <= level < rule.reachable_alpha(n - 1, 1.0)
    # All larger levels trust everything, so that the least one has all of delta.
    assert rule.minimum_images(0.05, 1.0) == guarantee("high-probability", method=method).minimum_images(0.05, 1.0)


def test_levels_are_typed_as_a_list_and_are_said():
    rule = guarantee("high-probability", together="[0.2,0.1]")
    assert rule == guarantee("high-probability", together=(0.1, 0.2))
    assert rule == holding_together(guarantee("high-probability"), [0.2, 0.1, 0.1])
    assert levels_together(rule) == (0.1, 0.2)
    assert levels_together(guarantee("expected")) == ()
    assert rule.specification()["together"] == [0.1, 0.2]
    assert "together" not in guarantee("high-probability").specification()
    assert rule.statement(0.1, 60).endswith("holds for the levels 0.1, 0.2 together, whichever is picked.")
    assert any(
        "Nothing but the level was" in sentence and sentence.endswith("setting or seed.")
        for sentence in rule.assumptions
    )
    for wrong in ("[0.1,x]", "[0.1,-1]", "[0,0.1]", "[inf]"):
        with pytest.raises(UsageError):
            guarantee("high-probability", together=wrong)


def test_levels_of_other_guarantees_do_not_hold_together():
    with pytest.raises(
        UsageError, match=r"expected one --alpha, since expected holds at one level .* high-probability"
    ):
        holding_together(guarantee("expected"), [0.1, 0.2])
