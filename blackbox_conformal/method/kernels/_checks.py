"""Check arrays at the border of the kernels: one dtype, one layout, equal sizes, or an error that says what arrived."""

from typing import Any

import numpy as np

from blackbox_conformal.errors import ImageError, MapError
from blackbox_conformal.support.types import Image, Map


def image(pixels: Any, name: str = "the image") -> Image:
    """Return `pixels` as a C-contiguous (H, W, 3) uint8 array."""
    kind = _describe(pixels)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ImageError(
            f"expected {name} to be an (H, W, 3) uint8 array of sRGB; got {kind}. Convert it to 8-bit RGB first"
        )
    if pixels.size == 0:
        raise ImageError(f"expected {name} to hold at least one pixel; got {kind}. Leave empty pictures out")
    return np.ascontiguousarray(pixels)


def levels(pixels: Any) -> Image:
    """Return `pixels` checked as by `image`, or C-contiguous levels of declared bands: (H, W, bands) uint16."""
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint16 and pixels.ndim == 3 and pixels.size:
        return np.ascontiguousarray(pixels)
    return image(pixels)


def image_pair(truth: Any, delivered: Any) -> tuple[Image, Image]:
    """Return both pictures, checked as by `image` and equal in size."""
    truth, delivered = image(truth, "the true image"), image(delivered, "the delivered image")
    if truth.shape != delivered.shape:
        raise ImageError(
            "expected the true and the delivered image to have one size; got "
            f"{truth.shape[1]}x{truth.shape[0]} and {delivered.shape[1]}x{delivered.shape[0]} (width x height). "
            "Deliver at the size of the truth, or crop both alike"
        )
    return truth, delivered


def float_map(values: Any, name: str = "the map") -> Map:
    """Return `values` as a C-contiguous (H, W) float32 array, without a look at the values."""
    kind = _describe(values)
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2 or values.size == 0:
        raise MapError(
            f"expected {name} to be an (H, W) float32 array with at least one pixel; got {kind}. Convert it first"
        )
    return np.ascontiguousarray(values)


def map_pair(scores: Any, losses: Any) -> tuple[Map, Map]:
    """Return a score map and an error map, checked as by `float_map` and equal in shape."""
    scores, losses = float_map(scores, "the score map"), float_map(losses, "the error map")
    if scores.shape != losses.shape:
        raise MapError(
            f"expected the score map and the error map to have one shape; got {scores.shape} and {losses.shape}. "
            "Compute both at the size of the delivered image"
        )
    return scores, losses


def pixel(index: int, width: int) -> str:
    """Say where a flat index lies, for messages."""
    return f"row {index // width}, column {index % width}"


def _describe(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} of shape {values.shape}"
    return type(values).__name__
