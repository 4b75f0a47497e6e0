"""What is special about CIEDE2000, GMS and FLIP: the cap, the downsampling, the distance, the package."""

import sys

import flip_evaluator
import numpy as np
import pytest
from naive import delta_e, metrics, similarity, windows

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.support import catalog


def _pictures(height=12, width=14, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return truth, np.clip(truth.astype(int) + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("cap", ["0.5", "7", "20", "97.3"])
def test_the_cap_is_the_bound_and_clips_before_averaging(cap):
    metric = catalog.load("metrics", "delta-e-2000", cap=cap)
    assert metric.bound == float(cap)
    truth, delivered = _pictures()
    delivered[:6] = 255 - truth[:6]
    expected = np.minimum(delta_e.difference(truth, delivered), float(cap))
    np.testing.assert_allclose(metric.map(truth, delivered), expected, atol=2e-5)
    assert metric.map(truth, delivered).max().astype(np.float64) <= metric.bound
    averaged = catalog.load("metrics", "delta-e-2000", cap=cap, size=3).map(truth, delivered)
    np.testing.assert_allclose(averaged, windows.box(expected, 3), atol=2e-5)


@pytest.mark.parametrize("cap", [0, -1, 121, "nan", "inf"])
def test_a_cap_that_is_no_cap_is_refused(cap):
    with pytest.raises(UsageError, match="cap"):
        catalog.load("metrics", "delta-e-2000", cap=cap)


def test_downsampling_shows_each_value_at_its_four_pixels():
    truth, delivered = _pictures(9, 11)
    found = catalog.load("metrics", "gms", downsample="true").map(truth, delivered)
    np.testing.assert_allclose(found, 1 - similarity.gms(truth, delivered, True), atol=1e-6)
    np.testing.assert_array_equal(found[0:8:2], found[1:8:2])


def test_flip_sees_less_from_farther_away():
    truth, delivered = _pictures(40, 40)
    near, far = (catalog.load("metrics", "flip", pixels_per_degree=ppd).map(truth, delivered) for ppd in (20, 200))
    np.testing.assert_allclose(near, metrics.flip(truth, delivered, 20.0), atol=1e-6)
    assert far.mean() < near.mean()


def test_flip_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    truth, delivered = _pictures()
    with pytest.raises(UsageError, match=r"pip install 'blackbox-conformal\[flip\]'"):
        catalog.load("metrics", "flip").map(truth, delivered)


@pytest.mark.parametrize("answer", [np.full((12, 14, 1), 1.5), np.full((12, 14, 1), np.nan), np.zeros((14, 12, 1))])
def test_flip_answers_that_are_no_map_are_refused(monkeypatch, answer):
    monkeypatch.setattr(flip_evaluator, "evaluate", lambda *_, **__: (answer.astype(np.float32), -1, {}))
    with pytest.raises(MapError, match="expected a FLIP map of 14x12 values"):
        catalog.load("metrics", "flip").map(*_pictures())
