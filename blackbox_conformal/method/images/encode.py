"""Pictures, masks and score maps as PNG bytes, and what a program holds as a file that can be read."""

import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from blackbox_conformal.errors import ImageError, MapError, UsageError
from blackbox_conformal.method.images.bands import npy_file
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.support.types import Image, Map, Mask

# A PNG written quickly: every row less the one above it, compressed by isal.

# Colour types.
GREY, RGB, RGBA = 0, 2, 6
_UP = 2  # The filter that takes from each byte the one above it.


def write_png(rows: NDArray[np.uint8], width: int, depth: int, colour: int, xmp: str = "", exif: bytes = b"") -> bytes:
    """A PNG with nothing in it but its pixels, `xmp` and `exif`.

    `rows`: (H, bytes of a row) uint8, as PNG packs them: the most significant bit or byte first.
    `depth`: Bits a channel.
    `colour`: `GREY`, `RGB` or `RGBA`.
    `xmp`: An XMP packet, which says something about the picture; empty: none.
    `exif`: An EXIF block, without its marker of JPEG; empty: none.

    W3C, Portable Network Graphics (third edition), clauses 5, 9 and 11.3; ISO 16684-1 for XMP.
    """
    height, line = rows.shape
    filtered = np.empty((height, line + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    # Keyword, not compressed, no language.
    notes = [(b"eXIf", exif)] if exif else []
    notes += [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode())] if xmp else []
    parts = (b"IHDR", header), *notes, (b"IDAT", isal_zlib.compress(filtered, 1)), (b"IEND", b"")
    pieces = [PNG_SIGNATURE]
    for name, content in parts:
        checksum = isal_zlib.crc32(content, isal_zlib.crc32(name))
        pieces += [struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)]
    # Joined once: a file is as large as a picture.
    return b"".join(pieces)


# A file by its name, its content, an open file, (H, W, 3) uint8 sRGB pixels, or an open picture of Pillow's.
Given = str | Path | bytes | BinaryIO | Image | PillowImage.Image
# One picture for each photograph: paths, bytes, or arrays, (H, W, 3) uint8 or numbers from 0 to 1.
Pictures = Sequence[Given] | NDArray[Any]
Answer = Given | Sequence[Given]  # What a vendor made of one input: a picture, or its draws in order.
LARGEST_LEVEL = 65534
NO_SCORE = 65535

_ROWS = 32  # Rows of a score map that are converted at once: what is between stays in the cache.


def image_png(pixels: Image, xmp: str = "", exif: bytes = b"", opacity: NDArray[np.uint8] | None = None) -> bytes:
    """`pixels`, (H, W, 3) uint8, as an 8-bit RGB PNG of them, `xmp` and `exif` alone; equal ones give equal bytes.

    With `opacity`, (H, W) uint8, as RGBA.
    """
    pixels = check_pixels(pixels)
    height, width = pixels.shape[:2]
    if opacity is not None:
        return write_png(np.dstack([pixels, opacity]).reshape(height, -1), width, 8, RGBA, xmp, exif)
    return write_png(pixels.reshape(height, -1), width, 8, RGB, xmp, exif)


def upload_png(pixels: Image) -> bytes:
    """The same in fewer bytes and more time, for what is sent and for vendors that limit bytes."""
    # Two levels more take twice the time for half a percent of the bytes.
    return _png(PillowImage.fromarray(check_pixels(pixels)), compress_level=4)


def grey_png(levels: NDArray[np.uint8]) -> bytes:
    """`levels`, (H, W) uint8, as an 8-bit grey PNG."""
    return write_png(levels, levels.shape[1], 8, GREY)


def mask_png(mask: Mask) -> bytes:
    """`mask`, (H, W) bool, as a 1-bit PNG: white (255) is trusted, black is not."""
    if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
        raise MapError(f"expected a (H, W) bool mask; got {mask.dtype} {mask.shape}")
    return write_png(np.packbits(mask, axis=1), mask.shape[1], 1, GREY)


def score_map_png(score_map: Map) -> tuple[bytes, dict[str, Any]]:
    """A score map as a 16-bit grey PNG, and how to read its levels.

    `score_map`: (H, W) float; NaN and infinity mean that a pixel has no score.
    Returns levels 0 to 65534, monotone in the score (65535 = no score), and ``offset``, ``step`` and ``no_score``:
    score = offset + step × level, to within half a step.
    """
    if score_map.ndim != 2 or score_map.size == 0 or score_map.dtype.kind != "f":
        raise MapError(f"expected a (H, W) float score map; got {score_map.dtype} {score_map.shape}")
    scored = np.isfinite(score_map)
    known = score_map if scored.all() else score_map[scored]
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    step = (highest - lowest) / LARGEST_LEVEL or 1.0
    height, width = score_map.shape
    levels = np.empty((height, width), ">u2")
    for top in range(0, height, _ROWS):
        band = slice(top, top + _ROWS)
        exact = np.where(scored[band], score_map[band], np.float64(lowest))
        exact -= lowest
        exact /= step
        levels[band] = np.rint(exact, out=exact).astype(np.uint16)
        levels[band][~scored[band]] = NO_SCORE
    rows = levels.view(np.uint8).reshape(height, -1)
    return write_png(rows, width, 16, GREY), {"offset": lowest, "step": step, "no_score": NO_SCORE}


def grey_levels(content: bytes, size: tuple[int, int], depth: int) -> NDArray[Any]:
    """What `mask_png` (`depth` 1) or `score_map_png` (16) wrote: (H, W) bool, or (H, W) integers from 0 to 65535."""
    height, width = size
    header = PNG_SIGNATURE + struct.pack(">I4sIIBB", 13, b"IHDR", width, height, depth, GREY)
    if not content.startswith(header):
        raise ImageError(f"expected a grey PNG of {width}×{height} pixels with {depth} bits each; got another file")
    try:
        return np.array(PngImagePlugin.PngImageFile(io.BytesIO(content)))
    except Exception as error:  # noqa: BLE001 - a hostile byte leads decoders to exceptions of every kind
        raise ImageError(f"expected a whole PNG; it cannot be decoded ({type(error).__name__})") from None


def as_source(given: Given, *, numbers: bool = False) -> Path | bytes:
    """The file's path, or a file's bytes; `numbers`: of an array a ``.npy`` file, since it is no 8-bit sRGB."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        return Path(given)
    if isinstance(given, np.ndarray):
        if numbers:
            return npy_file(given)
        alpha = given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 4
        return image_png(given[..., :3], opacity=given[..., 3]) if alpha else image_png(given)
    if isinstance(given, PillowImage.Image):
        return _as_png(given)
    content: Any = given.read() if hasattr(given, "read") else None
    if isinstance(content, bytes):
        return content
    raise UsageError(
        "expected a picture as a path, bytes, an open file, an (H, W, 3) uint8 array or a Pillow image; got "
        f"{type(given).__name__}"
    )


def _as_png(picture: PillowImage.Image) -> bytes:
    """The picture as it is, with the profile and the orientation that tell how to read it."""
    kept = {key: picture.info[key] for key in ("icc_profile", "exif", "transparency") if picture.info.get(key)}
    try:
        return _png(picture, **kept)
    except (OSError, ValueError) as error:
        raise ImageError(f"expected an open picture that a PNG can hold; {error}. Convert it to RGB") from None


def _png(picture: PillowImage.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()
