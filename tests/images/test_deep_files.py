"""Files of declared bands: what is read exactly, what is refused in a sentence, and damaged ones."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling
from support.picture_files import saved as file_of

from blackbox_conformal.errors import ImageError, PayloadError, UsageError
from blackbox_conformal.method.images import deep_files
from blackbox_conformal.method.images.bands import Bands, npy_file, rendered, resized_levels
from blackbox_conformal.method.images.deep_files import deep_size, picture_file
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.method.images.read import ImageLimits, read_image, read_output
from blackbox_conformal.testing.pictures import chunk

RANDOM = np.random.default_rng(3)
FOUR = Bands.of_text("4:0:10000")
GREY = Bands.of_text("1:0:65535")
VALUES = RANDOM.integers(0, 10001, (9, 7, 4), dtype=np.uint16)


def saved(pixels, kind, **options):
    return file_of(Image.fromarray(pixels), kind, **options)


def png(width, height, depth, colour, rows, interlaced=0):
    """A PNG of filtered rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return PNG_SIGNATURE + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff_of_rgb(bits):
    """A TIFF of 2 x 1 pixels, whose numbers Pillow would cut to 8 bits."""
    data = np.arange(6, dtype=f"<u{bits // 8}").tobytes()
    tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 220), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, len(data))]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return head.ljust(200, b"\0") + struct.pack("<HHH", bits, bits, bits).ljust(20, b"\0") + data


@pytest.mark.parametrize(
    ("text", "low", "high", "dtype", "ending"),
    [
        ("1:0:65535", 0, 65535, np.uint16, "png"),
        ("3:100:10000", 100, 10000, np.uint16, "png"),
        ("3:0:255", 0, 255, np.uint8, "png"),
        ("4:0:10000", 0, 10000, np.uint16, "npy"),
        ("2:-400:9000", -400, 9000, np.int16, "npy"),
    ],
)
def test_whole_numbers_are_kept_exactly_and_written_as_they_came(text, low, high, dtype, ending):
    bands = Bands.of_text(text)
    values = RANDOM.integers(low, high + 1, (11, 6, bands.count)).astype(dtype)
    values.flat[:2] = low, high
    levels = bands.levels(values)
    assert (levels.dtype, levels.min(), levels.max()) == (np.uint16, 0, 65535)
    assert bands.values(levels).dtype == dtype
    content, written = picture_file(levels, bands)
    assert written == ending
    assert deep_size(content) == (11, 6)
    again = read_image(content, bands=bands)
    np.testing.assert_array_equal(bands.values(again.pixels), values)
    assert (again.digest, again.conversions) == (read_image(npy_file(values), bands=bands).digest, (bands.words,))


def test_every_value_of_a_range_is_kept_and_other_numbers_are_rounded_to_levels():
    for high in (1, 2, 1000, 32767, 40000, 65534, 65535):
        bands = Bands.of_text(f"1:0:{high}")
        values = np.arange(high + 1, dtype=np.uint16).reshape(1, -1)
        np.testing.assert_array_equal(bands.values(bands.levels(values))[:, :, 0], values)
    bands = Bands.of_text("2:-1:1:float")
    values = RANDOM.uniform(-1, 1, (5, 4, 2)).astype(np.float32)
    again = bands.values(bands.levels(values))
    assert again.dtype == np.float32
    assert np.abs(again - values).max() <= 1 / 65535 + 1e-7
    np.testing.assert_array_equal(bands.levels(again), bands.levels(values))


