"""Memory for a whole picture: pages of its own, which go back to the system as soon as nobody needs them.

The C library keeps freed pieces of up to 32 MiB, so whole pictures, and finds no use for many of them. In pages of
their own they come and go without a trace, and a large page is touched more quickly than hundreds of small ones.
"""

import contextlib
import mmap

import numpy as np

from blackbox_conformal.types import Image


def picture_room(height: int, width: int) -> Image:
    """(H, W, 3) uint8 to be filled; what it holds until then is undefined."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        # Not Linux.
        return np.empty((height, width, 3), np.uint8)
    pages = mmap.mmap(-1, 3 * height * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        # A kernel without large pages has small ones.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8).reshape(height, width, 3)
