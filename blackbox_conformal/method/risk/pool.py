"""The mean of several curves as one curve: tiles of one photograph become one unit."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.risk.curve import RiskCurve
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.method.risk.exact import largest_loss


@lru_cache(maxsize=4)
def pool(curves: CurveSet, labels: tuple[Hashable, ...]) -> CurveSet:
    """One curve a label, in order of first appearance: the mean of its curves at every threshold.

    The mean is exact in whole numbers and then rounded up to float32, never down. Trusted shares are not carried over.
    """
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    return CurveSet.from_curves([_mean(curves.subset(np.array(indices))) for indices in members.values()])


def mean_of_clusters(values: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    """The mean of `values`, (m,) float64, in each cluster, in order of first appearance."""
    if len(clusters) != len(values):
        raise UsageError(f"expected one cluster for each of {len(values)} pictures; got {len(clusters)}")
    # Labels keep the order in which they first appear, so that curves and values stay in step.
    index = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    owner = np.array([index[name] for name in clusters], dtype=np.int64)
    return np.bincount(owner, values) / np.bincount(owner)


def _mean(curves: CurveSet) -> RiskCurve:
    if len(curves) == 1:
        only = curves[0]
        # A photograph in one tile keeps its curve to the bit; only the trusted shares go, as for the others.
        return replace(only, area_scores=None, area_shares=None)
    # Rounded up, but never above the bound, which rounding may pass and the mean cannot.
    losses = np.minimum(curves.merged.means_up(len(curves)), largest_loss(curves.bound))
    grows = losses > np.r_[np.float32(0), losses[:-1]]
    scores = curves.merged.scores.astype(np.float32)
    return replace(curves[0], scores=scores[grows], losses=losses[grows], area_scores=None, area_shares=None)
