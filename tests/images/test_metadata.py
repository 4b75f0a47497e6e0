"""EXIF and XMP of an input in the pictures that are made of it: kept as they are, but for what is no longer true."""

import io
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.metadata import Metadata
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.mask.products import xmp_of

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


@pytest.mark.parametrize(
    "packet",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb">]>' + XMP,
        XMP[:-20],
        "<a>" * 5000 + "</a>" * 5000,
        XMP + " " * (1 << 20),
        "\0" * 20,
    ],
)
def test_xmp_that_cannot_be_read_is_dropped_and_said_so(packet: str) -> None:
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
