"""Whether an answer shows what was sent, judged by the two pictures alone: enlarged, or restored at the same size.

Both are compared by their edges at the size that was sent, at half and at a quarter. Edges do not depend on
brightness, contrast or colours, and a sky that brightens upwards has hardly any, so that a mirrored picture does not
pass for itself. Of a picture with hardly any edges the colours at a quarter of the size are compared instead, after the
best gain and offset of each channel. Figures on photographs are in docs/drawing.md.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.images.making_inputs import block_means
from blackbox_conformal.method.images.picture import luma_of
from blackbox_conformal.support.types import Image

LEAST_MEAN = 0.25
# A picture is another one when its edges correlate by less: on average over the sizes, and at every size.
LEAST_LARGEST = 0.5
MARGIN = 0.1  # How much better the edges must fit the upload mirrored or turned, to count as mirrored or turned.
# Grey levels: root mean square of edges at a quarter of the size, below which a picture is too flat to be judged.
LEAST_EDGE = 3.0
# Edges of scenes do not weaken at smaller sizes; edges of noise, which a vendor may remove, halve each time.
LEAST_GROWTH = 0.75
LEAST_SIDE = 16  # Pixels; smaller pictures have too few edges to be judged.
# Edges at a quarter of the size that a picture of `LEAST_SIDE` has; one that shows fewer cannot be judged either.
LEAST_SHOWN = 18
# Edges of a size that counts: of the 24 at a quarter of 20 x 16 pixels, a stranger correlates by 0.5 in 1 of 30.
LEAST_TOLD = 90
# Grey levels: standard deviation of colours at a quarter of the size, below which they tell nothing.
LEAST_SPREAD = 2.0
LEAST_SIGNAL = 2.5  # How many times more than the noise they have to spread.
# Of the spread, the share that the answer may leave unexplained, root mean square, to show what was sent.
SAME_REST = 0.6

OTHER_REST = 0.95
OTHER_SPREAD = 6.0
"""An answer that leaves more unexplained, of more grey levels, shows another picture; codecs alone may spread less."""

_TURNED = (
    "the same",
    "turned left",
    "turned upside down",
    "turned right",
    "mirrored left to right",
    "mirrored and turned left",
    "mirrored top to bottom",
    "mirrored and turned right",
)
Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How an answer compares with what was sent."""

    # Correlation of edges, mean over the sizes: -1 to 1, 1 for the same scene. None: the picture that was sent is too
    # flat, too small or too noisy to tell by them.
    edges: float | None
    difference: float  # Mean absolute difference of the answer made small again from what was sent: 0 to 255.
    fault: str | None  # What the answer shows instead, in words; None where it may show what was sent.
    # Whether the answer is known to show what was sent. Where there is no fault either, the two pictures do not tell.
    judged: bool


