import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import risk_curves as naive

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet

BOUND = 2.0
LOSSES = [0.125, 0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0]
STAIRS = st.lists(st.tuples(st.integers(-2, 5), st.sampled_from(LOSSES)), max_size=5).map(
    lambda pairs: [
        (float(score), float(np.float32(loss)))
        for score, loss in zip(sorted({s for s, _ in pairs}), sorted({v for _, v in pairs}), strict=False)
    ]
)
ALPHAS = st.sampled_from(["0.05", "0.1", "0.25", "0.3", "0.5", "0.7", "1", "1.5", "1.9", "1.99"])


def curve(stairs, bound=BOUND):
    return RiskCurve(np.array([s for s, _ in stairs]), np.array([v for _, v in stairs]), bound)


@settings(deadline=None, max_examples=300)
@given(st.lists(STAIRS, min_size=1, max_size=8), ALPHAS, st.integers(0, 2))
def test_thresholds_are_those_of_the_definition(stairs, alpha, leaked):
    leaked = min(leaked, len(stairs))
    found = threshold([curve(s) for s in stairs], float(alpha), leaked=leaked)
    assert found == naive.expected_threshold(stairs, alpha, "2", leaked=leaked)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(STAIRS, st.integers(0, 9)), min_size=1, max_size=8), ALPHAS, st.integers(1, 9))
def test_weighted_thresholds_are_those_of_the_definition(pairs, alpha, weight_new):
    stairs, weights = [s for s, _ in pairs], [w for _, w in pairs]
    found = threshold([curve(s) for s in stairs], float(alpha), weights=weights, weight_new=weight_new)
    assert found == naive.expected_threshold(stairs, alpha, "2", weights=weights, weight_new=weight_new)


@settings(deadline=None, max_examples=300)
@given(st.lists(STAIRS, min_size=1, max_size=8), ALPHAS, STAIRS.filter(bool))
def test_a_bound_of_the_new_picture_may_be_a_staircase(stairs, alpha, own):
    found = threshold([curve(s) for s in stairs], float(alpha), bound_new=curve(own))
    assert found == naive.expected_threshold(stairs, alpha, "2", own=own)


@settings(deadline=None, max_examples=200)
@given(st.lists(STAIRS, min_size=1, max_size=8), ALPHAS, STAIRS.filter(bool))
def test_a_function_in_place_of_a_staircase_never_trusts_more(stairs, alpha, own):
    curves = [curve(s) for s in stairs]
    exact = threshold(curves, float(alpha), bound_new=curve(own))
    found = threshold(curves, float(alpha), bound_new=curve(own).loss)
    scores = {s for pairs in stairs for s, _ in pairs}
    assert found == max((s for s in [*scores, math.inf] if s <= exact), default=-math.inf)


def test_a_hand_worked_case():
    curves = [curve([(1.0, 0.5), (3.0, 1.0)]), curve([(2.0, 0.25)]), curve([])]
    # (sum + 2) / 4: 0.5 up to t = 1, 0.625 up to 2, 0.6875 up to 3, 0.8125 beyond.
    assert [threshold(curves, a) for a in (0.49, 0.5, 0.62, 0.625, 0.6875, 0.81, 0.8125)] == [
        -math.inf,
        1.0,
        1.0,
        2.0,
        3.0,
        3.0,
        math.inf,
    ]


def test_equality_is_decided_on_the_decimal_as_typed():
    # 0.1 * 20 in floats is 2.0, but 0.3 * 10 = 3.0000000000000004 / 0.7 * 10 = 7.000000000000001 and so on are not.
    for alpha, n in ((0.1, 19), (0.3, 9), (0.7, 9), (0.07, 99), (0.29, 99)):
        bound = float(Fraction(str(alpha)) * (n + 1))
        assert threshold([curve([], bound)] * n, alpha) == math.inf
        assert threshold([curve([], bound)] * (n - 1), alpha) == -math.inf
        assert guarantee("expected").minimum_images(alpha, bound) == n


