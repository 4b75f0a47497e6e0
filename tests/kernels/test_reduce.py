"""Reductions by whole factors: the bytes of the plain loops, and of Pillow."""

import numpy as np
import pytest
from naive import reduce as naive
from PIL import Image

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images import making_inputs as inputs
from blackbox_conformal.method.images.making_inputs import FILTER_NAMES, MOST, reduction_taps, resized
from blackbox_conformal.method.kernels.reduce import block_means, reduced

RANDOM = np.random.default_rng(7)
SIDES = [(1, 1), (1, 4), (2, 3), (5, 4), (6, 7), (7, 12)]
"""Results down and across: fewer than have taps beyond the border, just so many, and more."""


def kernel(pixels, name, factor):
    rows, columns = pixels.shape[0] // factor, pixels.shape[1] // factor
    return reduced(pixels, factor, reduction_taps(name, columns, factor), reduction_taps(name, rows, factor))


def noise(rows, columns, factor):
    return RANDOM.integers(0, 256, (rows * factor, columns * factor, 3), np.uint8)


def black_and_white(rows, columns, factor):
    """Overshoots everywhere, so that both results are held to 0-255."""
    return (noise(rows, columns, factor) & 1) * np.uint8(255)


@pytest.mark.parametrize("name", FILTER_NAMES.values())
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
def test_equals_the_plain_loops(name, factor, rows, columns):
    pixels = noise(rows, columns, factor)
    np.testing.assert_array_equal(kernel(pixels, name, factor), naive.reduced(pixels, name, factor))


@pytest.mark.parametrize(("resampling", "name"), FILTER_NAMES.items())
@pytest.mark.parametrize("factor", range(2, MOST + 1))
def test_equals_pillow(resampling, name, factor):
    for (rows, columns), picture in [(sides, picture) for sides in SIDES for picture in (noise, black_and_white)]:
        pixels = picture(rows, columns, factor)
        expected = np.asarray(Image.fromarray(pixels).resize((columns, rows), resampling))
        np.testing.assert_array_equal(kernel(pixels, name, factor), expected)


@pytest.mark.parametrize("name", FILTER_NAMES.values())
@pytest.mark.parametrize("factor", range(1, MOST + 1))
def test_taps_are_those_of_the_plain_loops(name, factor):
    for results in (1, 3, 7, 20):
        kinds = reduction_taps(name, results, factor)
        half, before = len(kinds) // 2, (kinds.shape[1] - factor) // 2
        for result, (first, weights) in enumerate(naive.taps(name, results * factor, factor)):
            kind = min(result, half) if result < results - half else result - results + len(kinds)
            expected = np.zeros(kinds.shape[1] + 1, np.int64)
            expected[first - result * factor + before :][: len(weights)] = weights
            np.testing.assert_array_equal(kinds[kind], expected[:-1])
            assert np.abs(kinds[kind]).sum() < 2 * 2**22


@pytest.mark.parametrize("resampling", FILTER_NAMES)
def test_the_kernel_takes_over_without_a_change(monkeypatch, resampling):
    pixels = noise(9, 11, 4)
    by_pillow = resized(pixels, 11, 9, resampling)
    monkeypatch.setattr(inputs, "PAYS_FROM", 0)
    monkeypatch.setattr(inputs, "interpreted", lambda: False)
    monkeypatch.setattr(Image, "fromarray", None)
    np.testing.assert_array_equal(resized(pixels, 11, 9, resampling), by_pillow)


@pytest.mark.parametrize("size", [(44, 35), (44, 36), (22, 12), (80, 72), (1, 1)])
def test_other_sizes_are_left_to_pillow(monkeypatch, size):
    monkeypatch.setattr(inputs, "PAYS_FROM", 0)
    pixels = noise(9, 11, 4)
    expected = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resized(pixels, *size), expected)


@pytest.mark.parametrize("factor", range(1, MOST + 1))
@pytest.mark.parametrize("picture", [noise, black_and_white])
def test_block_means_equal_the_plain_loops_and_pillow(factor, picture):
    for rows, columns in SIDES:
        pixels = picture(rows, columns, factor)
        expected = np.asarray(Image.fromarray(pixels).reduce(factor))
        np.testing.assert_array_equal(naive.block_means(pixels, factor), expected)
        np.testing.assert_array_equal(block_means(pixels, factor), expected)


def test_block_means_hold_white_blocks_of_every_factor():
    for factor in range(1, MOST + 1):
        assert (block_means(np.full((factor, 2 * factor, 3), 255, np.uint8), factor) == 255).all()


@pytest.mark.parametrize(("width", "height"), [(12, 8), (6, 8), (24, 16), (7, 8)])
def test_block_means_of_pictures_are_those_of_pillow_with_and_without_the_kernel(monkeypatch, width, height):
    pixels = noise(4, 6, 4)
    expected = np.asarray(Image.fromarray(pixels).reduce((24 // width, 16 // height)))
    np.testing.assert_array_equal(inputs.block_means(pixels, width, height), expected)
    monkeypatch.setattr(inputs, "PAYS_FROM", 0)
    monkeypatch.setattr(inputs, "interpreted", lambda: False)
    np.testing.assert_array_equal(inputs.block_means(pixels, width, height), expected)


def test_sides_that_are_no_multiples_are_refused():
    taps = reduction_taps("area", 2, 4)
    with pytest.raises(ImageError, match="multiples of 4; got 8×7"):
        reduced(np.zeros((7, 8, 3), np.uint8), 4, taps, taps)
