"""PNG products read back as what went in."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.picture_files import scene

from blackbox_conformal.errors import ImageError, MapError
from blackbox_conformal.method.images.encode import LARGEST_LEVEL, NO_SCORE, image_png, mask_png, score_map_png


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


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), bool), np.zeros((0, 2), bool)])
def test_other_masks_are_refused(mask: np.ndarray) -> None:
    with pytest.raises(MapError, match="bool mask"):
        mask_png(mask)


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


def test_the_whole_range_of_levels_is_used() -> None:
    content, scaling = score_map_png(np.array([[2.0, 3.0, 4.0]], np.float32))
    assert levels(content).tolist() == [[0, LARGEST_LEVEL // 2, LARGEST_LEVEL]]
    assert scaling == {"offset": 2.0, "step": 2.0 / LARGEST_LEVEL, "no_score": NO_SCORE}


def test_pixels_without_a_score_have_a_level_of_their_own() -> None:
    content, scaling = score_map_png(np.array([[1.0, np.nan, np.inf, 2.0]], np.float32))
    assert levels(content).tolist() == [[0, NO_SCORE, NO_SCORE, LARGEST_LEVEL]]
    assert scaling["offset"] == 1.0
    content, scaling = score_map_png(np.full((2, 2), np.nan, np.float32))
    assert set(levels(content).ravel()) == {NO_SCORE}
    assert scaling["step"] == 1.0


def test_a_constant_map_is_level_nought() -> None:
    content, scaling = score_map_png(np.full((2, 2), 7.5, np.float32))
    assert levels(content).tolist() == [[0, 0], [0, 0]]
    assert scaling["offset"] == 7.5


def test_other_maps_are_refused() -> None:
    for values in (np.zeros((2, 2), int), np.zeros(4, np.float32), np.zeros((0, 3), np.float32)):
        with pytest.raises(MapError, match="score map"):
            score_map_png(values)
