"""Noise: its variance at each grey level, and what the channels share."""

import numpy as np
import pytest

from blackbox_conformal.method.degradations.chain import Mixture


def noisy(text, level, *key):
    flat = np.full((256, 256, 3), level, np.uint8)
    return Mixture.of_text(text).apply(flat, 1, *key).astype(float)


@pytest.mark.parametrize("level", [32, 128, 224])
@pytest.mark.parametrize("shot", [0, 0.5, 1])
def test_the_variance_is_what_the_model_says(level, shot):
    values = noisy(f"noise:6,shot={shot}", level, "variance", level)
    # Rounding to whole levels adds a twelfth.
    expected = 36 * (1 - shot + shot * level / 128) + 1 / 12
    assert values.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / values.size))
    assert values.mean() == pytest.approx(level, abs=4 * np.sqrt(expected / values.size))


def test_each_photograph_draws_its_own_deviation_within_the_range():
    deviations = [noisy("noise:2-8", 128, key).std() for key in range(40)]
    assert 1.9 < min(deviations) < 3
    assert 7 < max(deviations) < 8.1


def test_channels_are_independent_and_grey_noise_is_the_same_in_all():
    colour = noisy("noise:6", 128, "key").reshape(-1, 3)
    assert np.abs(np.corrcoef(colour.T)[np.triu_indices(3, 1)]).max() < 0.02
    grey = noisy("noise:6,grey=true", 128, "key")
    assert np.ptp(grey, axis=2).max() == 0
    assert grey.std() == pytest.approx(6, rel=0.02)


def test_no_noise_changes_nothing_and_black_without_light_has_none():
    picture = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(Mixture.of_text("noise:0").apply(picture, 1, "key"), picture)
    assert noisy("noise:6,shot=1", 0, "key").max() == 0


def test_a_picture_of_several_blocks_has_noise_that_does_not_repeat():
    picture = np.full((300, 300, 3), 128, np.uint8)
    made = Mixture.of_text("noise:20").apply(picture, 1, "key").reshape(-1).astype(float)
    blocks = made[: 4 * 65536].reshape(4, 65536)
    assert np.abs(np.corrcoef(blocks)[np.triu_indices(4, 1)]).max() < 0.02
