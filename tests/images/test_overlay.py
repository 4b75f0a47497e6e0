"""What the overlay promises: trusted pixels untouched, untrusted ones plainly different for every eye."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackbox_conformal.errors import ImageError, MapError
from blackbox_conformal.method.images.overlay import OUTLINE, overlay, veil
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image

PHOTOGRAPH = read_image(demo_photographs()[0].path).pixels


def disc(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2


@pytest.mark.parametrize("side", [64, 256, 1024])
@pytest.mark.parametrize("ground", [0, 60, 128, 200, 255])
def test_dots_are_seen_on_every_ground_where_nothing_was_added_and_nowhere_else(side: int, ground: int) -> None:
    grey = np.full((side, side, 3), ground, np.uint8)
    mask, unchanged = np.ones((side, side), bool), np.zeros((side, side), bool)
    mask[: side // 2] = False
    unchanged[:, : side // 2] = True
    marked, plain = overlay(grey, mask, unchanged), overlay(grey, mask)
    changed = (marked != plain).any(axis=2)
    assert not changed[~(mask & unchanged)].any()
    assert {*np.unique(marked[changed])} <= {0, 255}
    # A quarter of dots each way: enough to see, little enough to see the picture.
    assert 0.005 < changed[side // 2 :, : side // 2].mean() < 0.05
    apart = np.abs(marked.astype(int) - ground)[mask & unchanged].max()
    assert apart >= 127
    assert np.array_equal(overlay(grey, mask, np.zeros_like(mask)), plain)


def test_trusted_pixels_are_untouched() -> None:
    mask = disc(*PHOTOGRAPH.shape[:2], 170)
    before = PHOTOGRAPH.copy()
    marked = overlay(PHOTOGRAPH, mask)
    assert np.array_equal(marked[mask], PHOTOGRAPH[mask])
    assert np.array_equal(PHOTOGRAPH, before)
    assert marked.dtype == np.uint8
    assert not np.array_equal(marked[~mask], PHOTOGRAPH[~mask])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_size_and_any_mask(height: int, width: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    pixels = source.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = source.random((height, width)) < source.random()
    marked = overlay(pixels, mask)
    assert marked.shape == pixels.shape
    assert np.array_equal(marked[mask], pixels[mask])


def test_all_trusted_changes_nothing() -> None:
    assert np.array_equal(overlay(PHOTOGRAPH, np.ones(PHOTOGRAPH.shape[:2], bool)), PHOTOGRAPH)


def test_nothing_trusted_is_hatched_throughout_without_an_outline() -> None:
    marked = overlay(PHOTOGRAPH, np.zeros(PHOTOGRAPH.shape[:2], bool))
    assert not (marked == OUTLINE.astype(np.uint8)).all(axis=2).any()
    assert marked.max() <= 160


def test_dimmed_pixels_are_darker_and_nearly_grey() -> None:
    marked = PHOTOGRAPH.copy()
    veil(marked, np.zeros(PHOTOGRAPH.shape[:2], bool), 6, 0)
    marked = marked.astype(int)
    assert np.ptp(marked, axis=2).max() <= 0.15 * 0.42 * 255 + 1
    bright = PHOTOGRAPH.min(axis=2) > 100
    assert (marked[bright].mean(axis=1) < 0.6 * PHOTOGRAPH[bright].mean(axis=1)).all()


def test_stripes_are_lighter_and_run_diagonally() -> None:
    grey = np.full((400, 400, 3), 90, np.uint8)
    marked = overlay(grey, np.zeros((400, 400), bool)).astype(int)[..., 0]
    light, dark = marked.max(), marked.min()
    assert light - dark > 30
    assert np.array_equal(marked[1:, :-1], marked[:-1, 1:])
    assert 0.15 < (marked == light).mean() < 0.35


def test_the_outline_is_thin_closed_and_on_the_untrusted_side() -> None:
    mask = disc(200, 200, 60)
    marked = overlay(np.full((200, 200, 3), 60, np.uint8), mask)
    outline = (marked == OUTLINE.astype(np.uint8)).all(axis=2)
    neighbours = np.zeros_like(mask)
    neighbours[1:] |= mask[:-1]
    neighbours[:-1] |= mask[1:]
    neighbours[:, 1:] |= mask[:, :-1]
    neighbours[:, :-1] |= mask[:, 1:]
    assert np.array_equal(outline, neighbours & ~mask)


def test_marks_grow_with_the_picture() -> None:
    def runs(side: int) -> float:
        marked = overlay(np.full((side, side, 3), 90, np.uint8), np.zeros((side, side), bool))[0, :, 0].astype(int)
        return float((np.diff(marked) > 0).sum())

    small, large = runs(400), runs(1600)
    assert abs(small - large) <= 0.2 * small


def test_amber_differs_in_lightness_from_what_is_dimmed() -> None:
    amber = float(OUTLINE @ [0.299, 0.587, 0.114])
    assert amber > 1.5 * 0.42 * 255


def test_what_does_not_fit_is_refused() -> None:
    mask = np.ones(PHOTOGRAPH.shape[:2], bool)
    with pytest.raises(MapError, match="bool mask"):
        overlay(PHOTOGRAPH, mask[1:])
    with pytest.raises(MapError, match="bool mask"):
        overlay(PHOTOGRAPH, mask.astype(np.uint8))
    with pytest.raises(ImageError):
        overlay(PHOTOGRAPH[..., 0], mask)
