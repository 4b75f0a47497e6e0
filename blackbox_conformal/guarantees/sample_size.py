"""How many photographs a level needs, what a number of photographs can reach, and what a tighter level would cost."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.exact import as_typed, exact_bound


@dataclass(frozen=True, slots=True)
class Need:
    """What one level needs.

    Attributes
    ----------
    alpha
        The level.
    images
        Least number of photographs with which anything can be trusted at all, when none of them shows an error.
        A useful share of the picture takes more: two to four times as many is common.
    more
        How many of them are still missing.
    cost_usd
        What the missing ones cost, one price a photograph (all its draws); None when the price is not known.
    """

    alpha: float
    images: int
    more: int
    cost_usd: float | None


def need(guarantee: Guarantee, alpha: float, bound: float, n: int = 0, usd_per_image: float | None = None) -> Need:
    """What `alpha` needs when `n` photographs are there already.

    Parameters
    ----------
    guarantee
        The guarantee with its parameters.
    alpha
        The level wanted.
    bound
        The metric's bound B (1 for ``false-trust``).
    n
        Photographs that there are.
    usd_per_image
        Price of all draws of one photograph.
    """
    images = guarantee.minimum_images(alpha, bound)
    more = max(images - n, 0)
    return Need(alpha, images, more, None if usd_per_image is None else more * usd_per_image)


def needs(
    guarantee: Guarantee, alphas: Iterable[float], bound: float, n: int = 0, usd_per_image: float | None = None
) -> list[Need]:
    """`need` for each of several levels."""
    return [need(guarantee, alpha, bound, n, usd_per_image) for alpha in alphas]


def reachable(guarantee: Guarantee, n: int, bound: float, usd_per_image: float, budget_usd: float) -> tuple[int, float]:
    """How many photographs there are once `budget_usd` is spent, and the least level they can reach.

    A price of 0 buys nothing beyond the n that there are: the budget then sets no limit that could be computed.
    """
    total = n + (math.floor(budget_usd / usd_per_image) if usd_per_image > 0 else 0)
    return total, guarantee.reachable_alpha(total, bound)


def projection(guarantee: Guarantee, curves: CurveSet, alpha: float, n: int) -> tuple[float, float]:
    """Threshold and mean trusted share to expect of n photographs like these: an estimate, no guarantee.

    The mean curve is taken to stay as it is while the slack falls from ``B / (n_now + 1)`` to ``B / (n + 1)``.

    Raises
    ------
    UsageError
        The guarantee is not ``expected`` or ``false-trust`` without parameters, or n < 1.
    """
    if not guarantee.bounds_plain_sum or guarantee != type(guarantee)():
        raise UsageError("expected a plain expected or false-trust guarantee for a projection; got another one")
    if n < 1:
        raise UsageError(f"expected at least one photograph; got {n}")
    guarantee.check(curves, alpha)
    budget = (as_typed(alpha) * (n + 1) - exact_bound(curves.bound)) * len(curves) / n
    threshold = curves.merged.threshold(budget)
    return threshold, float(np.mean(curves.trusted_shares_at(threshold)))
