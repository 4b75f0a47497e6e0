"""Bicubic enlargements by whole factors: the bytes of the plain loops, and of Pillow."""

import numpy as np
import pytest
from naive import upscale as naive
from PIL import Image

from blackbox_conformal.method.images import making_inputs as inputs
from blackbox_conformal.method.images.making_inputs import UPSCALED, bicubic_taps, bicubic_up
from blackbox_conformal.method.kernels.upscale import upscaled

RANDOM = np.random.default_rng(8)
SIDES = [(1, 1), (1, 4), (2, 3), (5, 4), (6, 7), (13, 24)]
"""Fewer samples down and across than have taps beyond the border, just so many, and more."""


def kernel(pixels, factor):
    rows, columns = pixels.shape[:2]
    return upscaled(pixels, bicubic_taps(columns, factor), bicubic_taps(rows, factor))


def noise(rows, columns):
    return RANDOM.integers(0, 256, (rows, columns, 3), np.uint8)


def black_and_white(rows, columns):
    """Overshoots everywhere, so that both results are held to 0-255."""
    return (noise(rows, columns) & 1) * np.uint8(255)


@pytest.mark.parametrize("factor", UPSCALED)
@pytest.mark.parametrize(("rows", "columns"), SIDES[:-1])
def test_equals_the_plain_loops(factor, rows, columns):
    pixels = noise(rows, columns)
    np.testing.assert_array_equal(kernel(pixels, factor), naive.upscaled(pixels, factor))


@pytest.mark.parametrize("factor", UPSCALED)
@pytest.mark.parametrize("picture", [noise, black_and_white])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
def test_equals_pillow(factor, picture, rows, columns):
    pixels = picture(rows, columns)
    expected = np.asarray(Image.fromarray(pixels).resize((columns * factor, rows * factor), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(kernel(pixels, factor), expected)


@pytest.mark.parametrize("factor", UPSCALED)
@pytest.mark.parametrize("samples", [1, 2, 4, 5, 6, 30])
def test_taps_are_those_of_the_plain_loops(factor, samples):
    kinds = bicubic_taps(samples, factor)
    half = len(kinds) // 2
    for result, (first, weights) in enumerate(naive.taps(samples, factor)):
        sample, phase = divmod(result, factor)
        kind = min(sample, half) if sample < samples - half else sample - samples + len(kinds)
        begin = sample - (2 if 2 * phase + 1 < factor else 1)
        expected = np.zeros(4, np.int64)
        expected[first - begin :][: len(weights)] = weights
        np.testing.assert_array_equal(kinds[kind, phase], expected)
        assert np.abs(expected).sum() < 2 * 2**22


def test_the_kernel_takes_over_without_a_change(monkeypatch):
    pixels = noise(9, 11)
    by_pillow = bicubic_up(pixels, 4)
    monkeypatch.setattr(inputs, "PAYS_FROM", 0)
    monkeypatch.setattr(inputs, "interpreted", lambda: False)
    monkeypatch.setattr(Image, "fromarray", None)
    np.testing.assert_array_equal(bicubic_up(pixels, 4), by_pillow)


def test_other_factors_are_left_to_pillow(monkeypatch):
    monkeypatch.setattr(inputs, "PAYS_FROM", 0)
    pixels = noise(9, 11)
    for factor in (3, 5, 16):
        expected = Image.fromarray(pixels).resize((11 * factor, 9 * factor), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(bicubic_up(pixels, factor), np.asarray(expected))
