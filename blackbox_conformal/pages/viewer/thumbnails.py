"""Small pictures for the gallery, made when first asked for and kept while there is room."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.pages.report.encoded import webp
from blackbox_conformal.pages.report.full_size import FullSize, unpacked
from blackbox_conformal.pages.report.pixel_blocks import block_side
from blackbox_conformal.pages.viewer.run_pictures import RunPictures
from blackbox_conformal.support.canonical import digest_bytes

SIDE = 240
"""The longer side has at most so many pixels."""

MOST_BYTES = 64 * 2**20
AT_ONCE = 2
"""Made at the same time: each takes the memory of a whole picture."""


class Thumbnails:
    """Small pictures, and for each of their pixels the slider's first stop at which its whole block is trusted.

    Attributes
    ----------
    bytes
        Of all that is kept.
    """

    def __init__(self, pictures: RunPictures) -> None:
        self._pictures = pictures
        self._lock, self._room = threading.Lock(), threading.Semaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self.bytes = 0

    def picture(self, entry: FullSize) -> bytes:
        """WebP."""

        def make() -> bytes:
            block = block_side(entry.size, SIDE)
            return webp(PillowImage.fromarray(self._pictures.pixels(entry, "delivered")).reduce(block))

        return self._get(("picture", entry.stem, entry.digests.get("delivered", "")), make)

    def stops(self, entry: FullSize) -> bytes:
        """(h, w) uint8, row by row; 255 where no stop trusts the whole block."""

        def make() -> bytes:
            block = block_side(entry.size, SIDE)
            levels = unpacked(self._pictures.part(entry, "levels"), entry.size)
            rows, columns = (np.arange(0, side, block) for side in entry.size)
            largest = np.maximum.reduceat(np.maximum.reduceat(levels, rows, axis=0), columns, axis=1)
            return self._pictures.first_stops(entry)[largest].tobytes()

        thresholds = digest_bytes(entry.thresholds.tobytes())
        return self._get(("stops", entry.stem, entry.digests.get("levels", ""), thresholds), make)

    def _get(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._room:
            content = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = content
                self.bytes += len(content)
            while self.bytes > MOST_BYTES:
                self.bytes -= len(self._kept.popitem(last=False)[1])
        return content
