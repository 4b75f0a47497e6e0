"""Photographs that would count twice: equal pixels, and the same scene resized, recompressed, turned or mirrored.

Not found: crops of one another, and different photographs of one scene.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.images.names import printable
from blackbox_conformal.images.picture import check_pixels, pixels_digest
from blackbox_conformal.types import Image

HASH_DISTANCE = 4
"""Pictures whose 64-bit hashes differ in more bits are different."""

CORRELATION = 0.98
"""Pictures whose 64×64 grey thumbnails correlate less are different, however near their hashes are."""

FLAT = 2.0
"""Thumbnails with a smaller standard deviation, in 8-bit steps, show nothing to compare."""

SIDE = 64
"""Pixels a side of a thumbnail."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of a picture to recognise it: 64×64 grey thumbnail, standardised, and its 64-bit difference hash."""

    digest: str
    thumbnail: NDArray[np.float32]
    bits: int
    flat: bool


def sketch(pixels: Image, digest: str | None = None) -> Sketch:
    """The sketch of `pixels`, (H, W, 3) uint8; `digest` saves computing it."""
    pixels = check_pixels(pixels)
    small = PillowImage.fromarray(pixels).convert("L").resize((SIDE, SIDE), PillowImage.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    deviation = float(grey.std())
    thumbnail = (grey - grey.mean()) / max(deviation, FLAT)
    return Sketch(digest or pixels_digest(pixels), thumbnail, difference_hash(grey), deviation < FLAT)


def difference_hash(grey: NDArray[np.float32]) -> int:
    """64 bits: on an 8×9 grid of block means, whether each is darker than its right neighbour. `grey` is square."""
    picture = PillowImage.fromarray(np.ascontiguousarray(grey, dtype=np.float32))
    grid = np.asarray(picture.resize((9, 8), PillowImage.Resampling.BOX))
    return int.from_bytes(np.packbits(grid[:, :-1] < grid[:, 1:]).tobytes(), "big")


class Distinct:
    """Takes pictures one by one and refuses the first that was there before."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._digests: dict[str, str] = {}
        self._hashes: list[int] = []
        self._thumbnails: list[NDArray[np.float32]] = []

    def add(self, name: str, seen: Sketch) -> None:
        """Remember `seen` under `name`.

        Raises
        ------
        CalibrationError
            An earlier picture is the same, or the same up to size, compression, a turn or a mirroring.
        """
        same = self._digests.setdefault(seen.digest, name)
        if same != name or name in self._names:
            raise _twice(same, name, "hold the same pixels")
        if seen.flat:
            return
        # All eight turns of the newcomer against the plain earlier ones: each pair is compared in every relation.
        hashes = np.array(self._hashes, dtype=np.uint64)
        for turned in _turns(seen.thumbnail):
            distances = np.bitwise_count(hashes ^ np.uint64(difference_hash(turned)))
            for index in np.flatnonzero(distances <= HASH_DISTANCE):
                correlation = float((turned * self._thumbnails[index]).mean())
                if correlation >= CORRELATION:
                    relation = f"show the same picture up to a turn or mirroring (correlation {correlation:.3f})"
                    raise _twice(self._names[index], name, relation)
        self._names.append(name)
        self._hashes.append(seen.bits)
        self._thumbnails.append(seen.thumbnail)


def _turns(thumbnail: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [np.rot90(side, quarter) for side in (thumbnail, thumbnail[:, ::-1]) for quarter in range(4)]


def _twice(one: str, other: str, relation: str) -> CalibrationError:
    return CalibrationError(
        f"expected different photographs, since each counts as one independent picture; {printable(one)} and "
        f"{printable(other)} {relation}. Remove one of them"
    )
