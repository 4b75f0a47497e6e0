"""Colour distances against the definitions and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import distance as naive
from skimage.color import rgb2lab

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.distance import (
    CHUNK,
    lab_difference,
    lab_l1,
    lab_planes,
    rgb_difference,
    rgb_l1,
    rgb_linf,
)

pairs = arrays(np.uint8, (2, 3, 4, 3), elements=st.integers(0, 255))


@settings(deadline=None)
@given(pairs)
def test_distances_equal_their_definitions(pair):
    truth, delivered = pair
    for found, colour, norm, tolerance in (
        (lab_l1, naive.lab, sum, 1e-5),
        (rgb_l1, naive.rgb, sum, 3e-7),
        (rgb_linf, naive.rgb, max, 1e-7),
    ):
        result = found(truth, delivered)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, naive.distance(truth, delivered, colour, norm), atol=tolerance)
        np.testing.assert_array_equal(result, found(delivered, truth))
        np.testing.assert_array_equal((truth == delivered).all(axis=2), result == 0)


@settings(deadline=None)
@given(pairs)
def test_planes_equal_their_definitions(pair):
    truth, delivered = pair
    np.testing.assert_allclose(lab_planes(truth), naive.planes(truth, naive.lab), atol=2e-6)
    lab = naive.planes(truth, naive.lab) - naive.planes(delivered, naive.lab)
    np.testing.assert_allclose(lab_difference(truth, delivered), lab, atol=5e-6)
    rgb = naive.planes(truth, naive.rgb) - naive.planes(delivered, naive.rgb)
    np.testing.assert_allclose(rgb_difference(truth, delivered), rgb, atol=1e-7)


def _lattice():
    levels = np.r_[0:24, 32:256:16, 250:256].astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return colours.reshape(levels.size, -1, 3)


def test_lab_agrees_with_scikit_image_from_black_to_white():
    colours = _lattice()
    lab = np.moveaxis(rgb2lab(colours) / [100, 254, 254] + [0, 0.5, 0.5], 2, 0)
    np.testing.assert_allclose(lab_planes(colours), lab, atol=2e-6)
    other = np.ascontiguousarray(colours[::-1, ::-1])
    expected = np.abs(lab - lab[:, ::-1, ::-1]).sum(axis=0)
    np.testing.assert_allclose(lab_l1(colours, other), expected, atol=1e-5)


def test_planes_lie_between_0_and_1():
    planes = lab_planes(_lattice())
    assert planes.min() >= -1e-6
    assert planes.max() <= 1 + 1e-6


def test_a_pixel_does_not_depend_on_where_it_lies():
    """Whole chunks, remainders and single pixels take different paths through vectorised code."""
    rng = np.random.default_rng(0)
    truth, delivered = rng.integers(0, 256, (2, 1, CHUNK + 77, 3), dtype=np.uint8)
    whole = lab_l1(truth, delivered)
    for x in (0, 1, CHUNK - 1, CHUNK, CHUNK + 76):
        assert whole[0, x] == lab_l1(truth[:, x : x + 1], delivered[:, x : x + 1])[0, 0]
    np.testing.assert_array_equal(whole[:, 5:], lab_l1(truth[:, 5:], delivered[:, 5:]))
    np.testing.assert_array_equal(lab_planes(truth)[:, :, 9:], lab_planes(truth[:, 9:]))


def test_extremes():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert rgb_l1(black, white)[0, 0] == 3
    assert rgb_linf(black, white)[0, 0] == 1
    assert abs(lab_l1(black, white)[0, 0] - 1) < 1e-4


@pytest.mark.parametrize("distance", [lab_l1, lab_difference, rgb_l1, rgb_linf, rgb_difference])
def test_pictures_that_cannot_be_compared_are_refused(distance):
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ImageError, match=r"one size; got 3x2 and 2x2 .*Deliver at the size"):
        distance(image, image[:, :2])
    with pytest.raises(ImageError, match=r"the true image.*uint8.*got float32 of shape \(2, 3, 3\).*Convert"):
        distance(image.astype(np.float32), image)
    with pytest.raises(ImageError, match=r"the delivered image.*got uint8 of shape \(2, 3\)"):
        distance(image, image[:, :, 0])
    with pytest.raises(ImageError, match=r"at least one pixel; got uint8 of shape \(0, 3, 3\)"):
        distance(image[:0], image[:0])
    with pytest.raises(ImageError, match="got str"):
        distance(image, "image")
