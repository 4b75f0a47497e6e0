"""Pixels of plain PNGs, decompressed and unfiltered in one pass: what nearly every vendor answers.

Anything unusual is left to `read`, which has Pillow decode it and says what is wrong with it.
"""

from collections.abc import Iterator

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from blackbox_conformal.images.buffers import picture_room
from blackbox_conformal.images.headers import Container
from blackbox_conformal.kernels import unfilter
from blackbox_conformal.kernels._jit import interpreted
from blackbox_conformal.kernels.unfilter import ROWS
from blackbox_conformal.types import Image

SMALLEST = 1 << 20
"""Bytes of pixel data below which there is nothing to gain, and no compiler is loaded."""

_INPUT = 1 << 17
"""Compressed bytes given to the decompressor at once: what it does not take at once, it copies."""

_OUTPUT = 1 << 19
"""Decompressed bytes handled at once: they stay in the second-level cache."""


def is_large(height: int, width: int) -> bool:
    """Whether a picture of that size is worth the kernels."""
    return 3 * height * width >= SMALLEST


def plain_pixels(container: Container) -> Image | None:
    """(H, W, 3) uint8 of a plain PNG; None when it is no such, small, damaged, or has too few or too many pixel data.

    The checksum of the decompressed data is verified; to be called within limits.
    """
    if not container.plain or container.pixel_bytes < SMALLEST or interpreted():
        return None
    # RFC 1950 ends at windows of 32 KiB (7); zlib refuses larger ones and isal does not look.
    if next((body[0] >> 4 for body in container.pixel_data if body), 15) > 7:
        return None
    pixels = picture_room(container.height, container.width)
    try:
        complete = _fill(pixels.reshape(container.height, -1), container.pixel_data)
    except igzip_lib.IsalError:
        return None
    return pixels if complete else None


def _fill(rows: NDArray[np.uint8], data: tuple[memoryview, ...]) -> bool:
    """Decompress and unfilter every row; False when the data are not those of so many rows.

    Raises
    ------
    igzip_lib.IsalError
        The data are damaged.
    """
    line = rows.shape[1] + 1
    # One byte more than the rows, since the last pixel is read as four bytes.
    block = np.empty(ROWS * line + _OUTPUT + 1, np.uint8)
    waiting = done = 0
    decompressor = isal_zlib.decompressobj()
    for piece in _pieces(decompressor, data):
        block[waiting : waiting + len(piece)] = np.frombuffer(piece, np.uint8)
        waiting += len(piece)
        count = waiting // line
        if done + count > rows.shape[0]:
            return False
        if done + count < rows.shape[0]:
            count -= count % ROWS
        taken = count * line
        if not unfilter.unfilter(block[: taken + 1], rows, done):
            return False
        done += count
        block[: waiting - taken] = block[taken:waiting]
        waiting -= taken
    # The end of the stream is behind its checksum, which the decompressor has compared.
    return decompressor.eof and done == rows.shape[0] and waiting == 0


def _pieces(decompressor: "isal_zlib.Decompress", data: tuple[memoryview, ...]) -> Iterator[bytes]:
    """What `data` decompress to, at most `_OUTPUT` bytes at a time."""
    for body in data:
        for start in range(0, len(body), _INPUT):
            rest: bytes | memoryview = body[start : start + _INPUT]
            while not decompressor.eof:
                piece = decompressor.decompress(rest, _OUTPUT)
                rest = decompressor.unconsumed_tail
                if piece:
                    yield piece
                elif not rest:
                    break


def warm_up() -> None:
    """Compile, or load, the kernel that decodes a large PNG."""
    unfilter.warm_up()
