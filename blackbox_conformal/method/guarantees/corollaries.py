"""Consequences of a threshold: its sentence, a PSNR inside the mask, the level under data leakage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.risk.curve import DETAIL, SHARES
from blackbox_conformal.support.catalog import of_specification
from blackbox_conformal.support.wording import exactly

MID_GREY = 128
LARGEST_BLOCK = 64  # A side in pixels: a larger wrong square is as bad as one of this side.
# The blind spot of every bound on invention.
BLIND = "Detail that the input does not show and the vendor leaves out is no invention: the clear part may lack it."
# 4.77 dB: a sum of absolute values over three channels is at least sqrt(3) times their root mean square.
THREE_CHANNELS_DB = 10 * math.log10(3)


@dataclass(frozen=True, slots=True)
class Psnr:
    """A lower bound on the PSNR over trusted pixels, peak 1, in the metric's space, with the limits of its claim."""

    decibels: float
    statement: str


def statement(guarantee: Guarantee, alpha: float, n: int, metric: Mapping[str, Any]) -> str:
    """Say the guarantee at `alpha` in plain words: the bounded error, its size, and what it allows.

    `n` photographs calibrate; `metric` is its name and parameters, as `Metric.specification` gives them.
    """
    measured = of_specification("metrics", dict(metric))
    kind, bounded = guarantee.needs.curve_kind, guarantee
    level = alpha if kind not in SHARES else guarantee.stated_tolerance
    if guarantee.beside is not None:
        bounded, level = guarantee.beside
    notes = () if level is None else (level_in_greys(measured, level), allowed_detail(measured, level))
    return " ".join(
        filter(
            None,
            [
                guarantee.statement(alpha, n, measured.error_in_words),
                *notes,
                guarantee.left_open,
                cap_note(bounded, metric),
                BLIND if measured.counts_detail and kind not in DETAIL else None,
            ],
        )
    )


def in_short(guarantee: Guarantee, alpha: float, n: int, metric: Mapping[str, Any]) -> str:
    """Say the guarantee at `alpha` in at most 25 words; arguments as of `statement`."""
    measured: Metric = of_specification("metrics", dict(metric))
    return guarantee.in_short(alpha, f"pictures like the {guarantee.counted(n)} calibrated", measured.error_in_short)


def error_in_words(metric: Mapping[str, Any]) -> str:
    """Say what a metric measures at a pixel, by its name and parameters; see `Metric.error_in_words`."""
    measured: Metric = of_specification("metrics", dict(metric))
    return measured.error_in_words


def level_in_greys(metric: Metric, level: float) -> str | None:
    """Say an error of `level` in grey levels; None where greys do not tell, or no two are so far apart."""
    greys = greys_apart(metric, level)
    if greys is None:
        return None
    return f"For scale: {exactly(level)} is an even grey of {greys[0]} that came back as {greys[1]} (of 255)."


def greys_apart(metric: Metric, level: float) -> tuple[int, int] | None:
    """Return two greys, 0 to 255, that differ by an error of `level`, from mid grey on where that is possible."""
    scale = metric.grey_scale
    if scale is None or not level:
        return None
    # From black, where the level is too large to fit above mid grey.
    for grey in (MID_GREY, 0):
        other = int(np.searchsorted(scale, scale[grey] + level))
        if grey < other < scale.size:
            return grey, other
    return None


def allowed_detail(metric: Metric, level: float) -> str | None:
    """Say how large a square may be wrong while no error exceeds `level`; None where less than a pixel may."""
    side = 0
    while side < LARGEST_BLOCK and (error := block_error(metric, side + 1)) is not None and error <= level:
        side += 1
    if not side:
        return None
    size = f" of up to {side}×{side} pixels" if side < LARGEST_BLOCK else " of any size"
    small = "Single pixels" if side == 1 else f"Single pixels and details{size}"
    return f"{small} may be wrong all the same, even {metric.opposites}."


@lru_cache(1024)
def block_error(metric: Metric, side: int) -> float | None:
    """Return `Metric.block_error`, computed once."""
    return metric.block_error(side)


def cap_note(guarantee: Guarantee, metric: Mapping[str, Any]) -> str | None:
    """Say what a bound on a mean of errors leaves open if the metric has a cap; None where it leaves nothing open.

    A cap above a level does not change which errors lie above the level, nor their number.
    """
    if metric.get("cap") is None or guarantee.needs.curve_kind in SHARES or guarantee.miss_rate is not None:
        return None
    cap = float(metric["cap"])
    return f"Errors above {cap:g} count as {cap:g}: the guarantee does not tell an error of {cap:g} from a larger one."


def psnr(guarantee: Guarantee, alpha: float, metric: Metric) -> Psnr:
    """Return the PSNR that a guarantee at `alpha` implies (Adame, Csillag and Goedert 2025, Proposition 3.1).

    The metric's map must bound each pixel's root mean square error from above. A sum of absolute differences over three
    channels, as in ``lab-l1`` and ``rgb-l1``, gives 4.77 dB more.
    """
    if not metric.pointwise_root_mean_square:
        raise UsageError(
            "expected a metric whose map bounds every pixel's root mean square error; got one that is averaged over "
            "neighbours or measures structure. No PSNR follows from it; calibrate lab-l1 or rgb-l1 pointwise"
        )
    if metric.cap is not None:
        raise UsageError(
            f"expected a metric without a cap; got cap={metric.cap:g}, and errors above it may be of any size, so no "
            "PSNR follows. Leave cap out"
        )
    if guarantee.needs.curve_kind != "supremum":
        raise UsageError(
            "expected a guarantee on the largest trusted error; one on a share of wrong pixels, or on all but a share, "
            "says nothing of how wrong those pixels are. Use expected, per-image or high-probability"
        )
    if not (math.isfinite(alpha) and alpha > 0):
        raise UsageError(f"expected alpha to be a finite number above 0; got {alpha!r}")
    decibels = -20 * math.log10(alpha) + (THREE_CHANNELS_DB if metric.sums_channels else 0.0)
    average = ", averaged over three channels," if metric.sums_channels else ""
    # Rounded down: an "at least" must not promise more than the bound.
    at_least = math.floor(100 * decibels) / 100
    return Psnr(
        decibels,
        f"Wherever the guarantee speaks of an error of {exactly(alpha)}, the PSNR over trusted pixels{average} in "
        f"{metric.space} with peak 1 is at least {at_least:.2f} dB, a mask without pixels counting as infinite. "
        f"It is no PSNR in any other colour space.",
    )


def leaked_level(alpha: float, n: int, leaked: int) -> float:
    """Return the level of a bound `alpha` on the mean loss if `leaked` of n photographs were in the training set.

    ``alpha (n + 1) / (n - leaked + 1)`` (Adame, Csillag and Goedert 2025, Proposition 3.2).
    """
    if not 0 <= leaked <= n:
        raise UsageError(f"expected 0 to {n} leaked photographs of {n}; got {leaked}")
    # The factor comes first, so that no leaked photograph gives exactly alpha.
    return alpha * ((n + 1) / (n - leaked + 1))


def level_given_trust(alpha: float, nonempty_share: float) -> float:
    """Return the level that ``expected`` at `alpha` keeps on average over photographs whose mask is not empty.

    A mask without pixels has loss 0, so ``E[L | not empty] = E[L] / P(not empty) <= alpha / P(not empty)``.
    """
    if not 0 < nonempty_share <= 1:
        raise UsageError(f"expected a share of non-empty masks in (0, 1]; got {nonempty_share!r}")
    return alpha / nonempty_share
