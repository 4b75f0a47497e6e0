"""The quantities that are measured: kind, unit, and what size hardly matters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blackbox_conformal.method.facts.sent_pair import Place

CONTEXT = tuple(
    f"context.{name}"
    for name in ("red", "green", "blue", "rr", "gg", "bb", "rg", "rb", "gb", "texture", "sharpness", "size")
)
"""What the input shows, on which a vendor's own differences depend: mean colours, their products, texture, size."""

HABITS = ("colour", "ringing", "detail")
"""Kinds that differ from vendor to vendor: its own pairs tell what is usual. Of others every vendor's pairs do."""


@dataclass(frozen=True)
class FactMeasure:
    """A `size` of the statistic `name`, ``KIND.WHAT``; `place` is where it is largest, None: the whole answer."""

    name: str
    size: float
    place: Place | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[Place, ...] = ()


class FactStatistic(NamedTuple):
    """A quantity of a pair."""

    least: float  # A size that nobody sees.
    # About the largest size in honest answers: the unit of `PairSizes.strangeness`. It never changes, as watches keep
    # what was measured in it.
    reach: float
    unit: str  # Of sizes.
    group: str  # Of statistics that tell the same difference: a pair's facts hold one of them, the strangest.
    signed: bool = False  # Whether it can lie on either side of what is usual.
    ratio: bool = False  # Whether its logarithm is what varies evenly.


STATISTICS = {
    "colour.brightness": FactStatistic(0.5, 10.0, "levels", "colours", signed=True),
    "colour.red-green": FactStatistic(0.5, 6.0, "levels", "colours", signed=True),
    "colour.blue-green": FactStatistic(0.5, 9.0, "levels", "colours", signed=True),
    "colour.contrast": FactStatistic(0.5, 9.0, "levels", "contrast", signed=True),
    "colour.cell": FactStatistic(0.5, 14.0, "levels", "part", ratio=True),
    "colour.cell-cast": FactStatistic(0.5, 20.0, "levels", "part", ratio=True),
    "colour.area": FactStatistic(0.5, 9.0, "levels", "part", ratio=True),
    "geometry.down": FactStatistic(0.1, 0.5, "pixels", "shift", signed=True),
    "geometry.right": FactStatistic(0.1, 0.5, "pixels", "shift", signed=True),
    "geometry.stretch": FactStatistic(0.3, 0.7, "pixels", "stretch"),
    "geometry.part": FactStatistic(0.5, 2.0, "pixels", "moved"),
    "seams.line": FactStatistic(3.0, 12.0, "times", "seams"),
    "seams.tiles": FactStatistic(3.0, 15.0, "times", "seams"),
    "seams.grid": FactStatistic(3.0, 6.0, "times", "seams"),
    "ringing.fine": FactStatistic(0.1, 1.5, "of contrast", "ringing", signed=True),
    "ringing.broad": FactStatistic(0.05, 0.8, "of contrast", "ringing", signed=True),
    "ringing.wide": FactStatistic(0.03, 0.5, "of contrast", "ringing", signed=True),
    "ringing.overshoot": FactStatistic(0.02, 0.5, "of the edge", "ringing", ratio=True),
    "flattened.cell": FactStatistic(0.1, 0.7, "of its texture", "flattened"),
    "content.cell": FactStatistic(0.2, 1.6, "of its texture", "content", ratio=True),
    "repeats.tile": FactStatistic(0.5, 1.1, "times", "repeats", ratio=True),
    "borders.side": FactStatistic(2.0, 13.0, "levels", "borders", ratio=True),
    "detail.added": FactStatistic(3.0, 50.0, "levels", "detail", ratio=True),
    "detail.cell": FactStatistic(3.0, 65.0, "levels", "detail", ratio=True),
    "lossy.blocks": FactStatistic(0.02, 0.1, "of steps", "lossy"),
}


SHIFTS = "geometry.down", "geometry.right"
WHOLE = ("colour.brightness", "colour.red-green", "colour.blue-green", "colour.contrast", *SHIFTS, "geometry.stretch")
"""Measures of the whole of an answer that say, beside the vendor's own pairs, that it does something else now."""


def is_whole_change(name: str, size: float) -> bool:
    """Tell whether a fact, beside the vendor's own pairs, is of the whole of an answer and of a size that shows."""
    return name in WHOLE and abs(size) >= 4 * STATISTICS[name].least


def is_whole_fault(name: str, size: float, values: Mapping[str, Any], scale: int) -> bool:
    """Tell whether a fact makes the whole of an answer useless as it is: colours with a named cause, and its place.

    Programs that enlarge may put the first pixel half a pixel of the input apart from each other; that is no fault.
    """
    if name in SHIFTS:
        return max(abs(float(values["down"])), abs(float(values["right"]))) >= max(1.0, (scale - 1) / 2 + 0.25)
    return name == "colour.transform" or (name == "geometry.stretch" and size >= max(2.0, scale))


def kind_of(name: str) -> str:
    """Return the kind of a statistic: what stands before the dot."""
    return name.partition(".")[0]
