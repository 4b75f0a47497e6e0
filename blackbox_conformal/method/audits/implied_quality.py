"""What a guarantee promises of picture quality inside the mask, where it promises anything."""

import math
from dataclasses import dataclass

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.guarantees.corollaries import level_given_trust, psnr
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class QualityBounds:
    """Lower bounds on quality inside the mask; NaN where none follows.

    Attributes
    ----------
    psnr, ssim
        On the mean over photographs, an empty mask counting as perfect: ``psnr`` in dB in the space that `words` name.
    psnr_if_trusted, ssim_if_trusted
        On the mean over those photographs whose mask is not empty, which is the mean that can be measured: the level
        becomes alpha divided by the share of such photographs.
    words
        What is bounded, or why nothing is.
    """

    psnr: float
    psnr_if_trusted: float
    ssim: float
    ssim_if_trusted: float
    words: str


def promise(rule: Guarantee, alpha: float, metric: Metric, nonempty_share: float) -> QualityBounds:
    """What `rule` at `alpha` says of PSNR and SSIM inside the mask.

    Parameters
    ----------
    nonempty_share
        The share of photographs whose mask is not empty, in [0, 1].

    Notes
    -----
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
