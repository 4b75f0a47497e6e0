"""Pixels of plain PNGs, decompressed and unfiltered in one pass: what nearly every vendor answers.

Anything unusual is left to `read`, which has Pillow decode it and says what is wrong with it.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.images.containers import Container
from blackbox_conformal.images.pages import picture_room
from blackbox_conformal.kernels import adler, inflate, unfilter
from blackbox_conformal.kernels._jit import interpreted
from blackbox_conformal.kernels.adler import adler32
from blackbox_conformal.kernels.inflate import HISTORY, PADDING, SLACK, Inflater
from blackbox_conformal.kernels.unfilter import ROWS
from blackbox_conformal.types import Image

SMALLEST = 1 << 20
"""Bytes of pixel data below which there is nothing to gain, and no compiler is loaded."""

_BLOCK = 1 << 19
"""Decompressed bytes handled at once: they stay in the second-level cache."""


def is_large(height: int, width: int) -> bool:
    """Whether a picture of that size is worth the kernels."""
    return 3 * height * width >= SMALLEST


def plain_pixels(container: Container) -> Image | None:
    """(H, W, 3) uint8 of a plain PNG; None when it is no such, small, damaged, or has too few or too many pixel data.

    The checksum of the decompressed data is verified; to be called within limits.
    """
    # The decompressor reads several bytes as one number, lowest first.
    if not container.plain or container.pixel_bytes < SMALLEST or interpreted() or sys.byteorder != "little":
        return None
    pixels = picture_room(container.height, container.width)
    return pixels if _fill(pixels.reshape(container.height, -1), container.pixel_data) else None


def _fill(rows: NDArray[np.uint8], data: tuple[memoryview, ...]) -> bool:
    """Decompress and unfilter every row; False when the data are damaged or not those of so many rows."""
    source = np.concatenate([*(np.frombuffer(body, np.uint8) for body in data), np.zeros(PADDING, np.uint8)])
    if not _is_zlib(source):
        return False
    inflater = Inflater(source[2:])
    line = rows.shape[1] + 1
    block = np.empty(HISTORY + ROWS * line + _BLOCK + SLACK, np.uint8)
    # Bytes before `first` are done and kept for the decompressor, those up to `end` are waiting.
    first = end = done = 0
    checksum = 1
    while inflater.end is None:
        start = end
        end = inflater.into(block, start, start + _BLOCK)
        if end < 0:
            return False
        checksum = adler32(block[start:end], checksum)
        count = (end - first) // line
        if done + count > rows.shape[0]:
            return False
        if inflater.end is None:
            count -= count % ROWS
        if not unfilter.unfilter(block[first : first + count * line + 1], rows, done):
            return False
        done += count
        first += count * line
        moved = max(0, min(first, end - HISTORY))
        block[: end - moved] = block[moved:end]
        first, end = first - moved, end - moved
    expected = int.from_bytes(source[2 + inflater.end :][:4].tobytes(), "big")
    complete = 2 + inflater.end + 4 <= source.size - PADDING
    return complete and checksum == expected and done == rows.shape[0] and first == end


def _is_zlib(source: NDArray[np.uint8]) -> bool:
    """Whether the bytes begin like a zlib stream without a dictionary (RFC 1950)."""
    method, flags = int(source[0]), int(source[1])
    return method & 15 == 8 and method >> 4 <= 7 and flags & 32 == 0 and (256 * method + flags) % 31 == 0


def warm_up() -> None:
    """Compile, or load, the kernels that decode a large PNG."""
    for part in (inflate, adler, unfilter):
        part.warm_up()
