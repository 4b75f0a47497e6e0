"""The embedded models: a generator, a colouriser, a denoiser and Real-ESRGAN."""

from __future__ import annotations

import hashlib
import math
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from naive import chroma as naive
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage import data
from support.synthetic import photograph as synthetic_photograph

from blackbox_conformal.embedded import studio
from blackbox_conformal.embedded.studio import (
    CONVOLUTIONS,
    REJECTED,
    Colouriser,
    Denoiser,
    Generator,
    RealEsrganNetwork,
    noise_level,
    read_weights,
)
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


def psnr(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


DRAWN = {Generator: "upscale", Colouriser: "colourise", Denoiser: "denoise", RealEsrganNetwork: "upscale"}


@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_no_picture_or_no_seed_is_refused(kind):
    draw = getattr(kind(), DRAWN[kind])
    for picture in (*(np.zeros(shape, np.uint8) for shape in ((4, 4), (4, 4, 4), (0, 4, 3))), np.zeros((4, 4, 3))):
        with pytest.raises(ImageError, match="Expected a picture of shape"):
            draw(picture, 0)
    for seed in (-1, 2**32):
        with pytest.raises(UsageError, match="Expected a seed"):
            draw(np.zeros((4, 4, 3), np.uint8), seed)


@pytest.mark.parametrize(("kind", "given"), [(Generator, "cat"), (Colouriser, "grey_cat")])
def test_same_seed_gives_same_bytes(kind, given, request):
    picture, draw = request.getfixturevalue(given), getattr(kind(), DRAWN[kind])
    first = draw(picture, 7)
    assert (first.shape, first.dtype, first.flags.c_contiguous) == ((192, 192, 3), np.uint8, True)
    assert first.tobytes() == draw(picture, 7).tobytes()
    assert first.tobytes() == getattr(kind(), DRAWN[kind])(picture.copy(), 7).tobytes()


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
    assert (drawn.shape, drawn.tobytes()) == ((4 * height, 4 * width, 3), generator.upscale(picture, 1).tobytes())


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


LUMA = (0.299, 0.587, 0.114)


@pytest.fixture(scope="module")
def model():
    return Colouriser()


def grey(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


@pytest.fixture(scope="module")
def grey_cat():
    return grey(np.asarray(photograph("chelsea", 192)))


def test_every_seed_colours_the_whole_picture_another_way(model, grey_cat):
    draws = np.stack([model.colourise(grey_cat, seed) for seed in (0, 1, 2, 2**32 - 1)]).astype(int)
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        assert (draws[i] != draws[j]).any(axis=-1).mean() > 0.7
        assert 1 < np.abs(draws[i] - draws[j]).mean() < 60


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_luma_stays(model, grey_cat, seed):
    drawn = model.colourise(grey_cat, seed)
    assert np.ptp(drawn, axis=-1).mean() > 2
    assert np.abs(drawn @ LUMA - grey_cat[..., 0]).max() <= 0.501


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (33, 14), (50, 1), (32, 64), (129, 131)])
def test_any_size_is_coloured(model, height, width):
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 1), dtype=np.uint8).repeat(3, axis=-1)
    drawn = model.colourise(picture, 1)
    assert drawn.shape == picture.shape
    assert np.abs(drawn @ LUMA - picture[..., 0]).max() <= 0.501


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_have_no_colour(model, level):
    picture = np.full((40, 24, 3), level, np.uint8)
    assert np.array_equal(model.colourise(picture, 3), picture)


def test_strips_change_nothing(grey_cat):
    whole = Colouriser(strip_pixels=10**9).colourise(grey_cat, 11)
    assert np.array_equal(whole, Colouriser(strip_pixels=1).colourise(grey_cat, 11))


def test_a_picture_in_colour_is_taken_as_its_luma(model):
    cat = np.asarray(photograph("chelsea", 192))
    drawn = model.colourise(cat, 0)
    assert np.abs(drawn @ LUMA - cat @ LUMA).max() <= 0.501
    assert np.abs(drawn.astype(int) - model.colourise(grey(cat), 0)).mean() < 1


def test_spread_is_the_naive_weighted_mean():
    generator = np.random.default_rng(0)
    cells = generator.normal(0, 0.1, (4, 3, 2)).astype(np.float32)
    luma = generator.random((15, 10), np.float32)
    brightness = generator.random((4, 3), np.float32)
    wanted = naive.spread(cells, brightness, luma, 4)
    assert np.abs(studio.spread(cells, brightness, luma, 0, 4) - wanted).max() < 1e-6
    assert np.abs(studio.spread(cells, brightness, luma[8:], 8, 4) - wanted[8:]).max() < 1e-6


