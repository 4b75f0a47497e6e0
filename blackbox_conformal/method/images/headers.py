"""What a file says about itself before anything is decoded: kind, size, depth, frames, where the picture ends."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from isal import isal_zlib

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.picture import too_deep, truncated

# The segments and scans of a JPEG: its size, where its coded pixels lie, and whether they can be complete.

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.S)
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_DECODED = {0xC0, 0xC1, _PROGRESSIVE}
_START_OF_SCAN, _END, _INTERVAL = 0xDA, 0xD9, 0xDD

_WHOLE = -1

_TAIL = np.random.default_rng(0).integers(0, 255, 64, dtype=np.uint8).tobytes()
"""Bytes that mean different pixels wherever a decoder takes them for coded ones; 0xFF is not among them."""


@dataclass
class JpegSegments:
    """What the segments say."""

    width: int = 0
    height: int = 0
    end: int = 0  # Where the file ends: after its end marker.
    profile: bool = False
    scans: list[tuple[int, int]] = field(default_factory=list)  # (start, end) of the coded data of each scan.
    progressive: bool = False
    # How many samples each component has across and down, relative to the others.
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    # Of each component's coefficients, how many low bits are still to come; -1: all.
    missing: dict[tuple[int, int], int] = field(default_factory=dict)
    # Units between restart markers, 0 where there are none; units of the last scan.
    interval: int = 0
    units: int = 0


def read_jpeg(content: bytes) -> JpegSegments:
    """The segments of `content`, up to the end marker."""
    jpeg = JpegSegments()
    for marker, position, length in _segments(content):
        if jpeg.scans and jpeg.scans[-1][1] == 0:
            # A scan ends before its marker, and before the bytes 0xFF that may fill the space there.
            start, end = jpeg.scans[-1][0], position - 2
            while content[end - 1] == 0xFF:
                end -= 1
            if jpeg.interval and len(_RESTART.findall(content, start, end)) < -(-jpeg.units // jpeg.interval) - 1:
                raise truncated("JPEG", "parts of its coded pixels are missing")
            jpeg.scans[-1] = (start, end)
        body = content[position + 2 : position + length]
        if marker == _END:
            jpeg.end = position
            break
        if marker in _FRAMES:
            _frame(jpeg, marker, body)
        elif marker == _START_OF_SCAN:
            _scan(jpeg, body)
            jpeg.scans.append((position + length, 0))
        elif marker == _INTERVAL and len(body) == 2:
            jpeg.interval = int.from_bytes(body, "big")
        jpeg.profile = jpeg.profile or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
    if not jpeg.end:
        raise truncated("JPEG", "its end marker (EOI) is missing")
    if not jpeg.width or not jpeg.scans:
        raise truncated("JPEG", "it ends before its picture")
    if any(jpeg.missing.values()):
        raise truncated("JPEG", "some of its scans are missing")
    blocks = sum(_blocks(jpeg)[number] for number in jpeg.sampling)
    # Two codes of at least a bit each for a block; of a progressive JPEG, whose other codes may be for many, one.
    needed = -(-blocks * (1 if jpeg.progressive else 2) // 8)
    coded = sum(end - start for start, end in jpeg.scans)
    if coded < needed:
        raise truncated("JPEG", f"its header asks for at least {needed} bytes of coded pixels; it has {coded}")
    return jpeg


def with_tails(content: bytes, scans: tuple[tuple[int, int], ...]) -> bytes:
    """`content` with further bytes after the coded data of each scan and restart interval.

    A decoder that has all it needs skips them; one that runs short takes them for coded pixels. So a whole JPEG has the
    same pixels with them and without them, and a JPEG whose middle is missing has other ones.
    """
    parts, last = [], 0
    for start, end in scans:
        coded = _RESTART.sub(lambda restart: _TAIL + restart[0], content[start:end])
        parts += [content[last:start], coded, _TAIL]
        last = end
    return b"".join([*parts, content[last:]])


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, position after the marker, length field) of each segment; entropy-coded data are skipped."""
    position = 2
    while match := _MARKER.search(content, position):
        marker = content[match.start() + 1]
        position = match.end()
        if marker in (_END, 0x01, 0xD8):
            yield marker, position, 0
            if marker == _END:
                return
            continue
        if position + 2 > len(content):
            return
        (length,) = struct.unpack_from(">H", content, position)
        if length < 2 or position + length > len(content):
            return
        yield marker, position, length
        position += length


