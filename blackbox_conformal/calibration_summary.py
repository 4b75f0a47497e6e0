"""What notebooks show of a calibration: its levels, its photographs, and how much it trusts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from blackbox_conformal.plots import Chart, Series

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration

LEVELS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
"""Levels of the table, as far as the guarantee can promise them."""

STEPS = 100
"""Levels of the plot."""


def level_rows(calibration: Calibration, levels: Sequence[float] = ()) -> list[dict[str, Any]]:
    """The threshold at each level, and the mean trusted share of the calibration's photographs; None: not known."""
    rule = calibration.rule()
    curves = calibration.curves_for(rule)
    possible = [level for level in levels or LEVELS if level < calibration.bound_for(rule)]
    thresholds = [rule.threshold(curves, level) for level in possible]
    return [
        {"alpha": level, "threshold": threshold, "trusted_share": trusted_share(calibration, threshold)}
        for level, threshold in zip(possible, thresholds, strict=True)
    ]


def photograph_rows(calibration: Calibration) -> list[dict[str, Any]]:
    """Each photograph: its name and size, its largest error, and what it was calibrated as."""
    errors = calibration.curves.losses_at(math.inf)
    return [
        {
            "name": image.name,
            "width": image.width,
            "height": image.height,
            "largest_error": float(error),
            "group": image.group,
            "cluster": image.cluster,
            "fitted": image.fitted,
            "refused": image.refused,
            "reopened": image.reopened,
        }
        for image, error in zip(calibration.images, errors, strict=True)
    ]


def trusted_share(calibration: Calibration, threshold: float) -> float | None:
    """Mean over the calibration's photographs; None where their pixels were not counted."""
    if not calibration.curves.area_scores.size:
        return None
    # A refused photograph has no pixels to trust.
    return float(np.mean(np.nan_to_num(calibration.curves.trusted_shares_at(threshold))))


def trusted_chart(calibration: Calibration) -> Chart:
    """Trusted share against alpha."""
    end = min(calibration.bound_for(calibration.rule()), 1.1 * _last_change(calibration))
    levels = [end * step / STEPS for step in range(1, STEPS + 1)]
    points = [(row["alpha"], row["trusted_share"]) for row in level_rows(calibration, levels)]
    known = tuple((alpha, share) for alpha, share in points if share is not None)
    series = Series("mean over the calibration photographs", "realised", ((0.0, 0.0), *known), "step")
    return Chart("Trusted share", "alpha", "trusted", [series], x_range=(0.0, end), y_range=(0.0, 1.0), percent=True)


def _last_change(calibration: Calibration) -> float:
    """The level from which on everything is trusted, else the largest level there is."""
    levels = calibration.alphas[np.isfinite(calibration.alphas) & (calibration.alphas > 0)]
    return float(levels[-1]) if levels.size else math.inf
