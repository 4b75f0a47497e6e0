"""What a file's outside tells before a decoder sees it, and damaged, cut or unusual files."""

import io
import itertools
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from skimage import data
from support.picture_files import jpeg, png, raw_png, saved, scene, with_chunk

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.headers import PNG_SIGNATURE, inspect
from blackbox_conformal.method.images.metadata import Metadata
from blackbox_conformal.method.images.read import ImageLimits, read_image, read_output
from blackbox_conformal.study.mask.products import xmp_of
from blackbox_conformal.testing.pictures import chunk


def picture() -> Image.Image:
    return Image.fromarray(scene(20, 30))


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"lossless": True, "exif": Image.Exif()}])
def test_webp_size_and_loss_are_read(options: dict[str, object]) -> None:
    found = inspect(saved(picture(), "WEBP", **options))
    assert (found.format, found.width, found.height, found.trailing) == ("WEBP", 30, 20, 0)
    assert found.lossy is not options["lossless"]


def test_sizes_are_read_and_bytes_after_the_end_counted() -> None:
    assert inspect(png(scene(20, 30))).width == 30
    found = inspect(jpeg(picture(), progressive=True))
    assert (found.width, found.height, found.lossy) == (30, 20, True)
    for content in (png(), jpeg(), saved(picture(), "WEBP")):
        assert [inspect(content + tail).trailing for tail in (b"", b"tail!")] == [0, 5]


def test_a_file_without_its_end_is_truncated() -> None:
    for content, cuts, said in (
        (png(), (1, 2, 12, 13, 40, 80), "truncated or damaged"),
        (jpeg(), (1, 2, 3, 100, 600), r"end marker \(EOI\)"),
        (saved(picture(), "WEBP"), (1, 2, 100), "truncated or damaged"),
    ):
        for cut in cuts:
            with pytest.raises(ImageError, match=said):
                inspect(content[:-cut])
    # An embedded thumbnail has an end marker of its own, inside a segment.
    content = jpeg()
    thumbnail = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    assert inspect(content[:2] + thumbnail + content[2:]).trailing == 0
    with pytest.raises(ImageError, match="EOI"):
        inspect(content[:2] + thumbnail + content[2:-2])


def test_headers_that_are_changed_are_refused() -> None:
    content, deep = bytearray(png()), bytearray(jpeg())
    content[60] ^= 1
    deep[deep.index(b"\xff\xc0") + 4] = 12
    late = png()[:8] + chunk(b"tEXt", b"a\0b") + png()[8:]
    for wrong, said in ((content, "checksum"), (late, "IHDR"), (deep, "a JPEG with 12")):
        with pytest.raises(ImageError, match=said):
            inspect(bytes(wrong))


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused_before_decoding(colour: int, channels: int) -> None:
    rows = (b"\0" + b"\x12\x34" * 4 * channels) * 3
    with pytest.raises(ImageError, match=r"8 bits a channel; got a PNG with 16.*-depth 8"):
        inspect(raw_png(4, 3, 16, colour, rows))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    with pytest.raises(ImageError, match="one picture a file"):
        inspect(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + bytes(20), "got a GIF"),
        (b"\xff\x0a" + bytes(20), "got a JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n" + bytes(20), "got a JPEG 2000"),
        (b"%PDF-1.7", "got a PDF"),
        (b"8BPS" + bytes(20), "got a Photoshop"),
        (b"<?xml version='1.0'?><svg/>", "got an SVG"),
        (b"\n<!DOCTYPE html><html>", "got an HTML"),
        (b'{"error": "quota"}', "got a JSON"),
        (b"\x01\x02", r"not an image .it starts with the bytes 01 02"),
        (b"notapic\n", r"it is not an image .its content is text"),
        ("für später".encode() * 100, r"it is not an image .its content is text"),
    ],
)
def test_other_kinds_are_named(content: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        inspect(content)


def test_a_png_in_another_colour_space_is_refused_and_one_that_says_srgb_in_other_words_passes() -> None:
    linear = with_chunk(png(), b"gAMA", (100000).to_bytes(4, "big"))
    for wrong, said in ((linear, "gamma 1 instead"), (with_chunk(png(), b"cICP", bytes([9, 16, 0, 1])), "cICP")):
        with pytest.raises(ImageError, match=said):
            inspect(wrong)
    for content, name, block in (
        (png(), b"gAMA", (45455).to_bytes(4, "big")),
        (png(), b"cICP", bytes([1, 13, 0, 1])),
        (linear, b"sRGB", b"\0"),
    ):
        assert inspect(with_chunk(content, name, block)).format == "PNG"


QUALITIES = (5, 50, 90, 100)
RESTARTS: tuple[dict[str, int], ...] = ({}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 1})


