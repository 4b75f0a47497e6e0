"""An XMP packet in the file of a PNG, JPEG or WebP; pixels and every other byte stay."""

import struct
from collections.abc import Callable, Iterator

from isal import isal_zlib

from blackbox_conformal.method.images.headers import PNG_SIGNATURE, inspect

_PNG_XMP, _JPEG_XMP = b"XML:com.adobe.xmp\0", b"http://ns.adobe.com/xap/1.0/\0"
_PNG_PLAIN = b"iTXt" + _PNG_XMP + b"\0\0\0\0"  # Not compressed, no language.
_MOST_IN_JPEG = 65533 - len(_JPEG_XMP)  # Bytes of a packet that one segment holds.
_AFTER_IHDR = 33
_ALPHA, _HAS_XMP = 0x10, 0x04  # Bits of WebP's VP8X.


def with_xmp(content: bytes, packet: Callable[[bytes], str]) -> bytes:
    """Return a picture's whole file with an XMP packet in place of its own.

    `packet`: The new one, from the file's own, which is empty where there is none.

    The same bytes of another format, and of a file with Content Credentials (C2PA), which any change would break.
    Nothing is decoded.

    PNG, third edition, 11.3; XMP specification, part 3 (JPEG); RFC 9649 (WebP).
    """
    if content.startswith(PNG_SIGNATURE):
        return _in_png(content, packet)
    if content.startswith(b"\xff\xd8\xff"):
        return _in_jpeg(content, packet)
    return _in_webp(content, packet) if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else content


def _in_png(content: bytes, packet: Callable[[bytes], str]) -> bytes:
    kept, own, name, position = list[bytes](), b"", b"", _AFTER_IHDR
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", content, position)
        chunk = content[position : position + 12 + length]
        position += len(chunk)
        if name == b"caBX":
            return content
        if chunk[4:].startswith(b"iTXt" + _PNG_XMP):
            own = chunk[4 + len(_PNG_PLAIN) : -4] if chunk[4:].startswith(_PNG_PLAIN) else b""
        else:
            kept.append(chunk)
    note = _PNG_PLAIN + packet(own).encode()
    new = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", isal_zlib.crc32(note))
    return b"".join([content[:_AFTER_IHDR], new, *kept, content[position:]])


def _in_jpeg(content: bytes, packet: Callable[[bytes], str]) -> bytes:
    before, after, own, position = [content[:2]], list[bytes](), b"", 2
    # Up to the first scan; JFIF and EXIF want to be the first.
    while content[position] == 0xFF and content[position + 1] not in (0xDA, 0xFF):
        (length,) = struct.unpack_from(">H", content, position + 2)
        segment = content[position : position + 2 + length]
        position += len(segment)
        if segment[1] == 0xEB and segment[4:6] == b"JP":
            return content
        if segment[1] == 0xE0 or segment[4:].startswith(b"Exif\0"):
            before.append(segment)
        elif segment[4:].startswith(_JPEG_XMP):
            own = segment[4 + len(_JPEG_XMP) :]
        else:
            after.append(segment)
    new = packet(own).encode()
    if len(new) > _MOST_IN_JPEG:
        new = packet(b"").encode()
    head = b"\xff\xe1" + struct.pack(">H", len(_JPEG_XMP) + len(new) + 2) + _JPEG_XMP
    return b"".join([*before, head, new, *after, content[position:]])


def _in_webp(content: bytes, packet: Callable[[bytes], str]) -> bytes:
    end = 8 + struct.unpack_from("<I", content, 4)[0]
    chunks = list(_riff(content[:end]))
    if any(name == b"C2PA" for name, _ in chunks):
        return content
    if chunks[0][0] == b"VP8X":
        header = bytes([chunks[0][1][0] | _HAS_XMP]) + chunks[0][1][1:]
    else:
        found, (name, coded) = inspect(content), chunks[0]
        alpha = _ALPHA if name == b"VP8L" and coded[4] & 0x10 else 0
        sides = b"".join(struct.pack("<I", side - 1)[:3] for side in (found.width, found.height))
        header = bytes([alpha | _HAS_XMP, 0, 0, 0]) + sides
    own = next((body for name, body in chunks if name == b"XMP "), b"")
    kept = [(name, body) for name, body in chunks if name not in (b"VP8X", b"XMP ")]
    pieces = [b"WEBP"]
    for name, body in [(b"VP8X", header), *kept, (b"XMP ", packet(own).encode())]:
        pieces += [name, struct.pack("<I", len(body)), body, b"\0" * (len(body) % 2)]
    file = b"".join(pieces)
    return b"RIFF" + struct.pack("<I", len(file)) + file + content[end:]


def _riff(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, position)
        yield name, content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
