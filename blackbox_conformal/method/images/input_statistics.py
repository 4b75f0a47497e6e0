"""What inputs are like in a few numbers each: what they show before anything is paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, ClassVar, Self

import numpy as np
import pydantic.dataclasses
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from blackbox_conformal.method.risk.rows import Rows
from blackbox_conformal.support.types import Image

# The pixels that statistics are measured on, as whole numbers: brightness and two colour differences.

Plane = NDArray[np.int32]  # (parts, h, w): 256ths of a grey level.
FRACTION = 256  # Parts of a grey level that planes count.
_WHOLE_SIDE = 1024
_PARTS, _PART_SIDE, _GRID = 4, 256, 8


@dataclass(frozen=True, slots=True)
class Planes:
    """A picture, or parts of a large one, evenly spread.

    Each part begins at a multiple of 8 pixels, so that the blocks of a JPEG stay in place.
    """

    brightness: Plane  # Weighted 77 R + 150 G + 29 B (ITU-R BT.601, rounded to 256ths): 0 to 65280.
    colours: tuple[Plane, Plane]  # R - G and B - G, each -65280 to 65280.
    # (parts, h, w) uint8, the least and the largest of R, G and B.
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
    if side <= _WHOLE_SIDE:
        return [0], side
    return [(side - _PART_SIDE) * k // (_PARTS - 1) // _GRID * _GRID for k in range(_PARTS)], _PART_SIDE


# The noise of a picture: its finest diagonal detail where there is nothing else.

PATCH = 8
_FLATTEST = 4
_NORMAL_MEDIAN = 0.6745


def noise(planes: Planes) -> float:
    """Standard deviation of brightness noise in grey levels; 0 where all blocks are clipped or there is none."""
    height, width = (side // PATCH * PATCH for side in planes.brightness.shape[1:])
    if not height or not width:
        return 0.0
    brightness = planes.brightness[:, :height, :width]
    clipped = _blocks(planes.clipped[:, :height, :width], PATCH).any(axis=1)
    coarse = _blocks(halved(brightness), PATCH // 2)[~clipped]
    if not len(coarse):
        return 0.0
    ranges = coarse.max(axis=1) - coarse.min(axis=1)
    limit = np.sort(ranges)[(len(ranges) - 1) // _FLATTEST]
    # Twice the diagonal Haar coefficient of each 2 × 2 pixels.
    rows = brightness[:, ::2] - brightness[:, 1::2]
    diagonal = _blocks(rows[:, :, ::2] - rows[:, :, 1::2], PATCH // 2)[~clipped][ranges <= limit]
    return float(np.median(np.abs(diagonal))) / (2 * FRACTION * _NORMAL_MEDIAN)


def _blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """(blocks, side²): the plane cut into blocks."""
    parts, height, width = plane.shape
    cut = plane.reshape(parts, height // side, side, width // side, side)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, side * side)


# The borders of a JPEG's 8 × 8 blocks, and where they lie.

BLOCK = 8
CORNER = 0  # The grid of a JPEG that was not cut since: a border lies before the pixels 0, 8, 16, …


def border_shares(brightness: Plane, axis: int) -> NDArray[np.float64]:
    """(8,): how often a step is larger than both beside it, before the pixels k, k + 8, … along an axis, k = 0 to 7.

    `axis`: 1: steps between rows; 2: between columns.
    """
    steps = np.abs(np.diff(np.moveaxis(brightness, axis, -1), axis=-1))
    inner = steps[..., 1:-1]
    larger = (inner > steps[..., :-2]) & (inner > steps[..., 2:])
    counts = larger.sum(axis=tuple(range(larger.ndim - 1)), dtype=np.int64)
    # Step j of `inner` lies before pixel j + 2.
    places = (np.arange(len(counts)) + 2) % BLOCK
    hits = np.bincount(places, counts, BLOCK)
    tries = np.bincount(places, minlength=BLOCK) * (larger.size // max(len(counts), 1))
    return hits / np.maximum(tries, 1)


def blockiness(brightness: Plane) -> tuple[float, float]:
    """How much more often steps are larger at block borders than elsewhere, -1 to 1, about 0 without blocks.

    The first belongs to the grid that begins in the corner, the second is the largest of any other grid. Each is the
    mean over rows and columns; 0 for a picture of fewer than 16 pixels a side.
    """
    if min(brightness.shape[1:]) < 2 * BLOCK:
        return 0.0, 0.0
    corner = other = 0.0
    for axis in (1, 2):
        shares = border_shares(brightness, axis)
        excess = shares - (shares.sum() - shares) / (BLOCK - 1)
        corner += float(excess[CORNER]) / 2
        other += float(np.delete(excess, CORNER).max()) / 2
    return corner, other


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number about an input."""

    name: str
    # What a picture with a larger or smaller value is, to follow "your inputs are".
    more: str
    less: str
    least: float  # The smallest difference that is worth a word, in the statistic's own unit.
    # The values that it can have.
    lowest: float
    highest: float

    def shown(self, value: float) -> str:
        return f"{2**value:,.0f} pixels" if self.name == SIZE else f"{value:.3g}"