def pictures() -> list[Image.Image]:
    """Photographs, noise, edges, and pictures of one colour, whose files are tiny."""
    rng = np.random.default_rng(4)
    photographs = [data.astronaut()[100:331, 150:470], data.chelsea()[:202, 40:290], data.coffee()[90:250, 200:403]]
    made = [rng.integers(0, 256, (61, 83, 3)), np.kron(rng.integers(0, 2, (9, 11)) * 255, np.ones((16, 16)))]
    return [
        *(Image.fromarray(pixels.astype(np.uint8)) for pixels in (*photographs, *made)),
        Image.new("RGB", (640, 480), (12, 99, 200)),
        Image.new("RGB", (333, 217), (255, 255, 255)),
        Image.new("L", (300, 200), 0),
        Image.new("RGB", (1, 1)),
    ]


def files() -> list[tuple[dict[str, int], bytes]]:
    found = []
    for image, quality, progressive, restart in itertools.product(pictures(), QUALITIES, (False, True), RESTARTS):
        for subsampling in (0, 1, 2) if image.mode == "RGB" else (0,):
            if restart and subsampling == 1:
                continue
            options = {"quality": quality, "progressive": progressive, "subsampling": subsampling, **restart}
            found.append((options, saved(image, "JPEG", **options)))
    return found