def _blocks(jpeg: JpegSegments) -> dict[int, int]:
    """How many blocks of 8 x 8 each component has, and, as `_WHOLE`, how many units the components make together."""
    widest, highest = (max(factors[axis] for factors in jpeg.sampling.values()) for axis in (0, 1))

    def count(across: int, down: int) -> int:
        return -(-jpeg.width * across // (8 * widest)) * -(-jpeg.height * down // (8 * highest))

    return {_WHOLE: count(1, 1), **{number: count(*factors) for number, factors in jpeg.sampling.items()}}


def _frame(jpeg: JpegSegments, marker: int, body: bytes) -> None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise ImageError("expected a JPEG frame header; it is damaged")
    precision, jpeg.height, jpeg.width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise too_deep(f"a JPEG with {precision}")
    if marker not in _DECODED or jpeg.sampling:
        raise ImageError(
            "expected a baseline or progressive JPEG with Huffman codes and one frame; got another kind. Convert it to "
            "PNG"
        )
    jpeg.progressive = marker == _PROGRESSIVE
    for number, factors, _ in zip(*[iter(body[6 : 6 + 3 * count])] * 3, strict=True):
        if not (1 <= factors >> 4 <= 4 and 1 <= factors & 15 <= 4):
            raise ImageError("expected a JPEG frame header; it is damaged")
        jpeg.sampling[number] = (factors >> 4, factors & 15)
    # Bits of each coefficient that are still to come: all of them.
    jpeg.missing = {(number, coefficient): -1 for number in jpeg.sampling for coefficient in range(64)}


def _scan(jpeg: JpegSegments, body: bytes) -> None:
    count = body[0] if body else 0
    if not count or len(body) < 4 + 2 * count or not set(body[1 : 1 + 2 * count : 2]) <= set(jpeg.sampling):
        raise ImageError("expected a JPEG scan header; it is damaged")
    numbers = body[1 : 1 + 2 * count : 2]
    blocks = _blocks(jpeg)
    jpeg.units = blocks[numbers[0]] if count == 1 else blocks[_WHOLE]
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    if not jpeg.progressive:
        first, last, approximation = 0, 63, 0
    for number in numbers:
        for coefficient in range(first, min(last, 63) + 1):
            jpeg.missing[number, coefficient] = approximation & 15


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"

_OTHER_KINDS = (
    (re.compile(rb"GIF8[79]a"), "a GIF"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n", re.S), "a JPEG XL"),
    (re.compile(rb"\x00\x00\x00\x0cjP  \r\n|\xff\x4f\xff\x51", re.S), "a JPEG 2000"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"8BPS"), "a Photoshop"),
    (re.compile(rb"\s*(<\?xml|<svg)", re.S | re.I), "an SVG or XML"),
    (re.compile(rb"\s*(<!doctype|<html)", re.S | re.I), "an HTML"),
    (re.compile(rb"\s*[{\[]", re.S), "a JSON"),
)
"""First bytes of files that are refused by name."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG colour type → values a pixel.
# Adam7: first column and row of each pass, and its steps to the right and down (PNG specification, section 8.2).
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

_HEIF_KINDS = {b"avif": "AVIF", b"heic": "HEIF", b"heix": "HEIF"}
_FILMS = (b"avis", b"hevc", b"hevx", b"msf1")
_HEIF_BRANDS = (*_HEIF_KINDS, *_FILMS, b"mif1")
"""Major brands of files that are read as AVIF or HEIC, or refused as films."""
_PRIMARIES, _TRANSFERS = {1, 2}, {1, 2, 6, 13}
"""What is taken as sRGB (ITU-T H.273): primaries of BT.709, its curve, BT.601's or sRGB's, or nothing said."""


@dataclass(frozen=True, slots=True)
class Container:
    """What a file says before it is decoded."""

    format: str  # Pillow's name of the format.
    # In pixels; 0 where only the decoder's own header reading tells (AVIF, HEIC, TIFF, BMP).
    width: int = 0
    height: int = 0
    trailing: int = 0  # Number of bytes after the end of the picture.
    lossy: bool | None = None  # Whether the pixels went through lossy compression; None where it cannot be told.
    # Whether the file carries an ICC profile, so that one that cannot be read does not go unnoticed.
    profile: bool = False
    # PNG: the compressed pixel data, and how many bytes they must decompress to: filtered rows of pixels.
    compressed: tuple[memoryview, ...] = field(default=(), repr=False)
    filtered_bytes: int = 0
    scans: tuple[tuple[int, int], ...] = ()  # JPEG: (start, end) of the coded data of each scan.
    multiplied: bool = False  # AVIF, HEIC: whether colours were multiplied by alpha.


def inspect(content: bytes, *, deepest: int = 8) -> Container:
    """The container of a file's `content`, by its first bytes, never by a name or a content type.

    `deepest`: Most bits a channel of a PNG.
    """
    if content.startswith(PNG_SIGNATURE):
        return _png(content, deepest)
    if content.startswith(b"\xff\xd8\xff"):
        jpeg = read_jpeg(content)
        trailing = len(content) - jpeg.end
        return Container("JPEG", jpeg.width, jpeg.height, trailing, True, jpeg.profile, scans=tuple(jpeg.scans))
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return Container("TIFF")
    if content.startswith(b"BM"):
        return Container("BMP", lossy=False)
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        return _heif(content)
    if content.startswith(NPY_SIGNATURE):
        raise ImageError(
            "expected a picture of 8-bit sRGB; got a NumPy array. Declare what its numbers are, with --adapter folder "
            "-p bands=COUNT:LOW:HIGH, or leave it out"
        )
    kind = next((name for pattern, name in _OTHER_KINDS if pattern.match(content)), None)
    if kind is not None:
        advice = "It is a message: read what it says" if kind in ("an HTML", "a JSON") else "Convert it to PNG"
        raise ImageError(f"expected a PNG, JPEG, WebP, AVIF, HEIC, TIFF or BMP picture; got {kind} file. {advice}")
    raise ImageError(
        f"expected a PNG, JPEG, WebP, AVIF, HEIC, TIFF or BMP picture; it is not an image ({_described(content)})"
    )


def _described(content: bytes) -> str:
    if not content:
        return "it is empty"
    try:
        # A character may be cut in two at the end of what is looked at.
        text = content[:512].decode("utf-8", errors="strict" if len(content) <= 512 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter in "\t\n\r\f" for letter in text):
        return "its content is text"
    return f"it starts with the bytes {content[:8].hex(' ')}"


def _png(content: bytes, deepest: int) -> Container:
    chunks = _png_chunks(content)
    name, header = next(chunks)
    if name != b"IHDR" or len(header) != 13:
        raise ImageError("expected a PNG that starts with its header (IHDR); it does not. The file is damaged")
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if depth > deepest:
        raise too_deep(f"a PNG with {depth}")
    compressed: list[memoryview] = []
    names: set[bytes] = set()
    gamma: int | None = None
    end = len(PNG_SIGNATURE) + 12 + len(header)
    for name, body in chunks:
        end += 12 + len(body)
        if name == b"IHDR":
            raise ImageError("expected one header (IHDR) in the PNG; it has two. The file is damaged")
        if name == b"IDAT":
            compressed.append(body)
        if name == b"gAMA" and len(body) == 4:
            gamma = int.from_bytes(body, "big")
        if name == b"cICP" and bytes(body[:2]) != b"\x01\x0d":
            raise ImageError("expected sRGB or an ICC profile; the PNG declares another colour space (cICP)")
        names.add(name)
    if b"acTL" in names:
        raise _animated("PNG")
    if gamma is not None and not names & {b"iCCP", b"sRGB"} and abs(gamma - 45455) > 2500:
        raise ImageError(
            f"expected sRGB or an ICC profile; the PNG declares gamma {gamma / 100000:g} instead of 0.45455. Convert it"
        )
    bits, filtered_bytes = depth * _PNG_CHANNELS.get(colour, 0), 0
    # A filter byte a row, rows padded to bytes; Adam7's seven passes.
    for left, top, right, down in _PNG_PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            filtered_bytes += rows * (1 + -(-columns * bits // 8))
    trailing = len(content) - end
    return Container("PNG", width, height, trailing, False, b"iCCP" in names, tuple(compressed), filtered_bytes)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk up to the end chunk, which comes last; every checksum is compared."""
    position, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        if position + 12 > len(content):
            raise truncated("PNG", "its end chunk (IEND) is missing")
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content):
            raise truncated("PNG", f"a chunk says {length} bytes and only {len(content) - position - 12} follow")
        body = memoryview(content)[position + 8 : end - 4]
        if isal_zlib.crc32(body, isal_zlib.crc32(name)) != struct.unpack_from(">I", content, end - 4)[0]:
            raise ImageError("expected intact PNG chunks; a checksum does not match. The file is damaged: get it again")
        yield name, body
        position = end


