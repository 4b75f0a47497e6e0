"""What a file says beside its pixels, EXIF and XMP, made ready for a picture made from that file."""

import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image as PillowImage
from PIL import JpegImagePlugin

# When a photograph was shot, as its file says: read to compare photographs with each other, and never kept.

_EXIF_FOLDER, _SHOT = 0x8769, 0x9003
"""Tags of EXIF: where the camera's entries are, and DateTimeOriginal, which programs that edit leave as it is."""


def time_shot(path: Path) -> datetime | None:
    """To the second; None where the file is no JPEG or does not say."""
    try:
        with JpegImagePlugin.JpegImageFile(path) as opened:
            block = opened.info.get("exif", b"")
        exif = PillowImage.Exif()
        exif.load(block)
        return datetime.strptime(str(exif.get_ifd(_EXIF_FOLDER).get(_SHOT)), "%Y:%m:%d %H:%M:%S")
    except Exception:  # noqa: BLE001 - a damaged block, which may raise anything, says no time
        return None


# Tags of EXIF's first part about how the pixels of the other file are stored and turned.
_OF_PIXELS = {256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 282, 283, 284, 296}
# The tag that leads to EXIF's second part, and there colour space, width and height.
_DETAILS, _SIZES = 0x8769, {0xA001, 0xA002, 0xA003}
_GPS = 0x8825  # Leads to EXIF's part about the place.

_THUMBNAIL, _THUMBNAIL_BYTES = 0x201, 0x202

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DESCRIPTION, _ABOUT = f"{_RDF}Description", f"{_RDF}about"
_REPLACED = (
    "{http://ns.adobe.com/tiff/1.0/}",
    "{http://ns.adobe.com/xap/1.0/}Thumbnails",
    "{http://purl.org/dc/elements/1.1/}format",
    "{http://purl.org/dc/elements/1.1/}relation",
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType",
)
"""Properties of XMP about the other file, or said anew of this picture."""

_CAPTION = "{http://purl.org/dc/elements/1.1/}description"

LARGEST = 1 << 20  # Bytes of XMP that are read.


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file of an input says beside its pixels."""

    exif: bytes = b""  # Its EXIF block; empty where there is none.
    xmp: bytes = b""  # Its XMP packet; empty where there is none.
    profile: bool = False  # Whether it has a colour profile.

    def told(self, *, kept: bool) -> str:
        """Say in short whether EXIF, and where the picture was taken, is in pictures made from it; empty: no EXIF."""
        exif = PillowImage.Exif()
        try:
            exif.load(self.exif)
            entries, place = set(exif) - {_DETAILS}, exif.get_ifd(_GPS)
        except Exception:  # noqa: BLE001 - a damaged block, which may raise anything
            entries, place = set(), {}
        if not entries - _OF_PIXELS and not place:
            return ""
        what = "EXIF with GPS" if place else "EXIF"
        if kept:
            return f"{what} kept" if _carried_exif(self.exif) else f"{what} dropped, since the block is damaged"
        return f"{what} left out (--keep-metadata keeps it)"

    def carried(self) -> tuple[bytes, str, str]:
        """EXIF and XMP descriptions for another picture, and in words what is kept and what is dropped.

        EXIF loses what describes the pixels of the input, XMP what is said anew. The pixels of the
        other picture are sRGB, so a colour profile would be wrong of them. What cannot be read is dropped.
        """
        exif, described = _carried_exif(self.exif), _carried_xmp(self.xmp)
        said = []
        if self.exif:
            said.append("EXIF kept without sizes, orientation and thumbnail" if exif else "EXIF dropped")
        if self.xmp:
            said.append("XMP kept but for what is said anew" if described else "XMP dropped")
        if self.profile:
            said.append("colour profile dropped, as the pixels are sRGB")
        return exif, described, "; ".join(said) or "the input's file has none"


def _carried_exif(block: bytes) -> bytes:
    """The block itself, so that no text and no maker's note changes, without the entries of the other file's pixels."""
    data = bytearray(block.removeprefix(b"Exif\0\0"))
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        return b""
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        entries, thumbnail = _without(data, order, start, _OF_PIXELS)
        if _DETAILS in entries:
            _without(data, order, entries[_DETAILS], _SIZES)
        if thumbnail:
            # Nothing names its second part any more; its bytes go, too.
            found, _ = _without(data, order, thumbnail, set())
            first, length = found.get(_THUMBNAIL, 0), found.get(_THUMBNAIL_BYTES, 0)
            data[first : first + length] = bytes(len(data[first : first + length]))
    except struct.error:
        return b""
    return bytes(data)


def _without(data: bytearray, order: str, start: int, tags: set[int]) -> tuple[dict[int, int], int]:
    """Take entries out of a part of EXIF and end it there; its entries, tag and value or offset, and the next part."""
    (count,) = struct.unpack_from(order + "H", data, start)
    end = start + 2 + 12 * count
    (following,) = struct.unpack_from(order + "I", data, end)
    entries = [bytes(data[at : at + 12]) for at in range(start + 2, end, 12)]
    said = {tag: value for tag, _, _, value in (struct.unpack(order + "HHII", entry) for entry in entries)}
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] not in tags]
    data[start : end + 4] = (
        struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(end + 2 - start - 12 * len(kept))
    )
    return said, following


def _carried_xmp(packet: bytes) -> str:
    """The descriptions of a packet, each with the namespaces that it takes."""
    # No XMP has a document type; entities, which could grow without end, are declared there.
    if len(packet) > LARGEST or b"<!" in packet:
        return ""
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
        found = []
        for one in root.iter(_DESCRIPTION):
            if _ABOUT not in one.attrib:
                continue
            for name in [name for name in one.attrib if name.startswith(_REPLACED)]:
                del one.attrib[name]
            for child in [child for child in one if child.tag.startswith(_REPLACED)]:
                one.remove(child)
            one.attrib[_ABOUT], one.tail = "", None
            if len(one) or len(one.attrib) > 1:
                found.append(ElementTree.tostring(one, encoding="unicode"))
        return "\n".join(found)
    except (ElementTree.ParseError, RecursionError, ValueError):
        return ""


def has_caption(described: str) -> bool:
    """Whether descriptions, as `Metadata.carried` gives them, say of the picture what Dublin Core calls description."""
    return ElementTree.fromstring(f"<all>{described}</all>").find(f"*/{_CAPTION}") is not None
