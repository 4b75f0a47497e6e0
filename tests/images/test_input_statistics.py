"""Statistics of inputs agree with plain loops, say what they are named after, and are kept as they were written."""

import io

import numpy as np
import pytest
from naive import input_statistics as naive
from PIL import Image as PillowImage
from PIL import ImageFilter
from support.synthetic import photograph

from blackbox_conformal.method.images.input_statistics import (
    STATISTICS,
    InputStatistics,
    Planes,
    border_shares,
)

NAMES = [statistic.name for statistic in STATISTICS]


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(PillowImage.open(file).convert("RGB"))


def named(pixels: np.ndarray) -> dict[str, float]:
    return InputStatistics.of(pixels).named[0]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return photograph(3, (400, 528))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (7, 9), (16, 16), (17, 40), (33, 50), (64, 48)])
@pytest.mark.parametrize("kind", ["noise", "smooth", "jpeg", "blank", "clipped"])
def test_statistics_are_those_of_plain_loops(size: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(sum(size))
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    if kind in ("smooth", "jpeg"):
        small = PillowImage.fromarray(rng.integers(30, 220, (5, 6, 3), dtype=np.uint8))
        pixels = np.array(small.resize(size[::-1], PillowImage.Resampling.BICUBIC))
    if kind == "jpeg":
        pixels = jpeg(pixels, 40)
    if kind == "blank":
        pixels = np.full((*size, 3), 93, np.uint8)
    if kind == "clipped":
        pixels = np.where(pixels < 200, 0, pixels).astype(np.uint8)
    np.testing.assert_allclose(InputStatistics.of(pixels).values[0], naive.row(pixels), rtol=1e-6, atol=1e-7)


def test_of_a_large_picture_parts_are_measured_that_begin_at_its_grid() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (1100, 1501, 3), dtype=np.uint8)
    planes = Planes.of(pixels)
    assert planes.brightness.shape == (16, 256, 256)
    tops, lefts = (0, 280, 560, 840), (0, 408, 824, 1240)
    for part, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        np.testing.assert_array_equal(
            planes.brightness[part], pixels[top : top + 256, left : left + 256] @ np.array([77, 150, 29])
        )
    assert Planes.of(pixels[:, :900]).brightness.shape == (4, 256, 900)
    assert named(pixels)["size"] == np.float32(np.log2(1100 * 1501))


def test_a_blurred_picture_is_less_sharp_and_a_noisy_one_noisier(picture: np.ndarray) -> None:
    blurred = np.array(PillowImage.fromarray(picture).filter(ImageFilter.GaussianBlur(1.5)))
    assert named(blurred)["sharpness"] < named(picture)["sharpness"] - 0.3
    rng = np.random.default_rng(2)
    flat = np.full((128, 128, 3), 120.0)
    for sigma in (2.0, 5.0, 12.0):
        grey = rng.normal(0, sigma, (128, 128, 1))
        noisy = np.clip(np.rint(flat + grey), 0, 255).astype(np.uint8)
        assert named(noisy)["noise"] == pytest.approx(sigma, rel=0.15)


def test_sharpness_does_not_depend_on_contrast() -> None:
    full = photograph(5, (128, 160))
    half = (full // 2 + 60).astype(np.uint8)
    assert named(half)["sharpness"] == pytest.approx(named(full)["sharpness"], abs=0.05)


def test_a_jpeg_shows_where_its_blocks_begin(picture: np.ndarray) -> None:
    compressed = jpeg(picture, 40)
    assert named(compressed)["blockiness"] > named(picture)["blockiness"] + 0.1
    moved = np.ascontiguousarray(compressed[3:, 5:])
    assert named(moved)["blockiness"] < 0.05
    assert named(moved)["shifted blockiness"] > 0.1
    brightness = Planes.of(moved).brightness
    assert border_shares(brightness, 1).argmax() == 8 - 3
    assert border_shares(brightness, 2).argmax() == 8 - 5


def test_white_noise_falls_by_nothing_and_a_smooth_scene_falls_fast() -> None:
    rng = np.random.default_rng(4)
    white = np.repeat(rng.integers(60, 200, (256, 256, 1)), 3, axis=2).astype(np.uint8)
    assert named(white)["spectrum"] == pytest.approx(0, abs=0.2)
    small = PillowImage.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    assert named(np.array(small.resize((256, 256), PillowImage.Resampling.BICUBIC)))["spectrum"] > 3


def test_a_grey_picture_has_no_colour() -> None:
    grey = np.repeat(photograph(6, (64, 64))[..., :1], 3, axis=2)
    assert named(grey)["colourfulness"] == 0
    assert named(grey)["colour sharpness"] == 0


def test_what_is_written_is_what_is_read(picture: np.ndarray) -> None:
    found = InputStatistics.together([InputStatistics.of(picture), InputStatistics.unknown(2)])
    again = InputStatistics.from_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.values, found.values)
    assert len(again[[2, 0]]) == 2
    assert len(again.known) == 1
    assert again.column("noise")[0] == again.named[0]["noise"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("blockiness", 1.5), ("noise", -1), ("size", np.inf), ("sharpness", np.nan), ("clipped share", 2)],
)
def test_values_that_no_input_has_are_refused(picture: np.ndarray, name: str, value: float) -> None:
    values = InputStatistics.of(picture).values.copy()
    values[0, NAMES.index(name)] = value
    with pytest.raises(ValueError, match="out of its range"):
        InputStatistics.from_bytes(values.tobytes())
    with pytest.raises(ValueError, match="reshape"):
        InputStatistics.from_bytes(values.tobytes()[:-4])
