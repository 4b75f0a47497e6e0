"""What a guarantee says about the losses of unseen photographs: which mean must stay below which level.

It is fixed before any loss is seen. Whether it holds is judged in `verdict`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.base import Guarantee
from blackbox_conformal.guarantees.by_cluster import ByCluster
from blackbox_conformal.guarantees.by_group import ByGroup
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.guarantees.false_trust import FalseTrust
from blackbox_conformal.guarantees.high_probability import HighProbability
from blackbox_conformal.guarantees.per_image import PerImage


@dataclass(frozen=True, slots=True)
class Claim:
    """The mean of `losses`, each in [0, `bound`], is claimed to be at most `level`.

    Attributes
    ----------
    losses
        (units,) one value a photograph, or a photograph's mean over its tiles.
    averages
        Whether the mean is also over calibration sets, so that a single calibration may lie above `level`; False
        where the claim is about the calibration at hand, at a stated confidence.
    """

    losses: NDArray[np.float64]
    level: float
    bound: float
    averages: bool = True


def claim(
    rule: Guarantee, losses: NDArray[np.float64], alpha: float, bound: float, clusters: Sequence[str] | None = None
) -> Claim:
    """The claim of `rule` at `alpha` about the (m,) `losses` of audited pictures.

    Expected loss, its upper confidence bound and false trust speak of the mean loss. ``per-image`` speaks of the
    share of photographs whose loss exceeds the tolerance alpha: losses become 0 or 1, and the level is its delta.
    ``by-group`` claims within its group what the guarantee within claims. ``by-cluster`` speaks of photographs: the
    mean over a photograph's tiles is one value.

    Parameters
    ----------
    clusters
        The photograph that each audited picture is a tile of; None: each is a photograph of its own.

    Raises
    ------
    UsageError
        Nothing that losses could contradict is claimed; see `refuse_unclaimed`.
    """
    refuse_unclaimed(rule, clusters)
    plain = innermost(rule)
    if clusters is not None:
        losses = mean_of_clusters(losses, clusters)
    if isinstance(plain, PerImage):
        return Claim((losses > alpha).astype(np.float64), plain.delta, 1.0, averages=plain.confidence is None)
    return Claim(losses, alpha, bound, averages=not isinstance(plain, HighProbability))


def innermost(rule: Guarantee) -> Guarantee:
    """The guarantee within groups and clusters."""
    while isinstance(rule, ByGroup | ByCluster):
        rule = rule.inner
    return rule


def quantity(rule: Guarantee, clusters: Sequence[str] | None = None) -> str:
    """What an audit of `rule` measures, in words."""
    refuse_unclaimed(rule, clusters)
    if isinstance(rule, ByGroup):
        return f"within group {rule.group_new!r}, {quantity(rule.inner, clusters)}"
    inner = rule.inner if isinstance(rule, ByCluster) else rule
    unit = "photographs" if clusters is None else "photographs, each the mean over its tiles"
    if isinstance(inner, PerImage):
        return f"the share of {unit} with a trusted error above alpha, which is claimed to be at most {inner.delta:g}"
    if isinstance(inner, FalseTrust):
        return f"the mean over {unit} of the share of the picture that is trusted and wrong"
    confidence = ""
    if isinstance(inner, HighProbability):
        confidence = f", claimed to be at most alpha for all but {inner.delta:g} of the calibration sets"
    return f"the mean over {unit} of the largest trusted error{confidence}"


def refuse_unclaimed(rule: Guarantee, clusters: Sequence[str] | None = None) -> None:
    """Refuse a guarantee whose claim the losses of unseen photographs cannot contradict.

    Raises
    ------
    UsageError
        ``by-cluster`` without clusters, ``per-image`` with them, a bound of one picture, or a guarantee that is not
        known here.
    """
    if isinstance(rule, ByGroup):
        refuse_unclaimed(rule.inner, clusters)
        return
    if isinstance(rule, ByCluster):
        if clusters is None:
            raise UsageError(
                "expected the photograph that each audited tile belongs to, since by-cluster speaks of photographs; "
                "got none. Give --clusters FILE with one tile,photograph line each"
            )
        refuse_unclaimed(rule.inner, clusters)
        return
    if not isinstance(rule, Expected | HighProbability | PerImage):
        raise UsageError(
            f"expected one of the guarantees that come with this package; {type(rule).__name__} does not say which "
            "mean it bounds, so no test of it could be fixed before looking. Audit it by hand"
        )
    if isinstance(rule, PerImage) and clusters is not None:
        raise UsageError(
            "expected single photographs for per-image; got tiles of photographs, which are not independent, and the "
            "mean over a photograph's tiles says nothing of its worst one. Audit one picture of each photograph"
        )
    if isinstance(rule, Expected) and rule.bound_new is not None and not isinstance(rule.bound_new, int | float):
        raise UsageError(
            "expected a guarantee for any new photograph; got one with the bound of one picture at hand. "
            "Say bound_from=delivered or bound_from=input instead: each audited picture then gets its own bound"
        )


def mean_of_clusters(values: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    """The mean of `values`, (m,) float64, in each cluster, in order of first appearance."""
    if len(clusters) != len(values):
        raise UsageError(f"expected one cluster for each of {len(values)} pictures; got {len(clusters)}")
    index = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    owner = np.array([index[name] for name in clusters], dtype=np.int64)
    return np.bincount(owner, values) / np.bincount(owner)
