"""Plots as numbers: scales, ticks, bars and SVG paths, which a template turns into mark-up.

A plot's `kind` names the template's macro that draws it.
"""

import base64
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

Point = tuple[float, float]

WIDTH = 420  # Width of every plot, in units of its own SVG.
_CHART_HEIGHT = 284
_CHART_LEFT, _CHART_RIGHT, _CHART_TOP, _CHART_BOTTOM = 52, 12, 26, 42
_BAR_ROW, _BAR_THICK = 40, 14
_DOT_ROW, _DOT_MARGIN, _DOT_FOOT = 38, 8, 24
_LINE, _LETTER = 17, 14
"""Height of one more line of a dot's label, and of its letters."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick: its place on the page and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a chart.

    `style`: ``line``, ``step`` (constant until the next point), ``marks`` or ``dots`` (line with marks). `role` names
    the look in the style sheet; looks differ in dash and mark, never in hue alone. `whiskers`: (x, low, high).
    """

    label: str
    role: str
    points: tuple[Point, ...]
    style: str = "line"
    whiskers: tuple[tuple[float, float, float], ...] = ()


class Chart:
    """Several series over one pair of axes, labelled with names and units; points that are not finite are left out.

    `slider`: the x axis is alpha, so the slider's place is shown.
    """

    kind: ClassVar[str] = "chart"

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
        self.series = [curve for curve in series if curve.points]
        self.percent = percent
        self.slider = slider
        finite = [point for curve in self.series for point in curve.points if all(map(math.isfinite, point))]
        ends = [value for curve in self.series for _, low, high in curve.whiskers for value in (low, high)]
        self.x0, self.x1 = x_range or _span([x for x, _ in finite])
        self.y0, self.y1 = y_range or _span([*(y for _, y in finite), *ends])
        self.width, self.height = WIDTH, _CHART_HEIGHT
        self.left, self.right = _CHART_LEFT, WIDTH - _CHART_RIGHT
        self.top, self.bottom = _CHART_TOP, _CHART_HEIGHT - _CHART_BOTTOM

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0)
        return round(self.left + min(max(share, 0.0), 1.0) * (self.right - self.left), 2)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return round(self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top), 2)

    @property
    def x_ticks(self) -> list[Tick]:
        return [Tick(self.x(value), f"{value:g}") for value in round_numbers(self.x0, self.x1)]

    @property
    def y_ticks(self) -> list[Tick]:
        return [
            Tick(self.y(value), f"{100 * value:g} %" if self.percent else f"{value:g}")
            for value in round_numbers(self.y0, self.y1)
        ]

    def beyond(self, value: float) -> bool:
        """Tell whether a y value lies above the chart and is cut off."""
        return value > self.y1

    def path(self, series: Series) -> str:
        """Write the `d` of a series' path; a point outside the chart or not finite interrupts the line."""
        parts: list[str] = []
        pen_down = False
        for x, y in series.points:
            if not self._inside(x, y):
                pen_down = False
                continue
            if not pen_down:
                parts.append(f"M{self.x(x)} {self.y(y)}")
            elif series.style == "step":
                parts.append(f"H{self.x(x)}V{self.y(y)}")
            else:
                parts.append(f"L{self.x(x)} {self.y(y)}")
            pen_down = True
        return "".join(parts)

    def marks(self, series: Series) -> list[Point]:
        return [(self.x(x), self.y(y)) for x, y in series.points if self._inside(x, y)]

    def _inside(self, x: float, y: float) -> bool:
        return math.isfinite(x) and math.isfinite(y) and self.x0 <= x <= self.x1


@dataclass(frozen=True, slots=True)
class Bar:
    """One value, with its label and its look in the style sheet."""

    label: str
    value: float
    role: str


