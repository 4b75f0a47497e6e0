"""The decode gate: from a file or a vendor's bytes to an 8-bit sRGB picture, or an error that says why not.

====================================  ===================================================================
what arrives                          what happens
====================================  ===================================================================
PNG, JPEG, WebP, TIFF, BMP            decoded; the kind is told by the first bytes, never by a name
any other kind                        refused
more bytes, pixels or side than       refused before decoding
`ImageLimits` allows
several frames or pages               refused
no end (PNG IEND, JPEG EOI, …),       refused as truncated; PNG checksums are checked
pixel data that are not whole
bytes after the end                   file: ignored and noted; vendor's bytes: refused
more than 8 bits a channel, float     refused: silent rounding would change the loss
EXIF orientation                      file: applied and noted; vendor's bytes: refused
ICC profile                           converted to sRGB (relative colorimetric, black point compensation)
                                      and noted; left alone when it is sRGB; refused when damaged
no ICC profile                        taken as sRGB; PNG gAMA or cICP saying otherwise: refused
CMYK                                  converted with its own ICC profile, else refused
alpha or transparent colour           opaque everywhere: dropped and noted; else refused
palette, grey, 1-bit, YCbCr           expanded to RGB and noted
EXIF, GPS, XMP, text                  never kept, never uploaded
====================================  ===================================================================

Nothing is resampled here except a vendor's picture whose adapter declares it; nothing is written.
"""

import io
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

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

from blackbox_conformal.canonical import digest_bytes
from blackbox_conformal.errors import ImageError, PayloadError, UsageError
from blackbox_conformal.images.colour import to_srgb
from blackbox_conformal.images.headers import Container, check_pixel_data, inspect
from blackbox_conformal.images.image_errors import too_deep, truncated
from blackbox_conformal.images.jpeg_scans import with_tails
from blackbox_conformal.images.picture import Picture, is_blank
from blackbox_conformal.images.plain_png import plain_pixels
from blackbox_conformal.text import printable
from blackbox_conformal.types import Image as Pixels

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
_ORIENTATION = 0x0112
LARGEST_RESAMPLE = 1.25
LARGEST_WEBP = 80_000_000
"""Pixels; the decoder takes 18 bytes for each, twice what it takes for other formats."""

_STRIP = 256
_warning_lock = threading.Lock()

BLANK_NOTE = "the vendor's picture is blank: one colour everywhere"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest picture that is decoded: bytes of the file, pixels in all, pixels along a side; and why, in words."""

    max_bytes: int = 512 * 2**20
    max_pixels: int = 150_000_000
    max_side: int = 30_000
    reason: str = ""


DEFAULT_LIMITS = ImageLimits()


def read_image(source: Path | bytes, *, limits: ImageLimits = DEFAULT_LIMITS, name: str | None = None) -> Picture:
    """A photograph or an input from a file, or from bytes that are called `name` in messages.

    Raises
    ------
    ImageError
        The file cannot be read or breaks a rule of the table above; the message names it.
    """
    shown = printable(name if name is not None else source if isinstance(source, Path) else "the picture")
    try:
        data = source if isinstance(source, bytes) else _read_file(source, limits)
        pixels, conversions, kind = _decode(data, limits)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}") from None
    return _picture(data, pixels, conversions, kind)


def read_output(
    data: bytes, expected_size: tuple[int, int], *, resample: bool = False, limits: ImageLimits = DEFAULT_LIMITS
) -> Picture:
    """A picture from a vendor's bytes with its identities; parameters and errors as for `output_pixels`."""
    pixels, notes, kind = _output(data, expected_size, resample, limits)
    return _picture(data, pixels, notes, kind)