def test_files_of_others_are_read_exactly():
    grey = RANDOM.integers(0, 65536, (20, 13), dtype=np.uint16)
    tiffs = saved(grey, "TIFF"), saved(grey, "TIFF", compression="tiff_lzw")
    for content in (saved(grey, "PNG"), *tiffs, npy_file(grey)):
        np.testing.assert_array_equal(read_image(content, bands=GREY).pixels[:, :, 0], grey)
    real = RANDOM.uniform(0, 1, (6, 5)).astype(np.float32)
    bands = Bands.of_text("1:0:1:float")
    np.testing.assert_array_equal(read_image(saved(real, "TIFF"), bands=bands).pixels, bands.levels(real))
    colours = RANDOM.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    for kind in ("PNG", "TIFF"):
        pixels = read_image(saved(colours, kind), bands=Bands.of_text("3:0:255")).pixels
        np.testing.assert_array_equal(pixels, colours.astype(np.uint16) * 257)
    in_columns = np.asfortranarray(VALUES)
    np.testing.assert_array_equal(FOUR.values(read_image(npy_file(in_columns), bands=FOUR).pixels), VALUES)


@pytest.mark.parametrize(
    ("content", "text", "message"),
    [
        (npy_file(VALUES), "3:0:10000", r"expected 3 bands, as declared; got 4\. Declare bands=4"),
        (npy_file(VALUES), "4:0:9", r"expected values from 0 to 9; \d+ of 252 lie outside, as far as .* Declare"),
        (npy_file(np.moveaxis(VALUES, -1, 0)), "4:0:10000", "expected 4 bands, as declared; got 7"),
        (npy_file(VALUES / 2), "4:0:10000", r"whole numbers; got float64\. Declare bands=4:0:10000:float"),
        (npy_file(np.full((2, 2), np.nan)), "1:0:1:float", r"4 of 4 lie outside, 4 of them no numbers \(NaN\)"),
        (npy_file(np.zeros((2, 2), np.complex64)), "1:0:1", "expected .* numbers; got complex64"),
        (npy_file(np.zeros((2, 2, 2, 2))), "1:0:1", "numbers; got float64"),
        (npy_file(VALUES)[:-1], "4:0:10000", "expected a whole .npy file; its header asks for 504 bytes"),
        (npy_file(VALUES) + b"x", "4:0:10000", "expected a whole .npy file"),
        (b"\x93NUMPY\x03\x00", "4:0:10000", "version 1 or 2"),
        (png(2, 1, 16, 6, bytes(17)), "4:0:10000", r"without alpha, palette.*Save it as \.npy"),
        (png(2, 1, 16, 0, bytes(5), 1), "1:0:1", "interlacing"),
        (png(2, 1, 16, 0, bytes(4)), "1:0:1", "its header asks for 5 bytes of pixel data; it has"),
        (png(2, 1, 16, 0, bytes(6)), "1:0:1", "its header asks for 5 bytes of pixel data; it has"),
        (png(2, 1, 16, 0, b"\x07" + bytes(4)), "1:0:1", "cannot be decoded"),
        (saved(np.zeros((2, 2), np.uint16), "JPEG2000"), "1:0:1", r"as \.npy, PNG or TIFF; got another file"),
    ],
)
def test_others_are_refused_in_a_sentence(content, text, message):
    with pytest.raises(ImageError, match=message):
        read_image(content, bands=Bands.of_text(text))


def test_deep_colours_in_tiff_are_read_by_gdal_alone(monkeypatch):
    bands = Bands.of_text("3:0:65535")
    assert read_image(tiff_of_rgb(16), bands=bands).pixels.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    monkeypatch.setattr(deep_files, "find_spec", lambda _: None)
    with pytest.raises(ImageError, match=r"mode RGB with 16 bits\. For any other, run: pip install rasterio"):
        read_image(tiff_of_rgb(16), bands=bands)


def test_objects_are_not_loaded_and_nothing_is_read_without_a_declaration():
    out = io.BytesIO()
    np.save(out, np.array([[{}]]), allow_pickle=True)
    sixteen = saved(np.zeros((4, 4), np.uint16), "PNG")
    declare = " -p bands=COUNT:LOW:HIGH"
    for content, bands, said in (
        (out.getvalue(), GREY, "numbers; got object"),
        (npy_file(VALUES), None, r"got a NumPy array\. Declare .*" + declare),
        (sixteen, None, r"expected 8 bits a channel; got a PNG with 16\..*" + declare),
    ):
        with pytest.raises(ImageError, match=said):
            read_image(content, bands=bands)


