"""Means and single pictures: thresholds by their definitions, and levels that promise nothing."""

import itertools
import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import risk_curves as naive

from blackbox_conformal.errors import CalibrationError, PluginError, UsageError
from blackbox_conformal.method.guarantees.corollaries import leaked_level, level_given_trust, psnr
from blackbox_conformal.method.guarantees.guarantee import choose, guarantee, threshold
from blackbox_conformal.method.guarantees.per_image import PerImage
from blackbox_conformal.method.metrics.metric import Metric
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
    expected = {0.49: -math.inf, 0.5: 1.0, 0.62: 1.0, 0.625: 2.0, 0.6875: 3.0, 0.81: 3.0, 0.8125: math.inf}
    assert {alpha: threshold(curves, alpha) for alpha in expected} == expected


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


def test_many_photographs_with_a_large_bound_do_not_overflow():
    for bound in (100.0, 1e5):
        stairs = [curve([(0.0, float(np.float32(bound) * 0.5)), (1.0, bound)], bound)] * 20000
        assert threshold(stairs, bound * 0.51) == threshold(stairs, bound * (1 - 1e-9)) == 1.0
        assert threshold(stairs, bound * 0.51, weights=np.full(20000, 0.3), weight_new=0.3) == 1.0


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
        worth = "30 weighted calibration photographs are worth 1.0 of equal weight"
        assert f"{worth}, and at least {needed}" in found.reason
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


def test_levels_that_are_none_unknown_guarantees_and_share_curves_are_refused():
    for alpha in (0.0, -0.1, math.nan, math.inf):
        with pytest.raises(UsageError, match="alpha"):
            threshold([curve([])], alpha)
    for name, said in (("certainly", "expected"), ("instance-bound", "is none")):
        with pytest.raises(UsageError, match=said):
            threshold([curve([])], 0.5, name)
    with pytest.raises(UsageError, match="one picture"):
        guarantee("expected", bound_new=curve([])).levels(CurveSet.of([curve([])]))
    with pytest.raises(CalibrationError, match="false-trust"):
        threshold([RiskCurve.worst(1.0, "share", tolerance=0.1)], 0.5)
    with pytest.raises(CalibrationError, match="expected share curves"):
        threshold([RiskCurve.worst(1.0)], 0.5, "false-trust")


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


def test_the_bound_of_a_share_is_one_whatever_the_metric():
    rng = np.random.default_rng(10)
    maps = [(rng.integers(0, 5, (6, 6)).astype(np.float32), rng.random((6, 6)) * 90) for _ in range(30)]
    curves = [RiskCurve.from_maps(s, d, bound=100.0, tolerance=60.0) for s, d in maps]
    for alpha in (0.05, 0.1, 0.2, 0.3):
        sums = {t: sum(np.mean((s < t) & (d > 60.0)) for s, d in maps) for t in (*map(float, range(5)), math.inf)}
        feasible = [t for t in sums if sums[t] + 1 <= alpha * 31]
        assert threshold(curves, alpha, "false-trust") == max(feasible, default=-math.inf)
    rule = guarantee("false-trust")
    assert (rule.needs.curve_kind, rule.minimum_images(0.05, 1.0)) == ("share", 19)
    assert "share of the picture" in rule.statement(0.05, 40, "lab-l1")


def test_equality_of_a_sum_of_shares_is_missed_by_a_rounding_and_never_exceeded():
    """Docs, Arithmetic: a third is rounded up, so the sum of three of them is above 1."""
    wrong = RiskCurve(np.array([0.5], np.float32), np.array([1 / 3], np.float32), 1.0, "share", 0.1)
    none = RiskCurve(np.empty(0, np.float32), np.empty(0, np.float32), 1.0, "share", 0.1)
    curves = [wrong] * 3 + [none] * 16
    assert threshold(curves, 0.1, "false-trust") == 0.5
    assert threshold(curves, 0.100001, "false-trust") == math.inf


@settings(deadline=None, max_examples=300)
@given(
    st.lists(STAIRS, min_size=1, max_size=12),
    st.sampled_from(["0.1", "0.3", "0.5", "0.7", "1.99"]),
    st.sampled_from(["0.05", "0.1", "0.2", "0.5", "0.9"]),
)
def test_thresholds_of_single_pictures_are_those_of_the_definition(stairs, tolerance, delta):
    rank = naive.per_image_rank(len(stairs), delta)
    found = threshold([curve(s) for s in stairs], float(tolerance), "per-image", delta=float(delta))
    assert found == naive.per_image_threshold(stairs, tolerance, rank)


