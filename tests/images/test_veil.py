"""The veil: the plain loops' result to the byte, and close to what the shares say."""

import numpy as np
import pytest
from naive import veil as naive

from blackbox_conformal.method.images.overlay import DIMMED, veil

RANDOM = np.random.default_rng(4)


@pytest.mark.parametrize(("pitch", "thickness"), [(6, 1), (8, 2), (7, 0)])
@pytest.mark.parametrize("shape", [(1, 1), (9, 13), (20, 7)])
def test_equals_the_plain_loops(pitch, thickness, shape):
    pixels, mask = RANDOM.integers(0, 256, (*shape, 3), np.uint8), RANDOM.random(shape) < 0.4
    expected = naive.veil(pixels, mask, pitch, thickness)
    veil(pixels, mask, pitch, thickness)
    np.testing.assert_array_equal(pixels, expected)


def test_is_as_dark_and_as_grey_as_the_shares_say():
    pixels = RANDOM.integers(0, 256, (30, 40, 3), np.uint8)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    striped = np.add.outer(np.arange(30), np.arange(40)) % 8 < 2
    shade = grey * DIMMED + striped * 255 * 0.34 * (1 - DIMMED)
    expected = 0.15 * DIMMED * pixels + 0.85 * shade[..., None]
    veil(pixels, np.zeros((30, 40), np.bool_), 8, 2)
    assert np.abs(pixels - expected).max() < 1.2
