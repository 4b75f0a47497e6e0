import math

import numpy as np
import pytest

from blackbox_conformal.kernels.distance import lab_l1, lab_planes
from blackbox_conformal.risk import at_hand
from blackbox_conformal.risk.trust import trusted


def test_the_support_values_are_those_of_an_exhaustive_search():
    found = at_hand.lab_supports()
    assert (found + 1e-6 <= at_hand.LAB_SUPPORTS).all()
    assert (found + 5e-6 >= at_hand.LAB_SUPPORTS).all()
    # Opposite supports add up to a width of the gamut; the largest width is its L1 diameter.
    assert max(found + found[::-1]) == pytest.approx(1.95757, abs=1e-5)


def test_no_colour_is_farther_and_some_colour_is_as_far():
    rng = np.random.default_rng(50)
    delivered = rng.integers(0, 256, (1, 60, 3), dtype=np.uint8)
    delivered[0, :4] = [[0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]]
    most = at_hand.farthest_lab_l1(lab_planes(delivered))
    grid = np.stack(np.meshgrid(*[np.r_[0:256:15]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    distances = lab_l1(np.repeat(grid, 60, axis=1), np.repeat(delivered, len(grid), axis=0))
    assert (distances.max(axis=0) <= most[0]).all()
    assert (distances.max(axis=0) >= most[0] - 0.02).all()
    assert most.max() == pytest.approx(1.9576, abs=1e-4)


def test_channels_go_to_the_farther_end():
    planes = at_hand.rgb_planes(np.array([[[0, 100, 255]]], np.uint8))
    assert at_hand.farthest_rgb(planes)[:, 0, 0].tolist() == pytest.approx([1, 155 / 255, 1], abs=1e-4)


def test_the_staircase_is_the_largest_bound_among_trusted_pixels():
    rng = np.random.default_rng(51)
    scores, most = rng.integers(0, 9, (7, 8)).astype(np.float32), rng.random((7, 8), np.float32) * 3
    curve = at_hand.bound_curve(scores, most, 2.0)
    for t in (-math.inf, 0.0, 1.0, 4.5, 8.0, math.inf):
        inside = most[trusted(scores, t)]
        assert curve.loss(t) == min(inside.max(initial=0), 2.0)
