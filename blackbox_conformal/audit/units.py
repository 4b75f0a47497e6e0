"""From a guarantee with groups or clusters to the plain guarantee and the curves of its units, which split at random.

No split is made here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.audit.claim import mean_of_clusters
from blackbox_conformal.errors import CalibrationError
from blackbox_conformal.guarantees.base import Guarantee, require_length
from blackbox_conformal.guarantees.by_cluster import ByCluster
from blackbox_conformal.guarantees.by_group import ByGroup
from blackbox_conformal.risk.pack import CurveSet
from blackbox_conformal.risk.pool import pool


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

    rule: Guarantee
    curves: CurveSet
    parts: CurveSet
    clusters: tuple[str, ...] | None

    def trusted_shares_at(self, threshold: float) -> NDArray[np.float64]:
        """(units,) float64: the trusted share of each photograph, a mean over its tiles."""
        shares = self.parts.trusted_shares_at(threshold)
        return shares if self.clusters is None else mean_of_clusters(shares, self.clusters)


def units_of(rule: Guarantee, curves: CurveSet) -> Units:
    """The units of `rule`: photographs of its group, tiles put together.

    Raises
    ------
    CalibrationError
        No photograph is of the group.
    """
    if isinstance(rule, ByGroup):
        require_length("groups", rule.groups, curves)
        own = np.flatnonzero(np.array(rule.groups, dtype=object) == rule.group_new)
        if not own.size:
            known = ", ".join(sorted(set(rule.groups)))
            raise CalibrationError(
                f"expected calibration photographs of group {rule.group_new!r}; there are none, only {known}. "
                "Nothing is trusted in that group, so there is nothing to audit"
            )
        return units_of(rule.inner.restrict(own), curves.subset(own))
    if isinstance(rule, ByCluster):
        require_length("clusters", rule.clusters, curves)
        return Units(rule.inner, pool(curves, rule.clusters), curves, rule.clusters)
    return Units(rule, curves, curves, None)


def pooled(units: Units, unseen: CurveSet, clusters: Sequence[str] | None) -> CurveSet | None:
    """Calibration and audit units in one set; None where they are of different kinds, photographs and tiles."""
    if (units.clusters is None) != (clusters is None):
        return None
    new = unseen if clusters is None else pool(unseen, tuple(clusters))
    return CurveSet.from_curves([*units.curves, *new])
