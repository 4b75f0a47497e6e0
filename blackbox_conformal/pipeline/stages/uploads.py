"""What is sent for each picture, encoded when it is sent and forgotten soon after.

With every draw stored nothing is encoded at all; with many pictures memory does not grow with their number.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from blackbox_conformal.adapter import Upload
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.images.encode import image_png
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.picture import pixels_digest
from blackbox_conformal.types import Image

KEPT = 8
"""Encoded inputs kept: all draws of a picture are sent at about one time."""


class SourcedUpload(Upload):
    """An upload whose `png` is made when it is asked for."""

    __slots__ = ("_source",)
    _source: Callable[[], bytes]

    def __init__(self, name: str, digest: str, png: bytes | Callable[[], bytes], width: int, height: int) -> None:
        source = (lambda: png) if isinstance(png, bytes) else png
        for field, value in (("name", name), ("digest", digest), ("width", width), ("height", height)):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "_source", source)

    @property
    def png(self) -> bytes:
        """The picture as an 8-bit RGB PNG without metadata."""
        return self._source()

    def __eq__(self, other: object) -> bool:
        """Whether the other is called the same and has the same pixels: the digest tells."""
        return isinstance(other, Upload) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))


class Encoder:
    """Makes uploads of inputs that can be read again, and encodes those that are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def upload(self, pixels: Image, name: str, again: Callable[[], Image]) -> Upload:
        """What is sent for `pixels`, (h, w, 3) uint8, which are not kept: `again` gives them once more.

        Asking for the PNG raises `CalibrationError` when `again` gives others.
        """
        digest = pixels_digest(pixels)
        height, width = pixels.shape[:2]

        def png() -> bytes:
            # One at a time: the draws of a picture ask together, and the first answers for all.
            with self._lock:
                if digest not in self._kept:
                    found = again()
                    if pixels_digest(found) != digest:
                        raise CalibrationError(f"{printable(name)} was changed while it was being drawn; run again")
                    self._kept[digest] = image_png(found)
                self._kept.move_to_end(digest)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
                return self._kept[digest]

        return SourcedUpload(name, digest, png, width, height)
