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
TIFF bands beyond colours and alpha   refused
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
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from blackbox_conformal.errors import ImageError, PayloadError, UsageError
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.picture import Picture, is_blank
from blackbox_conformal.method.images.pillow_decoder import decoded
from blackbox_conformal.method.images.plain_png import is_used_for, plain_pixels
from blackbox_conformal.support.text import printable

LARGEST_RESAMPLE = 1.25
LARGEST_WEBP = 80_000_000
"""Pixels; the decoder takes 18 bytes for each, twice what it takes for other formats."""

BLANK_NOTE = "the vendor's picture is blank: one colour everywhere"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest picture that is decoded: bytes of the file, pixels in all, pixels along a side; and why, in words."""

    max_bytes: int = 512 * 2**20
    max_pixels: int = 150_000_000
    max_side: int = 30_000
    reason: str = ""


DEFAULT_LIMITS = ImageLimits()


def read_image(
    source: Path | bytes,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
    check_size: Callable[[int, int], None] = lambda *_: None,
) -> Picture:
    """A photograph or an input from a file, or from bytes that are called `name` in messages.

    Parameters
    ----------
    check_size
        Gets the width and height before anything is decoded; what it raises is raised.

    Raises
    ------
    ImageError
        The file cannot be read or breaks a rule of the table above; the message names it.
    """
    shown = printable(name if name is not None else source if isinstance(source, Path) else "the picture")
    try:
        content = source if isinstance(source, bytes) else _read_file(source, limits)
        return _decode(content, limits, check_size, strict=False)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}") from None


def read_output(
    content: bytes,
    expected_size: tuple[int, int],
    *,
    resample: bool = False,
    any_scale: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Picture:
    """A picture from a vendor's bytes; stricter than `read_image`.

    Parameters
    ----------
    expected_size
        (height, width) = scale × input.
    resample
        Bring a picture of another size to the expected one (bicubic), as part of the procedure and noted. A side that
        is off by more than `LARGEST_RESAMPLE` is refused all the same: that is another scale, a crop or a turn.
    any_scale
        Bring a picture of any scale to the expected size; its proportions may be off by `LARGEST_RESAMPLE` at most.

    Raises
    ------
    PayloadError
        The bytes are not the picture that was paid for.
    """
    height, width = expected_size

    def check_fit(arrived_width: int, arrived_height: int) -> None:
        factors = (arrived_width / width, arrived_height / height)
        stretch = (factors[0] / factors[1],) if any_scale else factors
        near = all(1 / LARGEST_RESAMPLE <= factor <= LARGEST_RESAMPLE for factor in stretch)
        if factors != (1, 1) and not ((resample or any_scale) and near):
            raise ImageError(
                f"expected {width}×{height} pixels; got {arrived_width}×{arrived_height}. Check the scale that the "
                "vendor was asked for, or whether it pads, crops or limits its output"
            )

    try:
        arrived = _decode(content, limits, check_fit, strict=True)
    except ImageError as error:
        raise PayloadError(f"the vendor's picture: {error}") from None
    pixels, notes = arrived.pixels, list(arrived.conversions)
    if arrived.size != expected_size:
        notes.append(f"vendor's {arrived.size[1]}×{arrived.size[0]} resampled to {width}×{height} (bicubic)")
        pixels = np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    # Told by what arrived: resampling makes overshoots.
    if is_blank(arrived.pixels):
        notes.append(BLANK_NOTE)
    return Picture(pixels, content, tuple(notes), arrived.format)


def _decode(content: bytes, limits: ImageLimits, check_fit: Callable[[int, int], None], *, strict: bool) -> Picture:
    """The picture in `content`; `check_fit` refuses a (width, height) before decoding. Strict: by vendors' rules."""
    _check_bytes(len(content), limits)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UsageError(
            "expected Pillow to refuse truncated files; ImageFile.LOAD_TRUNCATED_IMAGES is on in this process, which "
            "invents pixels. Set it to False"
        )
    container = inspect(content)
    if container.format == "WEBP":
        limits = replace(limits, max_pixels=min(limits.max_pixels, LARGEST_WEBP))

    def check_size(width: int, height: int) -> None:
        _check_limits(width, height, limits)
        check_fit(width, height)

    if container.width:
        check_size(container.width, container.height)
    if container.trailing and strict:
        raise ImageError(f"expected nothing after the end of the picture; got {container.trailing} bytes more")
    conversions: list[str] = []
    if container.trailing:
        conversions.append(f"{container.trailing} bytes after the end of the picture ignored")
    if container.lossy and strict:
        conversions.append(f"lossy {container.format}: compression noise is part of every loss")
    pixels = plain_pixels(container) if is_used_for(container.filtered_bytes) else None
    if pixels is None:
        try:
            pixels = decoded(content, container, check_size, conversions, may_be_turned=not strict)
        except ImageError:
            raise
        except Exception as error:  # noqa: BLE001 - a hostile byte leads decoders to exceptions of every kind
            raise ImageError(
                f"expected a whole {container.format} picture; it cannot be decoded ({type(error).__name__}). The file "
                "is truncated or damaged: get it again"
            ) from None
    return Picture(pixels, content, tuple(conversions), container.format)


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    try:
        if path.is_dir():
            raise ImageError("expected a picture; got a folder")
        if not path.is_file():
            raise ImageError("expected a picture; there is no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limits.max_bytes else file.read(size + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}") from None
    _check_bytes(max(size, len(content)), limits)
    return content


def _check_bytes(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise ImageError(f"expected at most {limits.max_bytes} bytes; got {size}")
    if size == 0:
        raise ImageError("expected a picture; the file is empty")


def _check_limits(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"expected at least one pixel a side; the header says {width}×{height}")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageError(
            f"expected at most {limits.max_side} pixels a side and {limits.max_pixels} in all{limits.reason}; the "
            f"header says {width}×{height}. Crop or split the picture"
        )
