"""Few values side by side as dots on one scale, with an interval where there is one.

No text is marked up here, and no figure is computed.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from blackbox_conformal.reports.chart import Tick, round_numbers

WIDTH, ROW, MARGIN, FOOT = 420, 38, 8, 24
LINE, TEXT = 17, 14
"""Height of one more line of a label, and of its letters."""


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dot goes: the lines of its label with their heights on the page, and the height of its axis."""

    dot: Dot
    lines: tuple[tuple[float, str], ...]
    y: float


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
        self.width, self.left, self.right = WIDTH, MARGIN, WIDTH - MARGIN
        self.places: list[Place] = []
        top = 0.0
        for dot in self.dots:
            lines = wrapped(f"{dot.label}: {dot.words}", (self.right - self.left) / TEXT)
            y = top + 27 + LINE * (len(lines) - 1)
            self.places.append(Place(dot, tuple((top + 16 + LINE * k, line) for k, line in enumerate(lines)), y))
            top = y + ROW - 27
        self.bottom = top + 4
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


def wrapped(text: str, room: float) -> list[str]:
    """`text` in lines that take at most `room` times the height of its letters, in any usual font.

    Lines end at spaces, else within a word.
    """
    lines, line, break_at = [], "", 0
    for character in text:
        if line and _breadth(line + character) > room:
            cut = break_at or len(line)
            lines.append(line[:cut].rstrip())
            line, break_at = line[cut:].lstrip(), 0
        line += character
        if character == " " and line.strip():
            break_at = len(line)
    return [*lines, line.rstrip()]


def _breadth(text: str) -> float:
    """At most how broad `text` is, in heights of its letters."""
    return sum(_breadth_of(character) for character in text)


def _breadth_of(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF" or character in "mwMW@%":
        return 1.05
    return 0.8 if not character.isascii() or character.isupper() else 0.62
