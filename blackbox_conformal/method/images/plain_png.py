"""Pixels of plain PNGs, decompressed and unfiltered in one pass: what nearly every vendor answers."""

import contextlib
import mmap
from collections.abc import Iterable, Iterator

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from blackbox_conformal.method.images.headers import Container
from blackbox_conformal.method.kernels import unfilter
from blackbox_conformal.method.kernels._jit import interpreted
from blackbox_conformal.method.kernels.unfilter import ROWS
from blackbox_conformal.support.types import Image

SMALLEST = 1 << 20
"""Bytes of pixel data below which a picture is no reason to load a compiler."""

WORTHWHILE = 1 << 14
"""Bytes of pixel data from which on a kernel that is there gains something."""

PAYS_FROM = 1 << 26
"""Bytes of pixel data of one process from which on the kernel pays: it takes about a second to compile, once."""

_INPUT = 1 << 17
"""Compressed bytes given to the decompressor at once: what it does not take at once, it copies."""

_OUTPUT = 1 << 19
"""Decompressed bytes handled at once: they stay in the second-level cache."""


_ready = False
"""Whether the kernel is there, or worth waiting for."""

_read = 0
"""Bytes of pixel data that this process has read so far."""


def pays_off(sizes: Iterable[tuple[int, int]], times: int) -> bool:
    """Whether so many pictures of each (height, width) are worth compiling the kernel for."""
    pixel_bytes = [3 * height * width for height, width in sizes]
    return times * sum(size for size in pixel_bytes if size >= SMALLEST) >= PAYS_FROM


def is_used_for(pixel_bytes: int) -> bool:
    """Whether the next picture goes through the kernel; Pillow reads the first ones, unless `warm_up` was called."""
    global _read, _ready
    _read += pixel_bytes if pixel_bytes >= SMALLEST else 0
    _ready = _ready or _read >= PAYS_FROM
    return _ready


def plain_pixels(container: Container) -> Image | None:
    """(H, W, 3) uint8 of a plain PNG; None for another picture, a tiny one, or one whose pixel data are not right.

    The checksum of the decompressed data is verified. Check the limits before calling.
    """
    if not container.plain or container.filtered_bytes < WORTHWHILE or interpreted():
        return None
    # RFC 1950 ends at windows of 32 KiB (7); zlib refuses larger ones and isal does not look.
    if next((part[0] >> 4 for part in container.compressed if part), 15) > 7:
        return None
    pixels = picture_room(container.height, container.width)
    try:
        complete = _fill(pixels.reshape(container.height, -1), container.compressed)
    except igzip_lib.IsalError:
        return None
    return pixels if complete else None


def _fill(rows: NDArray[np.uint8], compressed: tuple[memoryview, ...]) -> bool:
    """Decompress and unfilter every row; False when the data are not those of so many rows.

    Parameters
    ----------
    rows
        (H, 3 W) uint8, filled with pixels.

    Raises
    ------
    igzip_lib.IsalError
        The data are damaged.
    """
    line = rows.shape[1] + 1
    # Filtered rows, as many as there are so far, each with its filter byte in front. One byte more than the rows, since
    # the last pixel is read as four bytes.
    filtered = np.empty(ROWS * line + _OUTPUT + 1, np.uint8)
    waiting = done = 0
    decompressor = isal_zlib.decompressobj()
    for piece in _decompressed(decompressor, compressed):
        filtered[waiting : waiting + len(piece)] = np.frombuffer(piece, np.uint8)
        waiting += len(piece)
        count = waiting // line
        if done + count > rows.shape[0]:
            return False
        # The kernel works on ROWS rows at a time; only the last rows of the picture may be fewer.
        if done + count < rows.shape[0]:
            count -= count % ROWS
        taken = count * line
        if not unfilter.unfilter(filtered[: taken + 1], rows, done):
            return False
        done += count
        filtered[: waiting - taken] = filtered[taken:waiting]
        waiting -= taken
    # The end of the stream is behind its checksum, which the decompressor has compared.
    return decompressor.eof and done == rows.shape[0] and waiting == 0


def _decompressed(decompressor: "isal_zlib.Decompress", compressed: tuple[memoryview, ...]) -> Iterator[bytes]:
    """What `compressed` holds, at most `_OUTPUT` bytes at a time."""
    for part in compressed:
        for start in range(0, len(part), _INPUT):
            rest: bytes | memoryview = part[start : start + _INPUT]
            while not decompressor.eof:
                piece = decompressor.decompress(rest, _OUTPUT)
                rest = decompressor.unconsumed_tail
                if piece:
                    yield piece
                elif not rest:
                    break


def picture_room(height: int, width: int) -> Image:
    """Memory for (H, W, 3) uint8 to be filled; what it holds until then is undefined.

    The C library keeps freed pieces of up to 32 MiB, so whole pictures, and finds no use for many of them. In pages of
    their own they go back to the system as soon as they are unused, and a large page is touched more quickly than
    hundreds of small ones.
    """
    if 3 * height * width < SMALLEST or not hasattr(mmap, "MADV_HUGEPAGE"):
        # Smaller than a large page, or not Linux.
        return np.empty((height, width, 3), np.uint8)
    pages = mmap.mmap(-1, 3 * height * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        # A kernel without large pages has small ones.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8).reshape(height, width, 3)


def warm_up() -> None:
    """Compile, or load, the kernel that decodes a large PNG, and use it from now on."""
    global _ready
    unfilter.warm_up()
    _ready = True
