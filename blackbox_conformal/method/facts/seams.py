"""Steps along straight lines, as tiles leave that were worked on by themselves.

A step from one pixel to the next alone may be an edge of the scene, and so may a difference of brightness on both
sides. A seam is both, at one line, along all of it, where the input has no edge. What a line has is held against its
neighbours.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.facts.sent_pair import Place, Planes, SentPair, within
from blackbox_conformal.method.facts.statistics import FactMeasure
from blackbox_conformal.method.kernels.line_steps import line_steps

_WINDOW, _GAP = 4, 1
"""Pixels of the input on either side of a line that are averaged, and those next to it that are left out."""

_MOST = 8.0  # Levels: a larger difference beside a line counts as this, so that one object does not look like a seam.

_SEGMENT = 16
"""Pixels of the input along a line that are averaged with their sign: the sides of a tile may step either way."""

_NEAR = 16  # Lines on either side that a line is held against.
_LEAST_PERIOD = 12  # Pixels of the input from line to line of a grid.


class _Lines(NamedTuple):
    """Strengths of the lines of one direction, at the size of the input: (lines,) each; and levels of their steps."""

    axis: int
    whole: NDArray[np.float64]
    tiles: NDArray[np.float64]
    levels: NDArray[np.float64]


def seams(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield the strongest line of one sign, of any signs, and the strongest grid of lines, of either direction."""
    found = _found(pair)
    if not found:
        return
    for name, strengths in (
        ("seams.line", [one.whole for one in found]),
        ("seams.tiles", [one.tiles for one in found]),
    ):
        index = int(np.argmax([strength.max() for strength in strengths]))
        at = int(strengths[index].argmax())
        yield _measure(pair, name, float(strengths[index][at]), found[index], [at])
    score, lines, best = max(
        ((*_grid(np.maximum(one.whole, one.tiles)), one) for one in found), key=lambda grid: grid[0]
    )
    yield _measure(pair, "seams.grid", score, best, lines)


def _found(pair: SentPair) -> list[_Lines]:
    if min(pair.small.shape[:2]) < 8 * (_WINDOW + _GAP):
        return []
    sent, scale = pair.luma[0], pair.scale
    # Next to an edge of the input nothing is a seam.
    slopes = [within(np.abs(np.gradient(sent, axis=axis)), axis, np.maximum) for axis in (1, 0)]
    weights = [np.asarray(1 / (1 + np.square(slope / 4)), np.float32) for slope in slopes]
    sharp = line_steps(pair.big, weights[0], weights[1], scale, _SEGMENT * scale)
    lines = []
    for axis, sums, weight in ((1, sharp[0], weights[0]), (0, sharp[1], weights[1].T)):
        parts = len(sums)
        total = weight[: parts * _SEGMENT].reshape(parts, _SEGMENT, -1).sum(1).repeat(scale, 1) * scale
        total += _SEGMENT * scale / 4
        steps = _steps(pair.apart if axis else pair.apart.transpose(1, 0, 2))
        pieces = steps[: parts * _SEGMENT].reshape(parts, _SEGMENT, *steps.shape[1:]).mean(1)
        fine = [np.abs(sums.sum(0)) / total.sum(0), np.median(np.abs(sums) / total, 0)]
        broad = [np.sqrt(np.square(steps.mean(0)).sum(1) / 3), np.median(np.sqrt(np.square(pieces).sum(2) / 3), 0)]
        whole, tiles = (
            np.sqrt(_sharpest(_excess(f, scale, 2, 0.03), scale) * _widened(_excess(b, 1, 5, 0.15)))
            for f, b in zip(fine, broad, strict=True)
        )
        # A seam of one sign is alike in all segments; an object steps in a few.
        steady = np.minimum(_sharpest(_steady(sums / total, 0.05), scale), _widened(_steady(pieces.mean(2), 0.3)))
        lines.append(_Lines(axis, whole * np.minimum(1, steady / 4), tiles, _widened(broad[1])))
    return lines