def refuse_missing_rows(container: Container, *, alone: bool = False) -> None:
    """Refuse a PNG whose pixel data end early, which decoders fill with black; `alone`: or that go on behind them."""
    decompressor = isal_zlib.decompressobj()
    count = 0
    try:
        for part in container.compressed:
            rest: bytes | memoryview = part
            while rest and not decompressor.eof and count <= container.filtered_bytes:
                count += len(decompressor.decompress(rest, 1 << 20))
                rest = decompressor.unconsumed_tail
        if count <= container.filtered_bytes:
            # What a full output buffer may still hold back.
            count += len(decompressor.flush())
    except isal_zlib.error:
        raise ImageError("expected whole pixel data in the PNG; they do not decompress. Get the file again") from None
    if count < container.filtered_bytes or (alone and (count > container.filtered_bytes or not decompressor.eof)):
        raise truncated("PNG", f"its header asks for {container.filtered_bytes} bytes of pixel data; it has {count}")


def _webp(content: bytes) -> Container:
    (length,) = struct.unpack_from("<I", content, 4) if len(content) >= 12 else (0,)
    end = 8 + length
    if end > len(content) or length < 22:
        raise truncated("WebP", f"it says {end} bytes and has {len(content)}")
    kind, header = content[12:16], content[20:30]
    names = set()
    position = 12
    while position + 8 <= end:
        name, size = struct.unpack_from("<4sI", content, position)
        names.add(name)
        position += 8 + size + size % 2
    if kind == b"VP8X" and (header[0] & 2 or b"ANMF" in names):
        raise _animated("WebP")
    if kind == b"VP8X":
        width = int.from_bytes(header[4:7], "little") + 1
        height = int.from_bytes(header[7:10], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(header[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", header, 6))
    else:
        raise ImageError("expected a WebP picture; its first chunk is none. The file is damaged: get it again")
    return Container("WEBP", width, height, len(content) - end, b"VP8L" not in names, b"ICCP" in names)


def _heif(content: bytes) -> Container:
    """ISO/IEC 14496-12 (boxes), 23008-12 (HEIF), 14496-15 (``hvcC``); AV1 in ISOBMFF (``av1C``).

    What decoders would change unasked is refused: films, more than 8 bits, colours that are not like sRGB's.
    """
    end, metas, brands = 0, list[tuple[int, int]](), list[bytes]()
    for name, start, end in _boxes(content, 0, len(content)):
        if name == b"ftyp":
            brands = [content[at : at + 4] for at in (start, *range(start + 8, end, 4))]
        if name == b"meta":
            metas.append((start + 4, end))
    kind = next((_HEIF_KINDS[brand] for brand in brands if brand in _HEIF_KINDS), None)
    if kind is None or brands[0] in _FILMS:
        raise ImageError("expected one AVIF or HEIC picture a file; got a film or another kind. Convert it to PNG")
    if not metas:
        raise truncated("HEIC" if kind == "HEIF" else kind, "it has no description of the picture (meta)")
    said = [(name, content[a:b]) for start, stop in metas for name, a, b in _properties(content, start, stop)]
    profiled = any(name == b"colr" and body[:4] in (b"prof", b"rICC") for name, body in said)
    depths = [8]
    for name, body in said:
        if name == b"pixi" and len(body) > 5:
            depths += body[5:]
        elif name == b"av1C" and len(body) > 2 and body[2] & 0x40:
            depths.append(12 if body[2] & 0x20 else 10)
        elif name == b"hvcC" and len(body) > 18:
            depths.append(8 + max(body[17] & 7, body[18] & 7))
    if max(depths) > 8:
        # Decoders would round unasked.
        raise too_deep(f"{'an AVIF' if kind == 'AVIF' else 'a HEIC'} with {max(depths)} bits")
    for name, body in said if not profiled else ():
        if name == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            # Decoders would hand over colours of another space as they are.
            if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
                raise ImageError(
                    f"expected sRGB or an ICC profile; the file declares another colour space (primaries {primaries}, "
                    f"transfer {transfer} of ITU-T H.273). Convert it to sRGB"
                )
    multiplied = any(name == b"iref" and b"prem" in body for name, body in said)
    return Container(kind, trailing=len(content) - end, multiplied=multiplied)


def _boxes(content: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and end of the body of each box; what is no box ends them, and a box that is cut is refused."""
    while start + 8 <= stop:
        size, name = struct.unpack_from(">I4s", content, start)
        body = start + 8
        if size == 1 and start + 16 <= stop:
            (size,) = struct.unpack_from(">Q", content, start + 8)
            body = start + 16
        end = stop if size == 0 else start + size
        if not name.isalnum() or end < body:
            return
        if end > stop:
            raise truncated("AVIF or HEIC", f"a box says {size} bytes and only {stop - start} are there")
        yield name, body, end
        start = end


def _properties(content: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The properties of all pictures of a ``meta`` box, ``iprp`` and in it ``ipco``."""
    for name, body, end in _boxes(content, start, stop):
        if name in (b"iprp", b"ipco"):
            yield from _properties(content, body, end)
        else:
            yield name, body, end


def _animated(kind: str) -> ImageError:
    return ImageError(f"expected one picture a file; got a {kind} with several. Save the wanted one by itself")
