"""What photographs and inputs go through besides degradations: cut to the grid, resized, made an upload (8-bit PNG).

Bicubic is Pillow's (Keys 1981, a = -1/2, widened by k, so it does not alias).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.Image import Resampling

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.bands import is_deep, resized_levels
from blackbox_conformal.method.images.encode import upload_png
from blackbox_conformal.method.images.picture import check_any_pixels, check_pixels, pixels_digest, rows_then_columns
from blackbox_conformal.method.kernels import upscale
from blackbox_conformal.method.kernels._jit import interpreted
from blackbox_conformal.method.risk.resampling import FILTERS
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Upload

# What `FILTERS` calls Pillow's.
FILTER_NAMES = {Resampling.BOX: "area", Resampling.BICUBIC: "bicubic", Resampling.LANCZOS: "lanczos"}
UPSCALED = (2, 4, 8)  # Factors that a kernel enlarges by: Pillow's places of samples are exact for them.
# Bytes of pixels to be enlarged in one process from which on the kernel pays, which takes seconds to compile.
PAYS_FROM = 1 << 26
_bytes_resized = 0  # How many so far.


def crop_to_multiple(pixels: Image, scale: int) -> Image:
    """The top left part of `pixels`, whose sides are multiples of `scale`; nothing is moved.

    At most ``scale - 1`` columns on the right and rows at the bottom are cut; `crop_note` says so in words.
    """
    pixels = check_any_pixels(pixels)
    height, width = pixels.shape[:2]
    _check_scale(scale)
    if min(height, width) < scale:
        raise ImageError(f"expected sides of at least {scale} pixels for scale {scale}; got {width}×{height}")
    return np.ascontiguousarray(pixels[: height - height % scale, : width - width % scale])


def crop_note(size: tuple[int, int], scale: int) -> str | None:
    """What `crop_to_multiple` does to a picture of (height, width), in words; None when it does nothing."""
    height, width = size
    rows, columns = height % scale, width % scale
    if not rows and not columns:
        return None
    cut = f"{columns} columns on the right and {rows} rows at the bottom"
    return f"cut to {width - columns}×{height - rows}, a multiple of {scale}: {cut} dropped"


def bicubic_up(low: Image, scale: int) -> Image:
    """`low`, (h, w, 3) uint8, made larger by `scale` without a model: (h · scale, w · scale, 3) uint8."""
    low = check_any_pixels(low)
    _check_scale(scale)
    height, width = low.shape[:2]
    return resized(low, width * scale, height * scale)


def resized(pixels: Image, width: int, height: int, resampling: Resampling = Resampling.BICUBIC) -> Image:
    """`pixels`, (H, W, 3) uint8, brought to another size by Pillow's filters, along rows first.

    The result is (height, width, 3) uint8.

    Levels of declared bands, (H, W, bands) uint16, stay such.

    Pillow makes them. Once many were resized, a kernel gives the same bytes where they become larger by one of
    `UPSCALED` with the bicubic filter.
    """
    global _bytes_resized
    if is_deep(pixels):
        return resized_levels(pixels, width, height, resampling)
    rows, columns = pixels.shape[:2]
    factor = height // rows
    if factor in UPSCALED and (height, width) == (rows * factor, columns * factor) and resampling == Resampling.BICUBIC:
        _bytes_resized += 3 * height * width
        if _bytes_resized >= PAYS_FROM and not interpreted():
            return upscale.upscaled(pixels, bicubic_taps(columns, factor), bicubic_taps(rows, factor))
    picture = rows_then_columns(PillowImage.fromarray(pixels), (width, height), resampling)
    return np.array(picture, dtype=np.uint8, order="C")


def enlarged_opacity(opacity: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An alpha channel, (h, w) uint8, enlarged plainly, as `bicubic_up` does colours: `size`, (H, W), uint8."""
    return np.array(rows_then_columns(PillowImage.fromarray(opacity), size[::-1], Resampling.BICUBIC))


def block_means(pixels: Image, width: int, height: int) -> Image:
    """Means of blocks of `pixels`, (H, W, 3) uint8, rounded as Pillow's ``reduce`` does: (height, width, 3) uint8."""
    return np.asarray(PillowImage.fromarray(pixels).reduce((pixels.shape[1] // width, pixels.shape[0] // height)))


@lru_cache(maxsize=64)
def bicubic_taps(samples: int, factor: int) -> NDArray[np.int32]:
    """What `kernels.upscale` takes for an axis of so many samples, as Pillow rounds its taps."""
    kinds, phases = min(samples, 5), np.arange(factor)
    # The kinds are the samples of an axis of that length.
    sample = np.arange(kinds)[:, None, None] + np.where(2 * phases + 1 < factor, -2, -1)[:, None] + np.arange(4)
    centre = np.arange(kinds)[:, None, None] + ((phases + 0.5) / factor)[:, None]
    weights = np.where((sample >= 0) & (sample < kinds), FILTERS["bicubic"][1](sample - centre + 0.5), 0.0)
    weights /= weights.sum(axis=2, keepdims=True)
    # In multiples of 2^-22, halves away from 0.
    fixed: NDArray[np.int32] = np.trunc(weights * 2**upscale.BITS + np.copysign(0.5, weights)).astype(np.int32)
    return fixed


def upload_from(pixels: Image, name: str) -> Upload:
    """What is sent for `pixels`, (h, w, 3) uint8; `name` is for people."""
    pixels = check_pixels(pixels)
    height, width = pixels.shape[:2]
    return Upload(name, pixels_digest(pixels), upload_png(pixels), width, height)


def _check_scale(scale: int) -> None:
    if scale < 1:
        raise ImageError(f"expected a scale of at least 1; got {scale}")
