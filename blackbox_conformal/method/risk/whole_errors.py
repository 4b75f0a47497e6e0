"""How far whole delivered pictures are from the truth, beside how far they are from a picture that is always known.

From the two follows a bound for a new picture: split conformal prediction of the one by the square root of the other.
Of powers from 0 to 1 the root served 63 pairs of networks and inputs of the trust table best: on average 1.1 dB better
than one bound for all pictures, and never worse.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.kernels.squares import summed_squares
from blackbox_conformal.method.risk.exact import as_typed
from blackbox_conformal.support.types import Image, Map

Errors = NDArray[np.float64]
"""(3,): mean squared error with white = 1, mean of ``(1 - SSIM) / 2``, mean of the metric by its bound: in [0, 1]."""

LEAST: Errors = np.array([255.0**-2, 1e-3, 1e-3])
"""Added to the errors from the known picture, which the vendor may deliver itself."""


def whole_errors(truth: Image, delivered: Image, metric: float) -> Errors:
    """The errors of `delivered` from `truth`, both (H, W, 3) uint8; `metric`: the mean of its map by its bound.

    Of (H, W, bands) uint16 the squared error is in shares of their range, and the dissimilarity, which there is none
    of, is the largest.
    """
    deep = truth.dtype == np.uint16
    dissimilar = 1.0 if deep else structural_dissimilarity(truth, delivered).mean(dtype=np.float64)
    return np.array([squared_error(truth, delivered), dissimilar, metric])


def squared_error(truth: Image, delivered: Image) -> float:
    """The first of the errors."""
    height, width = delivered.shape[:2]
    squares = int(summed_squares(delivered, truth, np.zeros((height, width), np.uint8), 1)[0])
    return float(squares / (3 * 255**2 * height * width))


def squared_errors(truth: Image, delivered: Image) -> Map:
    """Of every pixel, (H, W)."""
    apart = (truth.astype(np.float32) - delivered.astype(np.float32)) / 255
    errors: Map = np.square(apart).mean(axis=2)
    return errors


def foretold_psnr(squared: float) -> float:
    """PSNR in dB, at most 48, by the mean squared error from a picture that is known without the truth.

    The certified PSNR is half of it and what the calibration adds, so both rank pictures alike.
    """
    return -10 * math.log10(squared + float(LEAST[0]))


@dataclass(frozen=True, eq=False)
class WholeErrors:
    """Errors of the delivered pictures of n photographs.

    Attributes
    ----------
    values
        (n, 2, 3) float64: of each photograph the `Errors` from the truth, and those from the known picture with `LEAST`
        added. Of a refused photograph inf and 1; NaN where nothing is known of it.
    """

    values: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(cls, from_truth: Errors, from_known: Errors) -> Self:
        """One photograph; `from_known` with `LEAST` added."""
        return cls(np.stack([from_truth, from_known])[None])

    @classmethod
    def refused(cls) -> Self:
        """A photograph that the vendor refused, which counts as the worst."""
        return cls.of(np.full(3, np.inf), np.ones(3))

    @classmethod
    def unknown(cls, n: int) -> Self:
        """`n` photographs of which nothing is known."""
        return cls(np.full((n, 2, 3), np.nan))

    @classmethod
    def together(cls, parts: Iterable["WholeErrors"]) -> Self:
        """All photographs of `parts`, in order."""
        return cls(np.concatenate([np.empty((0, 2, 3)), *(part.values for part in parts)]))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` wrote."""
        values = np.frombuffer(content, "<f8").reshape(-1, 2, 3).astype(np.float64)
        unknown = np.isnan(values).all(axis=(1, 2))
        truth, known = values[~unknown, 0], values[~unknown, 1]
        refused = np.isposinf(truth).all(axis=1)
        right = (
            (truth[~refused] >= 0).all()
            and (truth[~refused] <= 1).all()
            and (known[refused] == 1).all()
            and (known >= LEAST).all()
            and (known <= 1 + LEAST).all()
        )
        if not right:
            raise ValueError("expected errors of whole pictures; a value is out of its range")
        return cls(values)

    def to_bytes(self) -> bytes:
        """The values as little-endian float64, row by row."""
        return self.values.astype("<f8").tobytes()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Sequence[int]) -> "WholeErrors":
        return WholeErrors(self.values[list(rows)])

    @property
    def known(self) -> "WholeErrors":
        """The photographs of which something is known."""
        return self[np.flatnonzero(~np.isnan(self.values[:, 0, 0])).tolist()]

    @property
    def ratios(self) -> NDArray[np.float64]:
        """(n, 3): the error from the truth by the square root of that from the known picture."""
        return self.values[:, 0] / np.sqrt(self.values[:, 1])

    def largest_ratios(self, miss_rate: float) -> NDArray[np.float64]:
        """(3,): what the ratio of a new photograph exceeds with a probability of at most `miss_rate`; inf: not known.

        The k-th largest of n, ``k = floor(miss_rate (n + 1))``: of n + 1 exchangeable ratios at most k exceed the k-th
        largest of the others (Vovk, Gammerman and Shafer 2005, Proposition 4.1).
        """
        known = self.known
        rank = math.floor(as_typed(miss_rate) * (len(known) + 1))
        return np.sort(known.ratios, axis=0)[len(known) - rank] if rank else np.full(3, np.inf)
