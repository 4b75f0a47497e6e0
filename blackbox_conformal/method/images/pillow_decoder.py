"""The decoder of every picture that is no plain PNG: Pillow, and checks for damage that Pillow does not report."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageChops,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.colour import to_srgb
from blackbox_conformal.method.images.headers import Container
from blackbox_conformal.method.images.jpeg_scans import with_tails
from blackbox_conformal.method.images.picture import too_deep, truncated
from blackbox_conformal.support.types import Image as Pixels

# Each decoder is constructed by itself: `Image.open` would try others, and warns through process-wide state.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _PHOTOMETRIC, _ORIENTATION, _BANDS, _FURTHER, _NUMBERS = 258, 262, 274, 277, 338, 339
"""Tags of TIFF; `_ORIENTATION` is one of EXIF, too."""
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
"""Photometric interpretation → bands that are colours."""
_ALPHA = (1, 2)
"""Kinds of further bands that are alpha: associated and unassociated."""
_STRIP = 256
_warning_lock = threading.Lock()


def decoded(
    content: bytes,
    container: Container,
    check_size: Callable[[int, int], None],
    conversions: list[str],
    *,
    may_be_turned: bool,
) -> Pixels:
    """Pixels of a file's `content` in sRGB, upright: (H, W, 3) uint8.

    Parameters
    ----------
    check_size
        Told the (width, height) before anything is decoded; raises if they are refused.
    conversions
        Every rule that is applied is appended.
    may_be_turned
        Whether an EXIF orientation is applied; else it is refused.

    Raises
    ------
    Exception
        An `ImageError` for what is told from the file; of hostile bytes whatever Pillow makes of them.
    """
    image, orientation = _load(content, container, check_size)
    if orientation != 1 and not may_be_turned:
        raise ImageError(f"expected a picture without an orientation tag; got EXIF orientation {orientation}")
    converted = to_srgb(image, conversions)
    if orientation != 1:
        # TIFF: Pillow has turned the pixels while loading.
        if container.format != "TIFF":
            converted = converted.transpose(_TRANSPOSES[orientation])
        conversions.append(f"EXIF orientation {orientation} applied")
    return np.array(converted, dtype=np.uint8, order="C")


def _load(content: bytes, container: Container, check_size: Callable[[int, int], None]) -> tuple[Image.Image, int]:
    """The decoded picture and its EXIF orientation, 1 to 8."""
    if container.compressed:
        _refuse_missing_rows(container)
    with _warnings_of(container.format):
        # Before it is opened: of a kind that it does not know, Pillow says the same as of damage.
        tiff = _check_tiff(content) if container.format == "TIFF" else 0
        image = _DECODERS[container.format](io.BytesIO(content))
    frames = image.n_frames if isinstance(image, TiffImagePlugin.TiffImageFile) else 1
    if frames != 1:
        raise ImageError(f"expected one picture a file; got a TIFF of {frames} pages. Save the wanted one")
    orientation = tiff or _exif_orientation(image.info.get("exif", b""))
    check_size(*image.size)
    if container.width and image.size != (container.width, container.height):
        raise ImageError("expected one size; the file's headers contradict each other. The file is damaged")
    if container.profile and not image.info.get("icc_profile"):
        raise ImageError("expected a valid ICC profile; the one in the file is damaged. Convert the picture to sRGB")
    image.load()
    if container.scans:
        _refuse_gaps(content, container, image)
    return image, orientation


@contextmanager
def _warnings_of(kind: str) -> Iterator[None]:
    """Pillow reports damage as warnings: of the picture itself in TIFF, elsewhere of metadata that nobody keeps.

    The list of filters is shared by all threads, hence the lock, and a filter for Pillow's own warnings only.
    """
    with _warning_lock, warnings.catch_warnings():
        warnings.filterwarnings("error" if kind == "TIFF" else "ignore", module=r"PIL\.")
        yield


def _refuse_missing_rows(container: Container) -> None:
    """Refuse a PNG whose pixel data end early, which decoders fill with black."""
    decompressor = zlib.decompressobj()
    count = 0
    try:
        for part in container.compressed:
            rest: bytes | memoryview = part
            while rest and not decompressor.eof:
                count += len(decompressor.decompress(rest, 1 << 20))
                rest = decompressor.unconsumed_tail
                if count > container.filtered_bytes:
                    return
        # What a full output buffer may still hold back.
        count += len(decompressor.flush())
    except zlib.error:
        raise ImageError("expected whole pixel data in the PNG; they do not decompress. Get the file again") from None
    if count < container.filtered_bytes:
        raise truncated("PNG", f"its header asks for {container.filtered_bytes} bytes of pixel data; it has {count}")


def _refuse_gaps(content: bytes, container: Container, image: Image.Image) -> None:
    """Refuse a JPEG whose coded pixels end early, which decoders fill with grey."""
    with _warnings_of("JPEG"):
        again = JpegImagePlugin.JpegImageFile(io.BytesIO(with_tails(content, container.scans)))
    again.load()
    for top in range(0, image.height, _STRIP):
        strip = (0, top, image.width, min(top + _STRIP, image.height))
        if ImageChops.difference(again.crop(strip), image.crop(strip)).getbbox(alpha_only=False) is not None:
            raise truncated("JPEG", "part of its coded pixels is missing")


def _check_tiff(content: bytes) -> int:
    """The orientation, 1 to 8; depth, numbers and bands that no 8-bit picture has are refused (TIFF 6.0, section 8)."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if content[2:3] == b"+" else 8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    bits, bands = tags.get(_BITS, (1,)), tags.get(_BANDS, 1)
    if max(bits) > 8:
        few = "/".join(map(str, bits))
        raise too_deep(f"a TIFF with {few if len(bits) < 5 else f'{bands} bands of {max(bits)}'}")
    if set(tags.get(_NUMBERS, (1,))) - {1, 4}:
        raise ImageError("expected unsigned integers in the TIFF; got signed or floating-point numbers. Convert it")
    alpha = sum(kind in _ALPHA for kind in tags.get(_FURTHER, ()))
    colours = _COLOURS.get(int(tags.get(_PHOTOMETRIC, 1)), int(bands))
    if bands > colours + alpha:
        raise ImageError(
            f"expected grey or colours, and alpha at most, in the TIFF; got {bands} bands, of which {colours} hold "
            "colours, and the others are not said to be alpha. None is dropped unasked: save those that are the "
            "picture (for example `gdal_translate -b 1 -b 2 -b 3 in.tif out.tif`)"
        )
    orientation = tags.get(_ORIENTATION, 1)
    return orientation if orientation in _TRANSPOSES else 1


def _exif_orientation(exif: bytes) -> int:
    """Orientation from an EXIF block; 1 where the block is absent, damaged or says nothing sensible."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, entry)
            if tag == _ORIENTATION and kind == 3:
                return int(value) if value in _TRANSPOSES else 1
    except struct.error:
        pass
    return 1
