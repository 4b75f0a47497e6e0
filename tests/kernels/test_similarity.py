"""Structural and gradient similarity against their twins and scikit-image, at borders and on tiny pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import similarity as naive
from scipy import ndimage
from skimage.metrics import structural_similarity

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.similarity import gradient_dissimilarity, luminance, structural_dissimilarity

MEASURES = [structural_dissimilarity, gradient_dissimilarity, lambda one, two: gradient_dissimilarity(one, two, True)]

shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
pairs = shapes.flatmap(lambda shape: arrays(np.uint8, (2, *shape, 3), elements=st.sampled_from([0, 1, 128, 255])))


def _pictures(height, width, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = rng.integers(-40, 41, truth.shape)
    return truth, np.clip(truth.astype(int) + noise, 0, 255).astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_structure_equals_its_definition(pair):
    found = structural_dissimilarity(*pair)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (1 - naive.ssim(*pair)) / 2, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(pairs, st.booleans())
def test_gradients_equal_their_definition(pair, downsample):
    found = gradient_dissimilarity(*pair, downsample)
    assert found.dtype == np.float32
    assert found.shape == pair[0].shape[:2]
    np.testing.assert_allclose(found, 1 - naive.gms(*pair, downsample), atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(pairs)
@pytest.mark.parametrize("measure", MEASURES)
def test_range_and_symmetry(measure, pair):
    found = measure(*pair)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found, measure(pair[1], pair[0]), atol=1e-7)
    assert (measure(pair[0], pair[0].copy()) == 0).all()


@pytest.mark.parametrize("size", [(60, 80), (11, 11), (11, 37)])
def test_structure_agrees_with_scikit_image_everywhere(size):
    truth, delivered = _pictures(*size)
    one, two = (image @ [0.299, 0.587, 0.114] / 255 for image in (truth, delivered))
    _, expected = structural_similarity(
        one, two, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True
    )
    np.testing.assert_allclose(structural_dissimilarity(truth, delivered), (1 - expected) / 2, atol=1e-6)


def test_the_window_has_exactly_eleven_taps_a_side():
    truth = np.full((31, 31, 3), 100, np.uint8)
    delivered = truth.copy()
    delivered[15, 15] = 255
    touched = np.argwhere(structural_dissimilarity(truth, delivered) > 0)
    assert touched.min(axis=0).tolist() == [10, 10]
    assert touched.max(axis=0).tolist() == [20, 20]


def test_gradients_agree_with_scipy():
    truth, delivered = _pictures(40, 50)
    lengths = []
    for image in (truth, delivered):
        plane = image @ [0.299, 0.587, 0.114] / 255
        across, down = (ndimage.prewitt(plane, axis=axis, mode="reflect") / 3 for axis in (1, 0))
        lengths.append(np.hypot(across, down))
    constant = 170 / 255**2
    expected = 1 - (2 * lengths[0] * lengths[1] + constant) / (lengths[0] ** 2 + lengths[1] ** 2 + constant)
    np.testing.assert_allclose(gradient_dissimilarity(truth, delivered), expected, atol=1e-6)


def test_luminance_spans_0_to_1():
    assert luminance(np.zeros((1, 1, 3), np.uint8))[0, 0] == 0
    assert abs(luminance(np.full((1, 1, 3), 255, np.uint8))[0, 0] - 1) < 1e-15
    assert abs(luminance(np.array([[[0, 255, 0]]], np.uint8))[0, 0] - 0.587) < 1e-15


@pytest.mark.parametrize("measure", MEASURES)
def test_pictures_that_cannot_be_compared_are_refused(measure):
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ImageError, match="one size; got 3x2 and 2x2"):
        measure(image, image[:, :2])
    with pytest.raises(ImageError, match="uint8"):
        measure(image / 255, image)