def test_ranks_are_those_of_the_definition():
    numbers = [1, 5, 19, 28, 29, 60, 100]
    for n, delta, confidence in itertools.product(numbers, ["0.05", "0.1", "0.3"], [None, "0.9", "0.95"]):
        rule = guarantee("per-image", delta=float(delta), confidence=confidence)
        assert rule.rank(n) == naive.per_image_rank(n, delta, confidence), (n, delta, confidence)
    # floor(0.07 * 100) is 7; in floats the product is 7.000000000000001, and 0.29 * 100 is 28.999999999999996.
    for n, delta, confidence, rank in ((100, 0.1, None, 10), (100, 0.1, 0.95, 5), (99, 0.29, None, 29)):
        assert guarantee("per-image", delta=delta, confidence=confidence).rank(n) == rank


@pytest.mark.parametrize(("delta", "confidence"), [(0.1, None), (0.3, None), (0.1, 0.95), (0.07, 0.9)])
def test_the_fewest_photographs_are_the_first_with_a_rank(delta, confidence):
    rule = guarantee("per-image", delta=delta, confidence=confidence)
    n = rule.minimum_images(0.1, 2.0)
    assert rule.rank(n) >= 1
    assert rule.rank(n - 1) == 0
    assert (rule.reachable_alpha(n, 2.0), rule.reachable_alpha(n - 1, 2.0)) == (0.0, 2.0)
    assert choose([curve([])] * (n - 1), 0.1, rule).missing_images == 1
    assert choose([curve([])] * n, 0.1, rule).threshold == math.inf


def test_refused_photographs_use_up_the_misses():
    rule = guarantee("per-image", delta=0.1)
    refused = [RiskCurve.worst(2.0)] * 2
    found = choose(refused + [curve([])] * 20, 0.5, rule)
    assert (found.threshold, found.missing_images) == (-math.inf, 7)
    assert choose(refused + [curve([])] * 27, 0.5, rule).threshold == math.inf


def test_levels_of_single_pictures_are_where_the_threshold_changes():
    rng = np.random.default_rng(8)
    curves = CurveSet.from_curves(
        [RiskCurve(np.sort(rng.permutation(40)[:8]), np.sort(rng.random(8)) + 0.01, 1.5) for _ in range(20)]
    )
    rule = guarantee("per-image", delta=0.2)
    levels = rule.levels(curves)
    at = [rule.threshold(curves, level) for level in levels]
    below = [rule.threshold(curves, level * (1 - 1e-9)) for level in levels]
    assert at[-1] == math.inf
    assert len(set(at)) == len(at) > 5
    assert below[1:] == at[:-1]
    for t in sorted(set(curves.scores.tolist())):
        assert rule.threshold(curves, rule.risk(curves, t)) >= t
        assert rule.threshold(curves, rule.risk(curves, t) * (1 - 1e-9)) < t or rule.risk(curves, t) == 0


def test_a_tolerance_of_the_bound_needs_no_photograph_and_what_the_mathematics_does_not_allow_is_refused():
    assert guarantee("per-image").minimum_images(2.0, 2.0) == 0
    for parameter in ("weights", "leaked", "bound_new"):
        with pytest.raises(UsageError, match=f"{parameter} cannot be combined"):
            guarantee("per-image", **{parameter: 1})


def test_needs_and_statement_follow_the_confidence():
    plain, sure = guarantee("per-image", delta=0.1), guarantee("per-image", delta=0.1, confidence=0.95)
    assert (plain.needs.sampling, sure.needs.sampling) == ("exchangeable", "iid")
    assert "exchangeable" in plain.assumptions[0]
    assert "independent" in sure.assumptions[0]
    assert "at least 90 % of new photographs, every trusted pixel" in plain.statement(0.2, 60, "lab-l1")
    assert "With confidence 0.95, 60" in sure.statement(0.2, 60, "lab-l1")


class Stuck(PerImage):
    """Its thresholds do not follow from its risk."""

    def _threshold(self, curves, alpha):
        return -1.0


class Crawling(PerImage):
    """Its thresholds pass the last one by the least step there is, so that they would reach the end in years."""

    def _threshold(self, curves, alpha):
        crawled = getattr(type(self), "at", -1.0)
        type(self).at = math.nextafter(crawled, math.inf)
        return crawled


