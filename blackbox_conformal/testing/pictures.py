"""The pictures that the fault server sells: plausible upscalings, and every kind of wrong one."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blackbox_conformal.method.images.headers import PNG_SIGNATURE


def upscale(png: bytes, scale: int, seed: int, *, amplitude: int = 12) -> bytes:
    """Return bicubic ×`scale` plus a pseudo-random pattern of `seed`, as an 8-bit RGB PNG; equal calls, equal bytes."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        small = opened.convert("RGB")
    width, height = small.width * scale, small.height * scale
    pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    pattern = np.random.default_rng(seed).integers(-amplitude, amplitude + 1, (height, width, 1), dtype=np.int16)
    return encode(np.clip(pixels + pattern, 0, 255).astype(np.uint8))


def encode(picture: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return `picture` as a file of `kind`; PNG is written fast rather than small."""
    out = io.BytesIO()
    if kind == "PNG":
        options = {"compress_level": 1, **options}
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int = 12000) -> bytes:
    """Return a well-formed RGB PNG of `side` × `side` black pixels, a few thousand times smaller than its pixels."""
    row = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = row.compress(bytes(1 + 3 * side)) + row.flush(zlib.Z_FULL_FLUSH)
    # Adler-32 of n zero bytes is (n mod 65521) << 16 | 1, so the stream needs no pass over its pixels.
    checksum = struct.pack(">I", (side * (1 + 3 * side) % 65521) << 16 | 1)
    data = b"\x78\xda" + block * side + b"\x03\x00" + checksum
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _decoded(good: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(good), formats=["PNG"]) as opened:
        return np.array(opened.convert("RGB"))


def _resized(good: bytes, change: Callable[[int, int], tuple[int, int]]) -> bytes:
    image = Image.fromarray(_decoded(good))
    return encode(np.asarray(image.resize(change(*image.size))))


def _sixteen_bit(good: bytes) -> bytes:
    pixels = _decoded(good)
    height, width, _ = pixels.shape
    wide = (pixels.astype(">u2") * 257).reshape(height, -1)
    rows = b"".join(b"\x00" + wide[index].tobytes() for index in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return PNG_SIGNATURE + body


def _oriented(good: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(_decoded(good), exif=exif)


def _palette(good: bytes) -> bytes:
    return encode(Image.fromarray(_decoded(good)).convert("P"))


def _palette_missing(good: bytes) -> bytes:
    content = _palette(good)
    start = content.index(b"PLTE") - 4
    (length,) = struct.unpack_from(">I", content, start)
    return content[:start] + content[start + 12 + length :]


def _jpeg_cut(good: bytes) -> bytes:
    content = encode(_decoded(good), "JPEG", quality=90)
    kept = content[: (content.index(b"\xff\xda") + len(content)) // 2].rstrip(b"\xff")
    return kept + b"\xff\xd9"


def _jpeg_bomb(good: bytes) -> bytes:
    # An 8 x 8 picture's coded pixels, under the good picture's size.
    height, width, _ = _decoded(good).shape
    content = encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


def _turned(good: bytes, degrees: int) -> Image.Image:
    return Image.fromarray(_decoded(good)).rotate(degrees)


def _stuffed(good: bytes) -> bytes:
    text = chunk(b"zTXt", b"comment\x00\x00" + zlib.compress(bytes(64 * 1024 * 1024), 9))
    return good[:33] + text + good[33:]


def _another_photograph(good: bytes) -> bytes:
    # Edges of all directions, unlike any photograph.
    height, width, _ = _decoded(good).shape
    row, column = np.mgrid[0:height, 0:width]
    scene = np.zeros((height, width, 3))
    rng = np.random.default_rng(11)
    for size in (0.4, 0.2, 0.1, 0.05):
        for y, x in rng.random((8, 2)):
            inside = (row - y * height) ** 2 + (column - x * width) ** 2 < (size * min(height, width)) ** 2
            scene[inside] = rng.integers(0, 256, 3)
    return encode(scene.astype(np.uint8))


WRONG_PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "wrong-size": lambda good: _resized(good, lambda width, height: (width // 2, height // 2)),
    "rounded-size": lambda good: _resized(good, lambda width, height: (width + 1, height)),
    "truncated": lambda good: good[: len(good) // 2],
    "no-iend": lambda good: good[:-12],
    "trailing-garbage": lambda good: good + b"<!-- appended -->" * 8,
    "flipped-bit": lambda good: (
        good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 0x10]) + good[len(good) // 2 + 1 :]
    ),
    "empty": lambda good: b"",
    "html": lambda good: b"<!doctype html><title>Sign in</title><p>Please sign in.</p>",
    "jpeg": lambda good: encode(_decoded(good), "JPEG", quality=80),
    "jpeg-cut": _jpeg_cut,
    "jpeg-bomb": _jpeg_bomb,
    "webp": lambda good: encode(_decoded(good), "WEBP", lossless=True),
    "gif": lambda good: encode(_decoded(good), "GIF"),
    "black": lambda good: encode(np.zeros_like(_decoded(good))),
    "constant": lambda good: encode(np.full_like(_decoded(good), 127)),
    "grey": lambda good: encode(_decoded(good)[:, :, 1]),
    "sixteen-bit": _sixteen_bit,
    "alpha": lambda good: encode(np.insert(_decoded(good), 3, 128, axis=2)),
    "palette": _palette,
    "palette-missing": _palette_missing,
    "cmyk": lambda good: encode(Image.fromarray(_decoded(good)).convert("CMYK"), "JPEG", quality=95),
    "exif-orientation": _oriented,
    "bomb": lambda good: bomb(),
    "many-frames": lambda good: encode(
        _turned(good, 0), save_all=True, append_images=[_turned(good, 90), _turned(good, 180)]
    ),
    "stuffed-text": _stuffed,
    "shifted": lambda good: encode(np.roll(_decoded(good), (4, 4), axis=(0, 1))),
    "flatter-and-brighter": lambda good: encode(np.rint(_decoded(good) * 0.8 + 30).astype(np.uint8)),
    "noise": lambda good: encode(np.random.default_rng(0).integers(0, 256, _decoded(good).shape, dtype=np.uint8)),
    "another-photograph": _another_photograph,
    "mirrored": lambda good: encode(np.ascontiguousarray(_decoded(good)[:, ::-1])),
    "mirrored-top-to-bottom": lambda good: encode(np.ascontiguousarray(_decoded(good)[::-1])),
    "upside-down": lambda good: encode(np.ascontiguousarray(_decoded(good)[::-1, ::-1])),
    "foreign": lambda good: encode(255 - _decoded(good)[::-1]),
}
"""Wrong pictures by name: each function takes the good PNG's bytes."""
