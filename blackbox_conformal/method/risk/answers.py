"""A few numbers about the answers to pictures; unlike errors, they are known for new pictures as well."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.risk.rows import Rows
from blackbox_conformal.support.types import Map

LEVELS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Shares of a picture's pixels at which the quantiles of its scores are kept."""

_SAMPLED_PIXELS = 1 << 16
_EARLIER = 2 + len(LEVELS)
_WIDTH = _EARLIER + 1
_MARKS: dict[int, tuple[float, ...]] = {_EARLIER: (), _WIDTH: (2,), _WIDTH + 1: (3,)}
"""What begins each written row of so many values; the shortest begin with a resemblance, at most 1."""


class Answers(Rows):
    """The answers to n pictures, in a few numbers per picture.

    `values`: (n, 12 or 13) float32, a row per picture. First the resemblance to the input, -1 to 1, of the answer that
      shows the input least; NaN where the picture has too little structure. Then the mean absolute
      difference between an answer made small again and the input, 0 to 255, mean over answers. Then, for each share in
      `LEVELS`, the largest score among so many most certain pixels. Then the agreement of the delivered picture with
      the free reference, see `agreement`; NaN where the score makes none, left out by earlier versions. Last, for
      pictures that are watched, the strangeness of the first answer, see `PairSizes`. A refused picture, or one that
      was not looked at, is all NaN.
    """

    row: ClassVar[tuple[int, ...]] = (_WIDTH,)

    @classmethod
    def of(
        cls,
        resemblances: Sequence[float | None],
        differences: Sequence[float],
        scores: Map,
        agreement: float = math.nan,
    ) -> Self:
        """Return one picture, from measures of each answer and its map of scores, (H, W) float32."""
        measured = [resemblance for resemblance in resemblances if resemblance is not None]
        # A regular sample of the pixels says as much, and takes no time.
        step = max(1, round((scores.size / _SAMPLED_PIXELS) ** 0.5))
        # A score that occurs, not an interpolated one: scores may jump over the values between.
        quantiles = np.quantile(scores[::step, ::step], LEVELS, method="inverted_cdf")
        # The answer that shows the input least decides: one foreign answer among several matters.
        least = min(measured) if measured else np.nan
        return cls(np.array([[least, np.mean(differences), *quantiles, agreement]], np.float32))

    @classmethod
    def together(cls, parts: Iterable[Self]) -> Self:
        """Join all pictures of `parts`, in order."""
        rows = [part.values for part in (cls.unknown(0), *parts)]
        width = max(each.shape[1] for each in rows)
        # Earlier versions wrote less.
        return cls(np.concatenate([_padded(each, width) for each in rows]))

    def watched(self, strangeness: NDArray[np.float64]) -> Self:
        """Return the pictures with the strangeness of each, (n,), NaN where unknown."""
        values = _padded(self.values, _WIDTH + 1)
        values[:, -1] = np.where(np.isnan(values[:, 1]), np.nan, strangeness)
        return type(self)(values)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        values = np.frombuffer(content, "<f4").astype(np.float32)
        width = next((width for width, mark in _MARKS.items() if values[:1].tolist() == [*mark]), _EARLIER)
        mark = _MARKS[width]
        marks, values = np.split(values.reshape(-1, len(mark) + width), [len(mark)], axis=1)
        correlations = values[:, [0, *range(_EARLIER, min(width, _WIDTH))]]
        difference, scores = values[:, 1], values[:, 2:_EARLIER]
        recorded = ~np.isnan(difference)
        right = (
            np.all(marks == mark)
            and not np.any(np.abs(correlations) > 1)
            and not np.any((values[:, _WIDTH:] < 0) | np.isinf(values[:, _WIDTH:]))
            and np.all((difference[recorded] >= 0) & (difference[recorded] <= 255))
            and np.all(scores[recorded, :-1] <= scores[recorded, 1:])
            and np.isnan(values[~recorded]).all()
        )
        if not right:
            raise ValueError("expected what answers can be like; a value is out of its range")
        return cls(values)

    def to_bytes(self) -> bytes:
        """Write the values as little-endian float32, row by row, each after its mark of `_MARKS`."""
        marks = np.tile(_MARKS[self.values.shape[1]], (len(self), 1))
        return np.concatenate([marks, self.values], axis=1).astype("<f4").tobytes()

    @property
    def resemblance(self) -> NDArray[np.float64]:
        """Return the least resemblance of each picture, (n,), NaN where unknown."""
        return self.values[:, 0].astype(np.float64)

    @property
    def difference(self) -> NDArray[np.float64]:
        """Return the mean difference from the vendor's input, (n,), NaN where unknown."""
        return self.values[:, 1].astype(np.float64)

    @property
    def median_score(self) -> NDArray[np.float64]:
        """Return the median score of each picture, (n,); infinite where unknown, such as where the vendor refused."""
        medians = self.values[:, 2 + LEVELS.index(0.5)].astype(np.float64)
        return np.where(np.isnan(medians), np.inf, medians)

    @property
    def agreement(self) -> NDArray[np.float64]:
        """Return the agreement of the delivered picture with the free reference, (n,), NaN where unknown."""
        return _padded(self.values, _WIDTH)[:, _EARLIER].astype(np.float64)

    @property
    def strangeness(self) -> NDArray[np.float64]:
        """Return how far the first answer's differences from its input reach, (n,), NaN where unknown."""
        return _padded(self.values, _WIDTH + 1)[:, _WIDTH].astype(np.float64)

    def trusted_share(self, threshold: float) -> NDArray[np.float64]:
        """Return roughly the share of each picture whose score is below `threshold`, (n,), 0 to 1; NaN where
        unknown."""
        scores = self.values[:, 2:_EARLIER].astype(np.float64)
        recorded = ~np.isnan(scores[:, 0])
        shares = np.full(len(self), np.nan)
        shares[recorded] = [np.interp(threshold, row, LEVELS, left=0.0, right=1.0) for row in scores[recorded]]
        return shares


def _padded(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return (n, `width` or more): a copy of the values, with NaN where there are none."""
    return np.pad(values, ((0, 0), (0, max(0, width - values.shape[1]))), constant_values=np.nan)
