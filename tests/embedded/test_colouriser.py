"""The embedded vendor's colouriser: luma, seeds, sizes, strips, and how well its draws describe real photographs."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import numpy.typing as npt
import pytest
from naive import chroma as naive
from PIL import Image
from skimage import data

from blackbox_conformal.embedded import studio
from blackbox_conformal.embedded.studio import Colouriser
from blackbox_conformal.errors import ImageError, UsageError

Picture = npt.NDArray[np.uint8]
LUMA = (0.299, 0.587, 0.114)


@pytest.fixture(scope="module")
def model():
    return Colouriser()


def photograph(name: str, side: int = 192) -> Picture:
    picture = Image.fromarray(getattr(data, name)()[..., :3])
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def grey(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


@pytest.fixture(scope="module")
def cat():
    return grey(photograph("chelsea"))


def test_same_seed_gives_same_bytes(model, cat):
    first = model.colourise(cat, 7)
    assert (first.shape, first.dtype) == (cat.shape, np.uint8)
    assert first.flags.c_contiguous
    assert first.tobytes() == model.colourise(cat, 7).tobytes()
    assert first.tobytes() == Colouriser().colourise(cat.copy(), 7).tobytes()


def test_every_seed_colours_the_whole_picture_another_way(model, cat):
    draws = np.stack([model.colourise(cat, seed) for seed in (0, 1, 2, 2**32 - 1)]).astype(int)
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        assert (draws[i] != draws[j]).any(axis=-1).mean() > 0.7
        assert 1 < np.abs(draws[i] - draws[j]).mean() < 60


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_luma_stays(model, cat, seed):
    drawn = model.colourise(cat, seed)
    assert np.ptp(drawn, axis=-1).mean() > 2
    assert np.abs(drawn @ LUMA - cat[..., 0]).max() <= 0.501


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (33, 14), (50, 1), (32, 64), (129, 131)])
def test_any_size(model, height, width):
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 1), dtype=np.uint8).repeat(3, axis=-1)
    drawn = model.colourise(picture, 1)
    assert drawn.shape == picture.shape
    assert np.abs(drawn @ LUMA - picture[..., 0]).max() <= 0.501


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_have_no_colour(model, level):
    picture = np.full((40, 24, 3), level, np.uint8)
    assert np.array_equal(model.colourise(picture, 3), picture)


def test_strips_change_nothing(cat):
    whole = Colouriser(strip_pixels=10**9).colourise(cat, 11)
    assert np.array_equal(whole, Colouriser(strip_pixels=1).colourise(cat, 11))


def test_a_picture_in_colour_is_taken_as_its_luma(model):
    cat = photograph("chelsea")
    drawn = model.colourise(cat, 0)
    assert np.abs(drawn @ LUMA - cat @ LUMA).max() <= 0.501
    assert np.abs(drawn.astype(int) - model.colourise(grey(cat), 0)).mean() < 1


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))],
)
def test_wrong_pictures_are_refused(model, picture):
    with pytest.raises(ImageError, match="Expected a picture of shape"):
        model.colourise(picture, 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_wrong_seeds_are_refused(model, cat, seed):
    with pytest.raises(UsageError, match="Expected a seed"):
        model.colourise(cat, seed)


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
        truth = photograph(name, 256)
        draws = np.stack([model.colourise(grey(truth), seed) for seed in range(8)]).astype(float)
        of_grey, of_draws = (np.abs(picture - truth).mean() for picture in (grey(truth), draws.mean(axis=0)))
        outside = np.mean((truth < draws.min(axis=0) - 0.5) | (truth > draws.max(axis=0) + 0.5))
        rows.append([of_grey - of_draws, np.ptp(draws, axis=-1).mean() / np.ptp(truth, axis=-1).mean(), outside])
    gain, share_of_colour, share_outside = np.mean(rows, axis=0)
    assert gain > 1
    assert 0.3 < share_of_colour < 1.5
    assert share_outside < 0.7
