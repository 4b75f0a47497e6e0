"""Picture quality inside and outside a mask, the promised bounds on it, and photographs that are worse than
certified."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.confidence import LEVEL
from blackbox_conformal.method.audits.verdict import judge
from blackbox_conformal.method.guarantees.corollaries import level_given_trust, psnr
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.kernels.similarity import structural_dissimilarity
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.exact import as_typed
from blackbox_conformal.method.risk.whole_errors import WholeErrors
from blackbox_conformal.support.blocks import Block, How, Note, Table
from blackbox_conformal.support.types import Image, Mask
from blackbox_conformal.support.wording import at_most

TITLE = "Photographs whose whole picture is worse than certified: on average at most the share that is named"

MEASURES = "PSNR", "SSIM", "mean error"


@dataclass(frozen=True, slots=True)
class QualityMisses:
    """Photographs that are worse than certified, by one measure.

    `claimed` is the share allowed, on average over calibrations. `interval` is for the share of all such photographs
    with this calibration, each end a 95 % bound. `p_value` is the probability that photographs like the calibration's
    miss as often; None: their number was not fixed before looking.
    """

    measure: str
    n: int
    misses: int
    claimed: float
    interval: tuple[float, float]
    p_value: float | None


def quality_misses(
    calibrated: WholeErrors, ratios: Sequence[Sequence[float]], claimed: float, *, fixed: bool
) -> tuple[QualityMisses, ...]:
    """Judge the ratios of audited photographs, one row each, by every measure that is certified of some picture.

    `fixed` says whether the number of photographs was fixed before looking.
    """
    found = []
    limits, measured = calibrated.largest_ratios(claimed), np.array(ratios, np.float64).reshape(-1, 3)
    for measure, limit, column in zip(MEASURES, limits, measured.T, strict=True):
        if not math.isfinite(limit) or not column.size:
            continue
        missed = column > limit
        misses, n = int(missed.sum()), column.size
        interval = judge(missed.astype(np.float64), claimed, 1.0, exact=fixed).interval
        p_value = chance_of_misses(len(calibrated), n, misses, claimed) if fixed else None
        found.append(QualityMisses(measure, n, misses, claimed, interval, p_value))
    return tuple(found)


def chance_of_misses(n: int, m: int, misses: int, claimed: float) -> float:
    """Return the probability that at least so many of m new ratios exceed the k-th largest of n.

    All ratios are exchangeable and ``k = floor(claimed (n + 1))``. The orders of n + m different numbers are counted;
    ties only make misses rarer.
    """
    k = math.floor(as_typed(claimed) * (n + 1))
    orders = sum(math.comb(j + k - 1, j) * math.comb(m - j + n - k, m - j) for j in range(misses, m + 1))
    return float(orders / math.comb(n + m, m))


def quality_blocks(found: Sequence[QualityMisses]) -> Iterator[Block]:
    """Yield a table, and before it a sentence for each measure that misses too often."""
    if not found:
        yield Note("", {"quality": []})
        return
    for one in found:
        if one.p_value is not None and one.p_value <= LEVEL / len(found):
            yield Note(
                f"Of {one.n} photographs {one.misses} have a {one.measure} worse than certified; of photographs like "
                f"the calibration's as many have with a probability of at most {at_most(100 * one.p_value, 2)} %, so "
                "certified qualities do not hold for photographs like these."
            )
    columns: dict[str, How] = {
        "certified": "{measure}",
        "at most": "{claimed:share}",
        "worse": "{misses} of {n}",
        "90 % interval": "{interval:between}",
    }
    rows = [asdict(one) for one in found]
    yield Table("quality", columns, rows, title=TITLE, detail=True)


@dataclass(frozen=True, slots=True)
class QualityBounds:
    """Lower bounds on quality inside the mask; NaN where none follows.

    `psnr` and `ssim` bound the mean over photographs, an empty mask counting as perfect; `psnr` is in dB in the space
    that `words` names. `psnr_if_trusted` and `ssim_if_trusted` bound the mean over photographs whose mask is not empty,
    which can be measured. `words` says which quality is bounded, or why none is.
    """

    psnr: float
    psnr_if_trusted: float
    ssim: float
    ssim_if_trusted: float
    words: str


def promise(rule: Guarantee, alpha: float, metric: Metric, nonempty_share: float) -> QualityBounds:
    """Return the bounds by `rule` at `alpha` on PSNR and SSIM inside the mask, given the share of non-empty masks.

    PSNR: Adame, Csillag and Goedert (2025), Proposition 3.1. SSIM, for the metric ``ssim`` without a window: every
    trusted pixel has SSIM at least ``1 - 2 sup D``, so the expected mean is at least ``1 - 2 alpha``.
    """
    if rule.miss_rate is not None:
        # The bound holds in each such photograph, so an empty mask changes nothing.
        whose, trusted = f"in each of at least {100 * (1 - rule.miss_rate):g} % of photographs", alpha
    else:
        whose = "on average over photographs whose mask is not empty, so that alpha is divided by their share"
        # With no mask to measure, any level is true; alpha keeps the table free of a division by 0.
        trusted = level_given_trust(alpha, nonempty_share) if nonempty_share else alpha
    if metric.pointwise_dissimilarity and metric.cap is None and rule.needs.curve_kind == "supremum":
        words = f"mean SSIM over trusted pixels, {whose}"
        return QualityBounds(math.nan, math.nan, 1 - 2 * alpha, 1 - 2 * trusted, words)
    try:
        always = psnr(rule, alpha, metric).decibels
        given = psnr(rule, trusted, metric).decibels
    except UsageError:
        return QualityBounds(
            math.nan, math.nan, math.nan, math.nan,
            "no PSNR or SSIM follows from this metric and guarantee; a PSNR follows from a bound on the largest error "
            "of lab-l1, rgb-l1 or rgb-linf without window and cap, a mean SSIM from one of ssim without either",
        )  # fmt: skip
    words = f"PSNR over trusted pixels in {metric.space} with peak 1, {whose}"
    return QualityBounds(always, given, math.nan, math.nan, words)


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality over some pixels; NaN where there are none.

    `psnr` is in dB in sRGB. `psnr_in_space` is in the metric's own colour space, peak 1, which a guarantee bounds (NaN
    for other metrics). `ssim` is the mean structural similarity of the luminance.
    """

    psnr: float
    psnr_in_space: float
    ssim: float