@pytest.mark.parametrize("kind", [Stuck, Crawling])
def test_a_subclass_whose_risk_and_threshold_disagree_ends_in_a_sentence(kind):
    curves = CurveSet.of([curve([(0.0, 0.5), (1.0, 1.0)])] * 30)
    with pytest.raises(PluginError, match=r"expected risk and _threshold of .* to be inverse to each other"):
        kind(delta=0.1).levels(curves)
    assert guarantee("per-image", delta=0.1).levels(curves).tolist() == [0.0, 0.5, 1.0]


LAB = 1.9576


def alike(count=40, kind="supremum", bound=LAB):
    tolerance = None if kind == "supremum" else 0.1
    return CurveSet.from_curves([RiskCurve(np.float32([0.5]), np.float32([0.01]), bound, kind, tolerance)] * count)


RULES = [
    guarantee("expected"),
    guarantee("per-image"),
    guarantee("per-image", confidence=0.9),
    guarantee("high-probability"),
    guarantee("high-probability", method="mixture"),
    guarantee("by-cluster", clusters=tuple(str(k) for k in range(40))),
    guarantee("by-group", groups=("a",) * 40, group_new="a"),
    guarantee("by-group", groups=("a",) * 40, group_new="b"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_guarantee_refuses_a_level_at_the_bound_or_above(rule):
    for alpha in (LAB, 3.0):
        for ask in (rule.threshold, rule.choose):
            with pytest.raises(UsageError, match=r"expected alpha below 1\.9576.*nothing would be promised"):
                ask(alike(), alpha)
    rule.choose(alike(), 1.95)


def test_a_percentage_is_recognised_and_a_share_of_the_picture_is_below_1():
    expected, share = guarantee("expected"), guarantee("false-trust", tolerance=0.1)
    for rule, stored, alpha, said in (
        (expected, alike(), 5, r"For 5 % give --alpha 0\.05$"),
        (expected, alike(bound=0.5), 0.6, r"promised$"),
        (expected, alike(), 500, r"promised$"),
        (share, alike(kind="share", bound=1.0), 1, r"expected alpha below 1, .*For 1 % give --alpha 0\.01$"),
    ):
        with pytest.raises(UsageError, match=said):
            rule.threshold(stored, alpha)
    for parameters in ({"delta": 1}, {"delta": 5}, {"confidence": 95}):
        with pytest.raises(UsageError):
            guarantee("per-image", **parameters)


class Pointwise(Metric):
    pointwise_root_mean_square: ClassVar[bool] = True
    space: ClassVar[str] = "normalised Lab"


class Summed(Pointwise):
    sums_channels: ClassVar[bool] = True


def test_the_psnr_bound_and_its_three_channel_form():
    rule = guarantee("expected")
    assert psnr(rule, 0.1, Pointwise()).decibels == pytest.approx(20)
    assert psnr(rule, 0.1, Summed()).decibels == pytest.approx(24.771, abs=1e-3)
    assert "in normalised Lab with peak 1 is at least 20.00 dB" in psnr(rule, 0.1, Pointwise()).statement


def test_both_forms_hold_for_random_errors_and_the_second_is_tight():
    rng = np.random.default_rng(14)
    differences = rng.normal(0, 0.1, (50, 400, 3)) * (rng.random((50, 400, 3)) < 0.3)
    suprema = np.abs(differences).sum(axis=2).max(axis=1)
    realised = -10 * np.log10((differences**2).mean(axis=(1, 2)))
    bound = psnr(guarantee("expected"), float(suprema.mean()), Summed())
    assert realised.mean() >= bound.decibels
    # One channel carries all of one error everywhere: equality.
    error = np.zeros((10, 3))
    error[:, 0] = 0.2
    exact = psnr(guarantee("expected"), 0.2, Summed())
    assert -10 * math.log10((error**2).mean()) == pytest.approx(exact.decibels)


def test_a_premise_that_is_not_true_is_refused():
    for rule, metric, alpha, said in (
        ("expected", Metric(), 0.1, "averaged over"),
        ("false-trust", Pointwise(), 0.1, "share of wrong pixels"),
        ("per-image", Pointwise(), 0.0, "above 0"),
    ):
        with pytest.raises(UsageError, match=said):
            psnr(guarantee(rule), alpha, metric)


def test_what_leakage_would_do_and_the_level_over_masks_that_are_not_empty():
    assert leaked_level(0.1, 100, 0) == 0.1
    assert [leaked_level(1.0, 100, k) for k in (10, 50)] == pytest.approx([1.11, 1.98], abs=0.001)
    with pytest.raises(UsageError, match="0 to 5"):
        leaked_level(0.1, 5, 6)
    assert level_given_trust(0.1, 0.5) == 0.2
    with pytest.raises(UsageError, match="share"):
        level_given_trust(0.1, 0.0)
