"""Few values side by side as dots on one scale, with an interval where there is one.

No text is marked up here, and no figure is computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from blackbox_conformal.report.chart import Tick, round_numbers

WIDTH, ROW, MARGIN, FOOT = 420, 38, 8, 24


@dataclass(frozen=True, slots=True)
class Dot:
    """One value.

    Attributes
    ----------
    words
        The value as it is written beside the label.
    role
        Names the look in the style sheet; looks differ in fill, never in hue alone.
    interval
        (low, high); None where there is none.
    """

    label: str
    words: str
    value: float
    role: str
    interval: tuple[float, float] | None = None


class Dots:
    """Dots on a scale that holds 0 and all of them; values that are not finite are left out.

    Attributes
    ----------
    line
        A line across all rows: what a value is to be compared with; None: no line.
    unit
        Follows each tick.
    """

    def __init__(
        self,
        title: str,
        dots: Sequence[Dot],
        *,
        scale: tuple[float, float] | None = None,
        line: float | None = None,
        unit: str = "",
    ) -> None:
        self.title, self.line, self.unit = title, line, unit
        self.dots = [dot for dot in dots if math.isfinite(dot.value)]
        ends = [end for dot in self.dots for end in (dot.value, *(dot.interval or ())) if math.isfinite(end)]
        ends += [0.0] if line is None else [0.0, line]
        room = 0.06 * (max(ends) - min(ends)) or 1.0
        widest = (min(ends) - room if min(ends) < 0 else 0.0, max(ends) + room if max(ends) > 0 else 0.0)
        self.least, self.most = scale or (widest if widest[0] < widest[1] else (0.0, 1.0))
        self.width, self.row, self.left, self.right = WIDTH, ROW, MARGIN, WIDTH - MARGIN
        self.bottom = ROW * len(self.dots) + 4
        self.height = self.bottom + FOOT

    def x(self, value: float) -> float:
        """Place of a value on the page."""
        share = (value - self.least) / (self.most - self.least)
        return round(self.left + min(max(share, 0.0), 1.0) * (self.right - self.left), 2)

    @property
    def ticks(self) -> list[Tick]:
        """Round numbers along the scale."""
        values = round_numbers(self.least, self.most)
        return [Tick(self.x(value), f"{value:g} {self.unit}".rstrip()) for value in values]