def test_colours_end_at_an_edge():
    luma = np.repeat(np.float32([[0.1] * 10 + [0.9] * 6]), 8, axis=0)
    cells = np.zeros((2, 4, 2), np.float32)
    cells[:, :3] = 0.2
    brightness = luma.reshape(2, 4, 4, 4).mean(axis=(1, 3))
    spread = studio.spread(cells, brightness, luma, 0, 4)
    assert spread[:, 8:10].min() > 0.15
    assert spread[:, 12:].max() < 0.02


@pytest.mark.parametrize("wanted", [(200, 40, 10), (7, 250, 128), (0, 0, 255), (90, 90, 90)])
def test_chroma_that_fits_is_given_exactly(wanted):
    red, _, blue = (value / 255 for value in wanted)
    luma = float(np.dot(wanted, LUMA)) / 255
    drawn = studio.coloured(np.float32([[luma]]), np.float32([[[(blue - luma) / 1.772, (red - luma) / 1.402]]]))
    assert np.abs(drawn[0, 0].astype(int) - wanted).max() <= 1


def test_chroma_that_does_not_fit_keeps_its_hue_and_luma():
    drawn = studio.coloured(np.float32([[0.5]]), np.float32([[[0.4, 0.4]]]))[0, 0].astype(float)
    assert abs(drawn @ LUMA - 127.5) <= 0.5
    assert drawn.max() == 255
    assert (drawn[2] - 127.5) / (drawn[0] - 127.5) == pytest.approx(1.772 / 1.402, abs=0.02)


def test_the_name_goes_by_the_weights(model):
    raw = resources.files(studio.__package__).joinpath("colour_weights.npz").read_bytes()
    assert model.model == f"embedded-colour@{hashlib.sha256(raw).hexdigest()[:12]}"
    assert len(raw) < 1_000_000


def test_draws_are_nearer_to_the_colours_of_photographs_than_grey(model):
    rows = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        truth = np.asarray(photograph(name, 256))
        draws = np.stack([model.colourise(grey(truth), seed) for seed in range(8)]).astype(float)
        of_grey, of_draws = (np.abs(picture - truth).mean() for picture in (grey(truth), draws.mean(axis=0)))
        outside = np.mean((truth < draws.min(axis=0) - 0.5) | (truth > draws.max(axis=0) + 0.5))
        rows.append([of_grey - of_draws, np.ptp(draws, axis=-1).mean() / np.ptp(truth, axis=-1).mean(), outside])
    gain, share_of_colour, share_outside = np.mean(rows, axis=0)
    assert gain > 1
    assert 0.3 < share_of_colour < 1.5
    assert share_outside < 0.7


def noisy(picture: Picture, sigma: float) -> Picture:
    noise = np.random.default_rng(3).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def cosine(order: int, place: int, count: int) -> float:
    scale = math.sqrt((1 if order == 0 else 2) / count)
    return scale * math.cos(math.pi * order * (2 * place + 1) / (2 * count))


def denoised_by_definition(picture: Picture) -> np.ndarray:
    """The denoised picture in double precision: every block at every place by itself, every wave as a sum."""
    height, width = picture.shape[:2]
    colours = np.array([[cosine(u, x, 3) for x in range(3)] for u in range(3)])
    waves = np.array([[cosine(u, x, 8) for x in range(8)] for u in range(8)])
    planes = np.einsum("hwc,kc->khw", picture.astype(float), colours)
    clean = np.zeros_like(planes)
    for plane, result in zip(planes, clean, strict=True):
        threshold = REJECTED * noise_level(plane.astype(np.float32))
        mirrored = np.pad(plane, 16, "symmetric")
        for top, left in product(range(-8, height, 2), range(-8, width, 2)):
            block = mirrored[top + 16 : top + 24, left + 16 : left + 24]
            strength = np.array([[np.sum(np.outer(u, v) * block) for v in waves] for u in waves])
            strength[(np.abs(strength) < threshold) & (np.add.outer(range(8), range(8)) > 0)] = 0
            rebuilt = sum(
                strength[a, b] * np.outer(waves[a], waves[b]) for a in range(8) for b in range(8) if strength[a, b]
            )
            for y in range(max(top, 0), min(top + 8, height)):
                for x in range(max(left, 0), min(left + 8, width)):
                    result[y, x] += rebuilt[y - top, x - left] / 16
    return np.clip(np.einsum("khw,kc->hwc", clean, colours), 0, 255)


