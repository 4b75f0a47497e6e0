"""Where things lie: the whole moved, scaled or turned, and parts that moved by themselves."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.facts.sent_pair import SentPair, largest, smooth
from blackbox_conformal.method.facts.statistics import FactMeasure
from blackbox_conformal.method.kernels.matching import displacement_costs

REACH = 3  # Pixels of the input, farther than which no cell is looked for.

_LEAST_CURVATURE = 16.0
"""Squared levels that a displacement of one pixel costs, below which a cell does not tell where it lies."""

_LEAST_GAIN = 2.0
"""How many times worse cells must fit where they were sent than where they are found, to have moved by themselves."""

_FARTHER = 4.0
"""How many times worse a cell may fit within one pixel of where it was sent, to be found there all the same."""

_LEAST_CELLS = 16  # Cells with texture, fewer of which do not tell where a picture lies.


class Moves:
    """Displacements of the cells of a pair.

    `found`: (R, C, 2) float64: down and right in pixels of the input; where `known` is False it says nothing.
    `known`: (R, C) bool: the cell has texture along both axes.
    `gain`: (R, C): variance of the difference where the cell was sent over that where it is found.
    `fit`, `middle`: (3, 2): displacement of the centre, and how it grows by pixel down and right; (2,): that of the
      known cells.
    """

    def __init__(self, pair: SentPair) -> None:
        sent, answered = (smooth(plane) for plane in pair.luma)
        self.jump = _jump(sent, answered)
        answered = np.roll(answered, (-self.jump[0], -self.jump[1]), (0, 1))
        costs = displacement_costs(sent, answered, *pair.starts, pair.side, REACH).astype(np.float64)
        self.found, curvature, best = _minimum(costs)
        # What rounding to bytes leaves is no misfit.
        self.gain = (costs[:, :, REACH, REACH] + 0.5) / (best + 0.5)
        self.rest = best
        self.known = curvature > np.maximum(_LEAST_CURVATURE, best)
        self.curvature = np.where(self.known, np.minimum(curvature, 100.0), 0.0)
        self.middle = np.zeros(2)
        self.fit = self._affine(pair)

    def _affine(self, pair: SentPair) -> NDArray[np.float64]:
        """Return (3, 2): displacement at the centre, and how it grows by pixel down and right; robust."""
        rows, columns = pair.starts
        height, width = pair.small.shape[:2]
        down = np.broadcast_to((rows + pair.side / 2 - height / 2)[:, None], self.known.shape)[self.known]
        right = np.broadcast_to(columns + pair.side / 2 - width / 2, self.known.shape)[self.known]
        found, weight = self.found[self.known], np.sqrt(self.curvature[self.known])
        fit = np.zeros((3, 2))
        if len(found) < _LEAST_CELLS:
            return fit
        design = np.column_stack([np.ones(len(found)), down, right])
        fit[0] = np.median(found, 0)
        # Cells in one corner do not tell a turn: a few cells in the other corners stand against it.
        steady = np.diag([1e-9, 4 * (height / 3) ** 2, 4 * (width / 3) ** 2])
        for _ in range(4):
            apart = np.hypot(*(found - design @ fit).T)
            trust = weight / (1 + (apart / max(0.1, float(np.median(apart)))) ** 2)
            weighted = design * trust[:, None] ** 2
            fit = np.linalg.solve(weighted.T @ design + steady * weighted[:, 0].mean(), weighted.T @ found)
        self.middle = fit[0] + fit[1] * down.mean() + fit[2] * right.mean()
        return fit

    def expected(self, pair: SentPair) -> NDArray[np.float64]:
        """Return what the whole's shift, scale and turn say of each cell, (R, C, 2)."""
        rows, columns = pair.starts
        height, width = pair.small.shape[:2]
        down, right = np.meshgrid(rows + pair.side / 2 - height / 2, columns + pair.side / 2 - width / 2, indexing="ij")
        expected: NDArray[np.float64] = self.fit[0] + down[..., None] * self.fit[1] + right[..., None] * self.fit[2]
        return expected


