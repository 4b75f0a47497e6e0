"""How far whole pictures are from the truth: the delivered one, and others that may be shown instead.

`WholeErrors` bounds a new picture's error: split conformal prediction of the error by the square root of its distance
from a picture that is always known. Of powers from 0 to 1 the root served 63 pairs of networks and inputs of the trust
table best: on average 1.1 dB better than one bound for all pictures, and never worse.
"""

import math
from collections.abc import Iterable
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.below import first_above
from blackbox_conformal.method.kernels.distance import summed_squares
from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.risk.exact import as_typed
from blackbox_conformal.method.risk.rows import Rows
from blackbox_conformal.support.types import Image, Map

SHOWN = ("delivered", "consistent", "reference", "enlargement")
"""The pictures that may be shown, most detail first: the delivered picture, the same made consistent with the input,
the free reference, and plain enlargement (at scale 1 the input itself)."""

_SHARES = np.linspace(0, 1, 21)  # Shares of a picture's pixels below whose scores errors are summed.
PLACES = _SHARES.size - 1


class Twentieths(NamedTuple):
    """Every twentieth score of a photograph, ascending, (21,), and where among them each pixel's score lies, (H, W)."""

    steps: NDArray[np.float32]
    places: NDArray[np.uint8]  # k: not below the k-th score and below the next.

    @classmethod
    def of(cls, scores: Map) -> Self:
        """Find them in a score map, (H, W) float32."""
        ordered = np.sort(scores, axis=None)
        steps = ordered[np.ceil(_SHARES * (ordered.size - 1)).astype(np.int64)]
        return cls(steps, first_above(scores, np.append(steps[1:-1], np.inf)))


class ByScore(Rows):
    """Sums over the pixels whose score is below each twentieth score, for n photographs.

    `values`: (n, 1 + len(`names`), 21) float32. First every twentieth score, ascending. Then, for each of `names` and
      each of these scores, a sum over pixels with a lower score by the number of all pixels; at the last score over all
      pixels. NaN where there is no such sum, or nothing is known about the photograph.
    """

    names: ClassVar[tuple[str, ...]]
    channels: ClassVar[int] = 1  # Summed up in each sum.
    largest: ClassVar[int]  # No sum is larger.

    @classmethod
    def of_sums(cls, by: Twentieths, sums: Iterable[tuple[str, NDArray[np.float64 | np.int64]]]) -> Self:
        """Return one photograph from its sums over the pixels of each place, (`PLACES`,), and their names."""
        values = np.full(cls.row, np.nan, np.float32)
        values[0] = by.steps
        for name, each in sums:
            values[1 + cls.names.index(name)] = np.r_[0, each.cumsum()] / (cls.channels * by.places.size)
        return cls(values[None])

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        values = np.frombuffer(content, "<f4").reshape(-1, *cls.row).astype(np.float32)
        known = ~np.asarray(np.isnan(values[:, 1:]).any(axis=2))
        looked_at = np.asarray(known.any(axis=1))
        errors = values[:, 1:][known]
        right = (
            np.isnan(values[:, 1:][~known]).all()
            and (errors[:, :1] == 0).all()
            and (errors[:, 1:] >= errors[:, :-1]).all()
            and (errors <= cls.largest).all()
            and (np.isnan(values[:, 0]).all(axis=1) == ~looked_at).all()
            and (values[:, 0, 1:] >= values[:, 0, :-1])[looked_at].all()
        )
        if not right:
            raise ValueError("expected sums over the pixels of a photograph by score; a value is out of its range")
        return cls(values)


