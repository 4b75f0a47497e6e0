"""A picture's identity is its content, and PNGs that are written read back as what went in."""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.picture_files import scene

from blackbox_conformal.errors import ImageError, MapError
from blackbox_conformal.method.images.encode import (
    LARGEST_LEVEL,
    NO_SCORE,
    grey_png,
    image_png,
    mask_png,
    score_map_png,
    upload_png,
)
from blackbox_conformal.method.images.picture import check_pixels, is_blank, pixels_digest
from blackbox_conformal.method.images.read import read_image


def test_a_picture_reads_back_and_holds_nothing_else() -> None:
    content = image_png(scene())
    with Image.open(io.BytesIO(content)) as opened:
        assert np.array_equal(np.asarray(opened), scene())
        assert (opened.mode, opened.info) == ("RGB", {})
    assert content == image_png(np.asfortranarray(scene()))
    names = [content[at + 4 : at + 8] for at in chunk_starts(content)]
    assert set(names) == {b"IHDR", b"IDAT", b"IEND"}
    with pytest.raises(ImageError):
        image_png(scene()[..., 0])


def chunk_starts(content: bytes) -> list[int]:
    starts, at = [], 8
    while at < len(content):
        starts.append(at)
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return starts


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 8), (9, 17)])
def test_a_mask_is_one_bit_and_white_is_trusted(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    with Image.open(io.BytesIO(mask_png(mask))) as opened:
        assert opened.mode == "1"
        assert np.array_equal(np.asarray(opened), mask)
        assert np.array_equal(np.asarray(opened.convert("L")), np.where(mask, 255, 0))


def test_other_masks_and_maps_are_refused() -> None:
    for mask in (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), bool), np.zeros((0, 2), bool)):
        with pytest.raises(MapError, match="bool mask"):
            mask_png(mask)
    for values in (np.zeros((2, 2), int), np.zeros(4, np.float32), np.zeros((0, 3), np.float32)):
        with pytest.raises(MapError, match="score map"):
            score_map_png(values)


def levels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.mode == "I;16"
        return np.asarray(opened)


@given(st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=40))
def test_scores_read_back_to_half_a_step_in_the_same_order(values: list[float]) -> None:
    scores = np.array([values], dtype=np.float32)
    content, scaling = score_map_png(scores)
    found = levels(content).astype(np.float64)
    assert found.max() <= LARGEST_LEVEL
    restored = scaling["offset"] + scaling["step"] * found
    assert np.abs(restored - scores).max() <= scaling["step"] * 0.5000001
    order = np.argsort(scores[0], kind="stable")
    assert (np.diff(found[0][order]) >= 0).all()


@pytest.mark.parametrize(
    ("values", "found", "offset", "step"),
    [
        ([2.0, 3.0, 4.0], [0, LARGEST_LEVEL // 2, LARGEST_LEVEL], 2.0, 2.0 / LARGEST_LEVEL),
        ([1.0, np.nan, np.inf, 2.0], [0, NO_SCORE, NO_SCORE, LARGEST_LEVEL], 1.0, 1.0 / LARGEST_LEVEL),
        ([np.nan] * 4, [NO_SCORE] * 4, 0.0, 1.0),
        ([7.5] * 4, [0] * 4, 7.5, 1.0),
    ],
)
def test_the_whole_range_of_levels_is_used_and_one_is_of_pixels_without_a_score(values, found, offset, step) -> None:
    content, scaling = score_map_png(np.array([values], np.float32))
    assert levels(content).tolist() == [found]
    assert scaling == {"offset": offset, "step": step, "no_score": NO_SCORE}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_any_picture_reads_back(height: int, width: int, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(image_png(pixels))) as opened:
        assert (opened.mode, opened.info) == ("RGB", {})
        assert np.array_equal(np.asarray(opened), pixels)
    with Image.open(io.BytesIO(grey_png(pixels[..., 0]))) as opened:
        assert opened.mode == "L"
        assert np.array_equal(np.asarray(opened), pixels[..., 0])


def test_the_packages_own_decoder_takes_it_and_notices_a_cut() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 600, 3), dtype=np.uint8)
    content = image_png(pixels)
    assert np.array_equal(read_image(content).pixels, pixels)
    assert read_image(content).digest == read_image(upload_png(pixels)).digest
    for cut in (1, 40):
        with pytest.raises(ImageError, match="truncated"):
            read_image(image_png(np.zeros((8, 8, 3), np.uint8))[:-cut])


def test_digest_covers_size_and_pixels_and_does_not_depend_on_memory_layout() -> None:
    pixels = scene(4, 6)
    header = b"blackbox-conformal picture 1\nsRGB 8-bit RGB 6x4\n"
    assert pixels_digest(pixels) == "sha256:" + hashlib.sha256(header + pixels.tobytes()).hexdigest()
    assert pixels_digest(pixels) != pixels_digest(pixels.reshape(6, 4, 3))
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert pixels_digest(changed) != pixels_digest(pixels)
    assert pixels_digest(pixels[:, ::-1]) == pixels_digest(pixels[:, ::-1].copy())


def test_other_arrays_and_something_else_are_refused() -> None:
    for shape, kind in (((2, 2), np.uint8), ((2, 2, 4), np.uint8), ((2, 2, 3), np.float32), ((0, 2, 3), np.uint8)):
        with pytest.raises(ImageError, match="expected"):
            check_pixels(np.zeros(shape, kind))
    with pytest.raises(ImageError, match="list"):
        check_pixels([[0]])


@pytest.mark.parametrize(("spread", "blank"), [(0, True), (3, True), (4, False)])
def test_blank_is_one_colour(spread: int, blank: bool) -> None:
    pixels = np.full((4, 4, 3), (9, 100, 200), np.uint8)
    pixels[2, 2, 1] += spread
    assert is_blank(pixels) is blank
