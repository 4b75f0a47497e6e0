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
_MARK = np.float32(2)
"""Begins each written row; rows of earlier versions, without agreement, begin with a resemblance, at most 1."""


class Answers(Rows):
    """The answers to n pictures, in a few numbers per picture.

    Attributes
    ----------
    values
        (n, 3 + len(`LEVELS`)) float32, a row per picture. First the resemblance to the input, -1 to 1, of the answer
        that shows the input least; NaN where the picture has too little structure. Then the mean absolute difference
        between an answer made small again and the input, 0 to 255, mean over answers. Then, for each share in `LEVELS`,
        the largest score among so many most certain pixels. Last, the agreement of the delivered picture with the free
        reference, see `agreement`; NaN where the score makes none, left out by earlier versions. A refused picture, or
        one that was not looked at, is all NaN.
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
        return super().together(
            # Earlier versions wrote no agreement.
            cls(np.pad(part.values, ((0, 0), (0, _WIDTH - part.values.shape[1])), constant_values=np.nan))
            for part in parts
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the bytes of `to_bytes`."""
        values = np.frombuffer(content, "<f4").astype(np.float32)
        if values.size and values[0] == _MARK:
            marks, values = np.split(values.reshape(-1, 1 + _WIDTH), [1], axis=1)
        else:
            marks, values = np.full(1, _MARK), values.reshape(-1, _EARLIER)
        correlations = values[:, [0, *range(_EARLIER, values.shape[1])]]
        difference, scores = values[:, 1], values[:, 2:_EARLIER]
        recorded = ~np.isnan(difference)
        right = (
            (marks == _MARK).all()
            and not np.any(np.abs(correlations) > 1)
            and np.all((difference[recorded] >= 0) & (difference[recorded] <= 255))
            and np.all(scores[recorded, :-1] <= scores[recorded, 1:])
            and np.isnan(values[~recorded]).all()
        )
        if not right:
            raise ValueError("expected what answers can be like; a value is out of its range")
        return cls(values)

    def to_bytes(self) -> bytes:
        """Write the values as little-endian float32, row by row, each after `_MARK` unless an earlier version wrote
        it."""
        marks = np.full((len(self), self.values.shape[1] - _EARLIER), _MARK)
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
    def agreement(self) -> NDArray[np.float64]:
        """Return the agreement of the delivered picture with the free reference, (n,), NaN where unknown."""
        known = self.values.shape[1] == _WIDTH
        return self.values[:, _EARLIER].astype(np.float64) if known else np.full(len(self), np.nan)

    def trusted_share(self, threshold: float) -> NDArray[np.float64]:
        """Return roughly the share of each picture whose score is below `threshold`, (n,), 0 to 1; NaN where
        unknown."""
        scores = self.values[:, 2:_EARLIER].astype(np.float64)
        recorded = ~np.isnan(scores[:, 0])
        shares = np.full(len(self), np.nan)
        shares[recorded] = [np.interp(threshold, row, LEVELS, left=0.0, right=1.0) for row in scores[recorded]]
        return shares
