"""The decode gate, rule by rule: files that users give, and bytes that vendors answer."""

import hashlib
import io
import os
import re
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from support.picture_files import exif, jpeg, png, raw_png, saved, scene, with_chunk

from blackbox_conformal.errors import ImageError, PayloadError, UsageError
from blackbox_conformal.method.images.picture import is_blank, pixels_digest
from blackbox_conformal.method.images.read import ImageLimits, read_image, read_output
from blackbox_conformal.testing.pictures import WRONG_PICTURES, bomb, chunk, encode

SIZE = (24, 32)
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {})])
def test_lossless_files_come_back_exactly(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "named.jpeg"
    path.write_bytes(saved(Image.fromarray(scene()), kind, **options))
    picture = read_image(path)
    assert np.array_equal(picture.pixels, scene())
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert (picture.format, picture.size, picture.conversions) == (kind, SIZE, ())
    assert picture.digest == pixels_digest(scene())
    assert picture.file_digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_digest_is_of_content_not_of_the_file_and_compressed_tiff_is_read() -> None:
    small, large = (read_image(png(compress_level=level)) for level in (9, 0))
    assert small.file_digest != large.file_digest
    assert small.digest == large.digest
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        content = saved(Image.fromarray(scene()), "TIFF", compression=compression)
        assert np.array_equal(read_image(content).pixels, scene())


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 98}), ("WEBP", {"lossless": True}), ("PNG", {})])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(kind: str, options: dict[str, object], orientation: int) -> None:
    plain = Image.fromarray(scene())
    content = saved(plain, kind, exif=exif(orientation), **options)
    with Image.open(io.BytesIO(content)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    picture = read_image(content)
    assert np.array_equal(picture.pixels, expected)
    assert picture.conversions == (() if orientation == 1 else (f"EXIF orientation {orientation} applied",))
    assert picture.size == (SIZE if orientation < 5 else SIZE[::-1])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_tiff_orientation_is_applied_once(orientation: int) -> None:
    content = saved(Image.fromarray(scene()), "TIFF", tiffinfo={274: orientation})
    turned = np.rot90(scene(), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    picture = read_image(content)
    assert np.array_equal(picture.pixels, turned)
    assert picture.conversions == (() if orientation == 1 else (f"EXIF orientation {orientation} applied",))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_vendor_picture_with_an_orientation_is_refused(kind: str) -> None:
    content = saved(Image.fromarray(scene()), kind, exif=exif(6))
    with pytest.raises(PayloadError, match="EXIF orientation 6"):
        read_output(content, SIZE)
    assert read_output(saved(Image.fromarray(scene()), kind, exif=exif(1)), SIZE).size == SIZE


def with_segment(marker: bytes, block: bytes) -> bytes:
    """A JPEG with one segment more, at its beginning."""
    return jpeg()[:2] + marker + (len(block) + 2).to_bytes(2, "big") + block + jpeg()[2:]


def test_exif_is_read_in_both_byte_orders_and_a_damaged_block_turns_nothing() -> None:
    damaged = b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"garbage"
    for block in damaged:
        assert read_image(with_segment(b"\xff\xe1", block)).size == SIZE
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        entries = struct.pack(order + "HHIHH", 0x0100, 3, 1, 9, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, 3, 0)
        block = b"Exif\0\0" + mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4)
        assert read_image(with_segment(b"\xff\xe1", block)).conversions == ("EXIF orientation 3 applied",)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shallow_grey_png_fills_the_whole_range(depth: int) -> None:
    levels = 2**depth
    packed = np.packbits(np.unpackbits(np.arange(8, dtype=np.uint8)[:, None] % levels, axis=1)[:, 8 - depth :].ravel())
    picture = read_image(raw_png(8, 1, depth, 0, b"\0" + packed.tobytes()))
    expected = np.arange(8) % levels * 255 // (levels - 1)
    assert picture.pixels[0, :, 0].tolist() == expected.tolist()
    assert picture.conversions[-1] == "grey replicated to RGB"


def test_deep_tiff_is_refused() -> None:
    grey = scene()[..., 0]
    for deep in (grey.astype(np.uint16) * 257, grey.astype(np.float32), grey.astype(np.int32)):
        with pytest.raises(ImageError, match="8 bits a channel"):
            read_image(saved(Image.fromarray(deep), "TIFF"))


def tiff(bands: int, bits: int, photometric: int, further: tuple[int, ...] = (), order: str = "<") -> bytes:
    """A TIFF of 4 × 3 pixels with interleaved bands, written by hand (TIFF 6.0); `further`: kinds of further bands."""
    pixels = bytes(index % 251 for index in range(12 * bands * bits // 8))
    count = 10 if further else 9
    behind = 8 + 2 + count * 12 + 4
    arrays = struct.pack(f"{order}{bands}H", *[bits] * bands).ljust(4, b"\0")
    kinds = struct.pack(f"{order}{len(further)}H", *further).ljust(4, b"\0")

    def entry(tag: int, kind: int, number: int, value: int | bytes) -> bytes:
        if isinstance(value, int):
            value = struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(4, b"\0")
        return struct.pack(f"{order}HHI", tag, kind, number) + value

    place = struct.pack(f"{order}I", behind)
    depth = arrays if bands < 3 else place
    kind_place = kinds if len(further) < 3 else struct.pack(f"{order}I", behind + len(arrays))
    start = behind + len(arrays) + len(kinds)
    entries = [entry(256, 3, 1, 4), entry(257, 3, 1, 3), entry(258, 3, bands, depth), entry(259, 3, 1, 1)]
    entries += [entry(262, 3, 1, photometric), entry(273, 4, 1, start), entry(277, 3, 1, bands)]
    entries += [entry(278, 3, 1, 3), entry(279, 4, 1, len(pixels))]
    entries += [entry(338, 3, len(further), kind_place)] if further else []
    head = b"II*\0" if order == "<" else b"MM\0*"
    table = struct.pack(f"{order}H", count) + b"".join(entries) + bytes(4)
    return head + struct.pack(f"{order}I", 8) + table + arrays + kinds + pixels


def test_sixteen_bit_rgb_tiff_is_refused_though_pillow_would_cut_it() -> None:
    with Image.open(io.BytesIO(tiff(3, 16, 2))) as opened:
        assert opened.mode == "RGB"
    with pytest.raises(ImageError, match="a TIFF with 16/16/16"):
        read_image(tiff(3, 16, 2))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("bands", "bits", "photometric", "further", "said"),
    [
        (4, 16, 2, (0,), "8 bits a channel; got a TIFF with 16/16/16/16"),
        (3, 16, 1, (0, 0), "8 bits a channel; got a TIFF with 16/16/16"),
        (13, 16, 1, (0,) * 12, "8 bits a channel; got a TIFF with 13 bands of 16"),
        (4, 8, 2, (0,), "got 4 bands, of which 3 hold colours"),
        (4, 8, 2, (), "got 4 bands, of which 3 hold colours"),
        (2, 8, 1, (0,), "got 2 bands, of which 1 hold colours"),
        (3, 8, 1, (0, 0), "got 3 bands, of which 1 hold colours"),
        (5, 8, 2, (2, 0), "got 5 bands, of which 3 hold colours"),
        (13, 8, 1, (0,) * 12, "got 13 bands, of which 1 hold colours"),
    ],
)
def test_bands_and_depth_of_a_tiff_are_named_and_no_band_is_dropped(
    bands: int, bits: int, photometric: int, further: tuple[int, ...], said: str, order: str
) -> None:
    with pytest.raises(ImageError, match=re.escape(said)) as caught:
        read_image(tiff(bands, bits, photometric, further, order))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bands", "photometric"), [(1, 1), (3, 2)])
def test_a_tiff_of_colours_alone_is_read_as_it_is(bands: int, photometric: int, order: str) -> None:
    picture = read_image(tiff(bands, 8, photometric, (), order))
    expected = np.broadcast_to(np.arange(12 * bands).reshape(3, 4, bands), (3, 4, 3))
    np.testing.assert_array_equal(picture.pixels, expected)


def test_a_tiff_of_several_pages_is_refused_and_a_damaged_one_is_an_error_and_not_a_warning() -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = bytearray(saved(Image.fromarray(scene()), "TIFF"))
    struct.pack_into("<I", content, struct.unpack_from("<I", content, 4)[0] + 2 + 4, 2**31)
    for wrong, said in (
        (saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "TIFF of 2 pictures"),
        (bytes(content), "expected"),
    ):
        with pytest.raises(ImageError, match=said):
            read_image(wrong)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match="expected"):
        read_image(content[: int(len(content) * share)])
    with pytest.raises(PayloadError, match="the vendor's picture: expected"):
        read_output(content[: int(len(content) * share)], (40, 40))


def test_a_png_whose_pixel_data_end_early_is_refused_though_pillow_would_make_it_black() -> None:
    row = b"\0" + bytes(range(12))
    assert read_image(raw_png(4, 3, 8, 2, row * 3)).size == (3, 4)
    with Image.open(io.BytesIO(raw_png(4, 3, 8, 2, row * 2))) as opened:
        assert opened.getpixel((3, 2)) == (0, 0, 0)
    with pytest.raises(ImageError, match="39 bytes of pixel data; it has 26"):
        read_image(raw_png(4, 3, 8, 2, row * 2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0))
    with pytest.raises(ImageError, match="do not decompress"):
        read_image(png()[:8] + header + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b""))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (8, 8), (9, 17), (3, 1)])
