"""JPEG: which files it goes through, and where their blocks lie."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture

GRADIENT = np.fromfunction(lambda y, x, c: 30 + x + 0 * (y + c), (64, 80, 3)).astype(np.uint8)
PICTURE = np.random.default_rng(5).integers(0, 256, (40, 48, 3), np.uint8)


def made(text, picture, *key):
    return Mixture.of_text(text).apply(picture, 1, *(key or ("key",)))


def test_is_what_pillow_reads_of_the_file_it_writes():
    for quality, subsampling in ((10, "4:2:0"), (75, "4:2:2"), (95, "4:4:4")):
        file = io.BytesIO()
        PillowImage.fromarray(PICTURE).save(file, "JPEG", quality=quality, subsampling=subsampling)
        expected = np.asarray(PillowImage.open(file))
        np.testing.assert_array_equal(made(f"jpeg:{quality},subsampling={subsampling}", PICTURE), expected)


def starts_of_steps(low):
    """The columns whose green differs from the column before on at least half of the rows."""
    return 1 + np.flatnonzero(np.median(np.abs(np.diff(low[..., 1].astype(int), axis=1)), axis=0))


@pytest.mark.parametrize("place", [0, 3, 7, 11])
def test_a_gradient_has_its_steps_at_the_stated_grid(place):
    # So coarse that only the mean of each block is left, and neighbours may have the same.
    along = starts_of_steps(made(f"jpeg:10,grid={place}x0", GRADIENT))
    down = starts_of_steps(made(f"jpeg:10,grid=0x{place}", GRADIENT.transpose(1, 0, 2)).transpose(1, 0, 2))
    for starts in (along, down):
        assert len(starts) >= 7
        assert set(starts % 8) == {place % 8}


def test_a_grid_place_is_what_cropping_a_saved_picture_leaves():
    file = io.BytesIO()
    PillowImage.fromarray(np.pad(PICTURE, ((11, 0), (13, 0), (0, 0)), "symmetric")).save(
        file, "JPEG", quality=40, subsampling="4:2:0"
    )
    cropped = np.asarray(PillowImage.open(file))[11:, 13:]
    np.testing.assert_array_equal(made("jpeg:40,grid=3x5", PICTURE), cropped)


def test_a_random_grid_takes_every_place():
    places = {made("jpeg:40,grid=random", PICTURE, k).tobytes() for k in range(1500)}
    assert len(places) == 256


def test_qualities_are_drawn_within_the_range_and_reach_its_ends():
    expected = {made(f"jpeg:{quality}", PICTURE).tobytes() for quality in range(60, 64)}
    assert {made("jpeg:60-63", PICTURE, k).tobytes() for k in range(60)} == expected


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("jpeg:0", "expected 1 to 100"),
        ("jpeg:60.5", "expected a whole number"),
        ("jpeg:75,subsampling=4:1:1", "subsampling"),
        ("jpeg:75,grid=16x0", "expected XxY with 0 to 15 each, such as 3x5, or random; got '16x0'"),
    ],
)
def test_a_parameter_that_jpeg_does_not_have_is_refused(typed, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed)


def test_a_side_that_no_jpeg_has_is_refused():
    with pytest.raises(ImageError, match=r"at most 65500 pixels.*got 65501×1. Use a smaller photograph"):
        made("jpeg:75", np.zeros((1, 65501, 3), np.uint8))
