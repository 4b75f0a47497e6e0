"""What a file says about itself before anything is decoded: kind, size, depth, frames, where the picture ends.

Pixels are not touched here, and metadata is read only as far as a rule of `read` depends on it.
"""

import re
import struct
import zlib
from dataclasses import dataclass, field

from blackbox_conformal.errors import ImageError
from blackbox_conformal.images.image_errors import too_deep, truncated
from blackbox_conformal.images.jpeg_scans import read_jpeg

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_OTHER_KINDS = (
    (re.compile(rb"GIF8[79]a"), "a GIF"),
    (re.compile(rb"....ftyp(avif|avis)", re.S), "an AVIF"),
    (re.compile(rb"....ftyp(hei|hev|mif|msf)", re.S), "a HEIC"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", re.S), "a JPEG XL"),
    (re.compile(rb"\x00\x00\x00\x0cjP  \r\n|\xff\x4f\xff\x51", re.S), "a JPEG 2000"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"8BPS"), "a Photoshop"),
    (re.compile(rb"\s*(<\?xml|<svg)", re.S | re.I), "an SVG or XML"),
    (re.compile(rb"\s*(<!doctype|<html)", re.S | re.I), "an HTML"),
    (re.compile(rb"\s*[{\[]", re.S), "a JSON"),
)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PLAIN_HEADER = bytes((8, 2, 0, 0, 0))
_PLAIN_SIZES = {b"IHDR": 13, b"IEND": 0, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9, b"tIME": 7}
_PLAIN_TEXT = 1 << 16
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class Container:
    """What the outside of a file tells.

    Attributes
    ----------
    format
        Pillow's name of the format.
    width, height
        In pixels; 0 where only the decoder's own header reading tells (TIFF, BMP).
    trailing
        Number of bytes after the end of the picture.
    lossy
        Whether the pixels went through lossy compression; None where it cannot be told.
    profile
        Whether the file carries an ICC profile, so that one that cannot be read does not go unnoticed.
    pixel_bytes, pixel_data
        PNG: size of the pixel data that the header asks for, and the compressed data.
    plain
        PNG: whether it is 8-bit RGB, not interlaced, with no chunk that could change a pixel or its meaning.
    scans
        JPEG: (start, end) of the coded data of each scan.
    """

    format: str
    width: int = 0
    height: int = 0
    trailing: int = 0
    lossy: bool | None = None
    profile: bool = False
    pixel_bytes: int = 0
    pixel_data: tuple[memoryview, ...] = field(default=(), repr=False)
    plain: bool = False
    scans: tuple[tuple[int, int], ...] = ()


def inspect(data: bytes) -> Container:
    """The container of `data`, by its first bytes, never by a name or a content type.

    Raises
    ------
    ImageError
        An unknown kind, a truncated or damaged file, more than one frame, more than 8 bits a channel. The message
        does not name the file.
    """
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return Container("TIFF")
    if data.startswith(b"BM"):
        return Container("BMP", lossy=False)
    kind = next((name for pattern, name in _OTHER_KINDS if pattern.match(data)), None)
    if kind is not None:
        raise ImageError(f"expected a PNG, JPEG, WebP, TIFF or BMP picture; got {kind} file. Convert it to PNG")
    raise ImageError(f"expected a PNG, JPEG, WebP, TIFF or BMP picture; it is not an image ({_content(data)})")


