"""Encode uploads when they are sent, and forget them soon after.

Nothing is encoded when every draw is stored. Memory does not grow with the number of pictures.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn

from blackbox_conformal.errors import AdapterError, CalibrationError
from blackbox_conformal.method.images.bands import is_deep
from blackbox_conformal.method.images.encode import upload_png
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image
from blackbox_conformal.vendor.adapter import Upload

KEPT = 8  # Encoded inputs kept: all draws of a picture are sent at about one time.


class SourcedUpload(Upload):
    """An upload that makes `png` and `pixels` when they are asked for."""

    __slots__ = ("_pixels", "_source")
    _source: Callable[[], bytes]
    _pixels: Callable[[], Image]

    def __init__(
        self, name: str, digest: str, png: Callable[[], bytes], pixels: Callable[[], Image], width: int, height: int
    ) -> None:
        for field, value in (("name", name), ("digest", digest), ("width", width), ("height", height)):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "_source", png)
        object.__setattr__(self, "_pixels", pixels)

    @property
    def png(self) -> bytes:
        """Return the picture as an 8-bit RGB PNG without metadata."""
        return self._source()

    @property
    def pixels(self) -> Image:
        """Return what `png` shows."""
        return self._pixels()

    def __eq__(self, other: object) -> bool:
        """Compare name and digest of pixels."""
        return isinstance(other, Upload) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def __reduce__(self) -> tuple[object, ...]:
        """Leave uploads with the process that draws."""
        return SourcedUpload, (self.name, self.digest, _elsewhere, _elsewhere, self.width, self.height)


def _elsewhere() -> NoReturn:
    raise AdapterError("expected what is sent in the process that draws alone; a worker asked for it")


def sent_pixels(upload: Upload) -> Image:
    """Return the pixels of what is sent, (h, w, 3) uint8."""
    return upload.pixels if isinstance(upload, SourcedUpload) else read_image(upload.png).pixels


class Encoder:
    """An encoder of inputs that can be read again; it encodes an input only when asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, Image]] = OrderedDict()

    def upload(self, pixels: Image, name: str, again: Callable[[], Image]) -> Upload:
        """Return the upload of `pixels`, (h, w, 3) uint8, which are not kept: `again` gives them once more.

        Asking for its PNG or pixels raises `CalibrationError` when `again` gives others.
        """
        digest = pixels_digest(pixels)
        height, width = pixels.shape[:2]

        def kept() -> tuple[bytes, Image]:
            # One at a time: the draws of a picture ask together, and the first answers for all.
            with self._lock:
                if digest not in self._kept:
                    pixels_again = again()
                    if pixels_digest(pixels_again) != digest:
                        raise CalibrationError(f"{printable(name)} was changed while it was being drawn; run again")
                    # A vendor of declared bands is a folder, which is sent nothing.
                    content = b"" if is_deep(pixels_again) else upload_png(pixels_again)
                    self._kept[digest] = content, pixels_again
                self._kept.move_to_end(digest)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
                return self._kept[digest]

        return SourcedUpload(name, digest, lambda: kept()[0], lambda: kept()[1], width, height)
