"""Audits and random splits as the JSON that scripts read; NaN and infinities become null."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blackbox_conformal.audits.contamination import Leakage
from blackbox_conformal.audits.findings import Audit, AuditedLevel
from blackbox_conformal.audits.kinds import kind_rows
from blackbox_conformal.audits.random_splits import CAUTION, VERDICT, Splits
from blackbox_conformal.audits.sequential import Stop
from blackbox_conformal.certificate import threshold_json

WORST = 3
"""How many of the worst photographs are named at each level unless told otherwise."""


def audit_json(
    audit: Audit, worst: int = WORST, files: Mapping[tuple[float, str], Mapping[str, Path]] | None = None
) -> dict[str, Any]:
    """The audit as scripts read it.

    Parameters
    ----------
    worst
        How many photographs to name at each level.
    files
        Crops that were written, by level and digest of the photograph.
    """
    return {
        "n": audit.n,
        "units": audit.units,
        "stop": None if audit.stop is None else _stop(audit.stop),
        "quantity": audit.quantity,
        "levels": [_level(level) for level in audit.levels],
        "verdict": audit.verdict,
        "worst": [
            entry
            for index, level in enumerate(audit.levels)
            for entry in _worst(audit, index, level.alpha, worst, files)
        ],
        "leakage": None if audit.leakage is None else leakage_json(audit.leakage),
        "notes": list(audit.notes),
        "drift": audit.drift,
        "kinds": kind_rows(audit.kinds),
    }


def leakage_json(leakage: Leakage) -> dict[str, Any]:
    """Planted leakage against its bound."""
    return {
        "alpha": leakage.alpha,
        "n": leakage.n,
        "points": [
            {
                "leaked": point.leaked,
                "share": point.leaked / leakage.n,
                "risk": point.risk,
                "bound": point.bound,
                "risk_allowed": point.risk_allowed,
                "standard_error": point.error,
                "within": point.within,
            }
            for point in leakage.points
        ],
    }


def splits_json(splits: Splits) -> dict[str, Any]:
    """Random splits of one pool; spreads are standard deviations over splits, ranges their 5th and 95th percentile."""
    return {
        "splits": splits.splits,
        "seed": splits.seed,
        "unit": splits.unit,
        "n_calibration": splits.n_calibration,
        "n_measured": splits.n_measured,
        "quantity": splits.quantity,
        "levels": [
            {
                "alpha": level.alpha,
                "claimed": level.claimed,
                "risk": level.risk[0],
                "risk_spread": level.risk[1],
                "risk_range": list(level.risk_range),
                "trusted_share": level.trusted_share[0],
                "trusted_share_spread": level.trusted_share[1],
                "trusted_share_range": list(level.trusted_range),
                "empty_share": level.empty_share[0],
                "splits_above": level.above,
                "verdict": VERDICT,
            }
            for level in splits.levels
        ],
        "verdict": VERDICT,
        "caution": CAUTION,
        "notes": list(splits.notes),
    }


def _stop(stop: Stop) -> dict[str, Any]:
    return {
        "given": stop.given,
        "looked": stop.looked,
        "reason": stop.reason,
        "meaning": stop.sentence,
        "looks": [{"units": look.units, "bounds": list(look.bounds)} for look in stop.looks],
    }


def _level(level: AuditedLevel) -> dict[str, Any]:
    promise = level.promise
    return {
        "alpha": level.alpha,
        "claimed": level.claimed,
        "threshold": threshold_json(level.threshold),
        "risk": level.judgement.risk,
        "ci": list(level.judgement.interval),
        "ci_exact": level.judgement.exact,
        "p_value": level.judgement.p_value,
        "p_promise": level.judgement.p_promise,
        "trusted_share": level.trusted_share,
        "empty_share": level.empty_share,
        "psnr_trusted": _finite(level.inside.psnr),
        "psnr_untrusted": _finite(level.outside.psnr),
        "psnr_all": _finite(level.whole.psnr),
        "ssim_trusted": _finite(level.inside.ssim),
        "ssim_untrusted": _finite(level.outside.ssim),
        "ssim_all": _finite(level.whole.ssim),
        "psnr_bound": _finite(promise.psnr),
        "psnr_bound_if_trusted": _finite(promise.psnr_if_trusted),
        "psnr_trusted_in_metric_space": _finite(level.inside.psnr_in_space),
        "ssim_bound": _finite(promise.ssim),
        "ssim_bound_if_trusted": _finite(promise.ssim_if_trusted),
        "bound_of": promise.words,
        "tested": level.tested,
        "verdict": level.judgement.verdict,
        "meaning": level.meaning,
        "further": level.judgement.further,
    }


def _worst(
    audit: Audit, index: int, alpha: float, most: int, files: Mapping[tuple[float, str], Mapping[str, Path]] | None
) -> list[dict[str, Any]]:
    entries = []
    for picture in audit.worst(index, most):
        place = picture.worst[index]
        assert place is not None
        written = (files or {}).get((alpha, picture.truth), {})
        entries.append(
            {
                "alpha": alpha,
                "name": picture.name,
                "photograph": picture.truth,
                "loss": picture.losses[index],
                "row": place.row,
                "column": place.column,
                "error": place.error,
                "files": {kind: str(path.resolve()) for kind, path in written.items()},
            }
        )
    return entries


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
