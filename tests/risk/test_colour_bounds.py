import numpy as np
import pytest
from support.lab_supports import lab_supports

from blackbox_conformal.method.kernels.distance import lab_planes
from blackbox_conformal.method.risk import truth_bounds
from blackbox_conformal.support import catalog


@pytest.mark.parametrize(
    ("patterns", "stated", "diameter", "metric"),
    [
        (truth_bounds.SIGNS, truth_bounds.LAB_SUPPORTS, 1.95757, "lab-l1"),
        (truth_bounds.CHROMA_SIGNS, truth_bounds.CHROMA_SUPPORTS, 1.403172, "chroma"),
    ],
)
def test_the_support_values_are_those_of_an_exhaustive_search(patterns, stated, diameter, metric):
    supports = lab_supports(patterns)
    assert (supports + 1e-6 <= stated).all()
    assert (supports + 5e-6 >= stated).all()
    # Opposite supports add up to a width of the gamut; the largest width is its L1 diameter.
    found = max(supports + supports[::-1])
    assert found == pytest.approx(diameter, abs=1e-5)
    assert found < catalog.load("metrics", metric).bound < found * (1 + 2e-5)


@pytest.mark.parametrize(
    ("metric", "farthest", "diameter"),
    [("lab-l1", truth_bounds.farthest_lab_l1, 1.9576), ("chroma", truth_bounds.farthest_chroma, 1.4032)],
)
def test_no_colour_is_farther_and_some_colour_is_as_far(metric, farthest, diameter):
    rng = np.random.default_rng(50)
    delivered = rng.integers(0, 256, (1, 60, 3), dtype=np.uint8)
    delivered[0, :4] = [[0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255]]
    most = farthest(lab_planes(delivered))
    grid = np.stack(np.meshgrid(*[np.r_[0:256:15]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    distances = catalog.load("metrics", metric).map(
        np.repeat(grid, 60, axis=1), np.repeat(delivered, len(grid), axis=0)
    )
    assert (distances.max(axis=0) <= most[0]).all()
    assert (distances.max(axis=0) >= most[0] - 0.02).all()
    assert most.max() == pytest.approx(diameter, abs=1e-4)


def test_channels_go_to_the_farther_end():
    planes = truth_bounds.rgb_planes(np.array([[[0, 100, 255]]], np.uint8))
    assert truth_bounds.farthest(planes)[:, 0, 0].tolist() == pytest.approx([1, 155 / 255, 1], abs=1e-4)
