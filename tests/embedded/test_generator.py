"""The embedded vendor's generator: seeds, sizes, strips, and how well its draws describe real photographs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage import data

from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.errors import ImageError, UsageError

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def generator():
    return Generator()


def photograph(name: str, side: int = 384) -> Image.Image:
    picture = Image.fromarray(getattr(data, name)()[..., :3])
    side = min(side, picture.width // 4 * 4, picture.height // 4 * 4)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def reduced(picture: Image.Image) -> Picture:
    return np.asarray(picture.resize((picture.width // 4, picture.height // 4), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def cat():
    return reduced(photograph("chelsea", 192))


def psnr(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


def test_same_seed_gives_same_bytes(generator, cat):
    first = generator.upscale(cat, 7)
    assert (first.shape, first.dtype) == ((192, 192, 3), np.uint8)
    assert first.flags.c_contiguous
    assert first.tobytes() == generator.upscale(cat, 7).tobytes()
    assert first.tobytes() == Generator().upscale(cat.copy(), 7).tobytes()


def test_different_seeds_differ_in_most_pixels_and_by_little_on_average(generator, cat):
    first, second = (generator.upscale(cat, seed).astype(int) for seed in (0, 2**32 - 1))
    assert (first != second).any(axis=-1).mean() > 0.7
    assert 0.5 < np.abs(first - second).mean() < 20


def test_neighbouring_seeds_are_unrelated(generator, cat):
    draws = np.stack([generator.upscale(cat, seed) for seed in range(8)]).astype(float)
    residuals = (draws - draws.mean(axis=0)).reshape(8, -1)
    # Independent residuals about the mean of eight draws correlate at -1/7; some noise is common to a picture.
    correlations = np.corrcoef(residuals)
    assert np.abs(correlations[np.triu_indices(8, 1)] + 1 / 7).max() < 0.35
    assert abs(np.diagonal(correlations, 1).mean() + 1 / 7) < 0.15


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (7, 5), (33, 14), (50, 1)])
def test_any_size(generator, height, width):
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    drawn = generator.upscale(picture, 1)
    assert drawn.shape == (4 * height, 4 * width, 3)
    assert drawn.tobytes() == generator.upscale(picture, 1).tobytes()


@pytest.mark.parametrize("level", [0, 127, 255])
def test_flat_picture_stays_flat_up_to_its_border(generator, level):
    drawn = generator.upscale(np.full((20, 24, 3), level, np.uint8), 3).astype(int)
    assert np.abs(drawn - level).max() <= 12


def test_average_keeps_the_picture(generator, cat):
    drawn = Image.fromarray(generator.upscale(cat, 5))
    assert psnr(reduced(drawn).astype(float), cat.astype(float)) > 34


def test_strips_leave_no_seam(cat):
    whole = Generator(strip_pixels=10**9).upscale(cat, 11).astype(int)
    strips = Generator(strip_pixels=1).upscale(cat, 11).astype(int)
    assert np.abs(whole - strips).max() <= 1
    assert (whole != strips).mean() < 0.001


def test_order_of_colours_and_axes_is_kept(generator):
    ramp = np.zeros((16, 16, 3), np.uint8)
    ramp[..., 0] = np.linspace(20, 230, 16, dtype=np.uint8)
    ramp[..., 2] = np.linspace(20, 230, 16, dtype=np.uint8)[:, None]
    drawn = generator.upscale(ramp, 0).astype(float)
    exact = np.asarray(Image.fromarray(ramp).resize((64, 64), Image.Resampling.BICUBIC), float)
    assert np.abs(drawn - exact).mean() < 8


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))],
)
def test_wrong_pictures_are_refused(generator, picture):
    with pytest.raises(ImageError, match="Expected a picture of shape"):
        generator.upscale(picture, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_wrong_seeds_are_refused(generator, cat, seed):
    with pytest.raises(UsageError, match="Expected a seed"):
        generator.upscale(cat, seed)


@pytest.fixture(scope="module")
def forecasts(generator):
    """Truth, bicubic enlargement and eight draws of three photographs."""
    found = {}
    for name in ("astronaut", "chelsea", "coffee"):
        picture = photograph(name)
        small = reduced(picture)
        bicubic = np.asarray(Image.fromarray(small).resize(picture.size, Image.Resampling.BICUBIC), float)
        draws = np.stack([generator.upscale(small, seed) for seed in range(8)]).astype(float)
        found[name] = (np.asarray(picture, float), bicubic, draws)
    return found


def test_mean_of_draws_is_nearer_to_photographs_than_bicubic(forecasts):
    gains = [psnr(draws.mean(axis=0), truth) - psnr(bicubic, truth) for truth, bicubic, draws in forecasts.values()]
    assert np.mean(gains) > 0.5
    assert min(gains) > -0.25


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_draws_describe_the_truth_of_a_photograph(forecasts, name):
    truth, _, draws = forecasts[name]
    mean = draws.mean(axis=0)
    assert max(psnr(draw, truth) for draw in draws) < psnr(mean, truth) - 0.5
    spread = gaussian_filter(draws.std(axis=0).mean(axis=-1), 4)
    error = gaussian_filter(np.abs(mean - truth).mean(axis=-1), 4)
    assert spearmanr(spread.ravel(), error.ravel())[0] >= 0.6
    dithered = truth + np.random.default_rng(0).uniform(-0.5, 0.5, truth.shape)
    jittered = draws + np.random.default_rng(1).uniform(-0.5, 0.5, draws.shape)
    share_outside = np.mean((dithered < jittered.min(axis=0)) | (dithered > jittered.max(axis=0)))
    assert 0.1 < share_outside < 0.4  # two of nine ranks: 0.22 for a calibrated generator
