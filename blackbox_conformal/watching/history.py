"""Evidence as it grew, one visit or picture after another, as a chart and as a line of bars."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from blackbox_conformal.support.plots import Chart, Series

MOST_POINTS, FEW = 400, 60
"""Most points of a curve, and most that have a mark each."""

_BARS = "▁▂▃▄▅▆▇█"
_LATEST = 60
"""Visits or pictures that a line of bars shows."""


@dataclass(frozen=True, slots=True)
class EvidenceHistory:
    """The evidence of one layer.

    Attributes
    ----------
    each
        What came one by one.
    logs, needed
        Natural logarithms: of the evidence, and of that at which it is an alarm.
    limit
        What it is then.
    """

    layer: str
    title: str
    each: str
    logs: Sequence[float]
    needed: float
    limit: str

    @property
    def bars(self) -> str:
        """The latest evidence on a logarithmic scale that ends at the limit; empty where there is only one."""
        if len(self.logs) < 2:
            return ""
        # On a logarithmic scale, of which the bottom is no evidence at all.
        heights = (min(max(one / self.needed, 0.0), 1.0) for one in self.logs[-_LATEST:])
        drawn = "".join(_BARS[round(height * (len(_BARS) - 1))] for height in heights)
        return f"{self.layer:9} {drawn}  {self.each} by {self.each}; full height is an alarm"

    @property
    def chart(self) -> Chart:
        """Evidence beside the line of its limit, both as powers of ten."""
        found, needed = [one / math.log(10) for one in self.logs], self.needed / math.log(10)
        last = float(max(len(found), 2))
        # Of many points the largest of each stretch is drawn, so that no alarm is lost.
        # Rounded up, so that the last stretch is never left out.
        stretch = -(-len(found) // MOST_POINTS)
        places = [
            max(range(start, min(start + stretch, len(found))), key=found.__getitem__)
            for start in range(0, len(found), stretch)
        ]
        points = tuple((place + 1.0, found[place]) for place in places)
        style = "dots" if len(found) <= FEW else "line"
        series = [
            Series(self.limit, "bound", ((1.0, needed), (last, needed))),
            Series("evidence", "realised", points, style),
        ]
        # Room above the highest point, so that it does not lie on the edge.
        ends = min([0.0, *found]), max([needed, *found]) * 1.1
        one_by_one = "masked picture" if self.each == "picture" else self.each
        return Chart(self.title, one_by_one, "power of ten", series, x_range=(1.0, last), y_range=ends, slider=False)
