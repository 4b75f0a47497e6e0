"""The four variance scores: extreme draws, draws that agree, one-pixel windows, clipping and smoothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import scores, windows

from blackbox_conformal.method.kernels.windows import gaussian
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog

NAMES = ["pixel-variance", "patch-variance", "smoothed-variance", "variance-of-means"]
WINDOWED = NAMES[1:]
WINDOWS = [({"sigma": 0.8}, windows.gaussian_weights(0.8)), ({"size": 3}, [1 / 3] * 3)]

stacks = st.integers(1, 5).flatmap(
    lambda draws: arrays(np.uint8, (draws, 4, 5, 3), elements=st.sampled_from([0, 7, 8, 100, 254, 255]))
)


def _score(name, draws, **parameters):
    context = Context(delivered=draws[0], low_resolution=None, scale=4)
    return accumulated_map(catalog.load("scores", name, **parameters), draws, context)


@settings(deadline=None, max_examples=25)
@given(stacks)
def test_scores_equal_their_formulas_on_extreme_draws(draws):
    np.testing.assert_allclose(_score("pixel-variance", draws), scores.pixel_variance(draws), atol=1e-7)
    for parameters, weights in WINDOWS:
        for name, tolerance in (("smoothed-variance", 1e-6), ("variance-of-means", 2e-6), ("patch-variance", 1e-6)):
            formula = getattr(scores, name.replace("-", "_"))
            values = _score(name, draws, **parameters)
            assert values.min() >= 0
            np.testing.assert_allclose(values, formula(draws, None, None, weights), atol=tolerance)


@pytest.mark.parametrize("name", ["pixel-variance", "smoothed-variance", "variance-of-means"])
@pytest.mark.parametrize("window", [{}, {"sigma": 20.0}, {"size": 5}])
def test_scores_are_exactly_zero_when_all_draws_agree(name, window):
    draw = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    parameters = {} if name == "pixel-variance" else window
    assert (_score(name, [draw] * 5, **parameters) == 0).all()


def test_patch_variance_sees_texture_inside_one_draw_and_nothing_in_a_flat_one():
    rng = np.random.default_rng(2)
    textured = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert (_score("patch-variance", [textured] * 3) > 0.1).all()
    flat = np.full((20, 30, 3), 201, np.uint8)
    assert (_score("patch-variance", [flat] * 3) == 0).all()


@pytest.mark.parametrize("name", WINDOWED)
def test_a_window_of_one_pixel_gives_the_pixel_variance(name):
    draws = np.random.default_rng(3).integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
    np.testing.assert_allclose(_score(name, draws, size=1), _score("pixel-variance", draws), rtol=1e-6)


@pytest.mark.parametrize("sigma", [4.0, 16.0])
def test_patch_variance_does_not_cancel_in_bright_nearly_flat_regions(sigma):
    """A hundredth of the pixels one level off white: the variance is 5e-7 of the squares it is the difference of."""
    rng = np.random.default_rng(4)
    draws = np.where(rng.random((4, 60, 60, 3)) < 0.01, 254, 255).astype(np.uint8)
    found = _score("patch-variance", draws, sigma=sigma).astype(np.float64)
    low = 255 - draws.astype(np.float64)
    mean_square = gaussian((low**2).mean(axis=0).sum(axis=2), sigma)
    square_mean = sum(gaussian(np.ascontiguousarray(low[..., c].mean(axis=0)), sigma) ** 2 for c in range(3))
    np.testing.assert_allclose(found, (mean_square - square_mean) / 255**2, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_black_and_white_draws_score_three_quarters(name):
    black, white = np.zeros((8, 9, 3), np.uint8), np.full((8, 9, 3), 255, np.uint8)
    assert (_score(name, [black, white]) == 0.75).all()


def test_clipping_lowers_to_a_value_of_the_map_itself():
    draws = np.random.default_rng(5).integers(0, 256, (4, 10, 10, 3), dtype=np.uint8)
    plain = _score("pixel-variance", draws)
    clipped = _score("pixel-variance", draws, clip_quantile=0.9)
    limit = np.sort(plain, axis=None)[89]
    np.testing.assert_array_equal(np.minimum(plain, limit), clipped)
    np.testing.assert_array_equal(plain, _score("pixel-variance", draws, clip_quantile=1))


def test_smoothing_comes_last():
    draws = np.random.default_rng(6).integers(0, 256, (4, 10, 10, 3), dtype=np.uint8)
    clipped = _score("pixel-variance", draws, clip_quantile=0.5)
    np.testing.assert_array_equal(
        gaussian(clipped, 1.5), _score("pixel-variance", draws, clip_quantile=0.5, smooth=1.5)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_variance_needs_two_draws(name):
    assert catalog.load("scores", name).minimum_draws == 2
