"""The degradation is Pillow's bicubic on a grid that nothing is moved on."""

import math

import numpy as np
import pytest
from support.picture_files import scene
from support.synthetic import reduced

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.encode import upload_png
from blackbox_conformal.method.images.making_inputs import bicubic_up, crop_note, crop_to_multiple, upload_from
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image


def keys(x: float) -> float:
    """Keys 1981 with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def naive_rows(pixels: np.ndarray, size: int) -> np.ndarray:
    """One pass over the rows: kernel widened when it shrinks, cut at the border and normalised, rounded to 8 bits."""
    scale = len(pixels) / size
    width = max(scale, 1.0)
    out = np.zeros((size, *pixels.shape[1:]))
    for row in range(size):
        centre = (row + 0.5) * scale
        first = max(0, math.floor(centre - 2 * width + 0.5))
        last = min(len(pixels), math.floor(centre + 2 * width + 0.5))
        weights = np.array([keys((index + 0.5 - centre) / width) for index in range(first, last)])
        out[row] = np.tensordot(weights / weights.sum(), pixels[first:last].astype(float), 1)
    return np.clip(np.floor(out + 0.5), 0, 255)


def naive_bicubic(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    across = naive_rows(np.swapaxes(pixels, 0, 1), width)
    return naive_rows(np.swapaxes(across, 0, 1), height)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_degrade_is_bicubic(scale: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 48, 3), dtype=np.uint8)
    low = reduced(pixels, scale)
    assert low.shape == (24 // scale, 48 // scale, 3)
    assert np.abs(low - naive_bicubic(pixels, 24 // scale, 48 // scale)).max() <= 1


def test_bicubic_up_is_bicubic() -> None:
    low = scene(5, 6)
    assert np.abs(bicubic_up(low, 4) - naive_bicubic(low, 20, 24)).max() <= 1


def test_a_flat_picture_stays_flat_both_ways() -> None:
    flat = np.full((16, 24, 3), (3, 128, 250), np.uint8)
    assert np.array_equal(reduced(flat, 4), flat[::4, ::4])
    assert np.array_equal(bicubic_up(reduced(flat, 4), 4), flat)


def test_degrading_commutes_with_turns_and_mirrors() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.abs(reduced(pixels[:, ::-1], 4).astype(int) - reduced(pixels, 4)[:, ::-1]).max() <= 1


def test_a_size_off_the_grid_is_refused_and_cut_only_when_asked() -> None:
    pixels = scene(23, 30)
    with pytest.raises(ImageError, match="multiples of 4; got 30×23"):
        reduced(pixels, 4)
    cut = crop_to_multiple(pixels, 4)
    assert np.array_equal(cut, pixels[:20, :28])
    assert cut.flags.c_contiguous
    assert crop_note((23, 30), 4) == (
        "cut to 28×20, a multiple of 4: 2 columns on the right and 3 rows at the bottom dropped"
    )
    assert crop_note((20, 28), 4) is None


def test_a_picture_smaller_than_the_scale_is_refused() -> None:
    with pytest.raises(ImageError, match="at least 4 pixels for scale 4; got 30×3"):
        crop_to_multiple(scene(3, 30), 4)
    for function in (crop_to_multiple, bicubic_up):
        with pytest.raises(ImageError, match="scale of at least 1"):
            function(scene(), 0)


def test_the_upload_is_its_pixels() -> None:
    upload = upload_from(scene(), "cat")
    assert (upload.name, upload.width, upload.height) == ("cat", 32, 24)
    assert upload.digest == pixels_digest(scene())
    assert upload.png == upload_png(scene())
    picture = read_image(upload.png)
    assert picture.digest == upload.digest
    assert picture.conversions == ()
