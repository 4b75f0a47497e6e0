"""Picture quality inside and outside a mask: the figures that make a trusted share mean something."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.support.types import Image, Mask


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality over some pixels; NaN where there are none.

    Attributes
    ----------
    psnr
        Peak signal-to-noise ratio in dB, sRGB.
    psnr_in_space
        The same in the metric's own colour space, peak 1, which is the one a guarantee bounds; NaN for other metrics.
    ssim
        Mean structural similarity of the luminance.
    """

    psnr: float
    psnr_in_space: float
    ssim: float


NO_PIXELS = Quality(math.nan, math.nan, math.nan)


class QualityMaps:
    """The maps that quality is averaged from, made once a picture and asked for many masks.

    Parameters
    ----------
    truth, delivered
        (H, W, 3) uint8; or (H, W, bands) uint16 of declared bands, of which only a PSNR in shares of their range is
        measured.
    metric
        The metric; a PSNR in its space is measured where its map bounds the root mean square error.
    """

    def __init__(self, truth: Image, delivered: Image, metric: Metric | None = None) -> None:
        # Widened first, since a difference of bytes wraps.
        deep = truth.dtype == np.uint16
        wide: Any = np.int64 if deep else np.int32
        difference = truth.astype(wide) - delivered
        self._squares: NDArray[Any] = np.square(difference).sum(axis=2, dtype=difference.dtype)
        if deep:
            unknown = np.broadcast_to(np.float32(math.nan), self._squares.shape)
            self._dissimilarity, self._peak = unknown, math.nan
            self._in_space: Any = self._squares / (truth.shape[2] * 65535.0**2)
            return
        # Squares are of three channels of 255 levels.
        self._peak = 3 * 255.0**2
        self._dissimilarity = structural_dissimilarity(truth, delivered)
        planes = None if metric is None else metric.channel_differences(truth, delivered)
        # In float64, since a mean over millions of pixels is taken of it.
        self._in_space = None if planes is None else np.square(planes, dtype=np.float64).mean(axis=0)

    def over(self, mask: Mask | None = None) -> Quality:
        """Quality over the pixels of (H, W) `mask`, or over the whole picture."""
        count = self._squares.size if mask is None else int(np.count_nonzero(mask))
        if count == 0:
            return NO_PIXELS
        where = np.True_ if mask is None else mask
        # Whole numbers: the sum is exact for pictures of any size.
        squares = int(self._squares.sum(where=where, dtype=np.int64))
        similar = 1.0 - 2.0 * float(self._dissimilarity.sum(where=where, dtype=np.float64)) / count
        inner = math.nan if self._in_space is None else decibels(float(self._in_space.sum(where=where)) / count)
        # Peak 1.
        return Quality(decibels(squares / (self._peak * count)), inner, similar)


def mean_quality(qualities: Sequence[Quality], weights: Sequence[float] | None = None) -> Quality:
    """The (weighted) mean over those pictures that have pixels to measure; NaN where there is none."""
    shares = np.ones(len(qualities)) if weights is None else np.asarray(weights, np.float64)

    def mean(values: list[float]) -> float:
        array = np.array(values, np.float64)
        defined = ~np.isnan(array)
        return float(np.average(array[defined], weights=shares[defined])) if defined.any() else math.nan

    return Quality(
        mean([quality.psnr for quality in qualities]),
        mean([quality.psnr_in_space for quality in qualities]),
        mean([quality.ssim for quality in qualities]),
    )


def decibels(error: float) -> float:
    """PSNR of a mean squared error, peak 1; NaN of NaN, +inf of 0."""
    if math.isnan(error):
        return math.nan
    return math.inf if error == 0 else -10.0 * math.log10(error)


def squared_error(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """Mean squared error over the masked pixels and the three channels, on [0, 1] values; NaN for an empty mask."""
    # A difference of bytes wraps in 8 bits and fits 16.
    difference = truth.astype(np.int16) - delivered
    if mask is not None:
        difference = difference[mask]
    if difference.size == 0:
        return math.nan
    return float(np.square(difference.astype(np.int32)).mean(dtype=np.float64)) / 255.0**2


def peak_signal_to_noise(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """PSNR in dB over the masked pixels; NaN for an empty mask, +inf for equal pixels."""
    return decibels(squared_error(truth, delivered, mask))