def geometry(pair: SentPair, moves: Moves) -> Iterator[FactMeasure]:
    """Yield how the whole and its parts lie, in pixels of the answer."""
    height, width = pair.small.shape[:2]
    shift = (moves.middle + moves.jump) * pair.scale
    moved = {"down": round(float(shift[0]), 2), "right": round(float(shift[1]), 2)}
    yield FactMeasure("geometry.down", float(shift[0]), values=moved)
    yield FactMeasure("geometry.right", float(shift[1]), values=moved)
    (scale_down, turn), (other_turn, scale_right) = moves.fit[1:]
    corner = max(float(np.hypot(*(sign * moves.fit[1] * height / 2 + moves.fit[2] * width / 2))) for sign in (-1, 1))
    yield FactMeasure(
        "geometry.stretch",
        corner * pair.scale,
        values={
            "scale": 1 + (scale_down + scale_right) / 2,
            "aspect": scale_right - scale_down,
            "turn": float(np.degrees((turn - other_turn) / 2)),
        },
    )
    field = _median(np.where(_told(moves)[..., None], moves.found - moves.expected(pair), np.nan)) * pair.scale
    apart = np.hypot(field[..., 0], field[..., 1])
    row, column = largest(apart)
    own = field[row, column]
    yield FactMeasure(
        "geometry.part",
        float(apart[row, column]),
        pair.place(row, column),
        {
            "down": round(float(own[0]), 2),
            "right": round(float(own[1]), 2),
            "textured": round(float(moves.known.mean()), 3),
        },
    )


def _told(moves: Moves) -> NDArray[np.bool_]:
    """Return the cells that tell where they lie: with texture, and found where they fit well or better."""
    still = np.hypot(moves.found[..., 0], moves.found[..., 1]) < 0.25
    return moves.known & (still | (moves.gain > _LEAST_GAIN))


def _median(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return medians over 3 × 3 cells, 0 where fewer than five are known; parts that move are larger."""
    wide = np.pad(field, [(1, 1), (1, 1), (0, 0)], constant_values=np.nan)
    rows, columns = field.shape[:2]
    stack = np.stack([wide[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
    known = (~np.isnan(stack[..., 0])).sum(0)
    order = np.sort(stack, axis=0)
    middle = np.take_along_axis(
        order, np.broadcast_to((np.maximum(known, 1) // 2)[None, ..., None], (1, *field.shape)), 0
    )[0]
    return np.where((known >= 5)[..., None], np.nan_to_num(middle), 0.0)


def _jump(sent: NDArray[np.float32], answered: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many whole pixels the answer lies down and right, by phase correlation; 0 unless it fits better."""
    window = np.outer(np.hanning(sent.shape[0]), np.hanning(sent.shape[1])).astype(np.float32)
    first, second = (np.fft.rfft2((plane - plane.mean()) * window) for plane in (sent, answered))
    cross = second * np.conj(first)
    # Two pictures without structure have no cross spectrum.
    surface = np.fft.irfft2(cross / (np.abs(cross) + 1e-3 * np.abs(cross).max() + 1e-30), sent.shape)
    peak = np.array(largest(surface))
    shape = np.array(sent.shape)
    peak = np.where(peak > shape // 2, peak - shape, peak)
    # Cells find small displacements themselves, and more finely.
    if np.abs(peak).max() <= 1 or np.abs(peak).max() > min(sent.shape) // 4:
        return np.zeros(2, np.int64)
    inner = tuple(slice(abs(int(p)), length - abs(int(p))) for p, length in zip(peak, sent.shape, strict=True))
    moved = np.roll(answered, (-peak[0], -peak[1]), (0, 1))
    better = np.var((moved - sent)[inner]) < 0.5 * np.var((answered - sent)[inner])
    return peak.astype(np.int64) if better else np.zeros(2, np.int64)


def _minimum(costs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the place of each least cost between whole displacements, the least curvature there, and the cost."""
    rows, columns, span, _ = costs.shape
    # Patterns that repeat fit in several places: the place where they were sent counts unless another fits far better.
    far = np.ones((span, span))
    far[span // 2 - 1 : span // 2 + 2, span // 2 - 1 : span // 2 + 2] = _FARTHER
    best = (costs / far).reshape(rows, columns, -1).argmin(2)
    down, right = (np.clip(index, 1, span - 2) for index in np.divmod(best, span))
    r, c = np.ogrid[:rows, :columns]

    def at(y: int, x: int) -> NDArray[np.float64]:
        return np.asarray(costs[r, c, down + y, right + x])

    yy = at(1, 0) + at(-1, 0) - 2 * at(0, 0)
    xx = at(0, 1) + at(0, -1) - 2 * at(0, 0)
    xy = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    gy, gx = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    least = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    determinant = np.where(least > 1e-9, yy * xx - xy * xy, 1.0)
    y = np.where(least > 1e-9, -(xx * gy - xy * gx) / determinant, 0)
    x = np.where(least > 1e-9, -(yy * gx - xy * gy) / determinant, 0)
    y, x = np.clip(y, -1, 1), np.clip(x, -1, 1)
    cost = np.maximum(at(0, 0) + (gy * y + gx * x) / 2, 0)
    reach = span // 2
    return np.stack([down + y - reach, right + x - reach], 2), least, cost