@pytest.mark.parametrize("size", [(13, 10), (9, 21)])
def test_the_denoiser_is_what_the_definition_says(size):
    picture = noisy(synthetic_photograph(1)[: size[0], : size[1]], 12)
    assert np.abs(Denoiser().denoise(picture, 0) - denoised_by_definition(picture)).max() <= 0.51


def test_noise_goes_and_the_picture_stays():
    truth = synthetic_photograph(2)
    for sigma in (8, 15, 30):
        given = noisy(truth, sigma)
        assert psnr(Denoiser().denoise(given, 0), truth) > psnr(given, truth) + 1
    assert psnr(Denoiser().denoise(truth, 0), truth) > 35


def test_the_noise_level_is_found():
    plane = np.random.default_rng(0).normal(100, 12, (200, 300)).astype(np.float32)
    assert (noise_level(plane), noise_level(plane[:1])) == (pytest.approx(12, rel=0.03), 0.0)


def test_the_same_picture_gives_the_same_bytes_whatever_the_seed():
    given = noisy(synthetic_photograph(3), 10)
    assert Denoiser().denoise(given, 0).tobytes() == Denoiser().denoise(given, 2**32 - 1).tobytes()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 30, 3), (7, 2, 3)])
def test_tiny_pictures(shape):
    flat = np.full(shape, 77, np.uint8)
    assert np.array_equal(Denoiser().denoise(flat, 0), flat)


PATTERN = (np.arange(10 * 12 * 3).reshape(10, 12, 3) * 37 % 256).astype(np.uint8)


def defined_network(picture: np.ndarray) -> np.ndarray:
    """Pixel by pixel in double precision, before rounding."""
    _, weights = read_weights("real_esrgan_weights.npz")
    height, width = picture.shape[:2]
    features = picture / 255
    for number in range(CONVOLUTIONS):
        kernel, around = weights[f"weight_{number}"].astype(float), np.pad(features, ((1, 1), (1, 1), (0, 0)))
        features = np.array(
            [[np.tensordot(around[y : y + 3, x : x + 3], kernel, 3) for x in range(width)] for y in range(height)]
        )
        features += weights[f"bias_{number}"]
        if number < CONVOLUTIONS - 1:
            features = np.maximum(features, 0) + weights[f"slope_{number}"] * np.minimum(features, 0)
    enlarged = np.empty((4 * height, 4 * width, 3))
    for y, x, colour in np.ndindex(enlarged.shape):
        place = 16 * colour + 4 * (y % 4) + x % 4
        enlarged[y, x, colour] = features[y // 4, x // 4, place] + picture[y // 4, x // 4, colour] / 255
    return np.clip(enlarged * 255, 0, 255)


@pytest.mark.parametrize("size", [(10, 12), (7, 1), (1, 5)])
def test_real_esrgan_is_what_the_definition_says(size):
    picture = PATTERN[: size[0], : size[1]]
    assert np.abs(RealEsrganNetwork().upscale(picture, 0) - defined_network(picture)).max() <= 0.51


def test_it_answers_as_ncnn_does_with_the_published_files():
    """Some pixels of what ncnn 1.0 made of the pattern with `RealESRGAN_General_x4_v3`."""
    found = RealEsrganNetwork().upscale(PATTERN, 0)[::13, ::16].astype(int)
    published = [
        [[20, 42, 73], [178, 194, 106], [77, 73, 108]],
        [[154, 204, 178], [88, 61, 97], [136, 111, 150]],
        [[37, 99, 118], [171, 126, 79], [162, 171, 199]],
        [[211, 228, 79], [150, 163, 197], [120, 53, 83]],
    ]
    assert np.abs(found - published).max() <= 1


def test_strips_of_real_esrgan_leave_no_seam(monkeypatch):
    tall = np.resize(PATTERN, (150, 3, 3))
    whole = RealEsrganNetwork().upscale(tall, 0)
    monkeypatch.setattr(RealEsrganNetwork, "strip_pixels", 1)
    assert np.abs(RealEsrganNetwork().upscale(tall, 0).astype(int) - whole).max() <= 1
