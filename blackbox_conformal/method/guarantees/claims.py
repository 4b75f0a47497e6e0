"""What a guarantee hands to those who test it: its claim about unseen losses, and the units that split at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.pool import mean_of_clusters, pool

if TYPE_CHECKING:
    from blackbox_conformal.method.guarantees.guarantee import Guarantee


@dataclass(frozen=True, slots=True)
class Claim:
    """The mean of `losses`, each in [0, `bound`], is claimed to be at most `level`.

    Attributes
    ----------
    losses
        (units,) one value a photograph, or a photograph's mean over its tiles.
    averages
        Whether the mean is also over calibration sets, so that a single calibration may lie above `level`; False
        where the claim is about the one calibration, at a stated confidence.
    binary
        Whether each loss is 0 or `bound`, by what the guarantee counts or by what its user says of the metric.
    """

    losses: NDArray[np.float64]
    level: float
    bound: float
    averages: bool = True
    binary: bool = False


@dataclass(frozen=True, eq=False)
class Units:
    """One curve a unit.

    Attributes
    ----------
    rule
        The guarantee without groups and clusters, for `curves`.
    curves
        One curve a photograph: its own, or the mean over its tiles.
    parts
        The curves that the units are made of, tiles or photographs.
    clusters
        The photograph that each of `parts` belongs to; None: each is one.
    """

    rule: "Guarantee"
    curves: CurveSet
    parts: CurveSet
    clusters: tuple[str, ...] | None

    def trusted_shares_at(self, threshold: float) -> NDArray[np.float64]:
        """(units,) float64: the trusted share of each photograph, a mean over its tiles."""
        shares = self.parts.trusted_shares_at(threshold)
        return shares if self.clusters is None else mean_of_clusters(shares, self.clusters)

    def pooled(self, unseen: CurveSet, clusters: Sequence[str] | None) -> CurveSet | None:
        """These units and those of an audit in one set; None where one kind are photographs and the other tiles."""
        if (self.clusters is None) != (clusters is None):
            return None
        new = unseen if clusters is None else pool(unseen, tuple(clusters))
        return CurveSet.from_curves([*self.curves, *new])
