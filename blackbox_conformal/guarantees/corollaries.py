"""What follows from a threshold that was found: its sentence, a PSNR inside the mask, the level under data leakage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.metrics.metric import Metric

THREE_CHANNELS_DB = 10 * math.log10(3)
"""4.77 dB: a sum of absolute values over three channels is at least sqrt(3) times their root mean square."""


@dataclass(frozen=True, slots=True)
class Psnr:
    """A lower bound on the PSNR over trusted pixels, peak 1, in the metric's space.

    Attributes
    ----------
    decibels
        The bound.
    statement
        It in one sentence, with what it does not say.
    """

    decibels: float
    statement: str


def statement(guarantee: Guarantee, alpha: float, n: int, metric: Mapping[str, Any]) -> str:
    """The guarantee at `alpha` in plain words, for errors of a metric, with what a cap leaves open.

    Parameters
    ----------
    n
        How many photographs calibrate.
    metric
        Name and parameters, as `Metric.specification` gives them.
    """
    said = guarantee.statement(alpha, n, f"{metric.get('name', 'metric')} error")
    return " ".join(filter(None, [said, cap_note(guarantee, metric)]))


def cap_note(guarantee: Guarantee, metric: Mapping[str, Any]) -> str | None:
    """What a bound on a mean of errors leaves open where the metric has a cap; None where nothing is.

    Which errors lie above a level below the cap, and how many, is the same with the cap and without.
    """
    if metric.get("cap") is None or guarantee.needs.curve_kind == "share" or guarantee.miss_rate is not None:
        return None
    cap = float(metric["cap"])
    return f"Errors above {cap:g} count as {cap:g}: the guarantee does not tell an error of {cap:g} from a larger one."


def psnr(guarantee: Guarantee, alpha: float, metric: Metric) -> Psnr:
    """The PSNR that a guarantee at `alpha` implies (Adame, Csillag and Goedert 2025, Proposition 3.1).

    Parameters
    ----------
    guarantee, alpha
        The guarantee in force and its level.
    metric
        The metric; its map must bound each pixel's root mean square error from above. A sum of absolute differences
        over three channels, as in ``lab-l1`` and ``rgb-l1``, gives 4.77 dB more.

    Raises
    ------
    UsageError
        The premise is not true: an averaged, structural or capped metric, a share instead of a supremum, a level of 0.
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
    return Psnr(
        decibels,
        f"Wherever the guarantee speaks of an error of {alpha:g}, the PSNR over trusted pixels{average} in "
        f"{metric.space} with peak 1 is at least {decibels:.2f} dB, a mask without pixels counting as infinite. "
        f"It is no PSNR in any other colour space.",
    )


def leaked_level(alpha: float, n: int, leaked: int) -> float:
    """What a bound `alpha` on the mean loss becomes if `leaked` of n photographs were in the vendor's training set.

    ``alpha (n + 1) / (n - leaked + 1)`` (Adame, Csillag and Goedert 2025, Proposition 3.2).
    """
    if not 0 <= leaked <= n:
        raise UsageError(f"expected 0 to {n} leaked photographs of {n}; got {leaked}")
    return alpha * ((n + 1) / (n - leaked + 1))


def level_given_trust(alpha: float, nonempty_share: float) -> float:
    """What ``expected`` at `alpha` guarantees on average over those photographs whose mask is not empty.

    A mask without pixels has loss 0, so ``E[L | not empty] = E[L] / P(not empty) <= alpha / P(not empty)``.
    """
    if not 0 < nonempty_share <= 1:
        raise UsageError(f"expected a share of non-empty masks in (0, 1]; got {nonempty_share!r}")
    return alpha / nonempty_share
