"""PNGs that are written quickly read back, by Pillow and by the decoder of the package, as what went in."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blackbox_conformal.method.images.encode import grey_png, image_png, upload_png
from blackbox_conformal.method.images.read import read_image


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_any_picture_reads_back(height: int, width: int, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(image_png(pixels))) as opened:
        assert (opened.mode, opened.info) == ("RGB", {})
        assert np.array_equal(np.asarray(opened), pixels)
    with Image.open(io.BytesIO(grey_png(pixels[..., 0]))) as opened:
        assert opened.mode == "L"
        assert np.array_equal(np.asarray(opened), pixels[..., 0])


def test_the_packages_own_decoder_takes_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 600, 3), dtype=np.uint8)
    content = image_png(pixels)
    assert np.array_equal(read_image(content).pixels, pixels)
    assert read_image(content).digest == read_image(upload_png(pixels)).digest


@pytest.mark.parametrize("cut", [1, 40])
def test_a_file_that_was_cut_is_noticed(cut: int) -> None:
    content = image_png(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(Exception, match="truncated"):
        read_image(content[:-cut])
