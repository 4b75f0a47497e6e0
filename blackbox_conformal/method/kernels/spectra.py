"""Measure distances between two pictures at each pixel over any number of bands, and moments of draws of such pictures.

A value's share of its range is its level by the largest of its type: 65535 of declared bands, 255 of 8-bit sRGB.
"""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError
from blackbox_conformal.method.kernels._checks import levels
from blackbox_conformal.method.kernels.distance import Planes
from blackbox_conformal.method.kernels.moments import Moments
from blackbox_conformal.support.types import Image, Map

_ROWS = 32  # Rows worked on at once, in 64 bits, so that temporaries stay small.


def band_planes(pixels: Image) -> Planes:
    """Return shares of the range: (bands, H, W) float32 in [0, 1], correctly rounded."""
    pixels = levels(pixels)
    planes = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    for band, plane in enumerate(planes):
        np.divide(pixels[:, :, band], _largest(pixels), out=plane, dtype=np.float64, casting="unsafe")
    return planes


def band_difference(truth: Image, delivered: Image) -> Planes:
    """Return signed differences of shares of the range: (bands, H, W) float32 in [-1, 1], correctly rounded."""
    truth, delivered = _pair(truth, delivered)
    planes = np.empty((truth.shape[2], *truth.shape[:2]), np.float32)
    for band, plane in enumerate(planes):
        apart = truth[:, :, band].astype(np.int32) - delivered[:, :, band]
        np.divide(apart, _largest(truth), out=plane, dtype=np.float64, casting="unsafe")
    return planes


def band_l1(truth: Image, delivered: Image) -> Map:
    """Return the mean over bands of absolute differences: (H, W) float32 in [0, 1], correctly rounded."""
    truth, delivered = _pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    for rows, apart in _apart(truth, delivered):
        out[rows] = np.abs(apart).sum(axis=2, dtype=np.int64) / (truth.shape[2] * _largest(truth))
    return out


def band_linf(truth: Image, delivered: Image) -> Map:
    """Return the largest absolute difference over bands: (H, W) float32 in [0, 1], correctly rounded."""
    truth, delivered = _pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    for rows, apart in _apart(truth, delivered):
        out[rows] = np.abs(apart).max(axis=2) / _largest(truth)
    return out


def spectral_angle(truth: Image, delivered: Image) -> Map:
    """Return the angle between the two spectra of a pixel: (H, W) float32 in radians, exactly 0 where they are equal.

    Spectra of 0 in all bands have no direction: two of them are 0 apart, and one lies at a right angle to any other.

    By W. Kahan, How futile are mindless assessments of roundoff (2006), section 12: small angles lose no digits.
    """
    truth, delivered = _pair(truth, delivered)
    out = np.empty(truth.shape[:2], np.float32)
    for top in range(0, truth.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        first, second = (_unit(picture[rows].astype(np.float64)) for picture in (truth, delivered))
        apart, together = (np.sqrt(np.square(each).sum(axis=2)) for each in (first - second, first + second))
        angle = 2 * np.arctan2(apart, together)
        angle[first.any(axis=2) != second.any(axis=2)] = np.pi / 2
        out[rows] = angle
    return out


class BandMoments(Moments):
    """`Moments` of draws of declared bands, (H, W, bands) uint16: also exact in integers.

    Memory for H x W pixels: 4 H W bytes a band and 8 H W more.
    """

    def add(self, *draws: Image) -> None:
        """Take draws, each (H, W, bands) uint16; errors as of `Moments`."""
        for pixels in draws:
            pixels = levels(pixels)
            if self.draws == 0:
                self.sums = np.zeros(pixels.shape, np.uint32)
                self.squares: NDArray[Any] = np.zeros(self.shape, np.uint64)
            if pixels.shape != (*self.shape, self.sums.shape[2]):
                raise ImageError(f"expected every draw to be {self.sums.shape}; got {pixels.shape}. Give one size")
            # At most 4096 draws of 1024 bands: sums stay below 2^28, and draws times squares below 2^54 a band.
            self.sums += pixels
            for band in range(pixels.shape[2]):
                self.squares += np.square(pixels[:, :, band], dtype=np.uint64)
            self.draws += 1

    def variance(self) -> Map:
        """Return the variance over the draws with divisor M, summed over bands: (H, W) float32 in [0, bands / 4]."""
        out = np.empty(self.shape, np.float32)
        for top in range(0, self.shape[0], _ROWS):
            rows = slice(top, top + _ROWS)
            of_sums = np.square(self.sums[rows], dtype=np.uint64).sum(axis=2)
            out[rows] = (np.uint64(self.draws) * self.squares[rows] - of_sums) / (65535.0 * self.draws) ** 2
        return out

    def mean_image(self) -> Image:
        """Return the mean picture rounded half up, exactly: (H, W, bands) uint16."""
        mean: Any = ((2 * self.sums.astype(np.int64) + self.draws) // (2 * self.draws)).astype(np.uint16)
        return mean  # type: ignore[no-any-return]

    def merge(self, other: Self) -> None:
        """Add the draws of `other`."""
        if other.draws and not self.draws:
            self.sums, self.squares = np.zeros_like(other.sums), np.zeros_like(other.squares)
        super().merge(other)

    def _make_room(self, draws: int) -> None:
        """There is room for 4096, the most that a procedure may have."""


def moments_of(shape: tuple[int, int], pixels: Image) -> Moments:
    """Return empty moments for draws like `pixels`, of `shape` = (H, W)."""
    return BandMoments(shape) if getattr(pixels, "dtype", None) == np.uint16 else Moments(shape)


def _largest(pixels: Image) -> int:
    return int(np.iinfo(pixels.dtype).max)


def _pair(truth: Image, delivered: Image) -> tuple[Image, Image]:
    truth, delivered = levels(truth), levels(delivered)
    if truth.shape != delivered.shape or truth.dtype != delivered.dtype:
        raise ImageError(
            "expected the true and the delivered image to have one size; got "
            f"{truth.shape[1]}x{truth.shape[0]} and {delivered.shape[1]}x{delivered.shape[0]} (width x height), with "
            f"{truth.shape[2]} bands of {truth.dtype} and {delivered.shape[2]} of {delivered.dtype}"
        )
    return truth, delivered


def _apart(truth: Image, delivered: Image) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    for top in range(0, truth.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        yield rows, truth[rows].astype(np.int32) - delivered[rows]


def _unit(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.sqrt(np.square(spectra).sum(axis=2, keepdims=True))
    unit: NDArray[np.float64] = np.divide(spectra, length, out=np.zeros_like(spectra), where=length > 0)
    return unit


def warm_up() -> None:
    """Do nothing, as nothing here is compiled."""
