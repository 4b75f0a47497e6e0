"""``--fit``: photographs that break a vendor's limits are cut or made smaller until they keep them.

Done to the photograph itself, before it is degraded, so that truth and input stay the same picture. Cut is the middle;
made smaller is the whole, by a bicubic filter.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from blackbox_conformal.documents.procedure import Fit
from blackbox_conformal.method.images.encode import upload_png
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.study.stages.picture_limits import png_bound
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Capabilities


def fitted(
    truth: Image,
    scale: int,
    fit: Fit | None,
    limits: Sequence[Capabilities],
    degraded: Callable[[Image], Image],
) -> tuple[Image, str | None]:
    """The photograph as it keeps `limits`, as far as `fit` can make it, and what was done, in words.

    Parameters
    ----------
    truth
        (H, W, 3) uint8, its sides multiples of `scale`; what is returned has such sides too.
    fit
        ``crop``: the middle. ``shrink``: the whole. None: nothing is done.
    degraded
        Makes the input from a photograph, whose file may be too large.
    """
    height, width = truth.shape[0] // scale, truth.shape[1] // scale
    if fit is None:
        return truth, None
    size = width, height
    for able in (*limits, *limits):
        size = _within(size, scale, fit, able)
    for able in limits:
        most = able.max_upload_bytes
        if most is not None and png_bound(size[0] * size[1], size[1]) > most:
            size = _within_bytes(degraded(_made(truth, size, scale, fit)), size, most)
    if size == (width, height):
        return truth, None
    done = {"crop": "cropped to its middle", "shrink": "made smaller"}[fit]
    words = f"{done}, from {width * scale}×{height * scale} to {size[0] * scale}×{size[1] * scale}"
    return _made(truth, size, scale, fit), words


def _made(truth: Image, size: tuple[int, int], scale: int, fit: Fit) -> Image:
    width, height = size[0] * scale, size[1] * scale
    if fit == "shrink":
        return resized(truth, width, height)
    top, left = (truth.shape[0] - height) // 2, (truth.shape[1] - width) // 2
    return np.ascontiguousarray(truth[top : top + height, left : left + width])


def _within(size: tuple[int, int], scale: int, fit: Fit, able: Capabilities) -> tuple[int, int]:
    """The largest (width, height) of an input that keeps these limits; sides that are too short stay so."""
    of_output = (able.max_output_side or 0) // scale, (able.max_output_pixels or 0) // scale**2
    sides, pixels = (
        [most for most in bounds if most]
        for bounds in ((able.max_side, of_output[0]), (able.max_input_pixels, of_output[1]))
    )
    width, height = size
    if fit == "crop":
        longest = min([*sides, *([math.floor(able.max_aspect * min(size))] if able.max_aspect else [])], default=0)
        if longest:
            width, height = min(width, longest), min(height, longest)
    elif sides and max(size) > min(sides):
        width, height = _times(size, min(sides) / max(size))
    if pixels and width * height > min(pixels):
        width, height = _times((width, height), math.sqrt(min(pixels) / (width * height)))
    return width, height


def _times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, math.floor(size[0] * factor)), max(1, math.floor(size[1] * factor))


def _within_bytes(low: Image, size: tuple[int, int], most: int) -> tuple[int, int]:
    """The size whose PNG surely has at most `most` bytes, where that of `low`, which has the size `size`, has more."""
    if len(upload_png(low)) <= most:
        return size
    width, height = size
    factor = math.sqrt(most / png_bound(width * height, height))
    while png_bound(width * height, height) > most and min(width, height) > 1:
        width, height = _times(size, factor)
        factor *= 0.99
    return width, height
