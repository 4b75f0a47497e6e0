"""Energies of blocks are those of a plain calculation, and grow with what they are to tell."""

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from skimage import data

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.jpeg_traces import BANDS, FLATTEST, QUANTILES, block_energies

SIZE = len(BANDS) * len(QUANTILES)


def plain(plane: np.ndarray) -> list[float]:
    """The energies of one plane by loops."""
    found = []
    blocks = [plane[y : y + 8, x : x + 8] for y in range(0, plane.shape[0], 8) for x in range(0, plane.shape[1], 8)]
    for first, last in BANDS:
        logarithms = []
        for block in blocks:
            squares = dctn(block.astype(float), norm="ortho") ** 2
            chosen = [squares[row, column] for row in range(8) for column in range(8) if first <= row + column <= last]
            logarithms.append(np.log2(sum(chosen) / len(chosen) + 0.1))
        found += np.quantile(logarithms, QUANTILES).tolist()
    return found


def test_brightness_is_that_of_the_plain_calculation():
    pixels = np.clip(data.astronaut()[100:164, 200:264], 1, 254)
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(block_energies(pixels)[:SIZE], plain(brightness), atol=1e-3)


def test_grey_picture_has_no_colour():
    grey = np.repeat(np.clip(data.camera()[:64, :64], 1, 254)[:, :, None], 3, axis=2)
    np.testing.assert_allclose(block_energies(grey)[SIZE : 2 * SIZE], np.log2(0.1), atol=1e-3)


def test_flattest_blocks_hold_the_variance_of_noise():
    noise = np.random.default_rng(0).normal(0, 5, (128, 128, 1))
    flat = np.clip(np.rint(128 + np.repeat(noise, 3, axis=2)), 0, 255).astype(np.uint8)
    middle = block_energies(flat)[:SIZE].reshape(len(BANDS), len(QUANTILES))[-1, 1]
    assert 2 ** (middle / 2) == pytest.approx(5, rel=0.1)


def test_spectra_are_those_of_the_flattest_blocks():
    random, pixels = np.random.default_rng(0), np.clip(data.astronaut()[100:196, 200:296], 1, 254)
    pixels = np.clip(pixels + np.rint(random.normal(0, 2, pixels.shape)), 1, 254).astype(np.uint8)
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    blocks = [brightness[y : y + 8, x : x + 8] for y in range(0, 96, 8) for x in range(0, 96, 8)]
    squares = [dctn(block, norm="ortho") ** 2 for block in blocks]
    sums = [
        [[each[row, column] for row in range(8) for column in range(8) if row + column == place] for place in range(15)]
        for each in squares
    ]
    places = [*([place] for place in range(1, 11)), [11, 12, 13, 14]]

    def flatness(each: list[list[float]], bands: int) -> float:
        values = [[value for place in each[first : last + 1] for value in place] for first, last in BANDS[:bands]]
        return sum(np.log2(np.mean(band) + 0.1) for band in values)

    def means(each: list[list[float]]) -> list[float]:
        return [np.mean([value for place in group for value in each[place]]) for group in places]

    expected = [np.quantile([means(each) for each in sums], QUANTILES[0], axis=0)]
    for bands, one_in in FLATTEST:
        flattest = sorted(sums, key=lambda each, bands=bands: flatness(each, bands))[: max(4, len(blocks) // one_in)]
        expected.append(np.mean([means(each) for each in flattest], axis=0))
    np.testing.assert_allclose(
        block_energies(pixels)[2 * SIZE : -1], np.log2(np.concatenate(expected) + 0.1), atol=1e-3
    )


def test_spectrum_tells_weak_noise_that_was_sharpened_from_strong_noise():
    noise = np.random.default_rng(0).normal(0, 1, (256, 256))
    sharpened = noise + 1.5 * (noise - gaussian_filter(noise, 1))
    slopes = []
    for strong in (noise * 5, sharpened / sharpened.std() * 5):
        pixels = np.clip(np.rint(128 + np.repeat(strong[:, :, None], 3, axis=2)), 0, 255).astype(np.uint8)
        spectrum = block_energies(pixels)[2 * SIZE : -1][:11]
        slopes.append(spectrum[-4:].mean() - spectrum[:2].mean())
    assert slopes[1] > slopes[0] + 1


def test_noise_that_grows_with_light_is_told():
    random, ramp = np.random.default_rng(0), np.repeat(np.linspace(20, 230, 128)[None, :, None], 128, axis=0)
    even = np.clip(np.rint(ramp + random.normal(0, 4, (128, 128, 3))), 0, 255).astype(np.uint8)
    growing = np.clip(np.rint(ramp + random.normal(0, 1, (128, 128, 3)) * np.sqrt(ramp / 8)), 0, 255).astype(np.uint8)
    assert abs(block_energies(even)[-1]) < 0.4
    assert block_energies(growing)[-1] > 1


def test_clipped_blocks_count_where_there_are_no_others():
    assert np.isfinite(block_energies(np.zeros((32, 32, 3), np.uint8))).all()


def test_tiny_picture_is_refused():
    with pytest.raises(ImageError, match="at least 16×16 pixels; got 15×8"):
        block_energies(np.full((8, 15, 3), 9, np.uint8))
