"""Statistics, kinds, block energies and traces of JPEG of inputs: those of plain loops, and what they tell."""

import functools
import io

import numpy as np
import pytest
from naive import input_statistics as naive
from PIL import Image, ImageFilter
from PIL import Image as PillowImage
from pydantic import ValidationError
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from skimage import data
from support.picture_files import png
from support.picture_files import saved as file_of
from support.synthetic import photograph

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.input_statistics import (
    STATISTICS,
    InputKind,
    InputStatistics,
    Planes,
    border_shares,
)
from blackbox_conformal.method.images.jpeg_traces import (
    BANDS,
    FLATTEST,
    QUANTILES,
    block_energies,
    coefficients,
    jpeg_trace,
    quality_table,
    trace_of_file,
    trace_of_pixels,
    would_tell,
)
from blackbox_conformal.method.images.read import read_image

NAMES = [statistic.name for statistic in STATISTICS]


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    return read(saved(pixels, quality)).copy()


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


def test_a_jpeg_shows_where_its_blocks_begin(picture: np.ndarray) -> None:
    compressed = jpeg(picture, 40)
    assert named(compressed)["blockiness"] > named(picture)["blockiness"] + 0.1
    moved = np.ascontiguousarray(compressed[3:, 5:])
    assert named(moved)["blockiness"] < 0.05
    assert named(moved)["shifted blockiness"] > 0.1
    brightness = Planes.of(moved).brightness
    assert border_shares(brightness, 1).argmax() == 8 - 3
    assert border_shares(brightness, 2).argmax() == 8 - 5


def test_white_noise_falls_by_nothing_a_smooth_scene_falls_fast_and_a_grey_picture_has_no_colour() -> None:
    rng = np.random.default_rng(4)
    white = np.repeat(rng.integers(60, 200, (256, 256, 1)), 3, axis=2).astype(np.uint8)
    assert named(white)["spectrum"] == pytest.approx(0, abs=0.2)
    small = PillowImage.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    assert named(np.array(small.resize((256, 256), PillowImage.Resampling.BICUBIC)))["spectrum"] > 3
    grey = named(np.repeat(photograph(6, (64, 64))[..., :1], 3, axis=2))
    assert (grey["colourfulness"], grey["colour sharpness"]) == (0, 0)
    full = photograph(5, (128, 160))
    half = (full // 2 + 60).astype(np.uint8)
    assert named(half)["sharpness"] == pytest.approx(named(full)["sharpness"], abs=0.05), "whatever the contrast"


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


def test_it_is_what_plain_arithmetic_gives():
    for seed, size in enumerate([(9, 14), (64, 33), (2, 2)]):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
        grey = pixels.astype(np.float64) @ [77 / 256, 150 / 256, 29 / 256]
        steps = np.r_[np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()]
        found = InputKind.of(pixels)
        assert found.texture == pytest.approx(np.log2(np.mean(steps**2) + 0.25), abs=1e-6)
        assert found.brightness == pytest.approx(grey.mean(), abs=1e-6)
        assert found.pixels == size[0] * size[1]


def test_the_extremes_are_possible_and_what_lies_beyond_is_refused():
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)):
        assert InputKind.of(pixels).texture == -2
    checked = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((1, 1), int))[..., None].repeat(3, axis=2) * 255
    assert InputKind.of(checked.astype(np.uint8)).texture < 16
    for wrong in ({"texture": 17}, {"brightness": 256}, {"pixels": 0}, {"texture": float("nan")}, {"more": 1}):
        with pytest.raises((ValidationError, TypeError)):
            InputKind(**{"texture": 1.0, "brightness": 1.0, "pixels": 1, **wrong})


SIZE = len(BANDS) * len(QUANTILES)


def plain(plane: np.ndarray) -> list[float]:
    """The energies of one plane by loops."""
    found = []
    blocks = [plane[y : y + 8, x : x + 8] for y in range(0, plane.shape[0], 8) for x in range(0, plane.shape[1], 8)]
    for first, last in BANDS:
        logarithms = []
        for block in blocks:
            squares = dctn(block.astype(float), norm="ortho") ** 2
            chosen = [squares[row, column] for row in range(8) for column in range(8) if first <= row + column <= last]
            logarithms.append(np.log2(sum(chosen) / len(chosen) + 0.1))
        found += np.quantile(logarithms, QUANTILES).tolist()
    return found


