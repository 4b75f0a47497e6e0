"""The variance over draws and windows against exact fractions, at its limits, and where all values agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import pooled as naive

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels.moments import MAX_VALUES, Moments, fits, pooled_variance
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog

stacks = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.uint8, (*shape, 3), elements=st.sampled_from([0, 1, 128, 254, 255]))
)


def moments_of(draws):
    moments = Moments(draws.shape[1:3])
    for pixels in draws:
        moments.add(pixels)
    return moments


@settings(deadline=None, max_examples=30)
@given(stacks, st.sampled_from([1, 3, 5]))
def test_equals_exact_fractions(draws, size):
    np.testing.assert_allclose(
        pooled_variance(moments_of(draws), size), naive.pooled_variance(draws, size), rtol=1.2e-7
    )


def test_the_most_values_that_fit_do_not_overflow():
    size = 31
    draws = MAX_VALUES // size**2
    assert fits(draws, size)
    assert not fits(draws + 1, size)
    moments = Moments((3, 4))
    moments.draws = draws
    black_and_white = np.zeros((3, 4, 3), np.uint32)
    moments.sums, moments.squares = black_and_white, np.zeros((3, 4), np.uint32)
    half = draws // 2
    moments.sums += 255 * half
    moments.squares += 3 * 255**2 * half
    share = half / draws
    np.testing.assert_allclose(pooled_variance(moments, size), 3 * share * (1 - share), rtol=1e-6)
    moments.draws += 1
    with pytest.raises(UsageError, match="at most 6800000 values in a window"):
        pooled_variance(moments, size)


def test_no_draws_are_refused():
    with pytest.raises(UsageError, match="at least one draw"):
        pooled_variance(Moments((2, 2)), 3)


@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_it_is_zero_where_all_values_agree_and_nowhere_else(level):
    draws = np.full((5, 9, 30, 3), level, np.uint8)
    draws[2, 4, 20, 1] ^= 1
    found = pooled_variance(moments_of(draws), 7)
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 7, 17, 23)
    assert len(rows) == 49


def test_the_score_takes_it_for_boxes_and_agrees_with_averages_taken_apart(monkeypatch):
    draws = list(np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), dtype=np.uint8))
    context = Context(draws[0], None, 4)
    plugin = catalog.load("scores", "patch-variance", size=9)
    exact = accumulated_map(plugin, draws, context)
    np.testing.assert_array_equal(exact, pooled_variance(moments_of(np.stack(draws)), 9))
    monkeypatch.setattr("blackbox_conformal.method.scores.patch_variance.fits", lambda *_: False)
    np.testing.assert_allclose(accumulated_map(plugin, draws, context), exact, rtol=1e-6)