@settings(deadline=None)
@given(st.permutations(list(range(7))))
def test_the_order_of_photographs_does_not_matter(order):
    rng = np.random.default_rng(6)
    curves = [RiskCurve(np.sort(rng.random(9)), np.sort(rng.random(9)), 1.0) for _ in range(7)]
    set_a, set_b = CurveSet.from_curves(curves), CurveSet.from_curves([curves[i] for i in order])
    rule = guarantee("expected")
    assert rule.levels(set_a).tolist() == rule.levels(set_b).tolist()
    assert rule.risk(set_a, 0.5) == rule.risk(set_b, 0.5)


@pytest.mark.parametrize(
    "parameters", [{}, {"leaked": 2}, {"bound_new": 0.7}, {"weights": [3, 2, 2, 3, 2.5], "weight_new": 3}]
)
def test_levels_are_where_the_threshold_changes_and_risk_is_their_inverse(parameters):
    rng = np.random.default_rng(7)
    curves = CurveSet.from_curves(
        [RiskCurve(np.sort(rng.permutation(9)[:4]), np.sort(rng.random(4)) + 0.01, 1.5) for _ in range(5)]
    )
    rule = guarantee("expected", **parameters)
    levels = rule.levels(curves)
    assert levels.size == 1 + np.unique(curves.scores).size
    at = [rule.threshold(curves, level) for level in levels]
    below = [rule.threshold(curves, level * (1 - 1e-12)) for level in levels]
    assert at == [*np.unique(curves.scores).tolist(), math.inf]
    assert below == [-math.inf, *at[:-1]]
    for level, t in zip(levels, at, strict=True):
        assert rule.risk(curves, t) == pytest.approx(level, rel=1e-14)
        assert rule.threshold(curves, rule.risk(curves, t)) >= t
    assert rule.risk(curves, -math.inf) == 0


def test_refused_photographs_count_with_the_worst_loss():
    curves = [curve([])] * 38 + [RiskCurve.worst(2.0)]
    assert threshold(curves, 0.1) == math.inf
    found = choose(curves[1:], 0.1)
    assert (found.threshold, found.missing_images) == (-math.inf, 1)
    assert "38 calibration photographs, and at least 39 are needed" in found.reason
    assert guarantee("expected").levels(CurveSet.from_curves(curves)).tolist() == pytest.approx([0.1])


def test_too_few_photographs_trust_nothing_and_say_how_many_are_missing():
    found = choose([curve([], 1.95757)] * 10, 0.1)
    assert (found.threshold, found.missing_images) == (-math.inf, 9)
    assert choose([curve([], 1.95757)] * 10, 0.2).reason is None
    assert guarantee("expected").reachable_alpha(19, 1.95757) == pytest.approx(0.0978785)
    assert [guarantee("expected").minimum_images(a, 3.0) for a in (0.02, 0.05, 0.1, 0.2)] == [149, 59, 29, 14]
    assert [guarantee("expected").minimum_images(a, 1.95757) for a in (0.02, 0.05, 0.1, 0.2)] == [97, 39, 19, 9]
    assert guarantee("expected", leaked=5).minimum_images(0.1, 3.0) == 34
    assert guarantee("expected", bound_new=0.5).minimum_images(0.1, 3.0) == 4


@pytest.mark.parametrize("bound", [100.0, 1e5])
def test_many_photographs_with_a_large_bound_do_not_overflow(bound):
    stairs = [curve([(0.0, float(np.float32(bound) * 0.5)), (1.0, bound)], bound)] * 20000
    assert threshold(stairs, bound * 0.51) == 1.0
    assert threshold(stairs, bound * (1 - 1e-9)) == 1.0
    weights = np.full(20000, 0.3)
    assert threshold(stairs, bound * 0.51, weights=weights, weight_new=0.3) == 1.0


def test_weights_that_are_no_binary_fractions_are_rounded_towards_trusting_less():
    # w L + w B = alpha 2 w holds with equality; 0.125 is exact, 0.1 is rounded up on the left alone.
    half = [curve([(0.0, 0.25)], 0.75)]
    assert threshold(half, 0.5, weights=[0.125], weight_new=0.125) == math.inf
    assert threshold(half, 0.5, weights=[0.1], weight_new=0.1) == 0.0
    assert threshold(half, 0.5000001, weights=[0.1], weight_new=0.1) == math.inf


