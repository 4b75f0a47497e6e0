import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import risk_curves as naive

from blackbox_conformal.errors import CalibrationError, MapError, UsageError
from blackbox_conformal.method.risk.curve import RiskCurve, _area, by_score
from blackbox_conformal.method.risk.trust import trusted

MAPS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.sampled_from([-1.0, 0.0, 0.25, 0.3, 1.0, 7.0, 1e30])),
        arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0, 2.0])),
    )
)
THRESHOLDS = [
    -math.inf,
    -1.0,
    -0.5,
    0.0,
    0.25,
    0.3,
    float(np.float32(0.3)),
    0.9,
    1.0,
    1.1,
    7.0,
    8.0,
    1e30,
    1e31,
    math.inf,
]


@settings(deadline=None)
@given(MAPS)
def test_the_supremum_is_that_of_the_definition(maps):
    score_map, errors = maps
    curve = RiskCurve.from_maps(score_map, errors, bound=2.0)
    for t in THRESHOLDS:
        assert curve.loss(t) == naive.supremum_loss(score_map, errors, t)
        inside = errors[trusted(score_map, t)]
        assert curve.loss(t) == (inside.max() if inside.size else 0)


@settings(deadline=None)
@given(MAPS, st.sampled_from([0.0, 0.1, 0.5, 2.0]))
def test_the_share_is_that_of_the_definition_rounded_up_to_float32(maps, tolerance):
    score_map, errors = maps
    curve = RiskCurve.from_maps(score_map, errors, bound=2.0, tolerance=tolerance)
    assert (curve.kind, curve.bound, curve.tolerance) == ("share", 1.0, tolerance)
    for t in THRESHOLDS:
        exact = naive.wrong_share(score_map, errors, t, tolerance)
        assert exact <= curve.loss(t) <= exact * (1 + 2**-22)


def test_a_share_of_many_pixels_is_rounded_up_to_a_bounded_number_of_records():
    rng = np.random.default_rng(1)
    score_map, errors = rng.random((200, 200), np.float32), rng.random((200, 200), np.float32)
    curve = RiskCurve.from_maps(score_map, errors, bound=1.0, tolerance=0.5)
    assert curve.scores.size <= 1024
    for t in np.linspace(0, 1, 57):
        exact = np.mean((score_map < t) & (errors > 0.5))
        assert exact <= curve.loss(float(t)) <= exact + 1 / 1024
    assert curve.loss(math.inf) == pytest.approx(np.mean(errors > 0.5), abs=1e-7)


def test_shares_of_very_many_pixels_that_float32_cannot_tell_apart_are_one_step():
    counts = np.array([12_500_000, 12_500_001, 25_000_000])
    scores, shares = _area((np.float32([0, 0.5, 1]), counts), 25_000_000)
    np.testing.assert_array_equal(scores, [0, 1])
    np.testing.assert_array_equal(shares, [0.5, 1])


def test_thresholds_may_come_as_an_array():
    curve = RiskCurve.from_maps(np.array([[0.0, 1.0]]), np.array([[0.5, 1.0]]), bound=1.0)
    assert curve.loss(np.array([-math.inf, 0.0, 0.5, 1.0, math.inf])).tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.trusted_share(np.array([-math.inf, 0.0, 0.5, 1.0, math.inf])).tolist() == [0, 0, 0.5, 0.5, 1]
    with pytest.raises(UsageError, match="NaN"):
        curve.loss(math.nan)


def test_the_trusted_share_is_never_too_high_and_at_most_a_step_too_low():
    scores = np.random.default_rng(2).gamma(1.0, 1.0, (120, 130)).astype(np.float32)
    curve = RiskCurve.from_maps(scores, np.zeros_like(scores), bound=1.0)
    for t in [-math.inf, 0.0, *np.quantile(scores, [0.001, 0.3, 0.77, 0.999]).tolist(), math.inf]:
        exact = trusted(scores, t).mean()
        assert exact - 1 / 256 - 1e-6 <= curve.trusted_share(t) <= exact + 1e-6