def start_of_scan(content: bytes) -> int:
    """Where the first coded pixels are."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def cut(content: bytes, share: float) -> bytes:
    """The first part of the coded pixels, and the end marker."""
    start = start_of_scan(content)
    return content[: start + int((len(content) - 2 - start) * share)].rstrip(b"\xff") + b"\xff\xd9"


def test_whole_files_of_every_kind_pass() -> None:
    whole = files()
    assert len(whole) > 400
    for options, content in whole:
        np.testing.assert_array_equal(read_image(content).pixels, pillow(content), str(options))


def test_files_that_are_cut_and_ended_again_are_refused() -> None:
    rng = np.random.default_rng(8)
    large = [(options, content) for options, content in files() if inspect(content).width > 80]
    for index in rng.permutation(len(large))[:300]:
        with pytest.raises(ImageError, match="truncated or damaged"):
            read_image(cut(large[index][1], rng.uniform(0.03, 0.97)))


def test_parts_between_restart_markers_and_scans_that_are_missing_are_noticed() -> None:
    content = saved(Image.fromarray(data.astronaut()[:200, :200]), "JPEG", quality=80, restart_marker_rows=1)
    first = content.index(b"\xff\xd0", start_of_scan(content))
    second = content.index(b"\xff\xd1", first)
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(content[: (first + second) // 2].rstrip(b"\xff") + content[second:])
    content = saved(Image.fromarray(scene(64, 64)), "JPEG", quality=80, progressive=True)
    with pytest.raises(ImageError, match="some of its scans are missing"):
        inspect(content[: content.rindex(b"\xff\xda")] + b"\xff\xd9")


def test_text_between_the_cut_and_the_end_hides_nothing_and_space_before_a_marker_may_be_filled() -> None:
    content = cut(saved(Image.fromarray(data.astronaut()[:200, :200]), "JPEG"), 0.5)
    with pytest.raises(ImageError, match="part of its coded pixels is missing"):
        read_image(content[:-2] + b"\xff\xfe\x00\x06text" + b"\xff\xff\xd9")
    content = jpeg()
    assert np.array_equal(read_image(content[:-2] + b"\xff\xff" + content[-2:]).pixels, read_image(content).pixels)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_header_that_asks_for_far_more_than_there_is_is_refused_before_decoding(progressive: bool) -> None:
    content = saved(Image.new("RGB", (8, 8)), "JPEG", progressive=progressive)
    start = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    with pytest.raises(ImageError, match=r"its header asks for at least \d+ bytes of coded pixels; it has \d+\."):
        inspect(content[:start] + struct.pack(">HH", 12_000, 12_000) + content[start + 4 :])


def test_kinds_that_nobody_uses_and_damaged_headers_are_refused() -> None:
    """Damaged: the number of components; of a scan, and a sampling factor that is zero."""
    for marker, place, value, said in (
        *((b"\xff\xc0", 1, kind, "baseline or progressive") for kind in (0xC3, 0xC9, 0xCA, 0xCD)),
        (b"\xff\xc0", 9, 9, "damaged"),
        (b"\xff\xda", 4, 0, "damaged"),
        (b"\xff\xc0", 11, 0, "damaged"),
    ):
        content = bytearray(jpeg())
        content[content.index(marker) + place] = value
        with pytest.raises(ImageError, match=said):
            inspect(bytes(content))


HEIGHT, WIDTH = 500, 720
NOT_PLAIN_ZLIB = (b"\x79\x9c", b"\x88\x1c", b"\x78\x9d", b"\x78\xbb")


@pytest.fixture(scope="module")
def filtered():
    """Rows of every filter with random bytes, hence pixels of every kind."""
    rows = np.random.default_rng(5).integers(0, 256, (HEIGHT, 1 + 3 * WIDTH), dtype=np.uint8)
    rows[:, 0] = np.arange(HEIGHT) % 5
    return rows


def file_of(stream, *, cut=1 << 30, size=(WIDTH, HEIGHT)):
    header = chunk(b"IHDR", struct.pack(">II5B", *size, 8, 2, 0, 0, 0))
    parts = [chunk(b"IDAT", stream[start : start + cut]) for start in range(0, len(stream), cut)]
    return PNG_SIGNATURE + header + b"".join(parts) + chunk(b"IEND", b"")


def pillow(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


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


def test_damage_is_told_as_for_any_picture(filtered):
    rows = filtered.tobytes()
    for stream, said in (
        (zlib.compress(rows[: -1 - 3 * WIDTH]), r"asks for 1080500 bytes of pixel data; it has 1078339"),
        (zlib.compress(rows)[:-4] + b"sums", "do not decompress"),
        (zlib.compress(rows)[:5000] + bytes(5000), "pixel data"),
        *((head + zlib.compress(rows, 1)[2:], "pixel data|cannot be decoded") for head in NOT_PLAIN_ZLIB),
    ):
        with pytest.raises(ImageError, match=said):
            read_image(file_of(stream))


def test_what_follows_is_ignored_as_by_pillow_and_an_unknown_filter_is_refused(filtered):
    for content in (
        file_of(zlib.compress(filtered.tobytes(), 1) + b"more"),
        file_of(zlib.compress(filtered.tobytes() + bytes(9))),
    ):
        np.testing.assert_array_equal(read_image(content).pixels, pillow(content))
    wrong = filtered.copy()
    wrong[-1, 0] = 5
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_image(file_of(zlib.compress(wrong.tobytes())))


@pytest.mark.parametrize(("height", "width"), [(1, 400_000), (400_000, 1), (17, 30_000), (31, 12_345)])
def test_rows_of_any_length(height, width):
    rows = np.random.default_rng(height).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] %= 5
    content = file_of(zlib.compress(rows.tobytes(), 1), size=(width, height))
    np.testing.assert_array_equal(read_image(content, limits=ImageLimits(max_side=400_000)).pixels, pillow(content))


PIXELS = np.random.default_rng(2).integers(0, 256, (24, 32, 3), np.uint8)
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">
 <rdf:Description rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5" tiff:Orientation="6">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Boats &amp; ropes</rdf:li></rdf:Alt></dc:title>
 <tiff:ImageWidth>32</tiff:ImageWidth></rdf:Description></rdf:RDF></x:xmpmeta>"""


