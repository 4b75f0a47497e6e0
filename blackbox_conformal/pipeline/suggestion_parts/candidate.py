"""Chains that inputs may have gone through: a lens, a reduction, a sensor, sharpening and JPEG, in that order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

FILTERS = ("bicubic", "area", "lanczos")

SHOTS = (0.0, 0.5, 0.9)

RADII = (0.7, 1.0, 1.5)

Ends = tuple[float, float]
"""The least and the largest value of a parameter; (0, 0) where there is no such step."""

NONE: Ends = (0.0, 0.0)

_FIRST = {"noise": (0.7, 1.5, 3.0, 6.0), "blur": (0.25, 0.5, 1.0), "unsharp": (30.0, 80.0, 160.0)}
"""Values to begin with where there is no such step yet."""

_LARGEST = {"noise": 100.0, "blur": 6.0, "unsharp": 400.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One chain.

    Attributes
    ----------
    blur
        Standard deviation of a Gaussian before the reduction, in pixels of the input.
    filter
        Of the reduction; "" at scale 1.
    noise
        Standard deviation at mid grey.
    shot
        Share of the noise's variance that grows with the light.
    unsharp, radius
        Strength of sharpening, in percent, and the standard deviation of its blur, in pixels of the input.
    subsampling
        Of JPEG's colours; "" where there is no JPEG.
    """

    blur: Ends = NONE
    filter: str = "bicubic"
    noise: Ends = NONE
    shot: float = 0.0
    unsharp: Ends = NONE
    radius: float = 1.0
    subsampling: str = ""

    def reduction(self, scale: int) -> str:
        """The steps up to the reduction, as typed; "" where there are none."""
        steps = [f"blur:{_range(self.blur, scale)}"] if self.blur[1] else []
        return "+".join([*steps, f"{self.filter}:{scale}"] if self.filter else steps)

    def rest(self, jpeg: str) -> str:
        """The steps after the reduction, as typed; `jpeg` is the last one without its subsampling, or empty."""
        steps = []
        if self.noise[1]:
            steps.append(f"noise:{_range(self.noise)}" + (f",shot={self.shot:g}" if self.shot else ""))
        if self.unsharp[1]:
            steps.append(f"unsharp:{_range(self.unsharp, whole=True)},radius={self.radius:g},threshold=0")
        if jpeg:
            usual = self.subsampling in ("", "4:2:0")
            steps.append(jpeg if usual else f"{jpeg},subsampling={self.subsampling}")
        return "+".join(steps)

    def text(self, scale: int, jpeg: str) -> str:
        """The chain as typed."""
        return "+".join(part for part in (self.reduction(scale), self.rest(jpeg)) if part)

    def neighbours(self, factor: float, subsamplings: tuple[str, ...]) -> Iterator["Candidate"]:
        """Candidates that differ in one parameter; `factor`, above 1, says by how much."""
        if self.filter:
            yield from (replace(self, filter=each) for each in FILTERS if each != self.filter)
        for name, first in _FIRST.items():
            ends: Ends = getattr(self, name)
            for near in _near(ends, factor) if ends[1] else ((value, value) for value in first):
                if near[1] <= _LARGEST[name]:
                    yield from self._changed(name, near)
        if self.noise[1]:
            yield from (replace(self, shot=each) for each in SHOTS if each != self.shot)
        if self.unsharp[1]:
            for radius in RADII:
                yield from self._changed("radius", radius)
        yield from (replace(self, subsampling=each) for each in subsamplings if each != self.subsampling)

    def simpler(self) -> Iterator["Candidate"]:
        """Candidates with one thing less to say, the smallest things first."""
        if self.shot:
            yield replace(self, shot=0.0)
        for name in ("unsharp", "blur", "noise"):
            if getattr(self, name)[1]:
                yield from self._changed(name, NONE)
        if self.filter and self.filter != FILTERS[0]:
            yield replace(self, filter=FILTERS[0])

    def _changed(self, name: str, value: Any) -> Iterator["Candidate"]:
        """With another value; after a change of sharpening also with as much noise as there is after it now."""
        changes: dict[str, Any] = {name: value}
        if name == "noise" and not value[1]:
            changes["shot"] = 0.0
        changed = replace(self, **changes)
        if changed != self:
            yield changed
            ratio = self._gain / changed._gain
            if self.noise[1] and ratio != 1:
                yield replace(changed, noise=(self.noise[0] * ratio, self.noise[1] * ratio))

    @property
    def _gain(self) -> float:
        return gain(sum(self.unsharp) / 2, self.radius)


def gain(percent: float, radius: float) -> float:
    """By how much unsharp masking multiplies the standard deviation of white noise.

    Parameters
    ----------
    radius
        Standard deviation of the blur in pixels, about 0.7 or more.
    """
    amount, variance = percent / 100, radius**2
    # A Gaussian's largest value and the sum of its squares, over the plane.
    peak, energy = 1 / (2 * math.pi * variance), 1 / (4 * math.pi * variance)
    return math.sqrt((1 + amount) ** 2 - 2 * amount * (1 + amount) * peak + amount**2 * energy)


def starts(scale: int, subsampling: str) -> list[Candidate]:
    """A coarse grid of sharpness and noise."""
    plain = Candidate(filter="" if scale == 1 else FILTERS[0], subsampling=subsampling)
    sharpness: list[dict[str, Any]] = [{"blur": (sigma, sigma)} for sigma in (0.0, 0.4, 0.8, 1.5)]
    sharpness.append({"unsharp": (80.0, 80.0)})

    return [replace(plain, **blur, noise=(sigma, sigma)) for blur in sharpness for sigma in (0.0, 2.0, 5.0, 12.0)]


def _near(ends: Ends, factor: float) -> Iterator[Ends]:
    """Ranges a little lower, higher, wider and narrower, and none."""
    low, high = ends
    yield NONE
    yield from ((low * factor, high * factor), (low / factor, high / factor))
    yield from ((low, high * factor), (low / factor, high), (low / factor, high * factor))
    if low < high:
        yield from ((low, max(low, high / factor)), (min(low * factor, high), high))


def _range(ends: Ends, scale: int = 1, *, whole: bool = False) -> str:
    low, high = (f"{round(end) if whole else float(f'{end * scale:.2g}'):.12g}" for end in ends)
    return low if low == high else f"{low}-{high}"