def _content(data: bytes) -> str:
    """What a file holds that is no picture, for people."""
    if not data:
        return "it is empty"
    try:
        # A character may be cut in two at the end of what is looked at.
        text = data[:512].decode("utf-8", errors="strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter in "\t\n\r\f" for letter in text):
        return "its content is text"
    return f"it starts with the bytes {data[:8].hex(' ')}"


def _png(data: bytes) -> Container:
    width = height = 0
    profile = standard = frames = False
    plain = True
    needed = 0
    data_chunks: list[memoryview] = []
    position = len(PNG_SIGNATURE)
    first = True
    last = b""
    gamma: int | None = None
    while True:
        if position + 12 > len(data):
            raise truncated("PNG", "its end chunk (IEND) is missing")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise truncated("PNG", f"a chunk says {length} bytes and only {len(data) - position - 12} follow")
        body = memoryview(data)[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageError("expected intact PNG chunks; a checksum does not match. The file is damaged: get it again")
        if first and (name != b"IHDR" or length != 13):
            raise ImageError("expected a PNG that starts with its header (IHDR); it does not. The file is damaged")
        if first:
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            if depth > 8:
                raise too_deep(f"a PNG with {depth}")
            plain = bytes(body[8:]) == _PLAIN_HEADER
            needed = _png_bytes(width, height, depth * _PNG_CHANNELS.get(colour, 0), interlace != 0)
        elif name == b"IHDR":
            raise ImageError("expected one header (IHDR) in the PNG; it has two. The file is damaged")
        if name == b"IDAT":
            # Decoders stop at the end of the first run of pixel data.
            plain = plain and (not data_chunks or last == b"IDAT")
            data_chunks.append(body)
        elif name != b"tEXt" or b"\0" not in bytes(body[:80]):
            plain = plain and _PLAIN_SIZES.get(name) == length
        else:
            plain = plain and length <= _PLAIN_TEXT
        first = False
        frames = frames or name == b"acTL"
        profile = profile or name == b"iCCP"
        standard = standard or name in (b"iCCP", b"sRGB")
        if name == b"gAMA" and length == 4:
            gamma = int.from_bytes(body, "big")
        if name == b"cICP" and bytes(body[:2]) != b"\x01\x0d":
            raise ImageError("expected sRGB or an ICC profile; the PNG declares another colour space (cICP)")
        position, last = end, name
        if name == b"IEND":
            break
    if frames:
        raise _animated("PNG")
    if gamma is not None and not standard and abs(gamma - 45455) > 2500:
        raise ImageError(
            f"expected sRGB or an ICC profile; the PNG declares gamma {gamma / 100000:g} instead of 0.45455. Convert it"
        )
    return Container("PNG", width, height, len(data) - position, False, profile, needed, tuple(data_chunks), plain)


def _png_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Size of the uncompressed pixel data: a filter byte a row, rows padded to bytes; Adam7's seven passes."""
    total = 0
    for left, top, right, down in _PNG_PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def check_pixel_data(container: Container) -> None:
    """Refuse a PNG whose pixel data end early, which decoders fill with black; to be called within limits.

    Raises
    ------
    ImageError
        The compressed data are damaged or too short.
    """
    inflater = zlib.decompressobj()
    found = 0
    try:
        for body in container.pixel_data:
            rest: bytes | memoryview = body
            while rest and not inflater.eof:
                found += len(inflater.decompress(rest, 1 << 20))
                rest = inflater.unconsumed_tail
                if found > container.pixel_bytes:
                    return
        # What a full output buffer may still hold back.
        found += len(inflater.flush())
    except zlib.error:
        raise ImageError("expected whole pixel data in the PNG; they do not decompress. Get the file again") from None
    if found < container.pixel_bytes:
        raise truncated("PNG", f"its header asks for {container.pixel_bytes} bytes of pixel data; it has {found}")


def _animated(kind: str) -> ImageError:
    return ImageError(f"expected one picture a file; got a {kind} with several. Save the wanted one by itself")


def _jpeg(data: bytes) -> Container:
    found = read_jpeg(data)
    trailing = len(data) - found.end
    return Container("JPEG", found.width, found.height, trailing, True, found.profile, scans=tuple(found.scans))


def _webp(data: bytes) -> Container:
    (length,) = struct.unpack_from("<I", data, 4) if len(data) >= 12 else (0,)
    end = 8 + length
    if end > len(data) or length < 22:
        raise truncated("WebP", f"it says {end} bytes and has {len(data)}")
    kind, payload = data[12:16], data[20:30]
    names = set()
    position = 12
    while position + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, position)
        names.add(name)
        position += 8 + size + size % 2
    if kind == b"VP8X" and (payload[0] & 2 or b"ANMF" in names):
        raise _animated("WebP")
    if kind == b"VP8X":
        width = int.from_bytes(payload[4:7], "little") + 1
        height = int.from_bytes(payload[7:10], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(payload[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", payload, 6))
    else:
        raise ImageError("expected a WebP picture; its first chunk is none. The file is damaged: get it again")
    return Container("WEBP", width, height, len(data) - end, b"VP8L" not in names, b"ICCP" in names)
