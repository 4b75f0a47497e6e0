import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from blackbox_conformal.errors import UsageError
from blackbox_conformal.risk import resampling


@pytest.mark.parametrize(("length", "scale"), [(32, 2), (30, 3), (64, 4), (64, 8), (8, 4), (4, 4)])
def test_the_reduction_is_pillows(length, scale):
    impulses = Image.fromarray(np.eye(length, dtype=np.float32))
    theirs = np.array(impulses.resize((length // scale, length), Image.Resampling.BICUBIC)).T
    assert np.abs(resampling.bicubic_matrix(length, scale) - theirs).max() < 1e-7


@pytest.mark.parametrize("length", [5, 40, 130])
def test_the_window_is_the_averaging_with_reflected_borders(length):
    lines = np.eye(length)
    gaussian = gaussian_filter1d(lines, 4.0, axis=0, mode="reflect", truncate=4.0)
    assert np.abs(resampling.window_matrix(length, "gaussian", 4.0, None) - gaussian).max() < 1e-12
    box = uniform_filter1d(lines, 9, axis=0, mode="reflect")
    assert np.abs(resampling.window_matrix(length, "box", None, 9) - box).max() < 1e-12


def test_an_unknown_window_is_refused():
    with pytest.raises(UsageError, match="gaussian window"):
        resampling.window_matrix(10, "triangle", 1.0, None)


@pytest.mark.parametrize(("length", "scale", "sigma"), [(16, 2, 1.5), (16, 4, 4.0)])
def test_the_clipping_is_the_worst_over_every_line_of_zeros_and_ones(length, scale, sigma):
    found = resampling.axis(length, scale, "gaussian", sigma, None)
    reduce = resampling.bicubic_matrix(length, scale)
    lines = np.array(list(itertools.product([0.0, 1.0], repeat=length)))
    below = np.maximum(-(lines @ reduce.T), 0)
    above = np.maximum(lines @ reduce.T - 1, 0)
    weights = np.maximum(found.recover, 0)
    spare = np.maximum(-found.recover, 0) @ found.negative
    worst = (below @ weights.T).max(axis=0)
    assert found.clipped == pytest.approx(worst + spare, abs=1e-12)
    assert ((above - below) @ found.recover.T).max() <= found.clipped.max() + 1e-12


def test_the_matrices_recover_a_blurred_line():
    rng = np.random.default_rng(52)
    found = resampling.axis(128, 4, "gaussian", 6.0, None)
    line = rng.random(128)
    blurred = gaussian_filter1d(line, 6.0, mode="reflect", truncate=4.0)
    error = np.abs(found.recover @ (resampling.bicubic_matrix(128, 4) @ line) - blurred)
    assert (error <= found.residual / 2 + 1e-12).all()
    assert found.residual[64] / 2 < 0.01
    assert found.recover.sum(axis=1) == pytest.approx(np.ones(128))
    assert found.approximation == 0
    assert resampling.axis(128, 4, "gaussian", 12.0, None).approximation == 1e-3