@pytest.mark.parametrize("text", ["4", "0:0:1", "4:1:0", "4:0:0.5", "4:0:70000", "2000:0:1", "4:0:1:float64", "-1:0:1"])
def test_what_declares_nothing_is_refused(text):
    with pytest.raises(UsageError, match=r"bands=|bands as COUNT:LOW:HIGH"):
        Bands.of_text(text)


def test_sizes_are_refused_before_memory_is_taken():
    header = npy_file(VALUES).replace(b"(9, 7, 4)", b"(29999, 29999, 4)")
    deep = png(30000, 5000, 16, 2, bytes(9))
    tracemalloc.start()
    for content, bands in ((header, FOUR), (deep, Bands.of_text("3:0:1"))):
        with pytest.raises(ImageError, match=r"expected at most|expected a whole|cannot be decoded"):
            read_image(content, bands=bands, limits=ImageLimits(max_pixels=10**6))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    with pytest.raises(ImageError, match="expected at most"):
        read_image(npy_file(VALUES), bands=FOUR, limits=ImageLimits(max_pixels=100))
    with pytest.raises(PayloadError, match="expected 14×9 pixels; got 7×9"):
        read_output(npy_file(VALUES), (9, 14), bands=FOUR)


def mutated(content, random):
    """A copy with bytes changed, cut out or doubled."""
    damaged = bytearray(content)
    for _ in range(random.integers(1, 5)):
        place, kind = int(random.integers(len(damaged))), random.integers(4)
        if kind < 2:
            damaged[place] = random.integers(256)
        elif kind == 2:
            del damaged[place : place + int(random.integers(1, 9))]
        else:
            damaged[place:place] = damaged[place : place + 8]
        damaged = damaged or bytearray(1)
    return bytes(damaged)


COLOURS = Bands.of_text("3:0:65535")
DAMAGED = {
    "npy": (npy_file(VALUES), FOUR),
    "png": (saved(VALUES[:, :, 0], "PNG"), GREY),
    "colour png": (picture_file(COLOURS.levels(VALUES[:, :, :3]), COLOURS)[0], COLOURS),
    "tiff": (saved(VALUES[:, :, 0], "TIFF"), GREY),
    "compressed tiff": (saved(VALUES[:, :, 0], "TIFF", compression="tiff_adobe_deflate"), GREY),
}


def told(content, bands):
    """What is said of a file; empty where it is a picture."""
    try:
        assert read_image(content, bands=bands).pixels.shape[2] == bands.count
    except ImageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_a_picture_or_a_sentence(kind):
    content, bands = DAMAGED[kind]
    random = np.random.default_rng(len(kind))
    said = [told(mutated(content, random), bands) for _ in range(100)]
    assert all(text.startswith("the picture: expected ") and "\n" not in text for text in said if text)
    assert sum(map(bool, said)) > 30


def test_levels_become_smaller_and_larger_by_pillows_filters():
    levels = RANDOM.integers(0, 65536, (16, 12, 2), dtype=np.uint16)
    means = levels.reshape(4, 4, 3, 4, 2).mean((1, 3))
    assert np.abs(resized_levels(levels, 3, 4, Resampling.BOX) - means).max() <= 0.51
    large = resized_levels(levels, 24, 32, Resampling.BICUBIC)
    assert large.shape == (32, 24, 2)
    flat = np.full((4, 4, 2), 65535, np.uint16)
    assert (resized_levels(flat, 8, 8, Resampling.BICUBIC) == 65535).all()


def test_the_rendering_is_as_stated():
    levels = np.array([[[0, 16384, 65535, 9]]], np.uint16)
    assert rendered(levels).tolist() == [[[0, round(255 * (16384 / 65535) ** 0.5), 255]]]
    assert rendered(levels[:, :, 1:2]).tolist() == [[[128, 128, 128]]]
    assert "bands 1, 2 and 3 as red, green and blue" in FOUR.words
    assert "band 1 as grey" in GREY.words