def _steady(steps: NDArray[np.floating], floor: float) -> NDArray[np.float64]:
    """Return how many of its standard errors, at least `floor`, the mean of the segments' steps is large."""
    return np.asarray(np.abs(steps.mean(0)) / np.sqrt(steps.var(0) / len(steps) + floor**2), np.float64)


def _sharpest(fine: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Return the largest strength at each pixel of the input and the next one, at least 0."""
    sharpest = np.maximum(fine.reshape(-1, scale).max(1), 0)
    # A seam lies at any pixel of the answer: the difference of brightness is found at the nearest ones of the input.
    return np.asarray(np.maximum(sharpest, np.append(sharpest[1:], 0)))


def _widened(broad: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the strengths with 0 for the lines near the border."""
    return np.pad(np.maximum(broad, 0).astype(np.float64), (_WINDOW + _GAP, _WINDOW + _GAP - 1))


def _steps(planes: Planes) -> Planes:
    """Return the step across each vertical line, (rows, lines, 3): the mean right less that left, held to `_MOST`."""
    reach = _WINDOW + _GAP
    # Channels first: numpy adds up neighbours in memory several times faster.
    total = np.pad(np.cumsum(np.ascontiguousarray(planes.transpose(2, 0, 1)), 2), [(0, 0), (0, 0), (1, 0)])
    means = (total[..., _WINDOW:] - total[..., :-_WINDOW]) / np.float32(_WINDOW)
    steps = means[..., reach + _GAP :] - means[..., : -reach - _GAP]
    return np.ascontiguousarray(np.clip(steps, -_MOST, _MOST).transpose(1, 2, 0))


def _excess(strength: NDArray[np.floating], scale: int, gap: int, floor: float) -> NDArray[np.float64]:
    """Return how far each line stands out from those near it, but for `gap`, in their typical deviation."""
    wide = np.pad(strength.astype(np.float64), _NEAR, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * _NEAR + 1)
    others = np.delete(windows, range(_NEAR - gap, _NEAR + gap + 1), axis=1)
    excess = strength - np.median(others, 1)
    if gap < scale:
        excess[: 2 * scale] = excess[-2 * scale :] = 0
    return np.asarray(excess / max(floor, 1.4826 * float(np.median(np.abs(excess - np.median(excess))))))


def _grid(strength: NDArray[np.float64]) -> tuple[float, list[int]]:
    """Return the score of the best grid of two lines or more, and its lines."""
    held = np.clip(strength, 0, 8)
    peaks = np.maximum(held, np.maximum(np.append(held[1:], 0), np.append(0, held[:-1]))) - 2
    best, lines = 0.0, [int(strength.argmax())]
    padded = np.append(peaks, np.zeros(len(peaks)))
    for period in range(_LEAST_PERIOD, len(strength) // 2):
        # Lines lie at multiples of the period; a grid that begins elsewhere has a margin of its own.
        rows = -(-len(peaks) // period)
        table = padded[: rows * period].reshape(rows, period)
        scores = table[:, _WINDOW + _GAP :].sum(0) / rows**0.5
        if scores.size and scores.max() > best:
            phase = int(scores.argmax()) + _WINDOW + _GAP
            best, lines = float(scores.max()), list(range(phase, len(peaks), period))
    return best, lines


def _measure(pair: SentPair, name: str, size: float, lines: _Lines, at: list[int]) -> FactMeasure:
    height, width = pair.big.shape[:2]
    scale, (top, left) = pair.scale, pair.origin
    positions = [line * scale + (left if lines.axis else top) for line in at]
    places = tuple(
        Place(top, max(0, k - scale), height, 2 * scale)
        if lines.axis
        else Place(max(0, k - scale), left, 2 * scale, width)
        for k in positions
    )
    levels = float(np.mean(lines.levels[at]))
    own = {"axis": "vertical" if lines.axis else "horizontal", "lines": positions, "levels": levels}
    return FactMeasure(name, size, places[0] if len(places) == 1 else None, own, places)
