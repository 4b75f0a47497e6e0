"""Pixels of plain PNGs, decompressed and unfiltered in one pass: what nearly every vendor answers.

Anything unusual is left to `read`, which has Pillow decode it and says what is wrong with it.
"""

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.images.containers import Container
from blackbox_conformal.kernels._jit import interpreted
from blackbox_conformal.kernels.unfilter import unfilter
from blackbox_conformal.types import Image

SMALLEST = 1 << 20
"""Bytes of pixel data below which there is nothing to gain, and no compiler is loaded."""

_TAKEN = 1 << 16
_BLOCK = 1 << 19
"""Decompressed bytes handled at once: they stay in the second-level cache."""


def plain_pixels(container: Container) -> Image | None:
    """(H, W, 3) uint8 of a plain PNG; None when it is no such, small, damaged, or has too few or too many pixel data.

    The checksum of the decompressed data is verified; to be called within limits.
    """
    if not container.plain or container.pixel_bytes < SMALLEST or interpreted():
        return None
    pixels = np.empty((container.height, container.width, 3), np.uint8)
    try:
        whole = _fill(pixels.reshape(container.height, -1), container.pixel_data)
    except zlib.error:
        return None
    return pixels if whole else None


def _fill(rows: NDArray[np.uint8], data: tuple[memoryview, ...]) -> bool:
    line = rows.shape[1] + 1
    block = np.empty(2 * _BLOCK + line + 1, np.uint8)
    filled = done = 0
    for piece in _inflated(data):
        if done * line + filled + len(piece) > rows.shape[0] * line:
            return False
        block[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
        count = filled // line
        if count and (filled >= _BLOCK or done + count == rows.shape[0]):
            if not unfilter(block[: count * line + 1], rows, done):
                return False
            done += count
            filled -= count * line
            block[:filled] = block[count * line : count * line + filled].copy()
    return done == rows.shape[0] and filled == 0


def _inflated(data: tuple[memoryview, ...]) -> Iterator[bytes]:
    """Decompressed pieces of at most `_BLOCK` bytes."""
    inflater = zlib.decompressobj()
    for body in data:
        for start in range(0, len(body), _TAKEN):
            rest: bytes | memoryview = body[start : start + _TAKEN]
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _BLOCK)
                rest = inflater.unconsumed_tail
    # What a full output buffer may still hold back.
    yield inflater.flush()
