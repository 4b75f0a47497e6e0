"""CIEDE2000 against the published pairs, its twin and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from naive import delta_e as naive
from skimage.color import deltaE_ciede2000, rgb2lab

from blackbox_conformal.errors import ImageError, MapError
from blackbox_conformal.method.kernels.delta_e import delta_e_2000, delta_e_2000_of_lab

# Sharma, Wu and Dalal (2005), table 1: two L*, a*, b* colours and their difference.
PAIRS = np.array(
    [
        [50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425],
        [50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615],
        [50, 2.8361, -74.02, 50, 0, -82.7485, 3.4412],
        [50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0],
        [50, -1.1848, -84.8006, 50, 0, -82.7485, 1.0],
        [50, -0.9009, -85.5211, 50, 0, -82.7485, 1.0],
        [50, 0, 0, 50, -1, 2, 2.3669],
        [50, -1, 2, 50, 0, 0, 2.3669],
        [50, 2.49, -0.001, 50, -2.49, 0.0009, 7.1792],
        [50, 2.49, -0.001, 50, -2.49, 0.001, 7.1792],
        [50, 2.49, -0.001, 50, -2.49, 0.0011, 7.2195],
        [50, 2.49, -0.001, 50, -2.49, 0.0012, 7.2195],
        [50, -0.001, 2.49, 50, 0.0009, -2.49, 4.8045],
        [50, -0.001, 2.49, 50, 0.001, -2.49, 4.8045],
        [50, -0.001, 2.49, 50, 0.0011, -2.49, 4.7461],
        [50, 2.5, 0, 50, 0, -2.5, 4.3065],
        [50, 2.5, 0, 73, 25, -18, 27.1492],
        [50, 2.5, 0, 61, -5, 29, 22.8977],
        [50, 2.5, 0, 56, -27, -3, 31.903],
        [50, 2.5, 0, 58, 24, 15, 19.4535],
        [50, 2.5, 0, 50, 3.1736, 0.5854, 1.0],
        [50, 2.5, 0, 50, 3.2972, 0, 1.0],
        [50, 2.5, 0, 50, 1.8634, 0.5757, 1.0],
        [50, 2.5, 0, 50, 3.2592, 0.335, 1.0],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.263],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.248, -4.962, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.694, 23.0331, 14.973, -42.5619, 2.0373],
        [36.4612, 47.858, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.441, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.135, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)

# The mean hue jumps where hues are opposite, so rounding decides there: rows 10 and 14 lie on that line.
OPPOSITE = [9, 13]

pairs = arrays(np.uint8, (2, 3, 4, 3), elements=st.integers(0, 255))


def test_published_pairs():
    assert len(PAIRS) == 34
    for one, two in ((PAIRS[:, :3], PAIRS[:, 3:6]), (PAIRS[:, 3:6], PAIRS[:, :3])):
        found = delta_e_2000_of_lab(one, two)
        plain = np.delete(np.arange(34), OPPOSITE)
        np.testing.assert_allclose(found[plain], PAIRS[plain, 6], atol=5.1e-5)
        for row, other in zip(OPPOSITE, (7.2195, 4.7461), strict=True):
            assert np.abs(found[row] - np.array([PAIRS[row, 6], other])).min() < 5.1e-5
    naively = [naive.delta_e_2000(pair[:3], pair[3:6]) for pair in PAIRS[plain]]
    np.testing.assert_allclose(naively, PAIRS[plain, 6], atol=5.1e-5)


@settings(deadline=None)
@given(pairs)
def test_differences_equal_their_definition(pair):
    found = delta_e_2000(*pair)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive.difference(*pair), atol=2e-5)
    np.testing.assert_allclose(found, delta_e_2000(pair[1], pair[0]), atol=1e-5)
    np.testing.assert_array_equal((pair[0] == pair[1]).all(axis=2), found == 0)


def test_differences_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    near = np.clip(truth.astype(int) + rng.integers(-6, 7, truth.shape), 0, 255).astype(np.uint8)
    grey = np.repeat(truth[..., :1], 3, axis=2)
    for other in (truth[::-1, ::-1], near, grey, near // 128 * 255):
        other = np.ascontiguousarray(other)
        expected = deltaE_ciede2000(rgb2lab(truth), rgb2lab(other))
        assert np.abs(delta_e_2000(truth, other) - expected).max() <= 1e-4


def test_pictures_and_colours_that_cannot_be_compared_are_refused():
    image = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ImageError, match="one size; got 3x2 and 2x2"):
        delta_e_2000(image, image[:, :2])
    for one, two in ((np.zeros((2, 3)), np.zeros((3, 3))), (np.zeros(3), np.zeros(3)), (np.zeros((1, 4)),) * 2):
        with pytest.raises(MapError, match=r"two \(N, 3\) arrays"):
            delta_e_2000_of_lab(one, two)
