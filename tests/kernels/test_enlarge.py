"""Adding an enlarged difference: the plain loops' result to the byte, and Pillow's enlargement away from the border."""

import numpy as np
import pytest
from naive import enlarge as naive
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels import enlarge
from blackbox_conformal.method.kernels.enlarge import phase_taps

RANDOM = np.random.default_rng(5)
DIFFERENCE = RANDOM.integers(-255, 256, (7, 5, 3), np.int16)


def add_enlarged(pixels, difference):
    changed = pixels.copy()
    enlarge.add_enlarged(changed, difference)
    return changed


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (2, 3), (7, 5)])
def test_equals_the_plain_loops(factor, shape):
    difference = DIFFERENCE[: shape[0], : shape[1]]
    pixels = RANDOM.integers(0, 256, (shape[0] * factor, shape[1] * factor, 3), np.uint8)
    np.testing.assert_array_equal(add_enlarged(pixels, difference), naive.add_enlarged(pixels, difference))


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16])
def test_is_the_bicubic_enlargement_of_pillow_up_to_rounding(factor):
    low = RANDOM.integers(60, 190, (9, 11, 3), np.uint8)
    picture = PillowImage.fromarray(low).resize((11 * factor, 9 * factor), PillowImage.Resampling.BICUBIC)
    ours = add_enlarged(np.zeros((9 * factor, 11 * factor, 3), np.uint8), low.astype(np.int16))
    inner = slice(2 * factor, -2 * factor)
    assert np.abs(ours.astype(int) - np.asarray(picture))[inner, inner].max() <= 1


@pytest.mark.parametrize("factor", range(1, 17))
def test_taps_sum_to_one_so_constants_are_kept_and_held_to_8_bits(factor):
    assert (phase_taps(factor).sum(axis=1) == 1024).all()
    pixels = np.full((2 * factor, 3 * factor, 3), 100, np.uint8)
    for level, expected in ((0, 100), (7, 107), (-100, 0), (-255, 0), (255, 255)):
        assert (add_enlarged(pixels, np.full((2, 3, 3), level, np.int16)) == expected).all()


def test_a_factor_of_one_adds():
    assert (add_enlarged(np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 5, np.int16)) == 15).all()


def test_rows_of_several_tiles_equal_the_plain_loops():
    difference, pixels = (
        RANDOM.integers(-255, 256, (1, 200, 3), np.int16),
        RANDOM.integers(0, 256, (2, 400, 3), np.uint8),
    )
    np.testing.assert_array_equal(add_enlarged(pixels, difference), naive.add_enlarged(pixels, difference))


@pytest.mark.parametrize("place", [(0, 0), (1, 179), (3, 86)])
def test_the_only_sample_that_differs_changes_all_pixels_near_it(place):
    difference = np.zeros((4, 180, 3), np.int16)
    difference[place] = 255, -255, 40
    pixels = RANDOM.integers(0, 256, (8, 360, 3), np.uint8)
    np.testing.assert_array_equal(add_enlarged(pixels, difference), naive.add_enlarged(pixels, difference))


def test_a_view_is_refused_since_the_picture_itself_is_changed():
    pixels = np.zeros((4, 4, 3), np.uint8)
    for view in (pixels[:, ::-1], np.broadcast_to(pixels[:1], pixels.shape)):
        with pytest.raises(ImageError, match=r"expected a C-contiguous picture that may be changed"):
            enlarge.add_enlarged(view, np.zeros((2, 2, 3), np.int16))


@pytest.mark.parametrize("shape", [(3, 5), (7, 4), (8, 8)])
def test_a_difference_that_does_not_fit_is_refused(shape):
    with pytest.raises(ImageError, match="expected a difference a whole factor smaller than 10×7"):
        add_enlarged(np.zeros((7, 10, 3), np.uint8), np.zeros((*shape, 3), np.int16))
