"""Chains of degradations and their steps: how they are typed, and each against another program's result."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter
from skimage.filters import unsharp_mask

import blackbox_conformal
from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.holes import Holes
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.support import catalog

PHOTOGRAPH = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("typed", "scale", "short"),
    [
        ("bicubic", 4, "bicubic:4"),
        ("bicubic:4", 4, "bicubic:4"),
        ("bicubic:factor=4", 4, "bicubic:4"),
        ("area:2+bicubic", 4, "area:2+bicubic:2"),
        ("area : 2 + lanczos:2 + grey", 4, "area:2+lanczos:2+grey"),
        ("grey", 1, "grey"),
        ("75% bicubic | 25% area:2+grey", 2, "75% bicubic:2 | 25% area:2+grey"),
    ],
)
def test_a_chain_at_a_scale_has_every_factor_and_is_read_again_from_what_a_calibration_keeps(typed, scale, short):
    mixture = Mixture.of_text(typed).at(scale)
    assert mixture.text == short
    assert Mixture.of_text(mixture.specification) == mixture == Mixture.of_text(short)
    assert mixture.apply(PHOTOGRAPH, scale, "key").shape == (48 // scale, 64 // scale, 3)


def test_the_usual_chain_is_bicubic_reduction_and_what_is_linear_and_random_is_known():
    bicubic = Mixture.of_text("bicubic")
    np.testing.assert_array_equal(bicubic.at(4).apply(PHOTOGRAPH, 4, "key"), resized(PHOTOGRAPH, 16, 12))
    with pytest.raises(ImageError, match="multiples of 5"):
        bicubic.apply(PHOTOGRAPH, 5, "key")
    assert Mixture.of_text("area:2+grey").linear
    assert not Mixture.of_text("50% area:2 | 50% bicubic:2").linear
    assert [step.plugin_name() for step in Mixture.of_text("area:2+grey:chance=0.5").linear_part().steps] == ["area"]


@pytest.mark.parametrize(
    ("typed", "scale", "said"),
    [
        ("area:2", 4, "makes them 2 times smaller: change one of them"),
        ("grey", 4, r"makes them 1 times smaller: begin with bicubic:4\+"),
        ("area:3+bicubic", 4, "expected factors that divide 4"),
        ("bicubic", 1, "changes nothing at that size"),
        ("area+bicubic:2", 2, r"Add \+bicubic"),
        ("bicubic:2+rescale:0.5", 4, r"Add \+bicubic"),
    ],
)
def test_a_chain_that_makes_another_size_is_refused(typed, scale, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed).at(scale)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("bicubik", "did you mean bicubic"),
        ("grey:3", r"expected grey:KEY=VALUE; got 'grey:3'"),
        ("bicubic:0", "bicubic: factor"),
        ("bicubic:2,chance=0.5", "a step for every photograph"),
        ("60% bicubic | 30% area", "shares that add up to 100 %"),
        ("bicubic | area", "shares that add up to 100 %"),
        ("", "expected the name of a degradation"),
        ("bicubic+", "expected the name of a degradation"),
        ("+".join(["real-esrgan"] * 5), "at most 256 chains"),
        ("jpeg:0", "expected 1 to 100"),
        ("jpeg:60.5", "expected a whole number"),
        ("jpeg:75,subsampling=4:1:1", "subsampling"),
        ("jpeg:75,grid=16x0", "expected XxY with 0 to 15 each, such as 3x5, or random; got '16x0'"),
        ("holes:0.1,colour=red", "expected a colour as RRGGBB, such as ff00ff; got 'red'"),
        ("holes:0.95", "expected 0 to 0.9"),
        ("holes:0.1,side=2", "expected 4 to 4096"),
        ("rescale", "ratio is required"),
        ("unsharp:50.5", "expected a whole number"),
    ],
)
def test_a_text_that_is_no_chain_or_a_parameter_that_no_step_has_is_refused(typed, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed)


@pytest.mark.parametrize(
    "mixture", [Mixture.of_text("75% bicubic | 25% bicubic+grey").at(2), Mixture.of_text("grey:chance=0.25")]
)
def test_a_mixture_takes_each_chain_and_each_step_with_a_chance_as_often_as_it_says(mixture):
    assert mixture.random
    grey = [np.ptp(mixture.apply(PHOTOGRAPH, mixture.scale, "seed", k), axis=2).max() == 0 for k in range(400)]
    assert abs(np.mean(grey) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_equal_keys_give_equal_inputs_and_a_further_step_changes_no_other():
    mixture = Mixture.of_text("50% bicubic | 50% area").at(2)
    inputs = [mixture.apply(PHOTOGRAPH, 2, 0, f"sha256:{k}").tobytes() for k in range(20)]
    assert inputs == [mixture.apply(PHOTOGRAPH, 2, 0, f"sha256:{k}").tobytes() for k in range(20)]
    assert len(set(inputs)) == 2


GRADIENT = np.fromfunction(lambda y, x, c: 30 + x + 0 * (y + c), (64, 80, 3)).astype(np.uint8)
PICTURE = np.random.default_rng(5).integers(0, 256, (40, 48, 3), np.uint8)


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


def test_a_random_grid_takes_every_place_and_qualities_are_drawn_within_the_range_and_reach_its_ends():
    assert len({made("jpeg:40,grid=random", PICTURE, k).tobytes() for k in range(1500)}) == 256
    expected = {made(f"jpeg:{quality}", PICTURE).tobytes() for quality in range(60, 64)}
    assert {made("jpeg:60-63", PICTURE, k).tobytes() for k in range(60)} == expected


SMOOTH = resized(PICTURE[:10, :12], 48, 40)


def made(text, picture, *key, scale=1):
    return Mixture.of_text(text).at(scale).apply(picture, scale, *(key or ("key",)))


@pytest.mark.parametrize(("percent", "radius"), [(50, 0.7), (150, 2), (300, 1.3)])
def test_sharpening_is_that_of_scikit_image_up_to_rounding(percent, radius):
    expected = [
        unsharp_mask(PICTURE[..., c].astype(float), radius, percent / 100, preserve_range=True) for c in range(3)
    ]
    low = made(f"unsharp:{percent},radius={radius},threshold=0", PICTURE)
    # The blur is rounded to whole levels before it is weighed, the result after.
    assert np.abs(low - np.clip(np.stack(expected, 2), 0, 255)).max() <= percent / 100 * 0.55 + 1


def test_sharpening_takes_pillows_parameters():
    theirs = PillowImage.fromarray(SMOOTH).filter(ImageFilter.UnsharpMask(radius=2, percent=150, threshold=3))
    # Pillow's blur is three boxes, which are not quite a Gaussian.
    assert np.abs(made("unsharp", SMOOTH).astype(int) - np.asarray(theirs)).mean() < 1.5
    np.testing.assert_array_equal(made("unsharp:500,threshold=255", PICTURE), PICTURE)
    np.testing.assert_array_equal(made("unsharp:0,threshold=0", PICTURE), PICTURE)


def test_webp_is_what_pillow_reads_of_the_file_it_writes():
    file = io.BytesIO()
    PillowImage.fromarray(PICTURE).save(file, "WEBP", quality=40)
    np.testing.assert_array_equal(made("webp:40", PICTURE), np.asarray(PillowImage.open(file).convert("RGB")))
    for text, side, said in (
        ("webp:40", 16384, "at most 16383 pixels"),
        ("jpeg:75", 65501, r"at most 65500 pixels.*got 65501×1. Use a smaller photograph"),
    ):
        with pytest.raises(ImageError, match=said):
            made(text, np.zeros((1, side, 3), np.uint8))


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.9])
def test_holes_cover_the_share_and_leave_everything_else_untouched(share):
    low = made(f"holes:{share},side=4-8,colour=00ff00", PICTURE)
    mask = Holes(colour="00ff00").hidden(low)
    np.testing.assert_array_equal(low[~mask], PICTURE[~mask])
    assert (low[mask] == (0, 255, 0)).all()
    # The last rectangle may reach further than was missing.
    assert share <= mask.mean() <= share + 64 / mask.size


def test_every_pixel_is_as_likely_in_a_hole():
    black = np.zeros((12, 16, 3), np.uint8)
    masks = [Holes().hidden(made("holes:0.1,side=4-6", black, k)) for k in range(3000)]
    often = np.mean(masks, axis=0)
    assert np.abs(often / often.mean() - 1).max() < 0.3


def test_a_hole_is_where_all_three_channels_are_of_the_colour():
    picture = np.array([[[255, 0, 255], [255, 0, 254], [0, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(Holes().hidden(picture), [[True, False, False]])


def test_rescaling_is_pillows_and_the_next_step_corrects_the_size():
    between = PillowImage.fromarray(PICTURE).resize((29, 24), PillowImage.Resampling.BOX)
    expected = between.resize((24, 20), PillowImage.Resampling.BICUBIC)
    np.testing.assert_array_equal(made("rescale:0.6,filter=area+bicubic", PICTURE, scale=2), np.asarray(expected))
    twice = PillowImage.fromarray(PICTURE).resize((18, 15), PillowImage.Resampling.BICUBIC)
    expected = twice.resize((12, 10), PillowImage.Resampling.LANCZOS)
    np.testing.assert_array_equal(made("rescale:1.5,relative=input+lanczos", PICTURE, scale=4), np.asarray(expected))


def test_a_random_filter_is_one_of_three():
    texts = [f"rescale:0.5,filter={name}+bicubic" for name in ("area", "bilinear", "bicubic")]
    expected = {made(text, PICTURE, scale=4).tobytes() for text in texts}
    assert {made("rescale:0.5,filter=random+bicubic", PICTURE, k, scale=4).tobytes() for k in range(40)} == expected


PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "degradations.md").read_text(encoding="utf-8")
STEP = "|".join(catalog.names("degradations"))
TYPED = sorted(
    {
        text.strip("'").replace("\\|", "|")
        for text in re.findall(r"`([^`\n]+)`", PAGE)
        if re.fullmatch(rf"'?(\d+% )?({STEP})([:+|, ].*)?'?", text)
    }
    - {"rescale"}
)


@pytest.mark.parametrize("name", catalog.names("degradations"))
def test_every_step_and_preset_has_a_row(name):
    assert re.search(rf"^\|[^|]*`{name}`[^\n]*\|", PAGE, re.M)


@pytest.mark.parametrize("text", TYPED)
def test_what_the_page_gives_to_type_is_a_degradation(text):
    assert {"blur:1.5+bicubic:2+jpeg:60-95", "70% phone | 30% web"} <= set(TYPED)
    assert Mixture.of_text({"blur": "blur:1", "noise": "noise:1"}.get(text, text)).chains
