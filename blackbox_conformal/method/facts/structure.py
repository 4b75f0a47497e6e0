"""What was done to detail: halos, flattened and changed cells, repeats, borders, additions and traces of JPEG."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.facts.geometry import Moves
from blackbox_conformal.method.facts.sent_pair import SentPair, largest, luma, smooth, within
from blackbox_conformal.method.facts.statistics import FactMeasure
from blackbox_conformal.method.images.input_statistics import blockiness
from blackbox_conformal.method.images.reference import agreement, reference
from blackbox_conformal.support.types import Map

_BLOCKS = 512  # Pixels of the answer on a side of the middle, in which blocks are looked for.

_SAMPLE = 64
"""Pixels of the input on a side of the square that the free reference is made of: all of it takes a second."""

_LEAST_EDGE = 24.0  # Levels that the input spans around a pixel, from which on it lies beside an edge.
_LEAST_TEXTURE = 2.5  # Levels: root mean square of a cell's texture, from which on it can be seen to be flattened.


def ringing(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield how strongly the answer is sharpened where it is made small again, and how far it overshoots edges."""
    sent, answered = pair.luma
    difference = answered - sent
    for name, times in (("ringing.fine", 1), ("ringing.broad", 4), ("ringing.wide", 12)):
        band = sent - smooth(sent, times)
        power = float(np.mean(band * band, dtype=np.float64))
        slope = float(np.mean(band * difference, dtype=np.float64)) / (power + 4.0)
        yield FactMeasure(name, slope)
    low, high = (np.asarray(plane, np.float32) / 8 for plane in pair.extremes[:2])
    least, most = (within(within(sent, 0, best), 1, best) for best in (np.minimum, np.maximum))
    span = most - least
    over = np.maximum(high - most, 0) + np.maximum(least - low, 0)
    edges = span > _LEAST_EDGE
    share = float(over[edges].sum(dtype=np.float64) / span[edges].sum(dtype=np.float64)) if edges.sum() > 50 else 0.0
    yield FactMeasure("ringing.overshoot", share)


def cells(pair: SentPair, moves: Moves) -> Iterator[FactMeasure]:
    """Yield the cell that lost most of its texture, and the one whose content changed most."""
    sent, answered = pair.luma
    answered = np.roll(answered, (-moves.jump[0], -moves.jump[1]), (0, 1))
    ours, theirs = (smooth(plane) for plane in (sent, answered))
    ours, theirs = ours - smooth(ours, 8), theirs - smooth(theirs, 8)
    power, common, other = (pair.cells(a * b) for a, b in ((ours, ours), (ours, theirs), (theirs, theirs)))
    textured = power > _LEAST_TEXTURE**2
    kept = np.sqrt(np.maximum(other, 0) / np.maximum(power, 1e-3))
    lost = np.where(textured, 1 - kept, 0)
    row, column = largest(lost)
    yield FactMeasure(
        "flattened.cell", float(lost[row, column]), pair.place(row, column), {"kept": float(kept[row, column])}
    )
    apart = np.maximum(power + other - 2 * common, 0)
    changed = np.sqrt(apart / (power + _LEAST_TEXTURE**2))
    row, column = largest(changed)
    yield FactMeasure(
        "content.cell",
        float(changed[row, column]),
        pair.place(row, column),
        {"levels": float(apart[row, column] ** 0.5)},
    )


