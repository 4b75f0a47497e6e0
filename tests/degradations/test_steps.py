"""Sharpening, WebP, holes and rescaling: each against another program's result, or what it says of itself."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageFilter
from skimage.filters import unsharp_mask

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.degradations.holes import Holes
from blackbox_conformal.method.images.making_inputs import resized

PICTURE = np.random.default_rng(5).integers(0, 256, (40, 48, 3), np.uint8)
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
    with pytest.raises(ImageError, match="at most 16383 pixels"):
        made("webp:40", np.zeros((1, 16384, 3), np.uint8))


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
    expected = {
        made(f"rescale:0.5,filter={name}+bicubic", PICTURE, scale=4).tobytes()
        for name in ("area", "bilinear", "bicubic")
    }
    assert {made("rescale:0.5,filter=random+bicubic", PICTURE, k, scale=4).tobytes() for k in range(40)} == expected


def test_a_chain_that_ends_with_a_rescaled_size_is_refused():
    with pytest.raises(UsageError, match=r"Add \+bicubic"):
        made("bicubic:2+rescale:0.5", PICTURE, scale=4)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("holes:0.1,colour=red", "expected a colour as RRGGBB, such as ff00ff; got 'red'"),
        ("holes:0.95", "expected 0 to 0.9"),
        ("holes:0.1,side=2", "expected 4 to 4096"),
        ("rescale", "ratio is required"),
        ("unsharp:50.5", "expected a whole number"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(typed, said):
    with pytest.raises(UsageError, match=said):
        Mixture.of_text(typed)
