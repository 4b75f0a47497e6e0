"""Line charts as numbers for a template: scales, ticks and SVG paths.

No text is marked up here, and no figure is computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 284
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 42


@dataclass(frozen=True, slots=True)
class Series:
    """One curve.

    Attributes
    ----------
    style
        ``line``, ``step`` (constant until the next point), ``marks``, ``dots`` (a line with a mark at each point).
    role
        Names the look in the style sheet: looks differ in dash and mark, never in hue alone.
    whiskers
        (x, low, high) intervals.
    """

    label: str
    role: str
    points: tuple[Point, ...]
    style: str = "line"
    whiskers: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick: its place on the page and its label."""

    at: float
    label: str


class Chart:
    """A chart of several series over one pair of axes; points that are not finite are left out.

    Attributes
    ----------
    series
        What is drawn.
    x_label, y_label
        Names and units of the axes.
    slider
        Whether the x axis is alpha, so that the slider's place is shown.
    """

    def __init__(
        self,
        title: str,
        x_label: str,
        y_label: str,
        series: Sequence[Series],
        *,
        x_range: Point | None = None,
        y_range: Point | None = None,
        percent: bool = False,
        slider: bool = True,
    ) -> None:
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.series = [one for one in series if one.points]
        self.percent = percent
        self.slider = slider
        finite = [p for one in self.series for p in one.points if math.isfinite(p[0]) and math.isfinite(p[1])]
        ends = [value for one in self.series for _, low, high in one.whiskers for value in (low, high)]
        self.x0, self.x1 = x_range or _span([p[0] for p in finite])
        self.y0, self.y1 = y_range or _span([*(p[1] for p in finite), *ends])
        self.width, self.height = WIDTH, HEIGHT
        self.left, self.right = LEFT, WIDTH - RIGHT
        self.top, self.bottom = TOP, HEIGHT - BOTTOM

    def x(self, value: float) -> float:
        """Page coordinate of an x value."""
        share = (value - self.x0) / (self.x1 - self.x0)
        return round(self.left + min(max(share, 0.0), 1.0) * (self.right - self.left), 2)

    def y(self, value: float) -> float:
        """Page coordinate of a y value."""
        share = (value - self.y0) / (self.y1 - self.y0)
        return round(self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top), 2)

    @property
    def x_ticks(self) -> list[Tick]:
        """Round numbers along the x axis."""
        return [Tick(self.x(value), f"{value:g}") for value in round_numbers(self.x0, self.x1)]

    @property
    def y_ticks(self) -> list[Tick]:
        """Round numbers along the y axis."""
        return [
            Tick(self.y(value), f"{100 * value:g} %" if self.percent else f"{value:g}")
            for value in round_numbers(self.y0, self.y1)
        ]

    def beyond(self, value: float) -> bool:
        """Whether a y value lies above the chart, so that what reaches it is cut off."""
        return value > self.y1

    def path(self, series: Series) -> str:
        """The `d` of a series' path."""
        parts: list[str] = []
        previous: Point | None = None
        for point in series.points:
            if not (math.isfinite(point[0]) and math.isfinite(point[1]) and self.x0 <= point[0] <= self.x1):
                previous = None
                continue
            where = f"{self.x(point[0])} {self.y(point[1])}"
            if previous is None:
                parts.append(f"M{where}")
            elif series.style == "step":
                parts.append(f"H{self.x(point[0])}V{self.y(point[1])}")
            else:
                parts.append(f"L{where}")
            previous = point
        return "".join(parts)

    def marks(self, series: Series) -> list[Point]:
        """Page coordinates of a series' points."""
        return [
            (self.x(x), self.y(y))
            for x, y in series.points
            if math.isfinite(x) and math.isfinite(y) and self.x0 <= x <= self.x1
        ]


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten in [low, high]."""
    exponent = math.floor(math.log10(high - low)) - 1
    while True:
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= most:
                return [round(index * step, 12) for index in range(first, last + 1)]
        exponent += 1


def _span(values: Sequence[float]) -> Point:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high) * 0.1, 0.5)
    return low - margin, high + margin
