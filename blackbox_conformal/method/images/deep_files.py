"""Files of pictures of declared bands: NumPy arrays, PNG of 16 bits, and TIFF as Pillow reads it.

Their numbers are taken as they stand: no profile, no gamma and no orientation changes them.
"""

import io
import struct
from collections.abc import Callable
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.bands import Bands, is_deep, npy_file
from blackbox_conformal.method.images.encode import GREY, RGB, image_png, write_png
from blackbox_conformal.method.images.geotiff import read_geotiff
from blackbox_conformal.method.images.headers import NPY_SIGNATURE, PNG_SIGNATURE, inspect, refuse_missing_rows
from blackbox_conformal.method.images.picture import Picture, decoding, truncated, warnings_of
from blackbox_conformal.support.types import Image

# Told width, height and bands before memory is taken for pixels; raises where they are refused.
Check = Callable[[int, int, int], None]
# From a file's content to (H, W) or (H, W, bands) numbers of the file's own type.
Reader = Callable[[bytes, Check], NDArray[Any]]
DEEP_ENDINGS = {"NPY": "npy", "PNG": "png", "TIFF": "tif"}  # How names of files of each kind end.
_OTHERS = "Save it as .npy, with np.save"
_BY_GDAL = "For any other, run: pip install rasterio"


def read_npy(content: bytes, check: Check) -> NDArray[Any]:
    """An array that ``np.save`` wrote; objects are refused, as they can run code."""
    file = io.BytesIO(content)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if read is None:
        raise ImageError("expected a .npy file of version 1 or 2; got another. Save it again with np.save")
    shape, in_columns, dtype = read(file)
    if dtype.kind not in "uif" or len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageError(f"expected (height, width, bands) numbers; got {dtype} {shape}. Save the picture alone")
    check(shape[1], shape[0], shape[2] if len(shape) == 3 else 1)
    start, size = file.tell(), prod(shape) * dtype.itemsize
    if len(content) - start != size:
        raise truncated(".npy", f"its header asks for {size} bytes of pixels; it has {len(content) - start}")
    array: NDArray[Any] = np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if in_columns else "C")
    return array


def read_png(content: bytes, check: Check) -> NDArray[Any]:
    """Grey or RGB of 8 or 16 bits, of which Pillow keeps 8 where there are colours."""
    container = inspect(content, deepest=16)
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, len(PNG_SIGNATURE) + 8)
    count = {GREY: 1, RGB: 3}.get(colour)
    if count is None or depth < 8 or interlaced or container.trailing:
        raise ImageError(
            "expected a PNG of grey or RGB with 8 or 16 bits, without alpha, palette, interlacing or bytes behind its "
            f"end; got another. {_OTHERS}"
        )
    check(width, height, count)
    refuse_missing_rows(container, alone=True)
    compressed = b"".join(container.compressed)

    def decoded(mode: str, stored: str) -> NDArray[Any]:
        return np.array(PillowImage.frombytes(mode, (width, height), compressed, "zip", stored))

    if depth == 8:
        mode = "L" if count == 1 else "RGB"
        return decoded(mode, mode).reshape(height, width, count)
    if count == 1:
        return decoded("I;16", "I;16B")[:, :, None]
    # Of a colour of 16 bits Pillow keeps one byte: first the higher one, then the lower one.
    levels: NDArray[Any] = decoded("RGB", "RGB;16B").astype(np.uint16) << 8 | decoded("RGB", "RGB;16L")
    return levels


def read_tiff(content: bytes, check: Check) -> NDArray[Any]:
    """By GDAL where it is installed. By Pillow grey of 8, 16 or 32 bits, and RGB of 8: it changes or refuses others."""
    if find_spec("rasterio") is not None:
        return read_geotiff(content, check)
    with warnings_of("TIFF"):
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(content))
        frames = image.n_frames
    bits, photometric = max(image.tag_v2.get(258, (1,))), image.tag_v2.get(262)
    plain = image.mode in ("L", "F", "I;16", "I;16B") or (image.mode == "RGB" and bits == 8)
    if not plain or photometric == 0 or frames != 1:
        raise ImageError(
            f"expected one TIFF picture of grey with 8, 16 or 32 bits, or of RGB with 8; got {frames} of "
            f"Pillow's mode {image.mode} with {bits} bits. {_BY_GDAL}"
        )
    check(*image.size, 3 if image.mode == "RGB" else 1)
    image.load()
    return np.array(image)


READERS: dict[str, Reader] = {"NPY": read_npy, "PNG": read_png, "TIFF": read_tiff}
"""By what the first bytes tell, never a name."""


def deep_kind(content: bytes) -> str:
    """The kind of a file, a key of `READERS`."""
    if content.startswith(NPY_SIGNATURE):
        return "NPY"
    if content.startswith(PNG_SIGNATURE):
        return "PNG"
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    raise ImageError("expected a picture of declared bands as .npy, PNG or TIFF; got another file. " + _OTHERS)


def deep_picture(content: bytes, bands: Bands, check_size: Callable[[int, int], None]) -> Picture:
    """The picture in a file's content; `check_size` is told (width, height) before memory is taken for pixels."""

    def check(width: int, height: int, count: int) -> None:
        if count != bands.count:
            raise ImageError(f"expected {bands.count} bands, as declared; got {count}. Declare bands={count}:LOW:HIGH")
        check_size(width, height)

    kind = deep_kind(content)
    with decoding(kind):
        values = READERS[kind](content, check)
    return Picture(bands.levels(values), content, (bands.words,), kind)


def deep_size(content: bytes) -> tuple[int, int]:
    """(height, width) of a file that `picture_file` wrote, from its header."""
    if deep_kind(content) == "NPY":
        height, width = read_npy(content, lambda *_: None).shape[:2]
    else:
        container = inspect(content, deepest=16)
        height, width = container.height, container.width
    return height, width


def picture_file(
    pixels: Image, bands: Bands | None, xmp: str = "", exif: bytes = b"", opacity: NDArray[np.uint8] | None = None
) -> tuple[bytes, str]:
    """A picture as a file, and its name's ending: a PNG, or ``.npy`` of what no PNG holds, without XMP."""
    if bands is None:
        return image_png(pixels, xmp, exif, opacity), "png"
    assert is_deep(pixels)
    values = bands.values(pixels)
    if values.dtype in (np.uint8, np.uint16) and bands.count in (1, 3):
        height, width = values.shape[:2]
        rows = np.ascontiguousarray(values, values.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
        return write_png(rows, width, 8 * values.itemsize, GREY if bands.count == 1 else RGB, xmp, exif), "png"
    return npy_file(values), "npy"