def test_a_refused_photograph_has_the_worst_loss_at_every_threshold_above_minus_infinity():
    curve = RiskCurve.worst(2.0)
    assert curve.loss(-math.inf) == 0
    assert curve.loss(-1e38) == curve.loss(0.0) == curve.loss(math.inf) == 2.0
    assert math.isnan(curve.trusted_share(0.0))
    assert RiskCurve.worst(2.0, "share", tolerance=0.1).loss(math.inf) == 1.0
    # A bound that float32 cannot hold: the loss is the largest float32 below it, which passes every check.
    assert 0.1 - 1e-8 < RiskCurve.worst(0.1).loss(0.0) <= 0.1


@pytest.mark.parametrize(
    ("score_map", "errors", "message"),
    [
        ([[0.0, 1.0]], [[0.5, 2.5]], r"\[0, 2.0\] .*error map; got 2.5 at row 0, column 1"),
        ([[0.0], [1.0]], [[0.5], [-0.5]], r"\[0, 2.0\] .*got -0.5 at row 1, column 0"),
        ([[0.0, 1.0]], [[math.nan, 0.5]], r"finite .*error map; got nan at row 0, column 0"),
        ([[0.0, math.nan]], [[0.5, 0.5]], r"finite .*score map; got nan at row 0, column 1"),
        ([[0.0, math.inf]], [[0.5, 0.5]], r"score map; got inf"),
        ([[0.0, 1.0]], [[0.5], [0.5]], r"one shape .*\(1, 2\) and \(2, 1\)"),
        ([0.0, 1.0], [0.5, 0.5], r"one shape \(H, W\)"),
        ([[]], [[]], "at least one pixel"),
    ],
)
def test_maps_that_cannot_be_used_are_refused_by_pixel_and_value(score_map, errors, message):
    with pytest.raises(MapError, match=message):
        RiskCurve.from_maps(np.array(score_map), np.array(errors), bound=2.0)


def test_a_map_clipped_at_a_bound_that_float32_cannot_hold_is_accepted():
    clipped = np.minimum(np.array([[0.05, 0.7]], np.float32), np.float32(0.1))
    assert float(clipped.max()) > 0.1
    assert RiskCurve.from_maps(np.zeros((1, 2)), clipped, bound=0.1).loss(math.inf) <= 0.1


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_none_is_refused(bound):
    with pytest.raises(CalibrationError, match="finite bound"):
        RiskCurve.from_maps(np.zeros((1, 1)), np.zeros((1, 1)), bound=bound)


@pytest.mark.parametrize(
    ("scores", "losses"),
    [
        ([0, 0], [0.1, 0.2]),
        ([0, 1], [0.2, 0.2]),
        ([0, 1], [0.0, 0.2]),
        ([0], [1.5]),
        ([math.nan], [0.1]),
        ([math.inf], [0.1]),
        ([0, 1], [0.1]),
    ],
)
def test_records_that_are_no_staircase_are_refused(scores, losses):
    with pytest.raises(CalibrationError):
        RiskCurve(np.array(scores), np.array(losses), 1.0)


def test_curves_compare_and_hash_by_content():
    first = RiskCurve(np.array([0.0]), np.array([0.5]), 1.0)
    assert first == RiskCurve(np.array([0.0]), np.array([0.5]), 1.0)
    assert hash(first) == hash(RiskCurve(np.array([0.0]), np.array([0.5]), 1.0))
    assert first != RiskCurve(np.array([0.0]), np.array([0.5]), 2.0)
    with pytest.raises(ValueError, match="read-only"):
        first.losses[0] = 0


@pytest.mark.parametrize("limit", [-math.inf, 0.5, 7.0, math.inf])
def test_up_to_a_limit_a_share_is_itself_and_above_it_1(limit):
    curve = RiskCurve(np.array([0.0, 1.0]), np.array([0.25, 0.5]), 1.0, "marked", ceiling=9.0)
    limited = curve.up_to(limit)
    for t in THRESHOLDS:
        assert limited.loss(t) == (curve.loss(t) if t <= limit else 1.0)


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_scores_are_sorted_and_equal_ones_stay_in_their_order(count):
    rng = np.random.default_rng(count)
    scores = rng.choice(np.float32([-np.inf, -3e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 0.1, 2047.5, 3e38, np.inf]), count)
    scores[::3] = rng.standard_normal(scores[::3].size)
    np.testing.assert_array_equal(by_score(scores), sorted(range(count), key=lambda index: scores[index]))
