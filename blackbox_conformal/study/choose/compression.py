"""The JPEG step that inputs went through, from what each of them shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blackbox_conformal.method.images.jpeg_traces import JpegTrace

_RARE = 0.1
"""Shares of inputs below it, of those with traces and of those without, are taken for errors."""


@dataclass(frozen=True, slots=True)
class Compression:
    """What the traces of all inputs say together.

    Attributes
    ----------
    share
        Of the inputs that were compressed, 0 to 1.
    low, high
        The range of qualities.
    subsamplings
        Which of the colours are possible, the likeliest first.
    grid
        As the step jpeg takes it: ``0x0``, another place, or ``random``.
    exact
        How many qualities were read from a file's table.
    """

    share: float
    low: int
    high: int
    subsamplings: tuple[str, ...]
    grid: str
    exact: int

    @property
    def step(self) -> str:
        """The step as typed, without subsampling."""
        quality = f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"
        grid = "" if self.grid == "0x0" else f",grid={self.grid}"
        chance = "" if self.share == 1 else f",chance={self.share:.2g}"
        return f"jpeg:{quality}{grid}{chance}"


def compression(traces: Sequence[JpegTrace | None]) -> Compression | None:
    """The step; None where hardly any input shows that it was compressed.

    Parameters
    ----------
    traces
        Of every input that would show it; None: it was not compressed.
    """
    found = [trace for trace in traces if trace is not None]
    share = len(found) / max(len(traces), 1)
    if share < _RARE:
        return None
    low, high = _range([trace.quality for trace in found])
    known = Counter(trace.subsampling for trace in found if trace.subsampling is not None)
    return Compression(
        share=1.0 if share >= 1 - _RARE else share,
        low=low,
        high=high,
        subsamplings=(known.most_common(1)[0][0],) if known else ("4:2:0", "4:4:4"),
        grid=_grid([trace.grid for trace in found]),
        exact=sum(trace.exact for trace in found),
    )


def _range(qualities: Sequence[int]) -> tuple[int, int]:
    """The range whose tenth and ninetieth percentile, each value being equally likely, are those of the estimates."""
    tenth, ninetieth = np.quantile(qualities, (0.1, 0.9))
    beyond = (ninetieth - tenth) / 8
    return max(1, round(tenth - beyond)), min(100, round(ninetieth + beyond))


def _grid(grids: Sequence[tuple[int, int]]) -> str:
    (row, column), count = Counter(grids).most_common(1)[0]
    return f"{column}x{row}" if count >= (1 - _RARE) * len(grids) else "random"
