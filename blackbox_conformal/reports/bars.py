"""Few values as horizontal bars: what a chart over alpha cannot show when there are only one or two levels.

No text is marked up here, and no figure is computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, ROW, THICK = 420, 40, 14


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, with its label and its look in the style sheet."""

    label: str
    value: float
    role: str


class Bars:
    """Bars from 0; values that are not finite are left out.

    Attributes
    ----------
    unit
        Follows each value.
    """

    def __init__(self, title: str, unit: str, bars: Sequence[Bar], *, digits: int = 2) -> None:
        self.title, self.unit, self.digits = title, unit, digits
        self.bars = [bar for bar in bars if math.isfinite(bar.value)]
        self.top = max((bar.value for bar in self.bars), default=0.0) or 1.0
        self.width, self.height, self.row, self.thick = WIDTH, ROW * len(self.bars), ROW, THICK

    def length(self, bar: Bar) -> float:
        """Length of the bar on the page; nothing for a value below 0."""
        return round(WIDTH * max(bar.value, 0.0) / self.top, 2)

    def words(self, bar: Bar) -> str:
        """The value with its unit."""
        return f"{bar.value:.{self.digits}f} {self.unit}".rstrip()
