"""Sums of squared differences by kind of pixel, exact, against one pixel after another."""

import numpy as np
import pytest
from naive import squares as naive

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.distance import summed_squares

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (37, 29)])
@pytest.mark.parametrize("count", [1, 2, 20, 256])
def test_sums_are_those_of_one_pixel_after_another(size, count):
    picture, truth = RANDOM.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    kinds = RANDOM.integers(0, 256, size, dtype=np.uint8)
    found = summed_squares(picture, truth, kinds, count)
    assert found.dtype == np.int64
    assert found.tolist() == naive.summed_squares(picture, truth, kinds, count)


def test_the_largest_differences_and_views_are_exact():
    truth = np.tile(np.array([0, 255], np.uint8), (30, 20, 3)).reshape(30, 40, 3)[:, ::2]
    picture, kinds = 255 - truth, np.arange(600, dtype=np.uint32).reshape(20, 30).astype(np.uint8).T
    found = summed_squares(picture, truth, kinds, 7)
    assert found.tolist() == naive.summed_squares(picture, truth, kinds, 7)
    assert found.sum() == 600 * 3 * 255**2


def test_pictures_of_another_size_are_refused():
    black = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ImageError):
        summed_squares(black, black[:3], np.zeros((4, 5), np.uint8), 2)


def test_levels_of_bands_are_summed_in_grey_levels_of_three_channels():
    picture, truth = RANDOM.integers(0, 65536, (2, 9, 8, 5), dtype=np.uint16)
    kinds = RANDOM.integers(0, 4, (9, 8), dtype=np.uint8)
    grey = [255 * pixels.astype(float) / 65535 for pixels in (picture, truth)]
    for kind, found in enumerate(summed_squares(picture, truth, kinds, 4)):
        first, second = (levels[kinds == kind] for levels in grey)
        exact = sum(3 * ((a - b) ** 2).mean() for a, b in zip(first, second, strict=True))
        assert abs(found - exact) <= 0.5 + 1e-6
