"""How many pictures have which trusted share, as bars."""

from collections.abc import Sequence
from dataclasses import dataclass, field

BARS = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Ten bars of equal width from 0 to 100 %; the last one holds 100 % too.

    Attributes
    ----------
    shares
        A trusted share in [0, 1] of each picture.
    """

    shares: Sequence[float]
    width: int = field(default=340, init=False)
    height: int = field(default=70, init=False)

    @property
    def counts(self) -> list[int]:
        """How many pictures each bar stands for."""
        places = [min(int(BARS * share), BARS - 1) for share in self.shares]
        return [places.count(bar) for bar in range(BARS)]

    def bars(self) -> list[tuple[float, float, float, float, int]]:
        """x, y, width, height and count of each bar; the script draws them in the same way."""
        step, most = self.width / BARS, max(*self.counts, 1)
        heights = [self.height * count / most for count in self.counts]
        return [
            (bar * step + 1, self.height - heights[bar], step - 2, heights[bar], count)
            for bar, count in enumerate(self.counts)
        ]
