"""Picture files as bytes, honest and otherwise, for the tests of the decode gate."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.testing.pictures import chunk


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """A smooth picture with every kind of colour in it."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 9 % 256, columns * 7 % 256, (rows + columns) * 4 % 256], axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """`image` as a file of `kind`."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(pixels: np.ndarray | None = None, **options: Any) -> bytes:
    """The scene, or `pixels`, as PNG."""
    return saved(Image.fromarray(scene() if pixels is None else pixels), "PNG", **options)


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    """The scene as JPEG without chroma subsampling."""
    return saved(image or Image.fromarray(scene()), "JPEG", **{"quality": 95, "subsampling": 0, **options})


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from its filtered rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG_SIGNATURE + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_chunk(content: bytes, name: bytes, data: bytes) -> bytes:
    """A PNG with one chunk more, right after its header."""
    return content[:33] + chunk(name, data) + content[33:]


def exif(orientation: int) -> bytes:
    """An EXIF block that holds nothing but an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 profile (ICC.1:2001-04) called `Test space`."""
    name = b"Test space"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    tags = {b"desc": description, b"wtpt": xyz(0.9642, 1.0, 0.8249), **tags}
    body, table, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += padded
    rest = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"none", 0x02400000, device, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + rest


def wide_profile(gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    """A matrix profile with Adobe RGB's primaries, or a grey one with the same curve."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    if space == b"GRAY":
        return profile(b"mntr", space, b"XYZ ", {b"kTRC": curve})
    primaries = {
        b"rXYZ": xyz(0.6097, 0.3111, 0.0195),
        b"gXYZ": xyz(0.2053, 0.6257, 0.0609),
        b"bXYZ": xyz(0.1492, 0.0632, 0.7446),
    }
    return profile(b"mntr", space, b"XYZ ", {**primaries, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})
