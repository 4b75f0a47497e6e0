"""The fine reference: a larger network's enlargement of the input, which tells more of the vendor's detail.

The network is SPAN with 48 channels (Wan et al. 2024, "Swift Parameter-free Attention Network for Efficient
Super-Resolution"). Its authors published the weights under the Apache License 2.0; examples/convert_span.py packed
them. They were fitted to inputs that are clean, and are wrong in places as every reference is.
"""

import functools
from importlib import resources

import numpy as np
import numpy.typing as npt

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.kernels.elementary import exponential
from blackbox_conformal.method.kernels.layers import ROWS, add_in_tiles, convolved
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.types import Image
from blackbox_conformal.support.weights import arrays_in

Planes = npt.NDArray[np.float32]

SCALE, BLOCKS = 4, 6
MEAN = np.array([0.4488, 0.4371, 0.4040], np.float32)
TILE = 64 * ROWS  # Pixels of the input on a side of what is worked on at once, about 130 MB.
HALO = 6 * ROWS  # A pixel reaches one pixel farther in each of 21 layers.


def fine_reference(pixels: Image, scale: int) -> Image:
    """Return `pixels` made larger by the network, the same to the bit with any number of threads.

    The network enlarges by 4; Pillow's bicubic filter brings what it makes to another scale. A picture of
    256 × 256 takes about a second of one processor.

    `pixels`: (h, w, 3) uint8 sRGB, any size from 1 × 1.
    `scale`: A whole number from 2.
    Returns: (h · scale, w · scale, 3) uint8.
    """
    pixels = check_pixels(pixels)
    if scale < 2:
        raise ImageError(f"expected a scale from 2, since at 1 nothing is made larger; got {scale}")
    height, width = pixels.shape[:2]
    out = np.zeros((SCALE * height, SCALE * width, 3), np.uint8)
    add_in_tiles(out, pixels, _made, TILE, HALO)
    return out if scale == SCALE else resized(out, width * scale, height * scale)


def _made(part: Image) -> Planes:
    """The enlargement of (h, w, 3) uint8, white = 1: blocks of 4 × 4 as (48, h, w) float32; wrong near the border."""
    weights = _weights()

    def layer(name: str, planes: Planes) -> Planes:
        return convolved(planes, weights[name], weights[f"{name}_bias"], 1)

    level = (part.transpose(2, 0, 1).astype(np.float32) / np.float32(255) - MEAN[:, None, None]) * np.float32(255)
    first = blocked = layer("first", np.ascontiguousarray(level))
    kept = [first]
    for k in range(BLOCKS):
        middle = layer(f"block_{k}_0", blocked)
        middle *= _sigmoid(middle)
        if k == BLOCKS - 1:
            kept.append(middle)
        inner = layer(f"block_{k}_1", middle)
        inner *= _sigmoid(inner)
        last = layer(f"block_{k}_2", inner)
        # Attention without weights: strong answers count for more.
        blocked = (last + blocked) * (_sigmoid(last) - np.float32(0.5))
        if k == 0:
            kept.append(blocked)
    first, one, of_last = kept
    return layer("up", layer("joined", np.concatenate((first, layer("last", blocked), one, of_last))))


def _sigmoid(values: Planes) -> Planes:
    # What is below -80 counts as 0 in single precision.
    return (1 / (1 + exponential(np.minimum(-values, np.float32(80))))).astype(np.float32)


@functools.cache
def fine_reference_digest() -> str:
    """``sha256:`` and the digest of the network's weights: with others the reference is another one."""
    return digest_bytes(_file())


def _file() -> bytes:
    return resources.files(__package__).joinpath("span_weights.npz").read_bytes()


@functools.cache
def _weights() -> dict[str, Planes]:
    return arrays_in(_file())
