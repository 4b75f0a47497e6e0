"""A row of numbers per photograph, kept beside its risk curve."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of n photographs: `values`, (n, *`row`), NaN for photographs about which nothing is known."""

    # The shape of a row, and the type of its numbers in files.
    row: ClassVar[tuple[int, ...]]
    stored: ClassVar[str] = "<f4"

    values: NDArray[Any] = field(repr=False)

    @classmethod
    def unknown(cls, n: int) -> Self:
        """Return `n` photographs about which nothing is known."""
        return cls(np.full((n, *cls.row), np.nan, cls.stored[1:]))

    @classmethod
    def together(cls, parts: Iterable[Self]) -> Self:
        """Join all photographs of `parts`, in order."""
        return cls(np.concatenate([np.empty((0, *cls.row), cls.stored[1:]), *(part.values for part in parts)]))

    def to_bytes(self) -> bytes:
        """Write the values, little-endian, row by row."""
        return self.values.astype(self.stored).tobytes()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Sequence[int]) -> Self:
        return type(self)(self.values[list(rows)])

    @property
    def known(self) -> Self:
        """Return the photographs about which something is known."""
        # The width is spelt out, since numpy cannot infer -1 for an array without rows.
        flat = self.values.reshape(len(self), math.prod(self.values.shape[1:]))
        return self[np.flatnonzero(~np.isnan(flat[:, 0])).tolist()]
