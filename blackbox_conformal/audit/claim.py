"""What a guarantee says about the losses of unseen photographs: which mean must stay below which level.

Whether it does is judged in `verdict`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.guarantees.by_group import ByGroup
from blackbox_conformal.guarantees.per_image import PerImage


@dataclass(frozen=True, slots=True)
class Claim:
    """The mean of `losses`, each in [0, `bound`], is claimed to be at most `level`."""

    losses: NDArray[np.float64]
    level: float
    bound: float


def claim(rule: Guarantee, losses: NDArray[np.float64], alpha: float, bound: float) -> Claim:
    """The claim of `rule` at `alpha` about the (m,) `losses` of audited photographs.

    Expected loss, its upper confidence bound and false trust speak of the mean loss. ``per-image`` speaks of the
    share of photographs whose loss exceeds the tolerance alpha: losses become 0 or 1, and the level is its delta.
    """
    if isinstance(rule, ByGroup):
        return claim(rule.inner, losses, alpha, bound)
    if isinstance(rule, PerImage):
        return Claim((losses > alpha).astype(np.float64), rule.delta, 1.0)
    return Claim(losses, alpha, bound)
