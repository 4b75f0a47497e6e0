"""Two earlier ways to mark untrusted pixels, as rows to compare with: interval images and soft masks.

Each is calibrated on its own terms. Neither bounds the largest error among trusted pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import upper_bound
from blackbox_conformal.support.types import Image, Map

MISCOVERAGE = 0.1
"""Interval images: the share of colour values that may lie outside their intervals."""

FAILURE = 0.1
"""Both: how often the calibration, or the picture, may miss its goal."""

INTERVAL_LABEL = (
    f"no guarantee on errors: intervals cover {1 - MISCOVERAGE:.0%} of colour values with confidence "
    f"{1 - FAILURE:.0%}; trusted where the interval is narrower than alpha (sRGB L1)"
)
SOFT_LABEL = (
    "no guarantee on the largest error: the mean error weighted by the mask "
    f"is at most alpha in {1 - FAILURE:.0%} of pictures"
)

_RATIOS = 1024
SCALES: NDArray[np.float64] = 2.0 ** np.arange(-40, 6.5, 0.5)
"""Scales that soft masks choose from, fixed beforehand."""

_QUANTUM = 0.5 / 255
"""Half an 8-bit step: an interval of equal draws still has the width of what rounding hides."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Interval image of one photograph.

    Attributes
    ----------
    width
        (H, W) float32: how far the interval reaches from the delivered colour, summed over channels, unscaled.
    ratios
        (1025,) float32, ascending: quantiles, rounded up, of the scale at which a colour value's interval covers it.
    """

    width: Map
    ratios: NDArray[np.float32]


def intervals(draws: Sequence[Image], delivered: Image, truth: Image) -> Intervals:
    """Intervals between the 5 % and 95 % quantiles of the draws at each colour value.

    Angelopoulos, Kohli, Bates, Jordan, Malik, Alshaabi, Upadhyayula and Romano (2022), with sample quantiles.
    """
    ordered = np.sort(np.stack(draws), axis=0)
    last = len(draws) - 1
    low, high = ordered[int(0.05 * last)], ordered[last - int(0.05 * last)]
    below = np.maximum(delivered.astype(np.float32) - low, 0) / 255 + np.float32(_QUANTUM)
    above = np.maximum(high.astype(np.float32) - delivered, 0) / 255 + np.float32(_QUANTUM)
    error = (truth.astype(np.float32) - delivered) / 255
    needed = np.where(error < 0, -error / below, error / above).ravel()
    # "higher": quantiles are rounded up, so that coverage is never overstated.
    ratios = np.quantile(needed, np.linspace(0, 1, _RATIOS + 1), method="higher").astype(np.float32)
    return Intervals(np.maximum(below, above).sum(axis=2, dtype=np.float32), ratios)


def interval_scale(ratios: Sequence[NDArray[np.float32]]) -> float:
    """The least scale whose miscoverage is at most `MISCOVERAGE` with confidence 1 - `FAILURE`; inf when none is.

    Risk-controlling prediction sets (Bates, Angelopoulos, Lei, Malik and Jordan 2021) over photographs.
    """
    grid = np.stack(ratios)
    # Scales below a picture's median ratio miss half of its values and can never do.
    candidates = np.unique(grid[:, _RATIOS // 2 :])
    low, high = 0, candidates.size
    while low < high:
        middle = (low + high) // 2
        missed = (grid > candidates[middle]).sum(axis=1) / _RATIOS
        if upper_bound(np.minimum(missed, 1.0), FAILURE) <= MISCOVERAGE:
            high = middle
        else:
            low = middle + 1
    return float(candidates[low]) if low < candidates.size else float("inf")


def soft_mask(score_map: Map, scale: float) -> Map:
    """``min(1, scale / score_map)``: (H, W) float32 in [0, 1]; 0 everywhere at scale 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mask = np.minimum(np.float64(scale) / score_map.astype(np.float64), 1.0)
    # 0 divided by 0: at scale 0 nothing is trusted, whatever the score.
    bounded: Map = np.where(np.isnan(mask), 0.0, mask).astype(np.float32)
    return bounded


def soft_errors(score_map: Map, errors: Map) -> NDArray[np.float64]:
    """(scales,) float64: the mean error weighted by the soft mask of each of `SCALES`; nondecreasing."""
    order = np.argsort(score_map, axis=None)
    scores, errors = score_map.ravel()[order].astype(np.float64), errors.ravel()[order].astype(np.float64)
    whole = np.r_[0.0, np.cumsum(errors)]
    # A score of 0 beside an error makes the sum over it infinite; no scale reaches down to it.
    with np.errstate(over="ignore"):
        part = np.cumsum((errors / np.maximum(scores, np.finfo(np.float64).tiny))[::-1])[::-1]
    full = np.searchsorted(scores, SCALES, side="right")
    means: NDArray[np.float64] = (whole[full] + SCALES * np.r_[part, 0.0][full]) / scores.size
    return means


def soft_scale(errors: Sequence[NDArray[np.float64]], alpha: float) -> float:
    """The largest of `SCALES` that all but a share `FAILURE` of new pictures can bear; 0 when there is none.

    Kutiel, Cohen, Elad, Freedman and Rivlin (2023): a quantile over photographs of each one's largest scale.
    """
    # The k-th smallest of n + 1 exchangeable scales, as of a split conformal quantile.
    rank = int(FAILURE * (len(errors) + 1))
    borne = np.sort([np.count_nonzero(means <= alpha) for means in errors])
    count = int(borne[rank - 1]) if rank else 0
    return float(SCALES[count - 1]) if count else 0.0
