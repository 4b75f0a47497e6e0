"""Both staircases against brute force: with ties, NaN, signs, cut squares, few levels and many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import sorted_staircases as naive
from naive import staircase
from support.loss_maps import BOUND, maps, thresholds

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.kernels.sorted_staircases import LEVELS, all_but_staircase, squares_staircase
from blackbox_conformal.method.kernels.staircase import staircase as supremum


@settings(deadline=None)
@given(maps, st.integers(0, 8), st.sampled_from([1, 3, 64, LEVELS]))
def test_it_is_never_too_low_and_less_than_a_level_too_high(pair, left_out, levels):
    scores, losses = pair
    steps = all_but_staircase(scores, losses, left_out, BOUND, levels)
    assert steps[0].size <= levels
    assert steps[0].dtype == steps[1].dtype == np.float32
    for values in steps:
        assert (np.diff(values) > 0).all()
    for threshold in thresholds(scores):
        exact = naive.largest_but(scores, losses, left_out, threshold)
        found = staircase.value(steps, threshold)
        assert exact <= found <= BOUND
        assert found < exact + BOUND / levels + 1e-6
        assert (found == 0) == (exact == 0)


@settings(deadline=None)
@given(maps, st.data(), st.integers(0, 4), st.sampled_from([3, LEVELS]))
def test_of_two_maps_the_lower_one_has_the_lower_staircase(pair, data, left_out, levels):
    scores, losses = pair
    lower = losses * data.draw(arrays(np.float32, losses.shape, elements=st.floats(0, 1, width=32)))
    below = all_but_staircase(scores, lower, left_out, BOUND, levels)
    above = all_but_staircase(scores, losses, left_out, BOUND, levels)
    for threshold in thresholds(scores):
        assert staircase.value(below, threshold) <= staircase.value(above, threshold)


def test_a_large_map_agrees_with_sorting_it():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, (200, 300)).astype(np.float32)
    losses = (rng.random((200, 300)) ** 4 * BOUND * 0.999).astype(np.float32)
    steps = all_but_staircase(scores, losses, 600, BOUND)
    for threshold in (0.5, 3.5, 20.5, 49.5):
        exact = np.sort(losses[scores < threshold])[-601]
        assert exact <= staircase.value(steps, threshold) < exact + BOUND / LEVELS + 1e-6


def test_leaving_out_nothing_is_the_supremum_on_the_grid():
    grid = np.float32(np.arange(1, 9) / 8)
    scores, losses = np.float32([[1, 2, 3, 3, 4, 5]]), grid[[[0, 3, 2, 4, 4, 7]]]
    for mine, exact in zip(all_but_staircase(scores, losses, 0, 1.0, 8), supremum(scores, losses), strict=True):
        np.testing.assert_array_equal(mine, exact)


def test_what_cannot_be_is_refused():
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(MapError, match=r"expected losses of at most 0.5; got .*1.0"):
        all_but_staircase(ones, ones, 1, 0.5)
    with pytest.raises(MapError, match="finite losses"):
        all_but_staircase(ones, -ones, 1, 1.0)
    with pytest.raises(MapError, match="finite scores"):
        all_but_staircase(ones * np.float32(np.inf), ones, 1, 1.0)
    for left_out, bound, levels in ((-1, 1.0, 4), (1, 1.0, 0), (1, 0.0, 4)):
        with pytest.raises(UsageError, match="expected left_out >= 0, levels >= 1 and a bound above 0"):
            all_but_staircase(ones, ones, left_out, bound, levels)


@settings(deadline=None)
@given(maps, st.integers(1, 8), st.sampled_from([1, 3, 64, LEVELS]))
def test_a_mean_over_squares_is_never_too_low_and_less_than_a_level_too_high(pair, side, levels):
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
def test_of_two_maps_the_lower_one_has_the_lower_mean_over_squares(pair, data, side, levels):
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


def test_what_cannot_be_over_squares_is_refused():
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(MapError, match=r"expected losses of at most 0.5; got .*1.0"):
        squares_staircase(ones, ones, 1, 0.5)
    with pytest.raises(MapError, match="finite losses"):
        squares_staircase(ones, -ones, 1, 1.0)
    for side, bound, levels in ((0, 1.0, 4), (1, 1.0, 0), (1, 0.0, 4)):
        with pytest.raises(UsageError, match="expected side >= 1, levels >= 1 and a bound above 0"):
            squares_staircase(ones, ones, side, bound, levels)
