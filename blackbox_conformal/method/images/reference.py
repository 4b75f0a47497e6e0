"""The free reference: a small super-resolution network of this package's own.

It was trained to be near the truth on average (examples/train_reference.py), so it shows what of a vendor's detail can
be told from the input alone, without a call. It too is wrong in places.
"""

import functools
import math
from importlib import resources

import numpy as np
import numpy.typing as npt

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.making_inputs import bicubic_up, resized
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.kernels.cells import MAX_SCALE, cell_products
from blackbox_conformal.method.kernels.layers import ROWS, add_in_tiles, convolved
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.types import Image
from blackbox_conformal.support.weights import arrays_in

SCALE = 4  # What the network enlarges by.
# Pixels of the input on a side of what is worked on at once, about 40 MB; they change no bit of the result.
TILE = 64 * ROWS

Weights = dict[str, npt.NDArray[np.float32]]


def reference(pixels: Image, scale: int, *, degraded: bool = False, tile: int = TILE) -> Image:
    """`pixels` made larger by the network, the same to the bit for any tile and number of threads.

    The network adds detail to the bicubic enlargement. It enlarges by 4; what it makes is brought to another scale by
    Pillow's bicubic filter. At scale 1 there is nothing to enlarge, and the result is `pixels`.

    `pixels`: (h, w, 3) uint8 sRGB, any size from 1 × 1.
    `scale`: A whole number from 1.
    `degraded`: The input may be noisy, sharpened or compressed, not only reduced: other weights, which do not take that
      for detail.
    `tile`: Pixels of the input on a side of what is worked on at once, a multiple of 4.
    Returns: (h · scale, w · scale, 3) uint8.
    """
    pixels = check_pixels(pixels)
    if scale < 1 or tile < ROWS or tile % ROWS:
        raise ImageError(f"expected a scale from 1 and a tile that is a multiple of {ROWS}; got {scale} and {tile}")
    if scale == 1:
        return pixels.copy()
    out, weights = bicubic_up(pixels, SCALE), _weights(degraded)
    # A pixel reaches one pixel farther in each layer of body, head and tail.
    halo = -(-(_layers(weights) + 2) // ROWS) * ROWS
    add_in_tiles(out, pixels, lambda part: _detail(part, weights), tile, halo)
    return out if scale == SCALE else resized(out, pixels.shape[1] * scale, pixels.shape[0] * scale)


def agreement(delivered: Image, free: Image, low: Image) -> float:
    """How well the detail that `delivered` adds to plain enlargement agrees with that which the free reference adds.

    `delivered`, `free`: (H, W, 3) uint8: the vendor's picture and the free reference.
    `low`: The input, (h, w, 3) uint8.
    Returns: The correlation of what the brightness of both additions changes from pixel to pixel, -1 to 1, in four
      digits; NaN where one of them adds nothing, or a pixel of the input becomes too many.
    """
    scale = delivered.shape[0] // low.shape[0]
    if scale > MAX_SCALE:
        return math.nan
    products = cell_products(delivered, free, bicubic_up(low, scale), scale)[15:].sum(axis=(1, 2), dtype=np.float64)
    own, common, of_free = products[[0, 1, 3]]
    # Digits that every machine agrees on.
    return round(float(common / math.sqrt(own * of_free)), 4) if own * of_free else math.nan


def _detail(part: Image, weights: Weights) -> npt.NDArray[np.float32]:
    """What is added to each pixel's block of 4 × 4, (48, h, w), for (h, w, 3) uint8; wrong near the border."""
    # About middle grey, which is what lies beyond the border.
    planes = part.transpose(2, 0, 1).astype(np.float32) / np.float32(255) - np.float32(0.5)
    hidden = convolved(planes, weights["head"], weights["head_bias"], 1)
    for k in range(_layers(weights)):
        hidden = convolved(hidden, weights[f"body_{k}"], weights[f"body_{k}_bias"], 1, rectified=True, residual=True)
    return convolved(hidden, weights["tail"], weights["tail_bias"], 1, rectified=True)


def _layers(weights: Weights) -> int:
    return len(weights) // 2 - 2


@functools.cache
def reference_digest(*, degraded: bool = False) -> str:
    """``sha256:`` and the digest of the network's weights: with others the reference is another one."""
    return digest_bytes(_file(degraded))


def _file(degraded: bool) -> bytes:
    name = "reference_degraded_weights.npz" if degraded else "reference_weights.npz"
    return resources.files(__package__).joinpath(name).read_bytes()


@functools.cache
def _weights(degraded: bool) -> Weights:
    return arrays_in(_file(degraded))
