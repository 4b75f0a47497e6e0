"""What a guarantee says about the losses of unseen photographs: which mean must stay below which level.

It is fixed before any loss is seen, and the guarantee itself says it. Whether it holds is judged in `verdict`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.guarantees.guarantee import Claim, Guarantee
from blackbox_conformal.method.risk.pool import mean_of_clusters


def claim(
    rule: Guarantee, losses: NDArray[np.float64], alpha: float, bound: float, clusters: Sequence[str] | None = None
) -> Claim:
    """The claim of `rule` at `alpha` about the (m,) `losses` of audited pictures.

    Parameters
    ----------
    clusters
        The photograph that each audited picture is a tile of, whose mean is one value; None: each is a photograph of
        its own.
    """
    # Before the claim is made: some guarantees say nothing of the mean over tiles.
    rule.refuse_unclaimed(clusters is not None)
    return rule.claim(losses if clusters is None else mean_of_clusters(losses, clusters), alpha, bound)


def quantity(rule: Guarantee, clusters: Sequence[str] | None = None, error: str = "error") -> str:
    """What an audit of `rule` measures, in words; `error` names the metric's error."""
    rule.refuse_unclaimed(clusters is not None)
    return rule.quantity("photographs" if clusters is None else "photographs, each the mean over its tiles", error)
