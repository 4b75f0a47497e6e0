"""Describe chains that inputs may have gone through: reduction, lens, sensor, sharpening and JPEG, in that order."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FILTERS = ("bicubic", "area", "lanczos")


class Coordinate(NamedTuple):
    """A fitted number of a chain."""

    name: str
    step: float  # A change that inputs show.
    # Its range.
    least: float
    largest: float
    # A weak prior for what inputs do not tell: mean and standard deviation.
    usual: float
    deviation: float


COORDINATES = (
    Coordinate("variance of the blur", 0.15, 0.0, 2.5, 0.1, 0.7),
    Coordinate("logarithm of the noise after sharpening", 0.2, math.log(0.2), math.log(60), math.log(2), 2.2),
    Coordinate("strength of sharpening", 25.0, 0.0, 250.0, 60.0, 90.0),
    Coordinate("logarithm of the radius of sharpening", 0.2, math.log(0.5), math.log(3), 0.0, 0.6),
    Coordinate("share of the noise that grows with the light", 0.2, 0.0, 1.0, 0.5, 0.5),
    Coordinate("half of each range's width over its middle", 0.2, 0.0, 0.9, 0.35, 0.45),
    Coordinate("threshold of sharpening", 1.0, 0.0, 4.0, 1.5, 1.5),
)
"""What inputs show best: squares of blurs add up, and noise is seen after sharpening."""

PARTS = {"blur": 1, "noise": 2, "unsharp": 4}
"""Optional steps → how many numbers each adds: sharpening has strength, radius, threshold and range."""

_LEAST_SHOWN = {"blur": 0.3, "noise": 0.3, "unsharp": 10.0}
"""Weaker steps are left out, since they change less than rounding to grey levels does."""

_NOTHING = "noise:0.3"  # The step of an empty chain, which must have one; it changes hardly anything.


@dataclass(frozen=True, slots=True)
class CandidateChain:
    """One chain."""

    # Standard deviation of a Gaussian after the reduction, in pixels; this and the next two are middles of ranges.
    blur: float = 0.0
    noise: float = 0.0  # Standard deviation at mid grey.
    # Strength of sharpening in percent, and the standard deviation of its blur in pixels of the input.
    unsharp: float = 0.0
    radius: float = 1.0
    shot: float = 0.0  # Share of the noise's variance that grows with the light.
    spread: float = 0.0  # Half of each range's width over its middle, 0 to 1.
    threshold: float = 0.0  # Smaller differences, in grey levels, are not sharpened.
    filter: str = "bicubic"  # Of the reduction; "" at scale 1.
    subsampling: str = ""  # Of JPEG's colours; "" without JPEG.

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """Return `COORDINATES` in steps, (7,) float64."""
        sharpened = math.log(max(self.sharpened, 1e-9))
        shape = (self.unsharp, math.log(self.radius), self.shot, self.spread, self.threshold)
        values = (self.blur**2, sharpened, *shape)
        return np.array([value / each.step for value, each in zip(values, COORDINATES, strict=True)])

    @property
    def sharpened(self) -> float:
        """Return the standard deviation of the noise after sharpening."""
        above = _above(self.threshold / self.noise) if self.noise else 0.0
        return self.noise * gain(self.unsharp * above, self.radius)

    def at(self, coordinates: NDArray[np.float64]) -> "CandidateChain":
        """Replace the coordinates, (7,) float64 in steps, each held to its range."""
        blur, sharpened, unsharp, radius, shot, spread, threshold = (
            min(max(float(value) * each.step, each.least), each.largest)
            for value, each in zip(coordinates, COORDINATES, strict=True)
        )
        other = replace(self, blur=blur**0.5, unsharp=unsharp, radius=math.exp(radius), threshold=threshold)
        return replace(other, shot=shot, spread=spread).sharpened_to(math.exp(sharpened))

    def sharpened_to(self, sharpened: float) -> "CandidateChain":
        """Choose the noise that has this standard deviation after sharpening."""
        least, largest = sharpened / gain(self.unsharp, self.radius), sharpened
        # Noise in and noise left rise together, so halving finds it; 30 times is enough for a float32.
        for _ in range(30):
            middle = replace(self, noise=(least + largest) / 2)
            least, largest = (middle.noise, largest) if middle.sharpened < sharpened else (least, middle.noise)
        return middle

    def reduction(self, scale: int) -> str:
        """Return the reduction as typed; "" at scale 1."""
        return f"{self.filter}:{scale}" if self.filter else ""

    def rest(self, jpeg: str) -> str:
        """Return the steps after the reduction, as typed; `jpeg` is the JPEG step without its subsampling, or empty."""
        steps = [f"blur:{self._range(self.blur)}"] if self._has("blur") else []
        if self._has("noise"):
            # Smaller ones would be written as 1e-05.
            shot = f",shot={self.shot:.2g}" if self.shot >= 0.001 else ""
            steps.append(f"noise:{self._range(self.noise)}{shot}")
        if self._has("unsharp"):
            percent = self._range(self.unsharp, whole=True)
            steps.append(f"unsharp:{percent},radius={self.radius:.2g},threshold={self.threshold:.0f}")
        if jpeg:
            usual = self.subsampling in ("", "4:2:0")
            steps.append(jpeg if usual else f"{jpeg},subsampling={self.subsampling}")
        return "+".join(steps)

    def text(self, scale: int, jpeg: str) -> str:
        """Return the chain as typed."""
        return "+".join(part for part in (self.reduction(scale), self.rest(jpeg)) if part) or _NOTHING

    def without(self, part: str) -> "CandidateChain":
        """Leave out one of `PARTS`."""
        return replace(self, **{part: 0.0})  # type: ignore[arg-type]

    def simpler(self) -> list["CandidateChain"]:
        """Return the chain itself and each that leaves out steps, with each filter.

        Noise is never left unsharpened: inputs hardly tell strong noise from weak noise that was sharpened.
        """
        found = [replace(self, filter=each) for each in FILTERS] if self.filter else [self]
        for part in PARTS:
            if self._has(part):
                found += [each.without(part) for each in found if part != "unsharp" or not each._has("noise")]
        return found

    @property
    def numbers(self) -> int:
        """Count the fitted numbers of the chain's `PARTS`."""
        return sum(numbers for part, numbers in PARTS.items() if self._has(part))

    def _has(self, part: str) -> bool:
        shown: bool = getattr(self, part) >= _LEAST_SHOWN[part]
        return shown

    def _range(self, middle: float, *, whole: bool = False) -> str:
        ends = (middle * (1 - self.spread), middle * (1 + self.spread))
        low, high = (f"{round(end) if whole else float(f'{end:.2g}'):.12g}" for end in ends)
        return low if low == high else f"{low}-{high}"