NO_PIXELS = Quality(math.nan, math.nan, math.nan)


class QualityMaps:
    """The maps behind quality averages, made once per picture for many masks.

    `truth` and `delivered` are (H, W, 3) uint8, or (H, W, bands) uint16, which have only a PSNR in shares of their
    range. A `metric` adds a PSNR in its space where its map bounds the root mean square error.
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
        self._peak = 3 * 255.0**2
        self._dissimilarity = structural_dissimilarity(truth, delivered)
        planes = None if metric is None else metric.channel_differences(truth, delivered)
        # In float64, since its mean is taken over millions of pixels.
        self._in_space = None if planes is None else np.square(planes, dtype=np.float64).mean(axis=0)

    def over(self, mask: Mask | None = None) -> Quality:
        """Return the quality over the pixels of (H, W) `mask`, or over the whole picture."""
        count = self._squares.size if mask is None else int(np.count_nonzero(mask))
        if count == 0:
            return NO_PIXELS
        where = np.True_ if mask is None else mask
        squares = int(self._squares.sum(where=where, dtype=np.int64))
        similar = 1.0 - 2.0 * float(self._dissimilarity.sum(where=where, dtype=np.float64)) / count
        inner = math.nan if self._in_space is None else decibels(float(self._in_space.sum(where=where)) / count)
        return Quality(decibels(squares / (self._peak * count)), inner, similar)


def mean_quality(qualities: Sequence[Quality], weights: Sequence[float] | None = None) -> Quality:
    """Return the (weighted) mean over the pictures that have pixels to measure; NaN where there is none."""
    shares = np.ones(len(qualities)) if weights is None else np.asarray(weights, np.float64)

    def mean(values: list[float]) -> float:
        array = np.array(values, np.float64)
        defined = ~np.isnan(array)
        return float(np.average(array[defined], weights=shares[defined])) if defined.any() else math.nan

    return Quality(
        psnr=mean([quality.psnr for quality in qualities]),
        psnr_in_space=mean([quality.psnr_in_space for quality in qualities]),
        ssim=mean([quality.ssim for quality in qualities]),
    )


def decibels(error: float) -> float:
    """Return the PSNR of a mean squared error, peak 1; NaN of NaN, +inf of 0."""
    if math.isnan(error):
        return math.nan
    return math.inf if error == 0 else -10.0 * math.log10(error)


def squared_error(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """Return the mean squared error over masked pixels and three channels, on [0, 1] values; NaN for an empty mask."""
    # A difference of bytes wraps in 8 bits and fits 16.
    difference = truth.astype(np.int16) - delivered
    if mask is not None:
        difference = difference[mask]
    if difference.size == 0:
        return math.nan
    return float(np.square(difference.astype(np.int32)).mean(dtype=np.float64)) / 255.0**2


def peak_signal_to_noise(truth: Image, delivered: Image, mask: Mask | None = None) -> float:
    """Return the PSNR in dB over the masked pixels; NaN for an empty mask, +inf for equal pixels."""
    return decibels(squared_error(truth, delivered, mask))