def repeats(pair: SentPair, most: int = 6) -> Iterator[FactMeasure]:
    """Yield how much better a changed cell fits another part of the picture than what was sent in its own place."""
    sent, answered = pair.luma
    side = pair.side
    apart = pair.cells(np.square(answered - sent))
    rows, columns = pair.starts
    order = np.argsort(apart, axis=None)[::-1][: most * 4]
    tried: list[tuple[int, int]] = []
    best = FactMeasure("repeats.tile", 0.0)
    planes: list[_Correlations] = []
    for index in order:
        row, column = divmod(int(index), apart.shape[1])
        top, left = int(rows[row]), int(columns[column])
        if apart[row, column] < 16 or len(tried) == most:
            break
        if any(abs(top - y) < side and abs(left - x) < side for y, x in tried):
            continue
        tried.append((top, left))
        tile = answered[top : top + side, left : left + side]
        if float(tile.std()) < 3:
            continue
        planes = planes or [_Correlations(plane, side) for plane in (answered, sent)]
        fit, original = (plane.of(tile) for plane in planes)
        here = np.zeros(fit.shape, np.bool_)
        here[max(0, top - side // 2) : top + side // 2 + 1, max(0, left - side // 2) : left + side // 2 + 1] = True
        own = float(original[top, left])
        elsewhere = np.where(here, -1, np.minimum(fit, original))
        y, x = largest(elsewhere)
        size = float((1 - own) / (1.02 - elsewhere[y, x]))
        if size > best.size:
            source = [pair.origin[1] + int(x) * pair.scale, pair.origin[0] + int(y) * pair.scale]
            values = {"from": source, "fit": float(elsewhere[y, x]), "own": own}
            best = FactMeasure("repeats.tile", size, pair.place(row, column), values)
    yield best


def borders(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield how far the outermost rows and columns differ more than those beside them."""
    worst = FactMeasure("borders.side", 0.0)
    luma = np.abs(pair.apart).max(2)
    big = pair.big
    for name, turned, fine in (
        ("top", luma, big),
        ("bottom", luma[::-1], big[::-1]),
        ("left", luma.T, big.transpose(1, 0, 2)),
        ("right", luma.T[::-1], big.transpose(1, 0, 2)[::-1]),
    ):
        outer, inner = np.median(turned[0]), np.median(turned[2:10], 1).max()
        # A frame of one pixel of the answer shows in the difference to the next one.
        lines = fine[:4].astype(np.float32)
        step = float(np.median(np.abs(lines[0] - lines[1]).max(1))) if pair.scale > 1 else 0.0
        next_step = float(np.median(np.abs(lines[2] - lines[3]).max(1))) if pair.scale > 1 else 0.0
        size = max(float(outer - inner), step - next_step)
        if size > worst.size:
            worst = FactMeasure("borders.side", size, None, {"side": name})
    yield worst


def addition(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield how much finer detail the answer holds than the input can: root mean square in levels inside its pixels."""
    if pair.scale == 1:
        return
    count = pair.scale**2
    total, squares = pair.extremes[2].astype(np.float64), pair.extremes[3].astype(np.float64) * 16
    within = np.maximum(squares / count - (total / count) ** 2, 0) / 64
    sent = pair.luma[0]
    wide = np.pad(sent, 1, mode="edge")
    down, right = (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2, (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2
    # A slope inside a pixel varies by a twelfth of its square.
    explained = (down * down + right * right) * ((1 - 1 / count) / 12)
    cells = pair.cells(np.maximum(within - explained, 0).astype(np.float32))
    row, column = largest(cells)
    yield FactMeasure("detail.added", float(np.sqrt(cells.mean(dtype=np.float64))))
    yield FactMeasure("detail.cell", float(cells.max() ** 0.5), pair.place(row, column))


def supported_share(pair: SentPair) -> float | None:
    """Return which share of the answer's added detail the free reference adds too: squared correlation, 0 to 1.

    It is looked at in the most detailed square of `_SAMPLE` pixels of the input, and a few more pixels around it. None
    where nothing is enlarged.
    """
    if pair.scale == 1:
        return None
    height, width = pair.small.shape[:2]
    side = min(_SAMPLE, height, width)
    rows, columns = (range(0, length - side + 1, max(1, side // 2)) for length in (height, width))
    plane = pair.luma[0]
    energy = np.square(plane - smooth(plane))
    top, left = max(
        ((y, x) for y in rows for x in columns), key=lambda at: energy[at[0] : at[0] + side, at[1] : at[1] + side].sum()
    )
    part = np.ascontiguousarray(pair.small[top : top + side, left : left + side])
    scale = pair.scale
    answer = pair.big[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    found = agreement(np.ascontiguousarray(answer), reference(part, scale), part)
    return None if np.isnan(found) else max(0.0, found) ** 2


def lossy(pair: SentPair) -> Iterator[FactMeasure]:
    """Yield how much more often the answer steps at the borders of blocks of 8 × 8 pixels than elsewhere, -1 to 1."""
    top, left = (max(0, length - _BLOCKS) // 16 * 8 for length in pair.big.shape[:2])
    part = pair.big[top : top + _BLOCKS, left : left + _BLOCKS].astype(np.float32)
    corner, other = blockiness(np.rint(8 * luma(part)).astype(np.int32)[None])
    # Pixels that were only repeated step at more lines than those.
    yield FactMeasure("lossy.blocks", corner if corner > 2 * other else 0.0)


class _Correlations:
    """Correlations of tiles with each part of a plane of their side."""

    def __init__(self, plane: Map, side: int) -> None:
        values = plane.astype(np.float64)
        self._spectrum, self._shape, self._side = np.fft.rfft2(values), plane.shape, side
        sums = [np.pad(np.cumsum(np.cumsum(one, 0), 1), [(1, 0), (1, 0)]) for one in (values, np.square(values))]
        total, squares = (s[side:, side:] - s[:-side, side:] - s[side:, :-side] + s[:-side, :-side] for s in sums)
        self._spread = np.sqrt(np.maximum(squares - total**2 / side**2, 1e-3))

    def of(self, tile: Map) -> NDArray[np.float64]:
        centred = (tile - tile.mean()).astype(np.float64)
        products = np.fft.irfft2(self._spectrum * np.conj(np.fft.rfft2(centred, self._shape)), self._shape)
        rows, columns = self._spread.shape
        found: NDArray[np.float64] = products[:rows, :columns] / (self._spread * np.sqrt(np.square(centred).sum()))
        return found