def test_flattest_blocks_hold_the_variance_of_noise():
    noise = np.random.default_rng(0).normal(0, 5, (128, 128, 1))
    flat = np.clip(np.rint(128 + np.repeat(noise, 3, axis=2)), 0, 255).astype(np.uint8)
    middle = block_energies(flat)[:SIZE].reshape(len(BANDS), len(QUANTILES))[-1, 1]
    assert 2 ** (middle / 2) == pytest.approx(5, rel=0.1)


def test_spectra_are_those_of_the_flattest_blocks():
    random, pixels = np.random.default_rng(0), np.clip(data.astronaut()[100:196, 200:296], 1, 254)
    pixels = np.clip(pixels + np.rint(random.normal(0, 2, pixels.shape)), 1, 254).astype(np.uint8)
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    blocks = [brightness[y : y + 8, x : x + 8] for y in range(0, 96, 8) for x in range(0, 96, 8)]
    squares = [dctn(block, norm="ortho") ** 2 for block in blocks]
    sums = [
        [[each[row, column] for row in range(8) for column in range(8) if row + column == place] for place in range(15)]
        for each in squares
    ]
    places = [*([place] for place in range(1, 11)), [11, 12, 13, 14]]

    def flatness(each: list[list[float]], bands: int) -> float:
        values = [[value for place in each[first : last + 1] for value in place] for first, last in BANDS[:bands]]
        return sum(np.log2(np.mean(band) + 0.1) for band in values)

    def means(each: list[list[float]]) -> list[float]:
        return [np.mean([value for place in group for value in each[place]]) for group in places]

    expected = [np.quantile([means(each) for each in sums], QUANTILES[0], axis=0)]
    for bands, one_in in FLATTEST:
        flattest = sorted(sums, key=lambda each, bands=bands: flatness(each, bands))[: max(4, len(blocks) // one_in)]
        expected.append(np.mean([means(each) for each in flattest], axis=0))
    np.testing.assert_allclose(
        block_energies(pixels)[2 * SIZE : -1], np.log2(np.concatenate(expected) + 0.1), atol=1e-3
    )


def test_spectrum_tells_weak_noise_that_was_sharpened_from_strong_noise():
    noise = np.random.default_rng(0).normal(0, 1, (256, 256))
    sharpened = noise + 1.5 * (noise - gaussian_filter(noise, 1))
    slopes = []
    for strong in (noise * 5, sharpened / sharpened.std() * 5):
        pixels = np.clip(np.rint(128 + np.repeat(strong[:, :, None], 3, axis=2)), 0, 255).astype(np.uint8)
        spectrum = block_energies(pixels)[2 * SIZE : -1][:11]
        slopes.append(spectrum[-4:].mean() - spectrum[:2].mean())
    assert slopes[1] > slopes[0] + 1


def test_noise_that_grows_with_light_is_told():
    random, ramp = np.random.default_rng(0), np.repeat(np.linspace(20, 230, 128)[None, :, None], 128, axis=0)
    even = np.clip(np.rint(ramp + random.normal(0, 4, (128, 128, 3))), 0, 255).astype(np.uint8)
    growing = np.clip(np.rint(ramp + random.normal(0, 1, (128, 128, 3)) * np.sqrt(ramp / 8)), 0, 255).astype(np.uint8)
    assert abs(block_energies(even)[-1]) < 0.4
    assert block_energies(growing)[-1] > 1


def test_brightness_is_that_of_the_plain_calculation_grey_has_no_colour_and_tiny_pictures_are_refused():
    pixels = np.clip(data.astronaut()[100:164, 200:264], 1, 254)
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(block_energies(pixels)[:SIZE], plain(brightness), atol=1e-3)
    grey = np.repeat(np.clip(data.camera()[:64, :64], 1, 254)[:, :, None], 3, axis=2)
    np.testing.assert_allclose(block_energies(grey)[SIZE : 2 * SIZE], np.log2(0.1), atol=1e-3)
    assert np.isfinite(block_energies(np.zeros((32, 32, 3), np.uint8))).all(), "clipped blocks, for want of others"
    with pytest.raises(ImageError, match="at least 16×16 pixels; got 15×8"):
        block_energies(np.full((8, 15, 3), 9, np.uint8))


QUALITIES = (10, 30, 50, 75, 85, 92, 95)


@functools.cache
def photographs() -> list[np.ndarray]:
    """Small pictures without a trace, since they were made smaller."""
    wholes = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    return [np.asarray(Image.fromarray(whole).reduce(2)) for whole in wholes]


def saved(pixels: np.ndarray, quality: int, **settings: object) -> bytes:
    return file_of(PillowImage.fromarray(pixels), "JPEG", quality=quality, **settings)


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_tables_are_those_that_libjpeg_writes():
    pixels = photographs()[0][:16, :16]
    for quality in range(1, 101):
        written = Image.open(io.BytesIO(saved(pixels, quality))).quantization[0]
        assert quality_table(quality).ravel().tolist() == written, quality


def test_file_tells_its_quality_and_subsampling_and_of_other_tables_the_nearest():
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        trace = trace_of_file(saved(photographs()[0], 83, subsampling=subsampling))
        assert (trace.quality, trace.subsampling, trace.grid, trace.exact) == (83, subsampling, (0, 0), True)
    table = [min(255, step + (place % 3 == 0)) for place, step in enumerate(quality_table(70).ravel().tolist())]
    trace = trace_of_file(saved(photographs()[0], 50, qtables=[table, table]))
    assert abs(trace.quality - 70) <= 2
    assert not trace.exact


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("noise", [0, 4])
def test_pixels_tell_the_quality(quality: int, noise: float):
    random = np.random.default_rng(quality)
    for pixels in photographs():
        noisy = np.clip(np.rint(pixels + noise * random.normal(size=pixels.shape)), 0, 255).astype(np.uint8)
        trace = trace_of_pixels(read(saved(noisy, quality)))
        assert abs(trace.quality - quality) <= 1
        assert trace.grid == (0, 0)


@pytest.mark.parametrize(("top", "left"), [(3, 5), (0, 1), (7, 0)])
def test_pixels_tell_the_grid_after_a_cut(top: int, left: int):
    for pixels in photographs():
        trace = trace_of_pixels(read(saved(pixels, 80))[top:, left:])
        assert trace is not None
        assert trace.grid == (-top % 8, -left % 8)
        assert abs(trace.quality - 80) <= 1


def test_pictures_that_were_never_compressed_have_no_trace_and_smooth_ones_would_not_tell():
    grey = np.full((128, 128, 3), 128, np.uint8)
    ramp = np.repeat(np.add.outer(np.arange(128), np.arange(128))[:, :, None], 3, axis=2).astype(np.uint8)
    static = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    smooth = PillowImage.fromarray(photographs()[3]).filter(ImageFilter.GaussianBlur(4))
    smooth_and_cut = read(saved(np.asarray(smooth), 60))[3:131, 5:133]
    assert all(would_tell(pixels) for pixels in photographs())
    assert not any(would_tell(pixels) for pixels in (ramp, grey, ramp[:7], smooth_and_cut))
    compressed = [PillowImage.fromarray(read(saved(pixels, 60))) for pixels in photographs()]
    smaller = [np.asarray(one.resize((one.width * 3 // 5, one.height * 3 // 5))) for one in compressed]
    for pixels in (*photographs(), grey, ramp, static, static[:8, :8], smooth_and_cut, *smaller):
        assert trace_of_pixels(pixels) is None


def test_file_is_asked_before_pixels():
    assert jpeg_trace(read_image(saved(photographs()[0], 98))).exact
    trace = jpeg_trace(read_image(png(read(saved(photographs()[0], 60)))))
    assert (trace.quality, trace.exact) == (60, False)


def test_file_that_is_cut_or_without_tables_is_refused():
    content = saved(photographs()[0], 75)
    for kept in (0, 3, 20, 150):
        with pytest.raises(ImageError, match="expected a JPEG file"):
            trace_of_file(content[:kept])
    position, bare = 2, bytearray(content[:2])
    while content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if content[position + 1] != 0xDB:
            bare += content[position:end]
        position = end
    with pytest.raises(ImageError, match="quantisation tables"):
        trace_of_file(bytes(bare + content[position:]))


def test_coefficients_are_the_orthonormal_transform_of_usable_blocks():
    plane = np.random.default_rng(1).normal(size=(27, 35)).astype(np.float32)
    usable = np.ones(plane.shape, bool)
    usable[5, 9] = False
    blocks = [
        plane[row : row + 8, column : column + 8]
        for row in (2, 10, 18)
        for column in (3, 11, 19, 27)
        if not (row <= 5 < row + 8 and column <= 9 < column + 8)
    ]
    expected = np.array([dctn(block, norm="ortho") for block in blocks])
    np.testing.assert_allclose(coefficients(plane, usable, (2, 3)), expected, atol=1e-5)
    assert len(coefficients(plane, usable, (2, 3), 4)) <= 4