class Sent:
    """A picture that was sent, whose edges are worked out once for all answers to it.

    `pixels`: (h, w, 3) uint8.
    `hidden`: (h, w) bool, where it shows nothing, such as holes that the vendor is to fill; those parts are left out.
    """

    def __init__(self, pixels: Image, hidden: NDArray[np.bool_] | None = None) -> None:
        self.pixels = pixels
        self._hidden = hidden

    def resemblance(self, answer: Image) -> Resemblance:
        """Compare `answer`, (k h, k w, 3) uint8 with a whole k, with what was sent."""
        height, width = self.pixels.shape[:2]
        small = block_means(answer, width, height)
        apart = np.abs(small.astype(np.int16) - self.pixels)
        difference = float((apart if self._hidden is None or self._hidden.all() else apart[~self._hidden]).mean())
        if not self._has_edges:
            rest = self._unexplained_by(small)
            other = rest is not None and rest > OTHER_REST and self._spread > OTHER_SPREAD
            judged = rest is not None and rest <= SAME_REST
            return Resemblance(None, difference, "another picture" if other else None, judged)
        answered = [_edges(plane) for plane in _sizes(luma_of(small))]
        correlations = _correlations(self._edges, answered)
        fault = self._fault(answered, correlations)
        return Resemblance(float(np.mean(correlations)), difference, fault, fault is None)

    @cached_property
    def _planes(self) -> list[Plane]:
        plane = luma_of(self.pixels)
        if self._hidden is not None:
            plane[self._hidden] = np.nan
        return _sizes(plane)

    @cached_property
    def _edges(self) -> list["_Edges"]:
        return [_edges(plane) for plane in self._planes]

    @cached_property
    def _colours(self) -> Plane:
        return self._shown_colours(self.pixels)

    @cached_property
    def _spread(self) -> float:
        return float(np.sqrt(np.mean(self._colours**2)))

    def _shown_colours(self, pixels: Image) -> Plane:
        """Colours at a quarter of the size where the picture that was sent shows something, less their mean: (n, 3)."""
        rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
        blocks = (slice(4 * rows), slice(4 * columns)), (rows, 4, columns, 4)
        colours = pixels[blocks[0]].reshape(*blocks[1], 3).mean((1, 3), dtype=np.float32).reshape(-1, 3)
        if self._hidden is not None:
            colours = colours[~self._hidden[blocks[0]].reshape(blocks[1]).any((1, 3)).ravel()]
        return np.asarray(colours - colours.mean(0), np.float32) if len(colours) else colours

    def _unexplained_by(self, small: Image) -> float | None:
        """The share of the spread of colours that no gain and offset of the answer's explain, 0 to 1; None: unknown."""
        ours = self._colours
        if min(self.pixels.shape[:2]) < LEAST_SIDE or len(ours) < LEAST_SIDE:
            return None
        noise = self._edges[0].length / math.sqrt(2 * self._edges[0].shown) / 4
        if self._spread <= max(LEAST_SPREAD, LEAST_SIGNAL * noise):
            return None
        theirs = self._shown_colours(small)
        # A negative gain would be a negative.
        common, length = np.maximum((ours * theirs).sum(0), 0), (theirs**2).sum(0)
        explained = np.divide(common**2, length, out=np.zeros_like(common), where=length > 0)
        return math.sqrt(max(0.0, 1 - float(explained.sum() / (ours**2).sum())))

    @cached_property
    def _has_edges(self) -> bool:
        if min(self.pixels.shape[:2]) < LEAST_SIDE or self._edges[-1].shown < LEAST_SHOWN:
            return False
        first, last = (edges.length / math.sqrt(edges.shown) for edges in (self._edges[0], self._edges[-1]))
        return last > LEAST_EDGE and last > LEAST_GROWTH * first

    def _fault(self, answered: list["_Edges"], correlations: list[float]) -> str | None:
        mean = float(np.mean(correlations))
        # Nothing fits better than by 1, and turning is left out where it cannot matter.
        if mean < 1 - MARGIN:
            fits = []
            for index, name in enumerate(_TURNED[1:], start=1):
                turned = [np.rot90(plane if index < 4 else plane[:, ::-1], index % 4) for plane in self._planes]
                # Only those that have the picture's own shape.
                if turned[0].shape == self._planes[0].shape:
                    fits.append((float(np.mean(_correlations(map(_edges, turned), answered))), name))
            best, name = max(fits)
            if best > mean + MARGIN and best > LEAST_MEAN:
                return f"the picture that was sent, {name}"
        if mean < LEAST_MEAN and max(correlations) < LEAST_LARGEST:
            return "another picture"
        return None


class _Edges(NamedTuple):
    """Edges of a picture, all in one row, and the square root of the sum of their squares.

    `hidden` says which are 0 because the picture shows nothing there; None where it shows everything.
    """

    values: Plane
    length: float
    hidden: NDArray[np.bool_] | None

    @property
    def shown(self) -> int:
        """How many there are to see."""
        return self.values.size - (0 if self.hidden is None else int(np.count_nonzero(self.hidden)))


def _sizes(plane: Plane) -> list[Plane]:
    """The plane, and averages over 2 x 2 and 4 x 4 pixels."""
    sizes = [plane]
    for _ in range(2):
        last = sizes[-1]
        even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        rows = even[::2] + even[1::2]
        sizes.append(np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, np.float32))
    return sizes


def _dot(first: Plane, second: Plane) -> float:
    """Return the sum of products, in the same order on every processor, which no library promises."""
    return float(np.sum(first * second, dtype=np.float64))


def _edges(plane: Plane) -> _Edges:
    """Differences to the right and down, one after the other; NaN where the plane hides something."""
    corner = plane[:-1, :-1]
    values = np.concatenate([(plane[:-1, 1:] - corner).ravel(), (plane[1:, :-1] - corner).ravel()])
    hidden = np.isnan(values)
    if not hidden.any():
        return _Edges(values, math.sqrt(_dot(values, values)), None)
    values[hidden] = 0
    return _Edges(values, math.sqrt(_dot(values, values)), hidden)


def _correlations(sent: Iterable[_Edges], answered: list[_Edges]) -> list[float]:
    """Correlation of the edges that the picture that was sent shows, at each size with enough of them."""
    correlations: list[float] = []
    for ours, theirs in zip(sent, answered, strict=True):
        if correlations and ours.shown < LEAST_TOLD:
            break
        their_length = theirs.length
        if ours.hidden is not None:
            seen = np.where(ours.hidden, np.float32(0), theirs.values)
            their_length = math.sqrt(_dot(seen, seen))
        length = ours.length * their_length
        correlations.append(_dot(ours.values, theirs.values) / length if length else 0.0)
    return correlations
