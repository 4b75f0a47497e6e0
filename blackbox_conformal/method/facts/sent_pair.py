"""An input and its answer made ready to be compared: both at the size of the input, in float32."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.images.making_inputs import block_means, resized
from blackbox_conformal.method.images.picture import check_pixels
from blackbox_conformal.method.kernels.cells import MAX_SCALE, cell_extremes
from blackbox_conformal.support.types import Image, Map

LEAST_SIDE = 16  # Pixels of the input; smaller ones have too few cells.
_MOST = 1024  # Pixels on a side of what is compared where nobody asked for the whole.
_CELL = 16  # Pixels of the input on a side of a cell; neighbours overlap by half.
Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """A rectangle of the answer: `top`, `left`, `height` and `width` in pixels."""

    top: int
    left: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height} pixels at ({self.left}, {self.top})"


class SentPair:
    """An input and its answer.

    `small`: (h, w, 3) uint8, or float in [0, 1]; at least 16 pixels a side.
    `big`: (H, W, 3), likewise: the answer. Where its sides are no whole multiple of the input's it is first brought to
      the nearest one.
    `whole`: Compare all of it; else the middle `_MOST` pixels a side of a larger input, which bounds time and memory.
    `given`, `due`: Height and width of the answer, and the nearest whole multiple of the input's.
    `origin`: Row and column of the answer where what is compared begins.
    """

    def __init__(self, small: NDArray[np.generic], big: NDArray[np.generic], *, whole: bool = True) -> None:
        self.small, answer = _bytes(small), _bytes(big)
        height, width = self.small.shape[:2]
        if min(height, width) < LEAST_SIDE:
            raise ImageError(
                f"expected an input of {LEAST_SIDE} pixels a side; got {width}×{height}. Give a larger one"
            )
        self.given = answer.shape[:2]
        down, across = answer.shape[0] / height, answer.shape[1] / width
        self.scale = max(1, round((down * across) ** 0.5))
        if self.scale > MAX_SCALE:
            raise ImageError(f"expected an answer at most {MAX_SCALE} times larger; got {down:.1f}. Give its own input")
        self.due = height * self.scale, width * self.scale
        self.big: Image = answer if self.given == self.due else resized(answer, self.due[1], self.due[0])
        # Of equal sizes, measures take most for a pixel.
        most, scale = _MOST if self.scale > 1 else _MOST // 2, self.scale
        top, left = (0 if whole else max(0, side - most) // 2 for side in (height, width))
        self.origin = top * scale, left * scale
        if not whole:
            self.small = np.ascontiguousarray(self.small[top : top + most, left : left + most])
            part = self.big[top * scale : (top + most) * scale, left * scale : (left + most) * scale]
            self.big = np.ascontiguousarray(part)

    @cached_property
    def sent(self) -> Planes:
        """Return the input, (h, w, 3) float32."""
        return self.small.astype(np.float32)

    @cached_property
    def reduced(self) -> Planes:
        """Return means of the answer over the pixels of the input, (h, w, 3) float32."""
        height, width = self.small.shape[:2]
        return (self.big if self.scale == 1 else block_means(self.big, width, height)).astype(np.float32)

    @cached_property
    def apart(self) -> Planes:
        """Return the reduced answer less the input, (h, w, 3) float32."""
        return self.reduced - self.sent

    @cached_property
    def luma(self) -> tuple[Map, Map]:
        """Return the brightness of input and reduced answer, (h, w) float32 each, white = 255."""
        return luma(self.sent), luma(self.reduced)

    @cached_property
    def extremes(self) -> NDArray[np.int32]:
        """Return `cell_extremes` of the answer."""
        return cell_extremes(self.big, self.scale)

    @property
    def side(self) -> int:
        """Return the side of a cell in pixels of the input."""
        height, width = self.small.shape[:2]
        return min(_CELL, int(height) // 2, int(width) // 2)

    @cached_property
    def starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first rows and columns of cells, which overlap by half; the last ones end at the border."""
        rows, columns = (
            np.unique(np.append(np.arange(0, length - self.side + 1, self.side // 2), length - self.side))
            for length in self.small.shape[:2]
        )
        return rows, columns

    def cells(self, plane: NDArray[np.float32]) -> Planes:
        """Return means of `plane`, (h, w, …), over the cells: (rows, columns, …) float32."""
        if plane.ndim > 2:
            return np.stack([self.cells(channel) for channel in np.moveaxis(plane, 2, 0)], 2)
        rows, columns = self.starts
        total = np.pad(np.cumsum(np.cumsum(plane, 0, dtype=np.float64), 1), [(1, 0), (1, 0)])
        below, right = rows + self.side, columns + self.side
        sums = total[below][:, right] - total[rows][:, right] - total[below][:, columns] + total[rows][:, columns]
        return np.asarray(sums / self.side**2, np.float32)

    def place(self, row: int, column: int) -> Place:
        """Return where a cell lies in the answer."""
        rows, columns = self.starts
        side, (top, left) = self.side * self.scale, self.origin
        return Place(top + int(rows[row]) * self.scale, left + int(columns[column]) * self.scale, side, side)


def largest(values: NDArray[np.generic]) -> tuple[int, int]:
    """Return row and column of the largest of (R, C) values."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def luma(planes: Planes) -> Map:
    """Return the brightness of (h, w, 3) float32, with the weights of `cell_extremes`."""
    return np.asarray((2 * planes[..., 0] + 5 * planes[..., 1] + planes[..., 2]) / 8, np.float32)


def within(plane: Map, axis: int, best: Callable[..., Any]) -> Map:
    """Return `best`, such as ``np.maximum``, of five pixels along `axis` around each pixel of `plane`, (h, w)."""
    wide = np.pad(plane, [(2, 2) if axis == 0 else (0, 0), (2, 2) if axis == 1 else (0, 0)], mode="edge")
    length = plane.shape[axis]
    return reduce(best, (wide[k : k + length] if axis == 0 else wide[:, k : k + length] for k in range(5)))


def smooth(plane: Map, times: int = 1) -> Map:
    """Return `plane`, (h, w) float32, after binomial averages of 3 × 3 pixels."""
    for _ in range(times):
        wide = np.pad(plane, 1, mode="edge")
        rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
        plane = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    return plane


def _bytes(pixels: NDArray[np.generic]) -> Image:
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f":
        return check_pixels(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return check_pixels(pixels)  # type: ignore[arg-type]
