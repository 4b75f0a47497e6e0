"""Photographs as they were prepared, kept on the disk until their draws are there, so that files are decoded once.

Writing and reading pixels takes less processor time than decoding a PNG, and no memory of the process.
"""

import contextlib
import mmap
import shutil
import tempfile
import threading
import weakref
from io import FileIO
from pathlib import Path

import numpy as np

from blackbox_conformal.support.types import Image

MOST_BYTES = 2 * 2**30
"""Kept of the photographs of one job: some 80 of 3840 x 2160."""

SHARE_OF_FREE = 0.25
"""Of what is free on the disk, the most that is taken."""


LARGE_PAGE = 1 << 20
"""Bytes of a picture from which on it lies in memory pages of its own."""


def picture_room(height: int, width: int) -> Image:
    """Memory for (H, W, 3) uint8 to be filled; what it holds until then is undefined.

    The C library keeps freed pieces of up to 32 MiB, so whole pictures, and finds no use for many of them. In pages of
    their own they go back to the system as soon as they are unused, and a large page is touched more quickly than
    hundreds of small ones.
    """
    if 3 * height * width < LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        # Smaller than a large page, or not Linux.
        return np.empty((height, width, 3), np.uint8)
    pages = mmap.mmap(-1, 3 * height * width, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        # A kernel without large pages has small ones.
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8).reshape(height, width, 3)


class KeptPixels:
    """Photographs and their inputs, in a temporary file that ends with this object or with the process.

    Asked from any thread. What does not fit, or what the disk does not take, is not kept: such a photograph's own file
    is decoded again.

    Parameters
    ----------
    folder
        The file lies in this folder, or where that is to be made. The run folder serves: draws are stored there, too,
        while the system's folder for temporary files may lie in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._places: dict[Path, tuple[int, list[tuple[int, int]]]] = {}
        self._file: FileIO | None = None
        self._end = 0
        self._most = MOST_BYTES

    def keep(self, path: Path, truth: Image, low_resolution: Image) -> None:
        """Keep the photograph of a file, (H, W, 3) uint8, and its input, (h, w, 3) uint8, while there is room.

        Of declared bands nothing is kept: their files are read again.
        """
        if truth.dtype != np.uint8:
            return
        pictures = [np.ascontiguousarray(picture) for picture in (truth, low_resolution)]
        with self._lock:
            try:
                file = self._opened()
                end = self._end + sum(picture.nbytes for picture in pictures)
                if end > self._most:
                    return
                file.seek(self._end)
                for picture in pictures:
                    if file.write(picture.data) < picture.nbytes:
                        raise OSError("the disk is full")
            except OSError:
                self._most = 0
                return
            self._places[path] = self._end, [(picture.shape[0], picture.shape[1]) for picture in pictures]
            self._end = end

    def get(self, path: Path) -> tuple[Image, Image] | None:
        """What was kept of a file, the photograph and its input; None when nothing was."""
        with self._lock:
            if path not in self._places or self._file is None:
                return None
            start, shapes = self._places[path]
            truth, low_resolution = (picture_room(*shape) for shape in shapes)
            try:
                self._file.seek(start)
                whole = all(self._file.readinto(picture.data) == picture.nbytes for picture in (truth, low_resolution))
            except OSError:
                return None
            return (truth, low_resolution) if whole else None

    def _opened(self) -> FileIO:
        if self._file is None:
            there = next(folder for folder in (self._folder, *self._folder.absolute().parents) if folder.is_dir())
            self._most = min(self._most, int(shutil.disk_usage(there).free * SHARE_OF_FREE))
            # It has no name, or loses it at once, or on Windows when it is closed.
            self._file = tempfile.TemporaryFile(dir=there, buffering=0)  # noqa: SIM115 - closed below
            weakref.finalize(self, self._file.close)
        return self._file
