"""Distances over bands and moments of deep draws against exact fractions, one pixel after another."""

import numpy as np
import pytest
from naive import spectra as naive

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels import spectra
from blackbox_conformal.method.kernels.moments import Moments

RANDOM = np.random.default_rng(5)


def pictures(count, bands=4, dtype=np.uint16):
    """With ties, both ends and spectra of 0."""
    largest = np.iinfo(dtype).max
    return RANDOM.choice(np.array([0, 0, 1, largest // 2, largest - 1, largest], dtype), (count, 41, 6, bands))


@pytest.mark.parametrize(("count", "dtype"), [(1, np.uint16), (4, np.uint16), (13, np.uint16), (3, np.uint8)])
def test_distances_equal_their_definitions(count, dtype):
    truth, delivered = pictures(2, count, dtype)
    for kernel, twin in ((spectra.band_l1, naive.l1), (spectra.band_linf, naive.linf)):
        found = kernel(truth, delivered)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, naive.each(truth, delivered, twin).astype(np.float32))
    angles = spectra.spectral_angle(truth, delivered)
    np.testing.assert_allclose(angles, naive.each(truth, delivered, naive.angle), atol=1e-7)
    assert (spectra.spectral_angle(truth, truth) == 0).all()


def test_differences_are_those_of_the_planes():
    truth, delivered = pictures(2)
    signed = spectra.band_difference(truth, delivered)
    np.testing.assert_allclose(signed, spectra.band_planes(truth) - spectra.band_planes(delivered), atol=1e-7)
    assert signed.shape == (4, 41, 6)


def test_tiny_angles_keep_their_digits():
    truth = np.full((1, 1, 2), 60000, np.uint16)
    delivered = truth + np.array([1, 0], np.uint16)
    assert spectra.spectral_angle(truth, delivered)[0, 0] == pytest.approx(0.5 / 60000, rel=1e-4)


def test_moments_are_exact_in_any_order():
    draws = pictures(5)
    expected = naive.variance(draws)
    for order in (range(5), (3, 1, 4, 0, 2)):
        first, second = spectra.BandMoments((41, 6)), spectra.BandMoments((41, 6))
        for index in order:
            (first if index < 2 else second).add(draws[index])
        first.merge(second)
        np.testing.assert_array_equal(first.variance(), expected)
        exact = (2 * draws.astype(int).sum(axis=0) + 5) // 10
        np.testing.assert_array_equal(first.mean_image(), exact)


def test_moments_are_of_the_kind_of_the_draws():
    deep, plain = pictures(1)[0], pictures(1, 3, np.uint8)[0]
    assert type(spectra.moments_of((41, 6), deep)) is spectra.BandMoments
    assert type(spectra.moments_of((41, 6), plain)) is Moments


def test_the_most_draws_that_a_procedure_may_have_are_exact():
    moments = spectra.BandMoments((1, 1))
    high, low = np.full((1, 1, 2), 65535, np.uint16), np.zeros((1, 1, 2), np.uint16)
    for _ in range(2048):
        moments.add(high, low)
    assert moments.variance()[0, 0] == 0.5


def test_pictures_that_are_unlike_are_refused():
    truth, delivered = pictures(2)
    for other in (delivered[:3], delivered[:, :, :3], delivered.astype(np.uint8)[:, :, :3]):
        with pytest.raises(ImageError):
            spectra.band_l1(truth, other)
    with pytest.raises(ImageError):
        spectra.BandMoments((41, 6)).add(truth, delivered[:3])
