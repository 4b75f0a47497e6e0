"""What is shown: the overlay, the safe picture, and where nothing was added."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import detail as naive
from PIL import Image as PillowImage
from support.synthetic import draw, photograph, reduced

from blackbox_conformal.errors import ImageError, MapError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.overlay import DIFFERING, OUTLINE, overlay
from blackbox_conformal.method.images.photographs import demo_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.metrics._detail import ADDED, CONTRADICTED, NOT_ADDED, about_detail, kinds_of_detail
from blackbox_conformal.method.safe_pictures import (
    back_projected,
    may_be_shown,
    picture_to_show,
    safe_picture,
    safe_statement,
)

PHOTOGRAPH = read_image(demo_photographs()[0].path).pixels


def disc(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2


def masked(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    delivered, outside = source.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return delivered, source.random((height, width)) < source.random(), outside


SEEDS, SIDES = st.integers(0, 2**32 - 1), st.integers(1, 40)


@pytest.mark.parametrize("side", [64, 256, 1024])
@pytest.mark.parametrize("ground", [0, 60, 128, 200, 255])
def test_dots_are_seen_on_every_ground_where_nothing_was_added_and_nowhere_else(side: int, ground: int) -> None:
    grey = np.full((side, side, 3), ground, np.uint8)
    mask, detail = np.ones((side, side), bool), np.full((side, side), ADDED, np.uint8)
    mask[: side // 2] = False
    detail[:, : side // 2] = NOT_ADDED
    marked, plain = overlay(grey, mask, detail), overlay(grey, mask)
    changed = (marked != plain).any(axis=2)
    assert not changed[~mask | (detail == ADDED)].any()
    assert {*np.unique(marked[changed])} <= {0, 255}
    # A quarter of dots each way: enough to see, little enough to see the picture.
    assert 0.005 < changed[side // 2 :, : side // 2].mean() < 0.05
    apart = np.abs(marked.astype(int) - ground)[mask & (detail == NOT_ADDED)].max()
    assert apart >= 127
    assert np.array_equal(overlay(grey, mask, np.ones_like(detail)), plain)


def test_trusted_pixels_are_untouched_and_others_hatched() -> None:
    mask, before = disc(*PHOTOGRAPH.shape[:2], 170), PHOTOGRAPH.copy()
    marked = overlay(PHOTOGRAPH, mask)
    assert np.array_equal(marked[mask], PHOTOGRAPH[mask])
    assert np.array_equal(PHOTOGRAPH, before)
    assert marked.dtype == np.uint8
    assert not np.array_equal(marked[~mask], PHOTOGRAPH[~mask])
    assert np.array_equal(overlay(PHOTOGRAPH, np.ones_like(mask)), PHOTOGRAPH)
    nothing = overlay(PHOTOGRAPH, np.zeros_like(mask))
    assert not (nothing == OUTLINE.astype(np.uint8)).all(axis=2).any(), "no outline"
    assert nothing.max() <= 0.66 * 255 + 61


@given(SEEDS, SIDES, SIDES)
def test_any_size_and_any_mask(seed: int, height: int, width: int) -> None:
    pixels, mask, _ = masked(seed, height, width)
    marked = overlay(pixels, mask)
    assert marked.shape == pixels.shape
    assert np.array_equal(marked[mask], pixels[mask])


def test_what_is_unproven_shows_below_the_hatch_and_what_is_contradicted_is_darker_and_crossed() -> None:
    mask, detail = np.ones(PHOTOGRAPH.shape[:2], bool), np.full(PHOTOGRAPH.shape[:2], ADDED, np.uint8)
    mask[:, 256:] = False
    detail[256:] = CONTRADICTED
    marked, plain = (each.astype(int).mean(axis=2) for each in (overlay(PHOTOGRAPH, mask, detail), PHOTOGRAPH))
    assert np.array_equal(marked[mask], plain[mask])
    assert np.corrcoef(marked[:256, 260:].ravel(), plain[:256, 260:].ravel())[0, 1] > 0.8
    left = marked[:, 260:] / np.maximum(plain[:, 260:], 1)
    unproven, against = np.quantile(left[:256], 0.2), np.quantile(left[256:], 0.2)
    assert 0.55 < unproven < 0.75
    assert against < 0.8 * unproven
    assert float(OUTLINE @ [0.299, 0.587, 0.114]) > 0.66 * 255


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


def test_what_does_not_fit_is_refused() -> None:
    delivered, mask, outside = masked(1, 12, 12)
    for wrong in (mask[1:], mask.astype(np.uint8)):
        with pytest.raises(MapError, match="bool mask"):
            overlay(delivered, wrong)
        with pytest.raises(MapError, match="bool mask"):
            safe_picture(delivered, wrong, outside)
    with pytest.raises(ImageError):
        overlay(delivered[..., 0], mask)
    with pytest.raises(MapError, match="to show outside"):
        safe_picture(delivered, mask, outside[1:])
    with pytest.raises(UsageError, match="feather of 0 pixels or more"):
        safe_picture(delivered, mask, outside, -1)


BICUBIC, JPEG = (Mixture.of_text(text).at(4) for text in ("bicubic", "bicubic+jpeg:75"))
GREY = Mixture.of_text("grey").at(1)


@given(SEEDS, SIDES, SIDES)
def test_every_pixel_is_the_delivered_one_or_that_outside(seed: int, height: int, width: int) -> None:
    delivered, mask, outside = masked(seed, height, width)
    before = delivered.copy(), mask.copy(), outside.copy()
    safe = safe_picture(delivered, mask, outside)
    assert np.array_equal(safe, np.where(mask[..., None], delivered, outside))
    assert all(np.array_equal(*pair) for pair in zip(before, (delivered, mask, outside), strict=True))


def test_pictures_to_show_are_what_their_names_say() -> None:
    delivered, _, _ = masked(3, 24, 32)
    low = np.random.default_rng(4).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    shown = {name: picture_to_show(name, delivered, low, BICUBIC) for name in may_be_shown(BICUBIC, 4, "first")}
    assert list(shown) == ["delivered", "consistent", "reference", "enlargement"]
    assert shown["delivered"] is delivered
    assert np.array_equal(shown["consistent"], back_projected(delivered, low, BICUBIC.linear_part(), 2))
    assert np.array_equal(shown["reference"], reference(low, 4))
    plain = np.asarray(PillowImage.fromarray(low).resize((32, 24), PillowImage.Resampling.BICUBIC))
    assert np.array_equal(shown["enlargement"], plain)
    assert np.array_equal(picture_to_show("reference", delivered, low, JPEG), reference(low, 4, degraded=True))


def test_only_what_there_is_may_be_shown() -> None:
    assert may_be_shown(JPEG, 4, "first") == ("delivered", "reference", "enlargement")
    assert may_be_shown(BICUBIC, 4, "consistent:steps=2") == ("delivered", "reference", "enlargement")
    assert may_be_shown(GREY, 1, "mean") == ("delivered", "consistent", "enlargement")
    low = masked(3, 6, 8)[0]
    assert np.array_equal(picture_to_show("enlargement", 255 - low, low, GREY), low)


def steps_away(mask: np.ndarray) -> np.ndarray:
    """Steps to a side, up or down from each pixel to the nearest trusted one, by looking at all of them."""
    trusted = np.argwhere(mask)
    rows, columns = np.indices(mask.shape)
    return np.abs(np.stack([rows, columns], axis=-1)[:, :, None] - trusted).sum(axis=-1).min(axis=-1)


@pytest.mark.parametrize("feather", [1, 3, 5])
def test_a_feather_fades_outside_and_touches_no_trusted_pixel(feather: int) -> None:
    delivered, outside = np.full((24, 32, 3), 200, np.uint8), np.full((24, 32, 3), 80, np.uint8)
    mask = np.zeros((24, 32), bool)
    mask[8:14, 10:15] = mask[20, 30] = True
    safe = safe_picture(delivered, mask, outside, feather)
    share = np.clip(1 - steps_away(mask) / (feather + 1), 0, 1)
    assert np.array_equal(safe[..., 1], np.rint(80 + 120 * share))
    assert (safe[mask] == 200).all()
    assert (safe[steps_away(mask) > feather] == 80).all()


@given(SEEDS, st.integers(0, 12))
def test_trusted_pixels_are_exact_with_any_feather_and_without_one_nothing_is_left(seed: int, feather: int) -> None:
    delivered, mask, outside = masked(seed, 10, 14)
    assert np.array_equal(safe_picture(delivered, mask, outside, feather)[mask], delivered[mask])
    nothing = np.zeros_like(mask)
    assert np.array_equal(safe_picture(delivered, nothing, outside, 9), safe_picture(255 - delivered, nothing, outside))


def test_what_is_promised_names_what_is_outside() -> None:
    assert "outside it is a blend; of what is outside nothing is promised" in safe_statement("a blend", feather=0)
    assert "fades over 8 pixels" in safe_statement("a blend", feather=8)
    unguaranteed = safe_statement("a blend", feather=0, guaranteed=False)
    assert "all of it is a blend, of which nothing is promised" in unguaranteed


ANY_BICUBIC = Mixture.of_text("bicubic")


@pytest.mark.parametrize(("scale", "sigma"), [(1, 4.0), (2, 2.0), (4, 4.0)])
def test_it_is_the_share_s_numerator_below_three_grey_levels(scale, sigma):
    truth = photograph(1, (16, 24))
    low = reduced(truth, scale) if scale > 1 else truth
    delivered = draw(truth, 1, 4)
    plain = bicubic_up(low, scale)
    _, whole = naive.unexplained(delivered, truth, plain, sigma)
    found = kinds_of_detail(delivered, low, ANY_BICUBIC)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == NOT_ADDED, whole < 9)
    assert not kinds_of_detail(plain, low, ANY_BICUBIC).any()


def test_a_cast_of_colour_adds_no_detail_but_colours_do_where_inputs_have_lost_theirs_and_all_in_holes():
    truth = photograph(2, (24, 28))
    low = reduced(truth, 4)
    cast = np.clip(bicubic_up(low, 4).astype(int) // 2 + np.array([60, 50, 40]), 0, 255).astype(np.uint8)
    tinted = (bicubic_up(low, 4) // 2 + np.array([45, 45, 45])).astype(np.uint8)
    assert not kinds_of_detail(cast, tinted, ANY_BICUBIC).any()
    assert kinds_of_detail(cast, tinted, Mixture.of_text("grey")).all()
    assert (kinds_of_detail(truth, truth, Mixture.of_text("holes:share=0.1,side=4")) == ADDED).all()


def test_detail_is_contradicted_where_the_free_enlargement_shows_other_detail_and_nowhere_else():
    truth = PHOTOGRAPH[:192, :192]
    low = reduced(np.ascontiguousarray(truth), 4)
    free, plain = (picture.astype(int) for picture in (reference(low, 4), bicubic_up(low, 4)))
    against = np.clip(2 * plain - free, 0, 255).astype(np.uint8)
    shares = {}
    for name, delivered in (("against", against), ("truth", truth), ("free", free.astype(np.uint8))):
        found = kinds_of_detail(delivered, low, ANY_BICUBIC)
        shares[name] = (found == CONTRADICTED).sum() / (found != NOT_ADDED).sum()
    assert shares["against"] > 0.95
    assert shares["truth"] < 0.02
    assert shares["free"] == 0


def test_places_that_differ_are_framed_and_hatched_across_the_stripes_and_nothing_else_is_touched():
    mask = np.ones(PHOTOGRAPH.shape[:2], bool)
    mask[:, 256:] = False
    box, line = (100, 40, 90, 120), (0, 300, 512, 8)
    marked, plain = overlay(PHOTOGRAPH, mask, None, [box, line]), overlay(PHOTOGRAPH, mask)
    inside = np.zeros_like(mask)
    for top, left, height, width in (box, line):
        inside[top : top + height, left : left + width] = True
        part = marked[top : top + height, left : left + width]
        cyan = (part == DIFFERING).all(2)
        assert cyan[0].all()
        assert cyan[:, -1].all()
        assert 0.1 < cyan.mean() < 0.6
        assert (part == 0).all(2).any()
        shown = part[~cyan & (part != 0).any(2)]
        below = plain[top : top + height, left : left + width][~cyan & (part != 0).any(2)]
        assert np.array_equal(shown, below)
    assert np.array_equal(marked[~inside], plain[~inside])
    # A stripe of the mask keeps x + y, a line of the hatch x - y.
    rows = (marked[110:170, 60:140] == DIFFERING).all(2)
    assert np.array_equal(rows[1:, 1:], rows[:-1, :-1])


@pytest.mark.parametrize("metric", ["invention", "lab-l1"])
@pytest.mark.parametrize("within", [None, "by-cluster"])
def test_a_promise_is_about_detail_by_its_metric_or_by_itself(metric, within):
    for guarantee in ("marked", "clear-share", "expected"):
        inner = {} if within is None else {"of": guarantee, "clusters": ("a", "b")}
        found = about_detail({"name": within or guarantee, **inner}, {"name": metric})
        assert found == (metric == "invention" or guarantee != "expected")


@pytest.mark.parametrize(
    ("guarantee", "metric", "about"),
    [
        ({"name": "expected", "bound_new": "from the picture itself", "bound_from": "input"}, "lab-l1", False),
        ({"name": "expected"}, "invention", True),
        ({"name": "marked", "largest_error": 0.3}, "lab-l1", True),
        ({"name": "by-group", "of": "by-cluster", "parameters": {"of": "clear-share", "parameters": {}}}, "ssim", True),
        ({"name": "by-group", "of": "false-trust", "parameters": {"tolerance": 0.1}}, "lab-l1", False),
    ],
)
def test_what_a_guarantee_is_about_is_told_without_making_it(
    guarantee: dict[str, object], metric: str, about: bool
) -> None:
    assert about_detail(guarantee, {"name": metric}) is about