def gain(percent: float, radius: float) -> float:
    """Return the factor by which unsharp masking multiplies the standard deviation of white noise.

    `radius`: Standard deviation of the blur in pixels, about 0.7 or more.
    """
    amount, variance = percent / 100, radius**2
    # A Gaussian's largest value and the sum of its squares, over the plane.
    peak, energy = 1 / (2 * math.pi * variance), 1 / (4 * math.pi * variance)
    # The variance of (1 + a) times a pixel less a times its blurred neighbourhood.
    return math.sqrt((1 + amount) ** 2 - 2 * amount * (1 + amount) * peak + amount**2 * energy)


def _above(threshold: float) -> float:
    """Return the share of a standard normal variable's variance that lies beyond `threshold`."""
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    return math.erfc(threshold / math.sqrt(2)) + 2 * threshold * density


def starts(scale: int, subsampling: str) -> list[CandidateChain]:
    """Return a coarse grid of sharpness and noise."""
    plain = CandidateChain(
        shot=0.5, spread=0.35, threshold=1.0, filter="" if scale == 1 else FILTERS[0], subsampling=subsampling
    )
    sharpness = ((0.2, 30.0), (0.2, 120.0), (0.7, 60.0), (1.5, 30.0))
    return [
        replace(plain, blur=blur, unsharp=percent, noise=sigma)
        for blur, percent in sharpness
        for sigma in (0.5, 2.0, 5.0, 12.0)
    ]