SIZE = "size"

STATISTICS = (
    Statistic("sharpness", "sharper or noisier at the finest detail", "blurrier", 0.1, -40, 40),
    Statistic("colour sharpness", "sharper in their colours", "blurrier in their colours", 0.1, -40, 40),
    Statistic("noise", "noisier", "smoother in flat places", 0.1, 0, 400),
    Statistic("blockiness", "more strongly JPEG-compressed", "less JPEG-compressed", 0.01, -1, 1),
    Statistic(
        "shifted blockiness",
        "more strongly JPEG-compressed and cut or moved since",
        "less JPEG-compressed and cut or moved since",
        0.01,
        -1,
        1,
    ),
    Statistic("spectrum", "smoother at coarse detail", "rougher at coarse detail", 0.1, -40, 40),
    Statistic(SIZE, "larger", "smaller", 1.0, 0, 64),
    Statistic("colourfulness", "more colourful", "less colourful", 0.02, 0, 1),
    Statistic("clipped share", "more often clipped to black or white", "less often clipped", 0.01, 0, 1),
)
"""The statistics in the order of a row; docs/inputs.md says what each is."""


class InputStatistics(Rows):
    """The statistics of n inputs.

    `values`: (n, len(`STATISTICS`)) float32, a row an input. A row of NaN is an input that was not looked at.
    """

    row: ClassVar[tuple[int, ...]] = (len(STATISTICS),)

    @classmethod
    def of(cls, pixels: Image) -> Self:
        """One input, (h, w, 3) uint8; the same values on every machine, in less time than reading its file takes."""
        planes = Planes.of(pixels)
        energies = log_energies([planes.brightness])
        row = (
            sharpness(energies),
            sharpness(log_energies(planes.colours)),
            noise(planes),
            *blockiness(planes.brightness),
            fall(energies),
            np.log2(pixels.shape[0] * pixels.shape[1]),
            # The mean difference between the largest and the least of R, G and B: 0 (grey) to 1.
            float((planes.largest - planes.least).sum(dtype=np.int64)) / (255 * planes.least.size),
            np.count_nonzero(planes.clipped) / planes.least.size,
        )
        return cls(np.array([row], np.float32))

    @classmethod
    def of_named(cls, values: Mapping[str, float]) -> Self:
        names = [statistic.name for statistic in STATISTICS]
        if set(values) != set(names):
            raise ValueError(f"expected {', '.join(names)}; got {', '.join(sorted(values))}")
        return cls(_possible(np.array([[values[name] for name in names]], np.float64)))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        return cls(_possible(np.frombuffer(content, "<f4").reshape(-1, len(STATISTICS)).astype(np.float64)))

    def column(self, name: str) -> NDArray[np.float64]:
        """(n,): one statistic of each input, NaN where unknown."""
        names = [statistic.name for statistic in STATISTICS]
        return self.values[:, names.index(name)].astype(np.float64)

    @property
    def named(self) -> list[dict[str, float]]:
        names = [statistic.name for statistic in STATISTICS]
        return [dict(zip(names, row, strict=True)) for row in self.values.astype(float).tolist()]