def output_pixels(
    data: bytes, expected_size: tuple[int, int], *, resample: bool = False, limits: ImageLimits = DEFAULT_LIMITS
) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels from a vendor's bytes, (H, W, 3) uint8, and what was done to get there; stricter than `read_image`.

    Parameters
    ----------
    expected_size
        (height, width) = scale × input.
    resample
        Bring a picture of another size to the expected one (bicubic), as part of the procedure and noted. A side that
        is off by more than `LARGEST_RESAMPLE` is refused all the same: that is another scale, a crop or a turn.

    Raises
    ------
    PayloadError
        The bytes are not the picture that was paid for.
    """
    pixels, notes, _ = _output(data, expected_size, resample, limits)
    return pixels, tuple(notes)


def _output(
    data: bytes, expected_size: tuple[int, int], resample: bool, limits: ImageLimits
) -> tuple[Pixels, list[str], str]:
    height, width = expected_size

    def check_fit(arrived_width: int, arrived_height: int) -> None:
        factors = (arrived_width / width, arrived_height / height)
        near = all(1 / LARGEST_RESAMPLE <= factor <= LARGEST_RESAMPLE for factor in factors)
        if factors != (1, 1) and not (resample and near):
            raise ImageError(
                f"expected {width}×{height} pixels; got {arrived_width}×{arrived_height}. Check the scale that the "
                "vendor was asked for, or whether it pads, crops or limits its output"
            )

    try:
        pixels, notes, kind = _decode(data, limits, check_fit)
    except ImageError as error:
        raise PayloadError(f"the vendor's picture: {error}") from None
    arrived = pixels.shape[:2]
    # Told by what arrived: resampling makes overshoots.
    blank = is_blank(pixels)
    if arrived != (height, width):
        notes.append(f"vendor's {arrived[1]}×{arrived[0]} resampled to {width}×{height} (bicubic)")
        pixels = np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    if blank:
        notes.append(BLANK_NOTE)
    return pixels, notes, kind


def _picture(data: bytes, pixels: Pixels, conversions: list[str], kind: str) -> Picture:
    size = (pixels.shape[0], pixels.shape[1])
    return Picture(pixels, digest_bytes(data), tuple(conversions), kind, size)


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    try:
        if path.is_dir():
            raise ImageError("expected a picture; got a folder")
        if not path.is_file():
            raise ImageError("expected a picture; there is no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limits.max_bytes else file.read(size + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}") from None
    _check_bytes(max(size, len(data)), limits)
    return data


def _check_bytes(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise ImageError(f"expected at most {limits.max_bytes} bytes; got {size}")
    if size == 0:
        raise ImageError("expected a picture; the file is empty")


def _check_size(
    width: int, height: int, limits: ImageLimits, check_fit: Callable[[int, int], None] | None = None
) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"expected at least one pixel a side; the header says {width}×{height}")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageError(
            f"expected at most {limits.max_side} pixels a side and {limits.max_pixels} in all{limits.reason}; the "
            f"header says {width}×{height}. Crop or split the picture"
        )
    if check_fit is not None:
        check_fit(width, height)


def _decode(
    data: bytes, limits: ImageLimits, check_fit: Callable[[int, int], None] | None = None
) -> tuple[Pixels, list[str], str]:
    """Pixels, conversions, format; `check_fit` means vendors' rules, and refuses a (width, height) before decoding."""
    strict = check_fit is not None
    _check_bytes(len(data), limits)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UsageError(
            "expected Pillow to refuse truncated files; ImageFile.LOAD_TRUNCATED_IMAGES is on in this process, which "
            "invents pixels. Set it to False"
        )
    container = inspect(data)
    conversions: list[str] = []
    if container.format == "WEBP":
        limits = replace(limits, max_pixels=min(limits.max_pixels, LARGEST_WEBP))
    if container.width:
        _check_size(container.width, container.height, limits, check_fit)
    if container.trailing and strict:
        raise ImageError(f"expected nothing after the end of the picture; got {container.trailing} bytes more")
    if container.trailing:
        conversions.append(f"{container.trailing} bytes after the end of the picture ignored")
    if container.lossy and strict:
        conversions.append(f"lossy {container.format}: compression noise is part of every loss")
    pixels = plain_pixels(container)
    if pixels is not None:
        return pixels, conversions, container.format
    try:
        return _decoded(data, container, limits, check_fit, conversions), conversions, container.format
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile byte leads decoders to exceptions of every kind
        raise ImageError(
            f"expected a whole {container.format} picture; it cannot be decoded ({type(error).__name__}). The file is "
            "truncated or damaged: get it again"
        ) from None