def test_interlaced_png_is_read(width: int, height: int) -> None:
    """Rows of the seven passes (PNG, section 8.1), written without a filter."""
    pixels = scene(height, width)
    rows = b""
    for top, left, down, right in ADAM7:
        for row in pixels[top::down, left::right]:
            rows += b"\0" + row.tobytes() if row.size else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    content = png()[:8] + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(read_image(content).pixels, pixels)
    short = png()[:8] + header + chunk(b"IDAT", zlib.compress(rows[:-1])) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="pixel data"):
        read_image(short)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_after_the_end_are_noted_in_files_and_refused_from_vendors(kind: str) -> None:
    content = saved(Image.fromarray(scene()), kind) + b"<script>"
    assert "8 bytes after the end of the picture ignored" in read_image(content).conversions
    with pytest.raises(PayloadError, match="8 bytes more"):
        read_output(content, SIZE)


def test_headers_above_the_limits_are_refused_before_decoding() -> None:
    content = bomb()
    started = time.process_time()
    with pytest.raises(ImageError, match=r"at most 30000 pixels a side and 100000000 in all.*12000×12000"):
        read_image(content, limits=ImageLimits(max_pixels=100_000_000))
    # Decoding these 432 MB takes ten times longer; the bound says "not decoded", whatever the machine.
    assert time.process_time() - started < 5
    tall = raw_png(1, 40_000, 8, 0, bytes(80_000))
    with pytest.raises(ImageError, match="1×40000"):
        read_image(tall)
    with pytest.raises(PayloadError, match="100 in all"):
        read_output(png(), SIZE, limits=ImageLimits(max_pixels=100))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "BMP"])
