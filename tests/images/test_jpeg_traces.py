"""The quality of JPEG is read from files, found in pixels with its grid, and not found where there was none."""

import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.fft import dctn
from skimage import data

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.jpeg_traces import (
    coefficients,
    jpeg_trace,
    quality_table,
    trace_of_file,
    trace_of_pixels,
    would_tell,
)
from blackbox_conformal.method.images.read import read_image

QUALITIES = (10, 30, 50, 75, 85, 92, 95)


@functools.cache
def photographs() -> list[np.ndarray]:
    """Small pictures without a trace, since they were made smaller."""
    wholes = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    return [np.asarray(Image.fromarray(whole).reduce(2)) for whole in wholes]


def saved(pixels: np.ndarray, quality: int, **settings: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, **settings)
    return file.getvalue()


def read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_tables_are_those_that_libjpeg_writes():
    pixels = photographs()[0][:16, :16]
    for quality in range(1, 101):
        written = Image.open(io.BytesIO(saved(pixels, quality))).quantization[0]
        assert quality_table(quality).ravel().tolist() == written, quality


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_file_tells_its_quality_and_subsampling(subsampling: str):
    trace = trace_of_file(saved(photographs()[0], 83, subsampling=subsampling))
    assert (trace.quality, trace.subsampling, trace.grid, trace.exact) == (83, subsampling, (0, 0), True)


def test_other_tables_have_the_nearest_quality():
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
        assert trace is not None
        assert abs(trace.quality - quality) <= 1
        assert trace.grid == (0, 0)


@pytest.mark.parametrize(("top", "left"), [(3, 5), (0, 1), (7, 0)])
def test_pixels_tell_the_grid_after_a_cut(top: int, left: int):
    for pixels in photographs():
        trace = trace_of_pixels(read(saved(pixels, 80))[top:, left:])
        assert trace is not None
        assert trace.grid == (-top % 8, -left % 8)
        assert abs(trace.quality - 80) <= 1


def test_pictures_that_were_never_compressed_have_no_trace():
    random = np.random.default_rng(0)
    grey = np.full((128, 128, 3), 128, np.uint8)
    ramp = np.repeat(np.add.outer(np.arange(128), np.arange(128))[:, :, None], 3, axis=2).astype(np.uint8)
    static = random.integers(0, 256, (128, 128, 3), np.uint8)
    for pixels in (*photographs(), grey, ramp, static, static[:8, :8]):
        assert trace_of_pixels(pixels) is None


def test_smooth_pictures_would_not_tell():
    ramp = np.repeat(np.add.outer(np.arange(128), np.arange(128))[:, :, None], 3, axis=2).astype(np.uint8)
    assert not any(would_tell(pixels) for pixels in (ramp, np.full((64, 64, 3), 9, np.uint8), ramp[:7]))
    assert all(would_tell(pixels) for pixels in photographs())


def test_smooth_picture_that_was_compressed_and_cut_does_not_pass_for_one_that_was_not():
    smooth = Image.fromarray(photographs()[3]).filter(ImageFilter.GaussianBlur(4))
    cut = read(saved(np.asarray(smooth), 60))[3:131, 5:133]
    assert trace_of_pixels(cut) is None
    assert not would_tell(cut)


def test_trace_is_lost_when_the_picture_is_made_smaller():
    for pixels in photographs():
        compressed = Image.fromarray(read(saved(pixels, 60)))
        smaller = compressed.resize((compressed.width * 3 // 5, compressed.height * 3 // 5))
        assert trace_of_pixels(np.asarray(smaller)) is None


def test_file_is_asked_before_pixels(tmp_path):
    content = saved(photographs()[0], 98)
    assert jpeg_trace(read_image(content)).exact
    png = io.BytesIO()
    Image.fromarray(read(saved(photographs()[0], 60))).save(png, "PNG")
    trace = jpeg_trace(read_image(png.getvalue()))
    assert (trace.quality, trace.exact) == (60, False)


@pytest.mark.parametrize("kept", [0, 3, 20, 150])
def test_cut_file_is_refused(kept: int):
    with pytest.raises(ImageError, match="expected a JPEG file"):
        trace_of_file(saved(photographs()[0], 75)[:kept])


def test_file_without_tables_is_refused():
    content = saved(photographs()[0], 75)
    bare = bytearray()
    position = 2
    bare += content[:2]
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
