import numpy as np
import pytest

from blackbox_conformal.kernels.distance import lab_l1, lab_planes
from blackbox_conformal.risk import truth_bounds


def test_the_support_values_are_those_of_an_exhaustive_search():
    supports = truth_bounds.lab_supports()
    assert (supports + 1e-6 <= truth_bounds.LAB_SUPPORTS).all()
    assert (supports + 5e-6 >= truth_bounds.LAB_SUPPORTS).all()
    # Opposite supports add up to a width of the gamut; the largest width is its L1 diameter.
    assert max(supports + supports[::-1]) == pytest.approx(1.95757, abs=1e-5)


def test_no_colour_is_farther_and_some_colour_is_as_far():
    rng = np.random.default_rng(50)
    delivered = rng.integers(0, 256, (1, 60, 3), dtype=np.uint8)
    delivered[0, :4] = [[0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]]
    most = truth_bounds.farthest_lab_l1(lab_planes(delivered))
    grid = np.stack(np.meshgrid(*[np.r_[0:256:15]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    distances = lab_l1(np.repeat(grid, 60, axis=1), np.repeat(delivered, len(grid), axis=0))
    assert (distances.max(axis=0) <= most[0]).all()
    assert (distances.max(axis=0) >= most[0] - 0.02).all()
    assert most.max() == pytest.approx(1.9576, abs=1e-4)


def test_channels_go_to_the_farther_end():
    planes = truth_bounds.rgb_planes(np.array([[[0, 100, 255]]], np.uint8))
    assert truth_bounds.farthest_rgb(planes)[:, 0, 0].tolist() == pytest.approx([1, 155 / 255, 1], abs=1e-4)