def test_limits_hold_for_every_kind(kind: str) -> None:
    content = saved(Image.fromarray(scene()), kind)
    for limits in (ImageLimits(max_pixels=767), ImageLimits(max_side=31)):
        with pytest.raises(ImageError, match="32×24"):
            read_image(content, limits=limits)
    assert read_image(content, limits=ImageLimits(max_pixels=768, max_side=32)).size == SIZE


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png())
    for source in (path, png()):
        with pytest.raises(ImageError, match=f"at most 50 bytes; got {len(png())}"):
            read_image(source, limits=ImageLimits(max_bytes=50))


def test_a_hostile_text_chunk_is_refused_or_ignored() -> None:
    inflated = with_chunk(png(), b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
    with pytest.raises(ImageError, match="expected"):
        read_image(inflated)
    script = with_chunk(png(), b"tEXt", b"Comment\0<script>alert(1)</script>")
    assert np.array_equal(read_image(script).pixels, scene())


def test_empty_pictures_contradicting_headers_and_unreadable_profiles_are_refused() -> None:
    # A second header chunk, as Pillow would believe it.
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 24, 8, 2, 0, 0, 0))
    for content, said in (
        (b"", "empty"),
        (raw_png(0, 4, 8, 2, b""), "expected"),
        (raw_png(4, 0, 8, 2, b""), "expected"),
        (png()[:33] + second + png()[33:], "expected"),
        (with_chunk(png(), b"iCCP", b"name\0\0not compressed"), "ICC profile"),
        (with_segment(b"\xff\xe2", b"ICC_PROFILE\0\x02\x03" + bytes(40)), "ICC profile"),
    ):
        with pytest.raises(ImageError, match=said):
            read_image(content)


