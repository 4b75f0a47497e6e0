"""How many photographs a level needs, what a number of photographs can reach, and what a tighter level would cost.

Prices come from the caller; nothing is drawn and nothing is spent.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from blackbox_conformal.guarantees.base import Guarantee


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
        Photographs at hand.
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

    A price of 0 buys nothing beyond the n at hand: the budget then sets no limit that could be computed.
    """
    total = n + (math.floor(budget_usd / usd_per_image) if usd_per_image > 0 else 0)
    return total, guarantee.reachable_alpha(total, bound)