def _decoded(
    data: bytes,
    container: Container,
    limits: ImageLimits,
    check_fit: Callable[[int, int], None] | None,
    conversions: list[str],
) -> Pixels:
    """Pixels in sRGB, upright; whatever Pillow makes of hostile bytes is raised as it comes."""
    image, orientation = _load(data, container, limits, check_fit)
    if orientation != 1 and check_fit is not None:
        raise ImageError(f"expected a picture without an orientation tag; got EXIF orientation {orientation}")
    converted = to_srgb(image, conversions)
    if orientation != 1:
        # TIFF: Pillow has turned the pixels while loading.
        if container.format != "TIFF":
            converted = converted.transpose(_TRANSPOSES[orientation])
        conversions.append(f"EXIF orientation {orientation} applied")
    return np.array(converted, dtype=np.uint8, order="C")


def _load(
    data: bytes, container: Container, limits: ImageLimits, check_fit: Callable[[int, int], None] | None
) -> tuple[Image.Image, int]:
    """The decoded picture and its EXIF orientation, 1 to 8."""
    decoder = _DECODERS[container.format]
    if container.pixel_data:
        check_pixel_data(container)
    with _warnings_of(container.format):
        image = decoder(io.BytesIO(data))
        tiff = _check_tiff(image) if container.format == "TIFF" else 0
    orientation = tiff or _exif_orientation(image.info.get("exif", b""))
    _check_size(*image.size, limits, check_fit)
    if container.width and image.size != (container.width, container.height):
        raise ImageError("expected one size; the file's headers contradict each other. The file is damaged")
    if container.profile and not image.info.get("icc_profile"):
        raise ImageError("expected a valid ICC profile; the one in the file is damaged. Convert the picture to sRGB")
    image.load()
    if container.scans:
        _refuse_gaps(data, container, image)
    return image, orientation


@contextmanager
def _warnings_of(kind: str) -> Iterator[None]:
    """Pillow reports damage as warnings: of the picture itself in TIFF, elsewhere of metadata that nobody keeps.

    The list of filters is shared by all threads, hence the lock, and a filter for Pillow's own warnings only.
    """
    with _warning_lock, warnings.catch_warnings():
        warnings.filterwarnings("error" if kind == "TIFF" else "ignore", module=r"PIL\.")
        yield


def _refuse_gaps(data: bytes, container: Container, image: Image.Image) -> None:
    """Refuse a JPEG whose coded pixels end early, which decoders fill with grey."""
    with _warnings_of("JPEG"):
        again = JpegImagePlugin.JpegImageFile(io.BytesIO(with_tails(data, container.scans)))
    again.load()
    for top in range(0, image.height, _STRIP):
        strip = (0, top, image.width, min(top + _STRIP, image.height))
        if ImageChops.difference(again.crop(strip), image.crop(strip)).getbbox(alpha_only=False) is not None:
            raise truncated("JPEG", "part of its coded pixels is missing")


def _check_tiff(image: ImageFile.ImageFile) -> int:
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    if image.n_frames != 1:
        raise ImageError(f"expected one picture a file; got a TIFF of {image.n_frames} pages. Save the wanted one")
    bits = image.tag_v2.get(258, (1,))
    formats = image.tag_v2.get(339, (1,))
    if max(bits) > 8:
        raise too_deep(f"a TIFF with {'/'.join(map(str, bits))}")
    if set(formats) - {1, 4}:
        raise ImageError("expected unsigned integers in the TIFF; got signed or floating-point numbers. Convert it")
    orientation = image.tag_v2.get(_ORIENTATION, 1)
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
