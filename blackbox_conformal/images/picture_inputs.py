"""A picture in whatever form a program holds it, as the file or the bytes that are read by the one set of rules."""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.images.encode import image_png
from blackbox_conformal.types import Image

Given = str | Path | bytes | BinaryIO | Image | PillowImage.Image
"""A file by its name, its content, an open file, (H, W, 3) uint8 sRGB pixels, or an open picture of Pillow's."""


def as_source(given: Given) -> Path | bytes:
    """The file's path, or a file's bytes.

    Raises
    ------
    ImageError
        An array that is not (H, W, 3) uint8, or a picture of a kind that no PNG holds, such as CMYK.
    UsageError
        Something else altogether.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        return Path(given)
    if isinstance(given, np.ndarray):
        return image_png(given)
    if isinstance(given, PillowImage.Image):
        return _png(given)
    content: Any = given.read() if hasattr(given, "read") else None
    if isinstance(content, bytes):
        return content
    raise UsageError(
        "expected a picture as a path, bytes, an open file, an (H, W, 3) uint8 array or a Pillow image; got "
        f"{type(given).__name__}"
    )


def _png(picture: PillowImage.Image) -> bytes:
    """The picture as it is, with the profile and the orientation that tell how to read it."""
    out = io.BytesIO()
    kept = {key: picture.info[key] for key in ("icc_profile", "exif", "transparency") if picture.info.get(key)}
    try:
        picture.save(out, "PNG", **kept)
    except (OSError, ValueError) as error:
        raise ImageError(f"expected an open picture that a PNG can hold; {error}. Convert it to RGB") from None
    return out.getvalue()
