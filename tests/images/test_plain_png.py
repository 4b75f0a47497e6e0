"""The short way through the decode gate gives Pillow's pixels, and leaves everything unusual to the long way."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.picture_files import exif, png, with_chunk

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images import plain_png
from blackbox_conformal.method.images.headers import PNG_SIGNATURE, inspect
from blackbox_conformal.method.images.plain_png import SMALLEST, WORTHWHILE, plain_pixels
from blackbox_conformal.method.images.read import read_image, read_output
from blackbox_conformal.method.kernels.unfilter import _unfilter
from blackbox_conformal.testing.pictures import chunk

HEIGHT, WIDTH = 500, 720


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    monkeypatch.setattr(plain_png, "interpreted", lambda: False)
    monkeypatch.setattr(plain_png, "_ready", True)


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
    found = plain_pixels(inspect(data))
    np.testing.assert_array_equal(found, pillow(data))
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(read_image(data).pixels, found)


def test_flat_pictures_that_compress_a_thousandfold():
    data = png(np.full((1200, 900, 3), 7, np.uint8))
    np.testing.assert_array_equal(plain_pixels(inspect(data)), pillow(data))
    assert "blank" in read_output(data, (1200, 900)).conversions[0]


def test_text_and_physical_size_are_harmless(filtered):
    stream = zlib.compress(filtered.tobytes(), 1)
    text = chunk(b"tEXt", b"parameters\0a castle") + chunk(b"pHYs", bytes(9)) + chunk(b"sRGB", b"\0")
    data = file_of(stream, before=text, after=text)
    assert inspect(data).plain
    np.testing.assert_array_equal(plain_pixels(inspect(data)), pillow(data))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"tRNS", bytes(6)),
        (b"eXIf", exif(6)),
        (b"iCCP", b"p\0\0" + zlib.compress(b"no profile")),
        (b"PLTE", bytes(6)),
        (b"zTXt", b"a\0\0" + zlib.compress(b"b")),
        (b"sRGB", b""),
        (b"tEXt", bytes(1 << 17)),
        (b"tEXt", b"no separator"),
        (b"abCd", b""),
    ],
)
def test_whatever_could_matter_goes_the_long_way(name, content):
    assert inspect(png()).plain
    assert not inspect(with_chunk(png(), name, content)).plain


def test_other_kinds_of_pixels_go_the_long_way(filtered):
    stream = zlib.compress(filtered.tobytes(), 1)
    heads = [(8, 2, 1, 0, 0), (8, 2, 0, 1, 0), (8, 2, 0, 0, 1), (8, 6, 0, 0, 0), (8, 0, 0, 0, 0)]
    assert [inspect(file_of(stream, head=head)).plain for head in heads] == [False] * 5
    split = file_of(stream[:99])[:-12] + chunk(b"tIME", bytes(7)) + chunk(b"IDAT", stream[99:]) + chunk(b"IEND", b"")
    assert not inspect(split).plain


def test_small_pictures_load_no_compiler(monkeypatch):
    monkeypatch.setattr(plain_png, "_ready", False)
    assert not any(plain_png.is_used_for(SMALLEST - 1) for _ in range(100))


def test_small_pictures_are_read_by_a_kernel_that_is_there():
    small = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    data = png(small)
    assert WORTHWHILE <= inspect(data).filtered_bytes < SMALLEST
    np.testing.assert_array_equal(plain_pixels(inspect(data)), small)
    np.testing.assert_array_equal(read_image(data).pixels, small)
    tiny = inspect(png(small[:40, :40]))
    assert tiny.plain
    assert plain_pixels(tiny) is None


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
    assert plain_pixels(inspect(data)) is None
    with pytest.raises(ImageError, match=message):
        read_image(data)


@pytest.mark.parametrize("head", [b"\x79\x9c", b"\x88\x1c", b"\x78\x9d", b"\x78\xbb"])
def test_streams_that_are_not_plain_zlib_go_the_long_way(filtered, head):
    data = file_of(head + zlib.compress(filtered.tobytes(), 1)[2:])
    assert plain_pixels(inspect(data)) is None
    with pytest.raises(ImageError, match="pixel data"):
        read_image(data)


@pytest.mark.parametrize("cut", [1, 4])
def test_a_missing_checksum_goes_the_long_way(filtered, cut):
    assert plain_pixels(inspect(file_of(zlib.compress(filtered.tobytes(), 1)[:-cut]))) is None


def test_what_follows_the_stream_is_ignored_as_by_pillow(filtered):
    data = file_of(zlib.compress(filtered.tobytes(), 1) + b"more")
    np.testing.assert_array_equal(plain_pixels(inspect(data)), pillow(data))


@pytest.mark.parametrize(("height", "width"), [(1, 400_000), (400_000, 1), (17, 30_000), (31, 12_345)])
def test_rows_of_any_length(height, width):
    rows = np.random.default_rng(height).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] %= 5
    header = chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0))
    stream = chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
    data = PNG_SIGNATURE + header + stream + chunk(b"IEND", b"")
    np.testing.assert_array_equal(plain_pixels(inspect(data)), pillow(data))


def test_unknown_filter_and_rows_too_many(filtered):
    wrong = filtered.copy()
    wrong[-1, 0] = 5
    assert plain_pixels(inspect(file_of(zlib.compress(wrong.tobytes())))) is None
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(file_of(zlib.compress(wrong.tobytes())))
    longer = file_of(zlib.compress(filtered.tobytes() + bytes(9)))
    assert plain_pixels(inspect(longer)) is None
    np.testing.assert_array_equal(read_image(longer).pixels, pillow(longer))


def test_identities_do_not_depend_on_the_way(filtered, monkeypatch):
    data = file_of(zlib.compress(filtered.tobytes()))
    short = read_output(data, (HEIGHT, WIDTH))
    monkeypatch.setattr("blackbox_conformal.method.images.plain_png.interpreted", lambda: True)
    long = read_output(data, (HEIGHT, WIDTH))
    assert (short.digest, short.file_digest, short.conversions) == (long.digest, long.file_digest, long.conversions)


def test_one_kind_of_arrays_is_compiled_for_however_wide_a_picture_is():
    """Of a very wide picture the first block holds no whole row, and an array of one byte looks like a constant."""
    for width in (700, 12_000):
        rows = np.random.default_rng(width).integers(0, 256, (600, 3 * width + 1), dtype=np.uint8)
        rows[:, 0] = 4
        header = chunk(b"IHDR", struct.pack(">II5B", width, 600, 8, 2, 0, 0, 0))
        stream = chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
        data = PNG_SIGNATURE + header + stream + chunk(b"IEND", b"")
        assert plain_pixels(inspect(data)) is not None
    assert len(_unfilter.build().signatures) == 1


def test_the_first_pictures_of_a_process_do_not_wait_for_the_compiler(monkeypatch):
    for name, value in (("_ready", False), ("_read", 0), ("PAYS_FROM", 3 * plain_png.SMALLEST)):
        monkeypatch.setattr(plain_png, name, value)
    used = [plain_png.is_used_for(plain_png.SMALLEST + size) for size in (-1, 0, 0, 0, -1)]
    assert used == [False, False, False, True, True]
    monkeypatch.setattr(plain_png, "_ready", False)
    monkeypatch.setattr(plain_png, "_read", 0)
    plain_png.warm_up()
    assert plain_png.is_used_for(8)
