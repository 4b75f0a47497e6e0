"""One pool of photographs that serves both sides: drawn once, then split at random from its stored curves.

The arithmetic lives in `audits.random_splits`; no picture is read here and no call is made.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from blackbox_conformal.audits.findings import Audit
from blackbox_conformal.audits.random_splits import Splits, split_audit
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.pipeline.audit_parts.audited_rule import audited_rule, clusters_of
from blackbox_conformal.pipeline.stages.usual_levels import audited_levels
from blackbox_conformal.risk.curve_set import CurveSet


def audit_splits(
    calibration: Calibration,
    alphas: Sequence[float] | None = None,
    *,
    audited: Audit | None = None,
    splits: int = 100,
    share: float | None = None,
    seed: int = 0,
    guarantee: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    group: str | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Splits:
    """Split a pool at random, calibrate on a part, measure the rest; from curves alone.

    Parameters
    ----------
    calibration
        Its photographs are the pool.
    audited
        An audit of it with the same guarantee: its photographs join the pool.
    splits
        How many random splits.
    share
        The share of the pool that calibrates; None: 0.7, or as many as `calibration` has when others join.
    guarantee, parameters, group, clusters
        As for `pipeline.auditing.audit_calibration`; clusters are split whole.

    Raises
    ------
    UsageError
        Random splits say nothing of the guarantee; says why.
    """
    rule = audited_rule(calibration, guarantee, parameters, group, clusters)
    curves = calibration.curves_for(rule)
    alphas = alphas or audited_levels(calibration.bound_for(rule))
    if audited is None:
        return split_audit(rule, curves, alphas, splits=splits, share=0.7 if share is None else share, seed=seed)
    names = [one.name for one in audited.pictures]
    tiles = clusters_of(rule, names, clusters)
    rule.refuse_unclaimed(tiles is not None)
    together = CurveSet.from_curves([*curves, *(one.curve for one in audited.pictures)])
    extended, calibrating = rule.extended(tiles, len(names))
    return split_audit(
        extended,
        together,
        alphas,
        splits=splits,
        n_calibration=(calibrating or len(curves)) if share is None else None,
        share=share or 0.7,
        seed=seed,
    )