def test_transparency_is_refused_with_a_way_out() -> None:
    glass = np.dstack([scene(), np.full(SIZE, 200, np.uint8)])
    with pytest.raises(ImageError, match="-flatten"):
        read_image(png(glass))
    with pytest.raises(PayloadError, match="transparent"):
        read_output(png(glass), SIZE)
    opaque = np.dstack([scene(), np.full(SIZE, 255, np.uint8)])
    assert read_output(png(opaque), SIZE).conversions == ("fully opaque alpha channel dropped",)


def test_metadata_are_not_kept() -> None:
    block = Image.Exif()
    block[0x010F] = "Secret Maker"
    block.get_ifd(0x8825)[1] = "N"
    picture = read_image(jpeg(exif=block.tobytes(), comment=b"here I live"))
    assert "Secret" not in repr(picture)
    assert "live" not in repr(picture)


def test_a_file_that_cannot_be_read_is_named_escaped_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[31m\u202egnp.exe"
    hostile.write_bytes(b"no picture")
    os.mkfifo(tmp_path / "pipe.png")
    for source, said in (
        (hostile, r"^[^\x1b]*\\x1b\[31m\\u202egnp\.exe: expected a PNG[^\x1b]*$"),
        (tmp_path, "got a folder"),
        (tmp_path / "missing.png", "no such file"),
        (Path("nul\0byte"), "x00"),
        (tmp_path / "pipe.png", "regular file"),
    ):
        with pytest.raises(ImageError, match=said):
            read_image(source)
    with pytest.raises(ImageError, match=r"cat\.png: expected a PNG"):
        read_image(b"xx", name="cat.png")


def test_a_process_that_invents_missing_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UsageError, match="LOAD_TRUNCATED_IMAGES"):
        read_image(png())


def test_a_wrong_size_is_refused_with_both_sizes() -> None:
    turned = [(size, {"any_scale": True}, "got 32×24") for size in ((32, 24), (24, 48), (96, 72))]
    for size, options, said in (
        ((48, 64), {}, "expected 64×48 pixels; got 32×24"),
        ((32, 24), {"resample": True}, "expected 24×32 pixels; got 32×24"),
        ((24, 33), {}, "got 32×24"),
        *turned,
        ((72, 96), {"resample": True}, "got 32×24"),
    ):
        with pytest.raises(PayloadError, match=said):
            read_output(png(), size, **options)


def test_a_declared_resample_or_any_scale_brings_it_to_the_grid_and_says_so() -> None:
    picture = read_output(png(), (20, 30), resample=True)
    expected = np.asarray(Image.fromarray(scene()).resize((30, 20), Image.Resampling.BICUBIC))
    assert np.array_equal(picture.pixels, expected)
    assert picture.size == (20, 30)
    assert picture.conversions == ("vendor's 32×24 resampled to 30×20 (bicubic)",)
    assert picture.digest == pixels_digest(expected)
    assert read_output(png(), (72, 96), any_scale=True).size == (72, 96)
    assert read_output(png(), (12, 16), any_scale=True).conversions == ("vendor's 32×24 resampled to 16×12 (bicubic)",)
    for choice in ("resample", "any_scale"):
        assert read_output(png(), SIZE, **{choice: True}).conversions == ()


def test_lossy_answers_are_noted() -> None:
    assert read_output(jpeg(), SIZE).conversions == ("lossy JPEG: compression noise is part of every loss",)
    assert read_output(saved(Image.fromarray(scene()), "WEBP"), SIZE).conversions[0].startswith("lossy WEBP")


