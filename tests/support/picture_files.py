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
