"""What a file's outside tells, before a decoder sees it."""

import io

import pytest
from PIL import Image
from support.picture_files import jpeg, png, raw_png, saved, scene, with_chunk

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.testing.pictures import chunk


def picture() -> Image.Image:
    return Image.fromarray(scene(20, 30))


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"lossless": True, "exif": Image.Exif()}])
def test_webp_size_and_loss_are_read(options: dict[str, object]) -> None:
    found = inspect(saved(picture(), "WEBP", **options))
    assert (found.format, found.width, found.height, found.trailing) == ("WEBP", 30, 20, 0)
    assert found.lossy is not options["lossless"]


def test_png_and_jpeg_sizes_are_read() -> None:
    assert inspect(png(scene(20, 30))).width == 30
    found = inspect(jpeg(picture(), progressive=True))
    assert (found.width, found.height, found.lossy) == (30, 20, True)


def test_bytes_after_the_end_are_counted() -> None:
    for content in (png(), jpeg(), saved(picture(), "WEBP")):
        assert inspect(content).trailing == 0
        assert inspect(content + b"tail!").trailing == 5


@pytest.mark.parametrize("cut", [1, 2, 12, 13, 40, 80])
def test_a_png_without_its_end_is_truncated(cut: int) -> None:
    with pytest.raises(ImageError, match="truncated or damaged"):
        inspect(png()[:-cut])


@pytest.mark.parametrize("cut", [1, 2, 3, 100, 600])
def test_a_jpeg_without_its_end_is_truncated(cut: int) -> None:
    with pytest.raises(ImageError, match=r"end marker \(EOI\)"):
        inspect(jpeg()[:-cut])


@pytest.mark.parametrize("cut", [1, 2, 100])
def test_a_webp_shorter_than_it_says_is_truncated(cut: int) -> None:
    with pytest.raises(ImageError, match="truncated or damaged"):
        inspect(saved(picture(), "WEBP")[:-cut])


def test_a_jpeg_thumbnail_does_not_hide_the_missing_end() -> None:
    """An embedded thumbnail has an end marker of its own, inside a segment."""
    content = jpeg()
    thumbnail = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    assert inspect(content[:2] + thumbnail + content[2:]).trailing == 0
    with pytest.raises(ImageError, match="EOI"):
        inspect(content[:2] + thumbnail + content[2:-2])


def test_a_changed_byte_fails_its_png_checksum() -> None:
    content = bytearray(png())
    content[60] ^= 1
    with pytest.raises(ImageError, match="checksum"):
        inspect(bytes(content))


def test_a_png_starts_with_its_header() -> None:
    content = png()
    with pytest.raises(ImageError, match="IHDR"):
        inspect(content[:8] + chunk(b"tEXt", b"a\0b") + content[8:])


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused_before_decoding(colour: int, channels: int) -> None:
    rows = (b"\0" + b"\x12\x34" * 4 * channels) * 3
    with pytest.raises(ImageError, match=r"8 bits a channel; got a PNG with 16.*-depth 8"):
        inspect(raw_png(4, 3, 16, colour, rows))


def test_twelve_bit_jpeg_is_refused() -> None:
    content = bytearray(jpeg())
    frame = content.index(b"\xff\xc0")
    content[frame + 4] = 12
    with pytest.raises(ImageError, match="a JPEG with 12"):
        inspect(bytes(content))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(ImageError, match="one picture a file"):
        inspect(out.getvalue())


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n" + bytes(20), "a JPEG 2000"),
        (b"%PDF-1.7", "a PDF"),
        (b"8BPS" + bytes(20), "a Photoshop"),
        (b"<?xml version='1.0'?><svg/>", "an SVG"),
        (b"\n<!DOCTYPE html><html>", "an HTML"),
        (b'{"error": "quota"}', "a JSON"),
    ],
)
def test_other_kinds_are_named(content: bytes, kind: str) -> None:
    with pytest.raises(ImageError, match=f"got {kind}"):
        inspect(content)


def test_an_unknown_kind_shows_its_first_bytes() -> None:
    with pytest.raises(ImageError, match=r"not an image .it starts with the bytes 01 02"):
        inspect(b"\x01\x02")


def test_text_is_called_text() -> None:
    for content in (b"notapic\n", "für später".encode() * 100):
        with pytest.raises(ImageError, match=r"it is not an image .its content is text"):
            inspect(content)


def test_a_png_in_another_colour_space_is_refused() -> None:
    with pytest.raises(ImageError, match="gamma 1 instead"):
        inspect(with_chunk(png(), b"gAMA", (100000).to_bytes(4, "big")))
    with pytest.raises(ImageError, match="cICP"):
        inspect(with_chunk(png(), b"cICP", bytes([9, 16, 0, 1])))


def test_a_png_that_says_srgb_in_other_words_passes() -> None:
    for name, data in ((b"gAMA", (45455).to_bytes(4, "big")), (b"cICP", bytes([1, 13, 0, 1]))):
        assert inspect(with_chunk(png(), name, data)).format == "PNG"
    linear = with_chunk(png(), b"gAMA", (100000).to_bytes(4, "big"))
    assert inspect(with_chunk(linear, b"sRGB", b"\0")).format == "PNG"
