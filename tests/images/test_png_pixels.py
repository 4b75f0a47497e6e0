"""Pixel data of PNGs that are damaged, cut or of an unusual shape: read as Pillow does, or refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.picture_files import png

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.method.images.read import ImageLimits, read_image, read_output
from blackbox_conformal.testing.pictures import chunk

HEIGHT, WIDTH = 500, 720


@pytest.fixture(scope="module")
def filtered():
    """Rows of every filter with random bytes, hence pixels of every kind."""
    rows = np.random.default_rng(5).integers(0, 256, (HEIGHT, 1 + 3 * WIDTH), dtype=np.uint8)
    rows[:, 0] = np.arange(HEIGHT) % 5
    return rows


def file_of(stream, *, cut=1 << 30, before=b"", after=b"", head=(8, 2, 0, 0, 0)):
    header = chunk(b"IHDR", struct.pack(">II5B", WIDTH, HEIGHT, *head))
    parts = [chunk(b"IDAT", stream[start : start + cut]) for start in range(0, len(stream), cut)]
    return PNG_SIGNATURE + header + before + b"".join(parts) + after + chunk(b"IEND", b"")


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("cut", [977, 1 << 16, 1 << 30])
@pytest.mark.parametrize("level", [0, 6])
def test_pixels_are_those_of_pillow(filtered, cut, level):
    data = file_of(zlib.compress(filtered.tobytes(), level), cut=cut)
    found = read_image(data).pixels
    np.testing.assert_array_equal(found, pillow(data))
    assert found.flags.c_contiguous


def test_flat_pictures_that_compress_a_thousandfold():
    data = png(np.full((1200, 900, 3), 7, np.uint8))
    np.testing.assert_array_equal(read_image(data).pixels, pillow(data))
    assert "blank" in read_output(data, (1200, 900)).conversions[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: zlib.compress(rows[:-1].tobytes()), r"asks for 1080500 bytes of pixel data; it has 1078339"),
        (lambda rows: zlib.compress(rows.tobytes())[:-4] + b"sums", "do not decompress"),
        (lambda rows: zlib.compress(rows.tobytes())[:5000] + bytes(5000), "pixel data"),
    ],
)
def test_damage_is_told_as_for_any_picture(filtered, change, message):
    data = file_of(change(filtered))
    with pytest.raises(ImageError, match=message):
        read_image(data)


@pytest.mark.parametrize("head", [b"\x79\x9c", b"\x88\x1c", b"\x78\x9d", b"\x78\xbb"])
def test_streams_that_are_not_plain_zlib_are_refused(filtered, head):
    data = file_of(head + zlib.compress(filtered.tobytes(), 1)[2:])
    with pytest.raises(ImageError, match=r"pixel data|cannot be decoded"):
        read_image(data)


def test_what_follows_the_stream_is_ignored_as_by_pillow(filtered):
    data = file_of(zlib.compress(filtered.tobytes(), 1) + b"more")
    np.testing.assert_array_equal(read_image(data).pixels, pillow(data))


@pytest.mark.parametrize(("height", "width"), [(1, 400_000), (400_000, 1), (17, 30_000), (31, 12_345)])
def test_rows_of_any_length(height, width):
    rows = np.random.default_rng(height).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] %= 5
    header = chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0))
    stream = chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
    data = PNG_SIGNATURE + header + stream + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_image(data, limits=ImageLimits(max_side=400_000)).pixels, pillow(data))


def test_unknown_filter_and_rows_too_many(filtered):
    wrong = filtered.copy()
    wrong[-1, 0] = 5
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(file_of(zlib.compress(wrong.tobytes())))
    longer = file_of(zlib.compress(filtered.tobytes() + bytes(9)))
    np.testing.assert_array_equal(read_image(longer).pixels, pillow(longer))
