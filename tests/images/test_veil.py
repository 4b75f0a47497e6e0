"""The veil: the plain loops' result to the byte, and close to what the shares say."""

import numpy as np
import pytest
from naive import veil as naive

from blackbox_conformal.method.images.overlay import AGAINST, UNPROVEN, veil

RANDOM = np.random.default_rng(4)


KINDS = {UNPROVEN: (0.66, 0.5, 60, False), AGAINST: (0.42, 0.85, 75, True)}
"""Lightness left, share of grey, levels of a stripe, and whether stripes cross."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("pitch", "thickness"), [(6, 1), (8, 2), (7, 0)])
@pytest.mark.parametrize("shape", [(1, 1), (9, 13), (20, 7)])
def test_equals_the_plain_loops(pitch, thickness, shape, kind):
    pixels, mask = RANDOM.integers(0, 256, (*shape, 3), np.uint8), RANDOM.random(shape) < 0.4
    expected = naive.veil(pixels, mask, pitch, thickness, *KINDS[kind])
    veil(pixels, mask, pitch, thickness, kind)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_is_as_dark_and_as_grey_as_the_shares_say_and_never_leaves_a_byte(kind):
    dimmed, share, stripe, crossed = KINDS[kind]
    pixels = RANDOM.integers(0, 256, (30, 40, 3), np.uint8)
    pixels[:10] = 255
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    rows, columns = np.indices(grey.shape)
    striped = ((rows + columns) % 8 < 2) | (crossed & ((columns - rows) % 8 < 2))
    expected = dimmed * ((1 - share) * pixels + share * grey[..., None]) + stripe * striped[..., None]
    veil(pixels, np.zeros((30, 40), np.bool_), 8, 2, kind)
    assert np.abs(pixels - expected).max() < 1.2