class Bars:
    """Horizontal bars from 0, for few levels; values that are not finite are left out. `unit` follows each value."""

    kind: ClassVar[str] = "bars"

    def __init__(self, title: str, unit: str, bars: Sequence[Bar], *, digits: int = 2) -> None:
        self.title, self.unit, self.digits = title, unit, digits
        self.bars = [bar for bar in bars if math.isfinite(bar.value)]
        self.top = max((bar.value for bar in self.bars), default=0.0) or 1.0
        self.width, self.height, self.row, self.thick = WIDTH, _BAR_ROW * len(self.bars), _BAR_ROW, _BAR_THICK

    def length(self, bar: Bar) -> float:
        """Return the bar's length on the page; 0 for a value below 0."""
        return round(WIDTH * max(bar.value, 0.0) / self.top, 2)

    def words(self, bar: Bar) -> str:
        """Write the value with its unit."""
        return f"{bar.value:.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Dot:
    """One value, written beside its label as `words`. `interval`: (low, high) or None.

    `role` names the look in the style sheet; looks differ in fill, never in hue alone.
    """

    label: str
    words: str
    value: float
    role: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """The place of a dot: the lines of its label with their heights on the page, and the height of its axis."""

    dot: Dot
    lines: tuple[tuple[float, str], ...]
    y: float


class Dots:
    """Dots on one scale that holds 0 and every dot; values that are not finite are left out.

    `line`: a value across all rows to compare with. `unit` follows each tick.
    """

    kind: ClassVar[str] = "dots"

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
        margin = 0.06 * (max(ends) - min(ends)) or 1.0
        widest = (min(ends) - margin if min(ends) < 0 else 0.0, max(ends) + margin if max(ends) > 0 else 0.0)
        self.least, self.most = scale or (widest if widest[0] < widest[1] else (0.0, 1.0))
        self.width, self.left, self.right = WIDTH, _DOT_MARGIN, WIDTH - _DOT_MARGIN
        self.places: list[LabelPlace] = []
        top = 0.0
        for dot in self.dots:
            lines = wrapped(f"{dot.label}: {dot.words}", (self.right - self.left) / _LETTER)
            y = top + 27 + _LINE * (len(lines) - 1)
            self.places.append(LabelPlace(dot, tuple((top + 16 + _LINE * k, line) for k, line in enumerate(lines)), y))
            top = y + _DOT_ROW - 27
        self.bottom = top + 4
        self.height = self.bottom + _DOT_FOOT

    def x(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return round(self.left + min(max(share, 0.0), 1.0) * (self.right - self.left), 2)

    @property
    def ticks(self) -> list[Tick]:
        """Return round numbers along the scale."""
        values = round_numbers(self.least, self.most)
        return [Tick(self.x(value), f"{value:g} {self.unit}".rstrip()) for value in values]


@dataclass(frozen=True, slots=True)
class Raster:
    """A picture in a figure: `content` is a PNG, shown `width` wide and `height` high."""

    title: str
    content: bytes
    width: int
    height: int
    kind: ClassVar[str] = "raster"

    @property
    def png(self) -> str:
        """Return the content as base64."""
        return base64.b64encode(self.content).decode()


Plot = Chart | Dots | Bars | Raster


def round_numbers(low: float, high: float) -> list[float]:
    """Return at most six multiples of 1, 2 or 5 times a power of ten in [low, high]."""
    exponent = math.floor(math.log10(high - low)) - 1
    while True:
        for digit in (1, 2, 5):
            step = digit * 10.0**exponent
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= 6:
                return [round(index * step, 12) for index in range(first, last + 1)]
        exponent += 1


def wrapped(text: str, width: float) -> list[str]:
    """Break `text` into lines of at most `width` letter heights in any usual font, at spaces if possible."""
    lines, line, break_at = [], "", 0
    for character in text:
        if line and sum(map(_letter_width, line + character)) > width:
            cut = break_at or len(line)
            lines.append(line[:cut].rstrip())
            line, break_at = line[cut:].lstrip(), 0
        line += character
        if character == " " and line.strip():
            break_at = len(line)
    return [*lines, line.rstrip()]


def _letter_width(character: str) -> float:
    # An upper bound of the width, in letter heights.
    if unicodedata.east_asian_width(character) in "WF" or character in "mwMW@%":
        return 1.05
    return 0.8 if not character.isascii() or character.isupper() else 0.62


def _span(values: Sequence[float]) -> Point:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high) * 0.1, 0.5)
    return low - margin, high + margin
