"""Split one pool of photographs at random many times: calibrate on a part, measure the rest.

Only stored curves are used. The splits share photographs, so their spread is no confidence interval and no verdict
follows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import CalibrationError, UsageError
from blackbox_conformal.method.audits.verdict import claim, quantity
from blackbox_conformal.method.guarantees.guarantee import Guarantee, Units
from blackbox_conformal.method.risk.curve_set import CurveSet
from blackbox_conformal.support.blocks import Block, Faces, How, Note, Table

VERDICT = "none: dependent splits"
CAUTION = (
    "The splits share photographs, so they depend on each other: their spread is no confidence interval, and no "
    "verdict follows. Random splits of one pool are exchangeable by construction, so a guarantee on average is kept in "
    "their mean whatever the vendor; what new photographs bring, only an audit on photographs kept apart shows."
)
_FROM = {"delivered": "its delivered colours", "input": "its input"}


@dataclass(frozen=True, slots=True)
class SplitLevel:
    """One level over all splits.

    `claimed` is the claimed upper limit of the mean risk. `risk`, `trusted_share` and `empty_share` are (mean, standard
    deviation), `risk_range` and `trusted_range` the (5th, 95th) percentile; `above` is the share of splits whose risk
    exceeds the level.
    """

    alpha: float
    claimed: float
    risk: tuple[float, float]
    risk_range: tuple[float, float]
    trusted_share: tuple[float, float]
    trusted_range: tuple[float, float]
    empty_share: tuple[float, float]
    above: float


@dataclass(frozen=True, slots=True)
class Splits(Faces):
    """A pool of units (photographs, perhaps with all their tiles) split `splits` times."""

    n_calibration: int
    n_measured: int
    splits: int
    seed: int
    unit: str
    quantity: str
    levels: tuple[SplitLevel, ...]
    notes: tuple[str, ...] = ()

    def blocks(self) -> Iterator[Block]:
        names = ("splits", "seed", "unit", "n_calibration", "n_measured", "quantity")
        rows = [
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
            for level in self.levels
        ]
        columns: dict[str, How] = {
            "alpha": "{alpha:g}",
            **claimed_column(self.levels),
            "risk": "{risk:.4f} ± {risk_spread:.4f}",
            "trusted": "{trusted_share:share} ± {trusted_share_spread:share}",
            "empty masks": "{empty_share:share}",
            "splits above": "{splits_above:share}",
        }
        title = (
            f"{self.splits} random splits of {self.n_calibration + self.n_measured} {self.unit}, {self.n_calibration} "
            f"calibrate and {self.n_measured} are measured: no verdict"
        )
        yield Table("levels", columns, rows, title=title)
        yield Note(
            f"Risk is {self.quantity}. Each figure is a mean over splits, ± its standard deviation over them; splits "
            "above is the share of splits whose risk exceeds what is claimed.",
            {name: getattr(self, name) for name in names},
        )
        yield Note(CAUTION, {"verdict": VERDICT, "caution": CAUTION})
        yield Note("\n".join(self.notes), {"notes": list(self.notes)})


def claimed_column(levels: Sequence[Any]) -> dict[str, How]:
    """Return a column for the claim, where the claim is not alpha itself."""
    return {"claimed at most": "{claimed:g}"} if any(level.claimed != level.alpha for level in levels) else {}


def split_audit(
    rule: Guarantee,
    curves: CurveSet,
    alphas: Sequence[float],
    *,
    splits: int = 100,
    n_calibration: int | None = None,
    share: float = 0.7,
    seed: int = 0,
    error: str = "error",
) -> Splits:
    """Split the pool `splits` times at random, calibrate on one part, measure the other.

    `rule`: The guarantee, for all of `curves`: the group's photographs are the pool of ``by-group``; ``by-cluster``
      moves whole photographs with their tiles.
    `n_calibration`: How many units calibrate; None: `share` of them, rounded.
    `seed`: Equal seeds give equal splits.
    `error`: The measurement at a pixel, in words.
    """
    units = rule.unit_curves(curves)
    if not units.rule.treats_photographs_alike:
        raise UsageError(
            "expected a guarantee that treats its photographs alike; got weights or leaked photographs, for which the "
            "two sides of a random split are not what calibration and new photographs are. Audit on photographs "
            "kept apart"
        )
    if splits < 1:
        raise UsageError(f"expected at least 1 split; got {splits}")
    n_calibration = _calibrating(len(units.curves), n_calibration, share)
    levels = sorted(set(alphas))
    measured = _measured(units, levels, splits, n_calibration, seed)
    bound = units.curves.bound
    summaries = tuple(
        _summary(alpha, claim(units.rule, np.zeros(1), alpha, bound).level, measured[:, column])
        for column, alpha in enumerate(levels)
    )
    return Splits(
        n_calibration,
        len(units.curves) - n_calibration,
        splits,
        seed,
        "photographs" if units.clusters is None else "photographs with all their tiles",
        quantity(rule, units.clusters, error),
        summaries,
        (*_notes(units.rule, units.curves, n_calibration, levels), *_above(units.rule, summaries, splits)),
    )


def _calibrating(total: int, n_calibration: int | None, share: float) -> int:
    if total < 2:
        raise CalibrationError(f"expected at least 2 photographs to split; got {total}. Add photographs")
    if n_calibration is None:
        if not 0 < share < 1:
            raise UsageError(f"expected a share between 0 and 1 to calibrate on; got {share!r}")
        n_calibration = min(max(round(share * total), 1), total - 1)
    if not 1 <= n_calibration < total:
        raise UsageError(f"expected 1 to {total - 1} of {total} photographs to calibrate on; got {n_calibration}")
    return n_calibration


def _measured(units: Units, levels: Sequence[float], splits: int, n_calibration: int, seed: int) -> NDArray[np.float64]:
    """Return risk, mean trusted share and share of empty masks on the other side: (splits, levels, 3) float64."""
    measured = np.empty((splits, len(levels), 3))
    generator = np.random.Generator(np.random.Philox(seed))
    for row in range(splits):
        order = generator.permutation(len(units.curves))
        calibrating = units.curves.subset(np.sort(order[:n_calibration]))
        others = order[n_calibration:]
        for column, alpha in enumerate(levels):
            threshold = units.rule.threshold(calibrating, alpha)
            losses = units.curves.losses_at(threshold)[others]
            shares = units.trusted_shares_at(threshold)[others]
            risk = claim(units.rule, losses, alpha, units.curves.bound).losses.mean()
            # Stored shares are rounded down, so few trusted pixels may show as none; a loss shows that there are some.
            measured[row, column] = risk, shares.mean(), np.mean((shares == 0) & (losses == 0))
    return measured


def _summary(alpha: float, claimed: float, measured: NDArray[np.float64]) -> SplitLevel:
    mean = measured.mean(axis=0)
    spread = measured.std(axis=0, ddof=1) if len(measured) > 1 else np.zeros(3)
    # The splits are random choices of one pool: quantiles describe them, and make no confidence interval.
    low, high = np.quantile(measured, [0.05, 0.95], axis=0)
    (risk, trusted, empty) = ((float(mean[k]), float(spread[k])) for k in range(3))
    # A hair above the level is rounding, not risk.
    above = float(np.mean(measured[:, 0] > claimed * (1 + 1e-9)))
    return SplitLevel(
        alpha, claimed, risk, (float(low[0]), float(high[0])), trusted, (float(low[1]), float(high[1])), empty, above
    )


def _above(rule: Guarantee, levels: Sequence[SplitLevel], splits: int) -> list[str]:
    """Say where the mean over these splits is above the limit of the mean over all splits."""
    if not rule.holds_on_average:
        return []
    return [
        f"At {level.alpha:g} the mean over {splits} splits is above what is claimed, by "
        f"{math.sqrt(splits) * (level.risk[0] - level.claimed) / level.risk[1]:.1f} standard errors of such a mean; "
        "the mean over all splits is not. Take more splits."
        for level in levels
        if level.risk[0] > level.claimed and level.risk[1] > 0
    ]


def _notes(rule: Guarantee, curves: CurveSet, n: int, levels: Sequence[float]) -> tuple[str, ...]:
    notes = []
    if rule.bound_source != "metric":
        notes.append(
            f"Masks in use take the bound of each picture's own loss from {_FROM[rule.bound_source]}; stored curves "
            "do not hold it, so these splits are measured with the metric's bound, which trusts no more."
        )
    unreachable = [alpha for alpha in levels if rule.reachable_alpha(n, curves.bound) > alpha]
    if unreachable:
        notes.append(
            f"{n} photographs cannot reach {', '.join(f'{alpha:g}' for alpha in unreachable)}: nothing is trusted."
        )
    return tuple(notes)
