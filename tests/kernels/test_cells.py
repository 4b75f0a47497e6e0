"""Statistics of cells against the plain loops, at the edges and where they are known."""

import numpy as np
import pytest
from naive import cells as naive
from support.synthetic import draw, photograph

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels.cells import MAX_SCALE, PLANES, cell_extremes, cell_products, cell_statistics


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_statistics_equal_the_loops(scale):
    truth = photograph(3, (24, 36))
    truth[:4, :4] = 255
    delivered = draw(truth, 1)
    np.testing.assert_allclose(
        cell_statistics(delivered, truth, scale), naive.cell_statistics(delivered, truth, scale), atol=2e-6
    )


@pytest.mark.parametrize(("shape", "scale"), [((24, 36), 1), ((24, 36), 3), ((24, 36), 4), ((1, 3), 1), ((2, 2), 2)])
def test_products_equal_the_loops(shape, scale):
    truth = photograph(3, (24, 36))
    pictures = [np.ascontiguousarray(one[: shape[0], : shape[1]]) for one in (draw(truth, 1), draw(truth, 2), truth)]
    np.testing.assert_allclose(
        cell_products(*pictures, scale), naive.cell_products(*pictures, scale), rtol=1e-6, atol=1e-5
    )


def test_products_of_the_strongest_contrast_are_exact():
    board = np.zeros((2 * MAX_SCALE, 2 * MAX_SCALE, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    pictures = board, 255 - board, 255 - board
    np.testing.assert_allclose(
        cell_products(*pictures, MAX_SCALE), naive.cell_products(*pictures, MAX_SCALE), rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1)])
def test_tiny_pictures_equal_the_loops(shape):
    generator = np.random.default_rng(0)
    delivered, plain = generator.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        cell_statistics(delivered, plain, 1), naive.cell_statistics(delivered, plain, 1), atol=2e-6
    )


def test_the_strongest_contrast_leaves_no_range():
    board = np.zeros((2 * MAX_SCALE, 2 * MAX_SCALE, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    found = cell_statistics(board, 255 - board, MAX_SCALE)
    np.testing.assert_allclose(found, naive.cell_statistics(board, 255 - board, MAX_SCALE), atol=2e-6)


def test_a_constant_picture_shows_nothing():
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert not cell_statistics(flat, flat, 4).any()
    assert cell_statistics(flat, flat, 4).shape == (PLANES, 2, 2)


@pytest.mark.parametrize(("shape", "scale"), [((8, 9), 4), ((8, 8), 0), ((34, 34), 17)])
def test_cells_that_do_not_fit_are_refused(shape, scale):
    picture = np.zeros((*shape, 3), np.uint8)
    with pytest.raises(ImageError, match="expected sides that are multiples of a scale from 1 to 16"):
        cell_statistics(picture, picture, scale)
    with pytest.raises(ImageError, match="expected sides that are multiples of a scale from 1 to 16"):
        cell_products(picture, picture, picture, scale)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_extremes_equal_the_loops(scale):
    pixels = photograph(3, (24, 36))
    pixels[:4, :4], pixels[-4:, -4:] = 255, 0
    np.testing.assert_array_equal(cell_extremes(pixels, scale), naive.cell_extremes(pixels, scale))


def test_sums_of_the_largest_cells_of_white_fit():
    low, high, total, squares = cell_extremes(np.full((16, 16, 3), 255, np.uint8), 16)[:, 0, 0].tolist()
    assert (low, high, total, squares) == (2040, 2040, 2040 * 256, 2040**2 // 16 * 256)


def test_extremes_of_a_picture_that_is_no_multiple_are_refused():
    with pytest.raises(ImageError, match="multiples of 3; got 4×6"):
        cell_extremes(np.zeros((6, 4, 3), np.uint8), 3)