@pytest.mark.parametrize("colour", [(0, 0, 0), (7, 200, 7)])
def test_blank_answers_are_flagged(colour: tuple[int, int, int]) -> None:
    picture = read_output(png(np.full((*SIZE, 3), colour, np.uint8)), SIZE)
    assert is_blank(picture.pixels)
    assert "the vendor's picture is blank: one colour everywhere" in picture.conversions
    assert not is_blank(read_output(png(), SIZE).pixels)


REFUSED = {
    "wrong-size": "got 16×12",
    "rounded-size": "got 33×24",
    "truncated": "truncated or damaged",
    "no-iend": "IEND",
    "trailing-garbage": "nothing after the end",
    "flipped-bit": "checksum",
    "empty": "empty",
    "html": "an HTML file. It is a message",
    "gif": "a GIF",
    "sixteen-bit": "8 bits a channel",
    "alpha": "transparent pixels",
    "cmyk": "CMYK without",
    "exif-orientation": "EXIF orientation 6",
    "bomb": "got 12000×12000",
    "many-frames": "one picture a file",
    "stuffed-text": "cannot be decoded",
    "palette-missing": "the vendor's picture: expected a whole PNG picture; it cannot be decoded",
    "jpeg-cut": "part of its coded pixels is missing",
    "jpeg-bomb": "coded pixels",
}
NOTED = {
    # What a picture shows is compared with what was sent, elsewhere.
    **dict.fromkeys(("noise", "another-photograph", "mirrored", "mirrored-top-to-bottom", "upside-down"), ""),
    **dict.fromkeys(("flatter-and-brighter", "webp", "shifted", "foreign"), ""),
    **dict.fromkeys(("black", "constant"), "blank"),
    "jpeg": "lossy JPEG",
    "grey": "grey replicated",
    "palette": "palette expanded",
}


@pytest.mark.parametrize("kind", sorted(WRONG_PICTURES))
def test_every_wrong_picture_of_the_fault_server_is_refused_or_noted(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (*SIZE, 3), dtype=np.uint8)
    content = WRONG_PICTURES[kind](encode(scene() // 2 + noise))
    if kind in REFUSED:
        with pytest.raises(PayloadError, match=REFUSED[kind]):
            read_output(content, SIZE)
    else:
        assert NOTED[kind] in " ".join(read_output(content, SIZE).conversions)


def test_threads_do_not_disturb_each_other_nor_the_warning_filters() -> None:
    contents = [saved(Image.fromarray(scene()), kind) for kind in ("TIFF", "PNG", "BMP", "TIFF")]
    before = list(warnings.filters)
    found: list[bool] = []

    def work(content: bytes) -> None:
        found.extend(np.array_equal(read_image(content).pixels, scene()) for _ in range(20))

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
    assert list(warnings.filters) == before


KINDS = {kind: saved(Image.fromarray(scene()), kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")}
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
STARTS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBPVP8X", b"II*\0", b"BM", b""]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(KINDS)), CHANGES)
def test_changed_bytes_end_in_a_picture_or_a_clear_error(kind: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(KINDS[kind])
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    said = ""
    pixels = scene()
    try:
        pixels = read_image(bytes(content), limits=ImageLimits(max_pixels=10_000)).pixels
    except ImageError as error:
        said = str(error)
    assert not said or "expected" in said
    assert pixels.ndim == 3
    assert pixels.dtype == np.uint8


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=80))
def test_random_bytes_are_never_a_picture(start: bytes, rest: bytes) -> None:
    with pytest.raises(ImageError, match="expected"):
        read_image(start + rest)


def test_a_webp_too_large_for_its_decoder_is_refused_before_it_is_decoded() -> None:
    content = saved(Image.new("RGB", (64, 64)), "WEBP", lossless=True)
    bits = (16383 - 1) | (9000 - 1) << 14 | int.from_bytes(content[21:25], "little") >> 28 << 28
    with pytest.raises(ImageError, match="at most 30000 pixels a side and 80000000 in all; the header says 16383×9000"):
        read_image(content[:21] + bits.to_bytes(4, "little") + content[25:])
