"""Noise added to 8-bit values: the plain loops' result to the byte, also halfway and beyond the ends."""

import numpy as np
import pytest
from naive import noise_field as naive

from blackbox_conformal.method.degradations.noise import with_noise

NORMALS = np.linspace(-4.5, 4.5, 1 << 16).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0, 0.3, 6, 128])
def test_equals_the_plain_loops(channels, sigma):
    random = np.random.default_rng(4)
    values = random.integers(0, 256, (500, channels), np.uint8)
    places = random.integers(0, 1 << 16, 500, np.uint16)
    deviations = (sigma * np.sqrt(np.arange(256) / 128)).astype(np.float32)
    np.testing.assert_array_equal(
        with_noise(values, places, NORMALS, deviations), naive.noisy(values, places, NORMALS, deviations)
    )


def test_halves_go_to_the_even_level_and_results_stay_within_8_bits():
    normals = np.zeros(1 << 16, np.float32)
    normals[:4] = 0.5, 1.5, 500, -500
    values, deviations = np.full((4, 1), 10, np.uint8), np.ones(256, np.float32)
    places = np.arange(4, dtype=np.uint16)
    assert with_noise(values, places, normals, deviations)[:, 0].tolist() == [10, 12, 255, 0]
    np.testing.assert_array_equal(
        with_noise(values, places, normals, deviations), naive.noisy(values, places, normals, deviations)
    )
