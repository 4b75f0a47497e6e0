"""Tie-broken: one score decides, and a second one orders the pixels at which the first is equal.

Scores of 8-bit draws tie over whole regions, and tied pixels are trusted together or not at all. The second score sees
the input and the draws only, never the metric, so the guarantee is untouched.
"""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from blackbox_conformal.method.scores._pair import PairedScore
from blackbox_conformal.method.scores.score import Score
from blackbox_conformal.support.types import Map

_UPPER_HALF = np.uint32(0xFFFF0000)


class TieBroken(PairedScore):
    """Lexicographic order of (`first`, `second`), each to eight significant bits, packed into one float32.

    A float >= 0 sorts like its bits: the upper 16 bits of the first become the upper half of the result, the upper 16
    bits of the second its lower half. Every picture is packed alike, so scores stay
    comparable between pictures. Scores of the first that differ by less than 0.8 % count as tied.

    `first`, `sigma`: The score that decides, and its Gaussian window where it has one.
    `second`, `second_sigma`: The score that breaks ties, and its window.
    """

    candidates: ClassVar[tuple[str, ...]] = ("first=bicubic-gap,second=texture,sigma=8",)

    first: str = "pixel-variance"
    second: str = "smoothed-variance"
    second_sigma: Annotated[float, Field(gt=0, le=4096)] = 8.0

    def parts(self) -> tuple[Score, Score]:
        return self.windowed(self.first, self.sigma), self.windowed(self.second, self.second_sigma)

    def combine(self, first: Map, second: Map) -> Map:
        """The packed map. It is finite, because the exponent is the first score's."""
        # The sign bit is 0 for scores >= 0, so the upper bits decide and the lower ones only break ties.
        packed = (first.view(np.uint32) & _UPPER_HALF) | (second.view(np.uint32) >> np.uint32(16))
        return packed.view(np.float32)


PLUGIN = TieBroken
