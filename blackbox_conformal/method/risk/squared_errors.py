"""How far several pictures are from the truth, beside the score: which of them to show where the score is high."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.below import first_above
from blackbox_conformal.method.kernels.squares import summed_squares
from blackbox_conformal.support.types import Image, Map

SHOWN = ("delivered", "consistent", "reference", "enlargement")
"""What may be shown of a picture, that with most detail first: the delivered picture, the same made consistent with the
input, the free reference, and plain enlargement (at scale 1 the input itself)."""

_SHARES = np.linspace(0, 1, 21)
"""Shares of a picture's pixels below whose scores errors are summed."""

_ROW = (1 + len(SHOWN), _SHARES.size)


@dataclass(frozen=True, eq=False)
class SquaredErrors:
    """Squared errors of pictures that may be shown, for n photographs.

    Attributes
    ----------
    values
        (n, 1 + len(`SHOWN`), 21) float32. Of each photograph first scores, ascending: of its pixels in order of the
        score, every twentieth. Then for each picture of `SHOWN` the sum of squared differences from the truth, mean
        over channels, in squared grey levels, over pixels whose score is below that score, by the number of all pixels;
        at the last score over all pixels. NaN where there is no such picture, or nothing is known of the photograph.
    """

    values: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, scores: Map, truth: Image, pictures: Iterable[tuple[str, Image]]) -> Self:
        """One photograph, from its score map, (H, W) float32, and names of `SHOWN` with pictures: (H, W, 3) uint8."""
        ordered = np.sort(scores, axis=None)
        steps = ordered[np.ceil(_SHARES * (ordered.size - 1)).astype(np.int64)]
        # Place k: not below the k-th score and below the next.
        place = first_above(scores, np.append(steps[1:-1], np.inf))
        values = np.full(_ROW, np.nan, np.float32)
        values[0] = steps
        for name, picture in pictures:
            sums = summed_squares(picture, truth, place, _SHARES.size - 1)
            values[1 + SHOWN.index(name)] = np.r_[0, sums.cumsum()] / (3 * scores.size)
        return cls(values[None])

    @classmethod
    def unknown(cls, n: int) -> Self:
        """`n` photographs of which nothing is known."""
        return cls(np.full((n, *_ROW), np.nan, np.float32))

    @classmethod
    def together(cls, parts: Iterable["SquaredErrors"]) -> Self:
        """All photographs of `parts`, in order."""
        return cls(np.concatenate([np.empty((0, *_ROW), np.float32), *(part.values for part in parts)]))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote."""
        values = np.frombuffer(content, "<f4").reshape(-1, *_ROW).astype(np.float32)
        known = ~np.asarray(np.isnan(values[:, 1:]).any(axis=2))
        looked_at = np.asarray(known.any(axis=1))
        errors = values[:, 1:][known]
        right = (
            np.isnan(values[:, 1:][~known]).all()
            and (errors[:, :1] == 0).all()
            and (errors[:, 1:] >= errors[:, :-1]).all()
            and (errors <= 255**2).all()
            and (np.isnan(values[:, 0]).all(axis=1) == ~looked_at).all()
            and (values[:, 0, 1:] >= values[:, 0, :-1])[looked_at].all()
        )
        if not right:
            raise ValueError("expected squared errors of pictures by score; a value is out of its range")
        return cls(values)

    def to_bytes(self) -> bytes:
        """The values as little-endian float32, row by row."""
        return self.values.astype("<f4").tobytes()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Sequence[int]) -> "SquaredErrors":
        return SquaredErrors(self.values[list(rows)])

    @property
    def known(self) -> "SquaredErrors":
        """The photographs of which something is known."""
        return self[np.flatnonzero(~np.isnan(self.values[:, 0, 0])).tolist()]

    def above(self, threshold: float) -> dict[str, float]:
        """The mean squared error where the score is not below `threshold`, by the name of the picture.

        By the number of all pixels, mean over the photographs that are known; to a twentieth of the pixels, and at
        least of those with the highest scores.
        """
        known = self.known.values
        if not len(known):
            return {}
        # The first score that is not below the threshold.
        steps = np.minimum((known[:, 0] < threshold).sum(axis=1), _SHARES.size - 2)
        below = np.take_along_axis(known[:, 1:], steps[:, None, None], axis=2)[..., 0]
        errors = (known[:, 1:, -1] - below).astype(np.float64)
        return {name: float(row.mean()) for name, row in zip(SHOWN, errors.T, strict=True) if not np.isnan(row).any()}
