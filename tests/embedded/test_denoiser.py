"""The denoiser: what it computes, by definition on a small picture, and that noise goes and the picture stays."""

import math
from itertools import product

import numpy as np
import pytest
from support.synthetic import photograph

from blackbox_conformal.embedded.studio import REJECTED, Denoiser, noise_level
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.support.types import Image


def noisy(picture: Image, sigma: float) -> Image:
    noise = np.random.default_rng(3).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def decibels(picture: Image, truth: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((picture.astype(float) - truth) ** 2)))


def cosine(order: int, place: int, count: int) -> float:
    scale = math.sqrt((1 if order == 0 else 2) / count)
    return scale * math.cos(math.pi * order * (2 * place + 1) / (2 * count))


def by_definition(picture: Image) -> np.ndarray:
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
def test_it_is_what_the_definition_says(size):
    picture = noisy(photograph(1)[: size[0], : size[1]], 12)
    assert np.abs(Denoiser().denoise(picture, 0) - by_definition(picture)).max() <= 0.51


def test_noise_goes_and_the_picture_stays():
    truth = photograph(2)
    for sigma in (8, 15, 30):
        given = noisy(truth, sigma)
        assert decibels(Denoiser().denoise(given, 0), truth) > decibels(given, truth) + 1
    assert decibels(Denoiser().denoise(truth, 0), truth) > 35


def test_the_noise_level_is_found():
    plane = np.random.default_rng(0).normal(100, 12, (200, 300)).astype(np.float32)
    assert (noise_level(plane), noise_level(plane[:1])) == (pytest.approx(12, rel=0.03), 0.0)


def test_the_same_picture_gives_the_same_bytes_whatever_the_seed():
    given = noisy(photograph(3), 10)
    assert Denoiser().denoise(given, 0).tobytes() == Denoiser().denoise(given, 2**32 - 1).tobytes()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 30, 3), (7, 2, 3)])
def test_tiny_pictures(shape):
    flat = np.full(shape, 77, np.uint8)
    assert np.array_equal(Denoiser().denoise(flat, 0), flat)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError):
        Denoiser().denoise(np.zeros((4, 4), np.uint8), 0)
    with pytest.raises(UsageError):
        Denoiser().denoise(np.zeros((4, 4, 3), np.uint8), -1)