def _possible(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """The rows, provided that each is what an input can be like, or unknown."""
    low, high = np.array([(statistic.lowest, statistic.highest) for statistic in STATISTICS]).T
    if not np.all(np.isnan(rows).all(axis=1) | ((rows >= low) & (rows <= high)).all(axis=1)):
        raise ValueError("expected what inputs can be like; a value is out of its range")
    return rows.astype(np.float32)


# Energy of detail in each octave of sizes: how sharp a picture is, and how its spectrum falls.

OCTAVES = 5
_LEAST_ENERGY = 0.25  # Squared grey levels, about what rounding to 8 bits adds; energies below it say nothing.


def log_energies(planes: Sequence[Plane]) -> list[float]:
    """Base-2 logarithms of the mean squared difference between neighbours, of each octave from the finest on.

    At most `OCTAVES`, fewer for a small picture: the last has at least two pixels a side. Several planes are added.
    """
    found = []
    for _ in range(OCTAVES):
        if min(planes[0].shape[1:]) < 2:
            break
        found.append(float(np.log2(sum(map(_energy, planes)) + _LEAST_ENERGY)))
        planes = [halved(plane) for plane in planes]
    return found


def sharpness(energies: Sequence[float]) -> float:
    """How much stronger the finest octave is than the next, in octaves of energy; 0 where there is only one.

    About 0 for a photograph made smaller by a sharp filter, negative for a blurred one, positive for noise.
    """
    return energies[0] - energies[1] if len(energies) > 1 else 0.0


def fall(energies: Sequence[float]) -> float:
    """The exponent a of a spectrum 1 / f^a, by least squares over all octaves but the finest; 2 where unknown."""
    coarse = energies[1:]
    if len(coarse) < 2:
        return 2.0
    places = [k - (len(coarse) - 1) / 2 for k in range(len(coarse))]
    slope = sum(place * energy for place, energy in zip(places, coarse, strict=True)) / sum(p * p for p in places)
    return 2.0 + slope


def _energy(plane: Plane) -> float:
    """Mean squared difference between neighbours, in squared grey levels; the sums are exact."""
    steps = [np.diff(plane, axis=axis).astype(np.int64) for axis in (1, 2)]
    total = sum(int(np.square(step).sum()) for step in steps)
    return total / sum(step.size for step in steps) / FRACTION**2


# Of which kind a photograph is: how much texture it has, how bright it is, and how large it is.


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class InputKind:
    """What the input of a photograph, the picture that the vendor is sent, is like.

    These are not among the statistics by which inputs are told to be of another kind: they tell scenes apart, and not
    how inputs came about.
    """

    # Base-2 logarithm of the mean squared difference between neighbouring pixels, in squared grey levels.
    texture: Annotated[float, Field(ge=-2, le=16)]
    brightness: Annotated[float, Field(ge=0, le=255)]  # Mean brightness, 0 to 255.
    pixels: Annotated[int, Field(ge=1)]  # Number of pixels.

    @classmethod
    def of(cls, pixels: Image) -> Self:
        """The kind of one input, (h, w, 3) uint8; the same on every machine."""
        planes = Planes.of(pixels)
        energies = log_energies([planes.brightness])
        brightness = float(planes.brightness.sum(dtype=np.int64)) / (FRACTION * planes.brightness.size)
        return cls(energies[0] if energies else -2.0, min(brightness, 255.0), pixels.shape[0] * pixels.shape[1])