def exif(order: str) -> bytes:
    """Make, orientation, a second part with width and user's comment, and a thumbnail, in either order of bytes."""
    comment, thumbnail = b"ASCII\0\0\0boats", b"\xff\xd8thumbnail\xff\xd9"
    texts = b"Ana M\xc3\xbcller\0"
    first, second, third = 8, 8 + 2 + 48 + 4, 8 + 2 + 48 + 4 + 2 + 24 + 4
    heap = third + 2 + 24 + 4
    parts = [(0x13B, 2, len(texts), heap), (256, 4, 1, 32), (274, 3, 1, 6), (0x8769, 4, 1, second)]

    def part(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
        packed = b""
        for tag, kind, count, value in entries:
            packed += struct.pack(order + "HHI", tag, kind, count)
            packed += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
        return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following)

    details = [(0x9286, 7, len(comment), heap + len(texts)), (0xA002, 4, 1, 32)]
    small = [(0x201, 4, 1, heap + len(texts) + len(comment)), (0x202, 4, 1, len(thumbnail))]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    return head + part(parts, third) + part(details, 0) + part(small, 0) + texts + comment + thumbnail


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_damaged_block_is_not_said_to_be_kept(order: str) -> None:
    whole = exif(order)
    assert Metadata(exif=whole).told(kept=True) == "EXIF kept"
    (count,) = struct.unpack_from(order + "H", whole, 8)
    # Its next part is to begin after its end.
    damaged = whole[: 10 + 12 * count] + struct.pack(order + "I", 10**6) + whole[14 + 12 * count :]
    assert Metadata(exif=damaged).carried()[0] == b""
    assert Metadata(exif=damaged).told(kept=True) == "EXIF dropped, since the block is damaged"
    assert Metadata(exif=damaged).told(kept=False) == "EXIF left out (--keep-metadata keeps it)"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_a_photographer_wrote_is_kept_and_what_the_pixels_changed_is_not(kind: str, order: str) -> None:
    out, text = io.BytesIO(), PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP)
    beside = {"pnginfo": text} if kind == "PNG" else {"xmp": XMP.encode()}
    Image.fromarray(PIXELS).save(out, kind, exif=b"Exif\0\0" + exif(order), **beside)
    picture = read_image(out.getvalue())
    kept, described, said = picture.metadata.carried()
    assert said == "EXIF kept without sizes, orientation and thumbnail; XMP kept but for what is said anew"
    assert b"thumbnail" not in kept
    content = image_png(picture.pixels, f"<a>{described}</a>", kept)
    assert (read_image(content).pixels == picture.pixels).all()
    assert read_image(content).conversions == ()
    with Image.open(io.BytesIO(content)) as opened:
        found = opened.getexif()
        assert dict(found.get_ifd(0x8769)) == {0x9286: b"ASCII\0\0\0boats"}
        assert set(found) - {0x8769} == {0x13B}
    assert b"Ana M\xc3\xbcller\0" in kept
    (description,) = ElementTree.fromstring(f"<a>{described}</a>")
    assert description.attrib == {f"{RDF}about": "", "{http://ns.adobe.com/xap/1.0/}Rating": "5"}
    assert [child.tag for child in description] == ["{http://purl.org/dc/elements/1.1/}title"]
    assert "".join(description.itertext()).strip() == "Boats & ropes"


def test_a_profile_is_dropped_and_said_so_and_nothing_is_said_of_nothing(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).save(tmp_path / "profiled.png", icc_profile=profile)
    assert read_image(tmp_path / "plain.png").metadata.carried() == (b"", "", "the input's file has none")
    kept = "colour profile dropped, as the pixels are sRGB"
    assert read_image(tmp_path / "profiled.png").metadata.carried() == (b"", "", kept)


def test_only_a_caption_stands_in_place_of_what_the_picture_says_of_itself() -> None:
    said = "may have invented detail"
    for name, kept in (("dc:description", True), ("xmp:description", False), ("foreign:description", False)):
        words = f"<{name} xmlns:foreign='https://a.example'><rdf:Alt><rdf:li>Boats</rdf:li></rdf:Alt></{name}>"
        packet = XMP.replace("<dc:title>", f"{words}<dc:title>")
        described = Metadata(xmp=packet.encode()).carried()[1]
        assert "Boats" in described
        assert (said not in xmp_of("mask.png", carried=described)) == kept, name


def test_xmp_that_cannot_be_read_is_dropped_and_said_so() -> None:
    for packet in (
        '<!DOCTYPE a [<!ENTITY b "bbbb">]>' + XMP,
        XMP[:-20],
        "<a>" * 5000 + "</a>" * 5000,
        XMP + " " * (1 << 20),
        "\0" * 20,
    ):
        assert Metadata(xmp=packet.encode()).carried() == (b"", "", "XMP dropped")


@pytest.mark.parametrize("order", ["<", ">"])
def test_damaged_metadata_never_ends_a_job(order: str) -> None:
    rng, block, packet = np.random.default_rng(7), exif(order), XMP.encode()
    dropped = 0
    for _ in range(1000):
        hurt = [bytearray(block), bytearray(packet)]
        for one in hurt:
            for at in rng.integers(0, len(one), rng.integers(1, 5)):
                one[at] = rng.integers(0, 256)
        kept, described, _ = Metadata(bytes(hurt[0]), bytes(hurt[1])).carried()
        assert len(kept) in (0, len(block))
        if described:
            ElementTree.fromstring(f"<a>{described}</a>")
        dropped += not kept or not described
        Metadata(bytes(hurt[0][: rng.integers(0, len(block))])).carried()
    assert dropped > 100