class SquaredErrors(ByScore):
    """Squared errors of pictures that may be shown: differences from the truth in grey levels, mean over channels."""

    names: ClassVar[tuple[str, ...]] = SHOWN
    row: ClassVar[tuple[int, ...]] = (1 + len(SHOWN), PLACES + 1)
    channels: ClassVar[int] = 3
    largest: ClassVar[int] = 255**2

    @classmethod
    def of(cls, by: Twentieths, truth: Image, pictures: Iterable[tuple[str, Image]]) -> Self:
        """Return one photograph from its scores and pictures, named as in `SHOWN`."""
        sums = ((name, summed_squares(picture, truth, by.places, PLACES)) for name, picture in pictures)
        return cls.of_sums(by, sums)

    def above(self, threshold: float) -> dict[str, float]:
        """Return the mean squared error where the score is at least `threshold`, by the name of the picture.

        It is a sum by the number of all pixels, a mean over the known photographs, and right to a twentieth of the
        pixels. At least the pixels with the highest scores count.
        """
        known, below = self.known.values, self._below(threshold, PLACES - 1)[0]
        errors = (known[:, 1:, -1] - below).astype(np.float64)
        if not len(known):
            return {}
        return {name: float(row.mean()) for name, row in zip(SHOWN, errors.T, strict=True) if not np.isnan(row).any()}

    def below(self, threshold: float) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Return the squared error where the score is below `threshold`, (n,) by the name of the picture, and shares.

        It is a sum by the number of all pixels, for the n known photographs, and so are their shares, (n,) of all
        pixels; both are right to a twentieth of the pixels.
        """
        below, steps = self._below(threshold, PLACES)
        errors = below.astype(np.float64).T
        found = {name: row for name, row in zip(SHOWN, errors, strict=True) if not np.isnan(row).any()}
        return found, _SHARES[steps]

    def _below(self, threshold: float, most: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        known = self.known.values
        steps = np.minimum((known[:, 0] < threshold).sum(axis=1), most)
        return np.take_along_axis(known[:, 1:], steps[:, None, None], axis=2)[..., 0], steps


# (3,): mean squared error with white = 1, mean of ``(1 - SSIM) / 2``, mean of the metric by its bound: in [0, 1].
Errors = NDArray[np.float64]
# Added to the errors from the known picture, since the vendor may deliver that picture itself.
LEAST: Errors = np.array([255.0**-2, 1e-3, 1e-3])


def whole_errors(truth: Image, delivered: Image, metric: float) -> Errors:
    """Return the errors of `delivered` from `truth`, both (H, W, 3) uint8; `metric`: the mean of its map by its bound.

    For (H, W, bands) uint16 pictures the squared error is in shares of their range, and the dissimilarity is the
    largest.
    """
    deep = truth.dtype == np.uint16
    dissimilar = 1.0 if deep else structural_dissimilarity(truth, delivered).mean(dtype=np.float64)
    return np.array([squared_error(truth, delivered), dissimilar, metric])


def squared_error(truth: Image, delivered: Image) -> float:
    """Return the squared error alone."""
    height, width = delivered.shape[:2]
    squares = int(summed_squares(delivered, truth, np.zeros((height, width), np.uint8), 1)[0])
    return float(squares / (3 * 255**2 * height * width))


def squared_errors(truth: Image, delivered: Image) -> Map:
    """Return the squared error of every pixel, (H, W)."""
    apart = (truth.astype(np.float32) - delivered.astype(np.float32)) / 255
    errors: Map = np.square(apart).mean(axis=2)
    return errors


def foretold_psnr(squared: float) -> float:
    """Return the PSNR in dB, at most 48, of the mean squared error from a picture that is known without the truth.

    The certified PSNR is half of this PSNR plus a constant from the calibration, so both rank pictures alike.
    """
    return -10 * math.log10(squared + float(LEAST[0]))


class WholeErrors(Rows):
    """Errors of the delivered pictures of n photographs.

    `values`: (n, 2, 3) float64: for each photograph the `Errors` from the truth, and the errors from the known picture
      with `LEAST` added. A refused photograph has inf and 1; NaN where nothing is known.
    """

    row: ClassVar[tuple[int, ...]] = (2, 3)
    stored: ClassVar[str] = "<f8"

    @classmethod
    def of(cls, from_truth: Errors, from_known: Errors) -> Self:
        """Return one photograph; `from_known` with `LEAST` added."""
        return cls(np.stack([from_truth, from_known])[None])

    @classmethod
    def refused(cls) -> Self:
        """Return a photograph that the vendor refused, which counts as the worst."""
        return cls.of(np.full(3, np.inf), np.ones(3))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
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

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Return the error from the truth by the square root of the error from the known picture: (n, 3)."""
        return np.asarray(self.values[:, 0] / np.sqrt(self.values[:, 1]))

    def largest_ratios(self, miss_rate: float) -> NDArray[np.float64]:
        """Return the bound, (3,), that a new ratio exceeds with probability `miss_rate` at most; inf: not known.

        It is the k-th largest of n, ``k = floor(miss_rate (n + 1))``: of n + 1 exchangeable ratios at most k exceed the
        k-th largest of the others (Vovk, Gammerman and Shafer 2005, Proposition 4.1).
        """
        known = self.known
        rank = math.floor(as_typed(miss_rate) * (len(known) + 1))
        return np.sort(known.ratios, axis=0)[len(known) - rank] if rank else np.full(3, np.inf)
