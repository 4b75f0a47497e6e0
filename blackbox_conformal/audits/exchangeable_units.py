"""Calibration and audit photographs in one pool of units, which can be split at random.

What the units of a guarantee are is the guarantee's own `unit_curves`. No split is made here.
"""

from collections.abc import Sequence

from blackbox_conformal.guarantees.claims import Units
from blackbox_conformal.risk.curve_set import CurveSet
from blackbox_conformal.risk.pool import pool


def pooled(units: Units, unseen: CurveSet, clusters: Sequence[str] | None) -> CurveSet | None:
    """Calibration and audit units in one set; None where they are of different kinds, photographs and tiles."""
    if (units.clusters is None) != (clusters is None):
        return None
    new = unseen if clusters is None else pool(unseen, tuple(clusters))
    return CurveSet.from_curves([*units.curves, *new])