def test_photographs_whose_weights_make_them_worth_too_few_trust_nothing():
    """One photograph decides; the weighted rule alone would promise an error of at most 0.1 from it."""
    curves = [curve([], 1.9576)] * 30
    weights = [1.0] + [1e-9] * 29
    rule = guarantee("expected", weights=weights, weight_new=1e-9)
    assert rule.effective_images == pytest.approx(1.0)
    for alpha, needed in ((0.1, 19), (0.5, 3)):
        found = rule.choose(CurveSet.from_curves(curves), alpha)
        assert (found.threshold, found.missing_images) == (-math.inf, needed - 1)
        assert (
            f"30 weighted calibration photographs are worth 1.0 of equal weight, and at least {needed}" in found.reason
        )
    assert threshold(curves, 0.98, rule) == math.inf, "a single photograph reaches half the bound"
    assert rule.levels(CurveSet.from_curves(curves)).tolist() == pytest.approx([1.9576 / 2])
    assert rule.risk(CurveSet.from_curves(curves), math.inf) == pytest.approx(1.9576 / 2)
    even = guarantee("expected", weights=[0.3] * 30, weight_new=0.3)
    assert even.levels(CurveSet.from_curves(curves)).tolist() == pytest.approx([1.9576 / 31])
    assert threshold(curves, 0.0632, even) == threshold(curves, 0.0632) == math.inf


def test_tiny_losses_are_rounded_up():
    tiny = [curve([(0.0, float(np.float32(1e-30)))], 1.0)] * 3
    assert threshold(tiny, 0.25) == 0.0
    assert threshold(tiny, 0.2500001) == math.inf


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": [1.0] * 3}, "belong together"),
        ({"weight_new": 1.0}, "belong together"),
        ({"weights": [1.0] * 3, "weight_new": 1.0, "leaked": 1}, "exclude each other"),
        ({"weights": [1.0, -1.0, 1.0], "weight_new": 1.0}, "weights >= 0"),
        ({"weights": [1.0, math.nan, 1.0], "weight_new": 1.0}, "weights >= 0"),
        ({"weights": [1.0] * 2, "weight_new": 1.0}, "each of 3 photographs; got 2"),
        ({"weights": [1.0] * 3, "weight_new": 0.0}, "weight-new"),
        ({"leaked": -1}, "leaked"),
        ({"leaked": 4}, "at most 3 leaked"),
        ({"bound_new": -0.1}, "bound-new"),
        ({"bound_new": lambda t: math.nan}, "finite numbers"),
        ({"delta": 0.1}, "Its parameters are"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        threshold([curve([(0.0, 1.0)])] * 3, 1.0, **parameters)


@pytest.mark.parametrize("alpha", [0.0, -0.1, math.nan, math.inf])
def test_a_level_that_is_none_is_refused(alpha):
    with pytest.raises(UsageError, match="alpha"):
        threshold([curve([])], alpha)


def test_share_curves_are_refused():
    with pytest.raises(CalibrationError, match="false-trust"):
        threshold([RiskCurve.worst(1.0, "share", tolerance=0.1)], 0.5)


def test_an_unknown_guarantee_is_refused_with_the_list():
    with pytest.raises(UsageError, match="expected"):
        threshold([curve([])], 0.5, "certainly")
    with pytest.raises(UsageError, match="is none"):
        threshold([curve([])], 0.5, "instance-bound")


def test_levels_of_one_picture_are_refused():
    with pytest.raises(UsageError, match="one picture"):
        guarantee("expected", bound_new=curve([])).levels(CurveSet.of([curve([])]))


def test_the_statement_carries_the_numbers():
    assert guarantee("expected").statement(0.1, 60, "lab-l1") == (
        "On average over new photographs, the largest lab-l1 among trusted pixels is at most 0.1 "
        "(calibrated on 60 photographs)."
    )
    weighted = guarantee("expected", weights=[1.0, 1.0, 2.0], weight_new=1.0)
    assert "worth 2.7" in weighted.statement(0.1, 3)
    assert "likelihood ratios" in weighted.assumptions[0]
    assert "leak" in guarantee("expected", leaked=3).assumptions[0]
    assert guarantee("expected", bound_new=lambda t: 1.0).specification()["bound_new"] == "from the picture itself"
