"""The mean over squares of the largest loss against brute force: ties, NaN, signs, cut squares, few levels and many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import largest_in_squares as naive
from naive import staircase

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels.largest_in_squares import LEVELS, squares_staircase
from blackbox_conformal.method.kernels.staircase import staircase as supremum

BOUND = 1.9576
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
scores_of_maps = st.sampled_from([-3.5, -1e-40, -0.0, 0.0, 1e-45, 0.1, 0.25, 1.0, 3e38, float("nan")]).map(np.float32)
losses_of_maps = st.sampled_from([0.0, -0.0, 1e-45, 0.5, 0.6, 0.7, 0.75, 1.0, 1.9575]).map(np.float32)
maps = shapes.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=scores_of_maps | st.floats(-(2.0**100), 2.0**100, width=32)),
        arrays(np.float32, shape, elements=losses_of_maps | st.floats(0, 1.75, width=32)),
    )
)


def thresholds(scores):
    finite = np.unique(scores[np.isfinite(scores)]).astype(np.float64)
    return [-np.inf, *finite.tolist(), *np.nextafter(finite, np.inf).tolist(), np.inf]


@settings(deadline=None)
@given(maps, st.integers(1, 8), st.sampled_from([1, 3, 64, LEVELS]))
def test_it_is_never_too_low_and_less_than_a_level_too_high(pair, side, levels):
    scores, losses = pair
    steps = squares_staircase(scores, losses, side, BOUND, levels)
    assert steps[0].size <= levels
    assert steps[0].dtype == steps[1].dtype == np.float32
    for values in steps:
        assert (np.diff(values) > 0).all()
    for threshold in thresholds(scores):
        exact = naive.mean_largest(scores.tolist(), losses.tolist(), side, threshold)
        found = staircase.value(steps, threshold)
        assert exact <= found <= BOUND
        assert found < float(exact) + BOUND / levels + 1e-6
        assert (found == 0) == (exact == 0)


@settings(deadline=None)
@given(maps, st.data(), st.integers(1, 4), st.sampled_from([3, LEVELS]))
def test_of_two_maps_the_lower_one_has_the_lower_staircase(pair, data, side, levels):
    scores, losses = pair
    lower = losses * data.draw(arrays(np.float32, losses.shape, elements=st.floats(0, 1, width=32)))
    below = squares_staircase(scores, lower, side, BOUND, levels)
    above = squares_staircase(scores, losses, side, BOUND, levels)
    for threshold in thresholds(scores):
        assert staircase.value(below, threshold) <= staircase.value(above, threshold)


def test_a_large_map_agrees_with_its_squares_and_sums_do_not_overflow():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, (192, 320)).astype(np.float32)
    losses = (rng.random((192, 320)) ** 4 * BOUND * 0.999).astype(np.float32)
    for scale in (1.0, 1e9):
        steps = squares_staircase(scores, (losses * scale).astype(np.float32), 64, BOUND * scale)
        for threshold in (0.5, 3.5, 20.5, 49.5):
            trusted = np.where(scores < threshold, losses, 0).reshape(3, 64, 5, 64)
            exact = float(trusted.max(axis=(1, 3)).astype(np.float64).mean())
            assert exact - 1e-6 <= staircase.value(steps, threshold) / scale < exact + BOUND / LEVELS + 1e-6


def test_one_square_over_all_is_the_supremum_on_the_grid():
    grid = np.float32(np.arange(1, 9) / 8)
    scores, losses = np.float32([[1, 2, 3, 3, 4, 5]]), grid[[[0, 3, 2, 4, 4, 7]]]
    for mine, exact in zip(squares_staircase(scores, losses, 6, 1.0, 8), supremum(scores, losses), strict=True):
        np.testing.assert_array_equal(mine, exact)


def test_what_cannot_be_is_refused():
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(MapError, match=r"expected losses of at most 0.5; got .*1.0"):
        squares_staircase(ones, ones, 1, 0.5)
    with pytest.raises(MapError, match="finite losses"):
        squares_staircase(ones, -ones, 1, 1.0)
    for side, bound, levels in ((0, 1.0, 4), (1, 1.0, 0), (1, 0.0, 4)):
        with pytest.raises(UsageError, match="expected side >= 1, levels >= 1 and a bound above 0"):
            squares_staircase(ones, ones, side, bound, levels)
