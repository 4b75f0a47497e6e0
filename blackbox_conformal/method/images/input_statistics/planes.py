"""The pixels that statistics are measured on, as whole numbers: brightness and two colour differences.

Everything here is exact, so that a picture has the same statistics on every machine.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.support.types import Image

Plane = NDArray[np.int32]
"""(parts, h, w): 256ths of a grey level."""

FRACTION = 256
"""Parts of a grey level that planes count."""

_WHOLE_SIDE = 1024
_PARTS, _PART_SIDE, _GRID = 4, 256, 8


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture, or parts of a large one, evenly spread.

    Each part begins at a multiple of 8 pixels, so that the blocks of a JPEG stay in place.

    Attributes
    ----------
    brightness
        Weighted 77 R + 150 G + 29 B (ITU-R BT.601, rounded to 256ths): 0 to 65280.
    colours
        R - G and B - G, each -65280 to 65280.
    least, largest
        (parts, h, w) uint8, the least and the largest of R, G and B.
    """

    brightness: Plane
    colours: tuple[Plane, Plane]
    least: NDArray[np.uint8]
    largest: NDArray[np.uint8]

    @classmethod
    def of(cls, pixels: Image) -> "Planes":
        """The planes of (h, w, 3) uint8 pixels."""
        (tops, height), (lefts, width) = (_parts(side) for side in pixels.shape[:2])
        parts = np.stack([pixels[top : top + height, left : left + width] for top in tops for left in lefts])
        channels = [np.ascontiguousarray(parts[..., channel]) for channel in range(3)]
        least, largest = (reduce(choose, channels) for choose in (np.minimum, np.maximum))
        red, green, blue = (channel.astype(np.int32) for channel in channels)
        brightness = 77 * red + 150 * green + 29 * blue
        return cls(brightness, ((red - green) * FRACTION, (blue - green) * FRACTION), least, largest)

    @property
    def clipped(self) -> NDArray[np.bool_]:
        """(parts, h, w): whether R, G or B is 0 or 255."""
        return np.asarray((self.least == 0) | (self.largest == 255))


def halved(plane: Plane) -> Plane:
    """Rounded means over 2 × 2 pixels; an odd last row or column is left out."""
    even = plane[:, : plane.shape[1] // 2 * 2, : plane.shape[2] // 2 * 2]
    rows = even[:, ::2] + even[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2] + 2) >> 2, np.int32)


def _parts(side: int) -> tuple[list[int], int]:
    """Where parts of a side begin, and their length."""
    if side <= _WHOLE_SIDE:
        return [0], side
    return [(side - _PART_SIDE) * k // (_PARTS - 1) // _GRID * _GRID for k in range(_PARTS)], _PART_SIDE
