"""What a comparison says: rows of figures with paired intervals, and what each contestant's drawing took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.display.figure import Figure
from blackbox_conformal.display.plots import Dot, Dots
from blackbox_conformal.display.table import frame, html_card
from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.corollaries import statement
from blackbox_conformal.guarantees.expected import Expected
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.pipeline.comparison_parts import baselines
from blackbox_conformal.pipeline.prices.spending import Latency
from blackbox_conformal.text import printable

if TYPE_CHECKING:
    import pandas

OURS, INTERVALS, SOFT = "trust mask", "interval image", "soft mask"
RESAMPLES = 2000
_NAMED = 3
"""Contestants that a comparison names in one line."""
CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """One method of one contestant at one level, on the evaluation photographs.

    Attributes
    ----------
    guarantee
        What is guaranteed, in words; begins with "no guarantee" where nothing is.
    trusted_share, risk, psnr_trusted, psnr_all
        Means over photographs: share of pixels trusted (of a soft mask its mean), largest error among fully trusted
        pixels, PSNR (dB) inside the mask over the photographs whose mask is not empty, and of the whole picture.
    usd_per_trusted_megapixel
        None where nothing is trusted, or where a price is unknown.
    share_gain, psnr_gain
        Difference to the first contestant's trust mask at this level with its `CONFIDENCE` interval: (mean, low, high).
    """

    contestant: str
    method: str
    alpha: float
    guarantee: str
    trusted_share: float
    risk: float
    psnr_trusted: float
    psnr_all: float
    usd_per_trusted_megapixel: float | None
    share_gain: tuple[float, float, float]
    psnr_gain: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a contestant's drawing took.

    Attributes
    ----------
    draws
        Of each photograph.
    wanted
        Draws of all photographs together.
    calls, spent_usd
        Calls that this comparison made for them, and what those cost; None where a price is unknown.
    cached
        Draws that were stored before.
    refused
        Photographs that the vendor refused.
    failed
        Calls for these draws that ended without a picture, earlier ones included.
    usd_per_photograph
        What a photograph's draws cost, whenever they were paid; None where calls were made at an unknown price.
    latency
        Of these draws, whenever they were made; None when they came from this machine's disk.
    """

    contestant: str
    draws: int
    wanted: int
    calls: int
    cached: int
    refused: int
    failed: int
    spent_usd: Decimal | None
    usd_per_photograph: Decimal | None
    latency: Latency | None


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """The whole comparison."""

    n_calibration: int
    n_evaluation: int
    rows: tuple[Row, ...]
    standings: tuple[Standing, ...]

    def __repr__(self) -> str:
        lowest = min(row.alpha for row in self.rows)
        ours = [row for row in self.rows if row.method == OURS and row.alpha == lowest]
        shares = ", ".join(f"{row.trusted_share:.1%}" for row in ours[:_NAMED])
        names = " and ".join(printable(standing.contestant, 24) for standing in self.standings[:_NAMED])
        more = "" if len(self.standings) <= _NAMED else f" and {len(self.standings) - _NAMED} others"
        return (
            f"<Comparison of {names}{more}: {shares} trusted at alpha={lowest:g}, calibrated on {self.n_calibration} "
            f"photographs, measured on {self.n_evaluation}>"
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row for each contestant, method and level, as a table of pandas.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return frame([_flat(row) for row in self.rows])

    def plot(self, alpha: float | None = None) -> Figure:
        """Trusted share and risk of each contestant and method at a level, the lowest by default.

        Raises
        ------
        UsageError
            Nothing was compared at this level.
        """
        levels = sorted({row.alpha for row in self.rows})
        shown = levels[0] if alpha is None else alpha
        rows = [row for row in self.rows if row.alpha == shown]
        if not rows:
            compared = ", ".join(f"{level:g}" for level in levels)
            raise UsageError(f"expected one of the levels that were compared, {compared}; got {alpha}")
        shares = [_dot(row, 100 * row.trusted_share, f"{row.trusted_share:.1%}") for row in rows]
        risks = [_dot(row, row.risk, f"{row.risk:.3f}") for row in rows]
        return Figure(
            [
                Dots(f"Trusted share at alpha = {shown:g}", shares, scale=(0.0, 100.0), unit="%"),
                Dots("Largest trusted error, mean over photographs", risks, line=shown),
            ]
        )

    def _repr_html_(self) -> str:
        shown = ("contestant", "method", "alpha", "trusted_share", "risk", "psnr_trusted", "usd_per_trusted_megapixel")
        rows = [{name: getattr(row, name) for name in shown} for row in self.rows]
        return html_card(repr(self)[1:-1], [], rows, self.plot())


def _flat(row: Row) -> dict[str, Any]:
    """A row with one number a column, and the sentence last."""
    flat: dict[str, Any] = {}
    for name, value in asdict(row).items():
        names = (name, f"{name}_low", f"{name}_high")
        flat |= dict(zip(names, value, strict=True)) if isinstance(value, tuple) else {name: value}
    guarantee = flat.pop("guarantee")
    return {**flat, "guarantee": guarantee}


def _dot(row: Row, value: float, words: str) -> Dot:
    role = "unpromised" if row.guarantee.startswith("no guarantee") else "promised"
    return Dot(f"{printable(row.contestant)}: {row.method}", words, value, role)


@dataclass(frozen=True, slots=True)
class Measured:
    """What an evaluation photograph shows: (method, level) → share, loss, PSNR; and its size and price."""

    figures: dict[tuple[str, float], tuple[float, float, float]]
    psnr_all: float
    megapixels: float
    cost: Decimal


def rows_of(
    contestant: str,
    measured: Sequence[Measured],
    first: Sequence[Measured],
    alphas: Sequence[float],
    n: int,
    seed: int,
    metric: Metric,
    *,
    priced: bool = True,
) -> list[Row]:
    """The rows of one contestant, whose photographs stand in the order of those of the `first`.

    `priced`: the price of every draw is known.
    """
    rows = []
    for method in (OURS, INTERVALS, SOFT):
        for alpha in alphas:
            key = (method, alpha)
            if key not in measured[0].figures:
                continue
            shares, losses, psnrs = np.array([photograph.figures[key] for photograph in measured]).T
            megapixels = np.array([photograph.megapixels for photograph in measured])
            trusted_megapixels = float((shares * megapixels).sum())
            price = float(sum((photograph.cost for photograph in measured), Decimal(0)))
            reference = np.array([photograph.figures[OURS, alpha] for photograph in first]).T
            rows.append(
                Row(
                    contestant=contestant,
                    method=method,
                    alpha=alpha,
                    guarantee=_guarantee(method, alpha, n, metric),
                    trusted_share=float(shares.mean()),
                    risk=float(losses.mean()),
                    psnr_trusted=mean_of_known(psnrs),
                    psnr_all=mean_of_known(np.array([photograph.psnr_all for photograph in measured])),
                    usd_per_trusted_megapixel=price / trusted_megapixels if priced and trusted_megapixels else None,
                    share_gain=paired_bootstrap(shares - reference[0], seed),
                    psnr_gain=paired_bootstrap(psnrs - reference[2], seed),
                )
            )
    return rows


def _guarantee(method: str, alpha: float, n: int, metric: Metric) -> str:
    if method == OURS:
        return statement(Expected(), alpha, n, metric.specification())
    return baselines.INTERVAL_LABEL if method == INTERVALS else baselines.SOFT_LABEL


def mean_of_known(values: NDArray[np.float64]) -> float:
    """The mean of the values that are not NaN; NaN when there is none."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan


def paired_bootstrap(differences: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences and the ends of its `CONFIDENCE` percentile interval over photographs.

    Pairs with an unknown or infinite member are left out; NaN throughout when none is left. The split, and so the
    calibration, is held fixed: the interval speaks of other photographs, not of other calibrations.
    """
    pairs = differences[np.isfinite(differences)]
    if not pairs.size:
        return math.nan, math.nan, math.nan
    generator = np.random.Generator(np.random.Philox(seed))
    means = pairs[generator.integers(pairs.size, size=(RESAMPLES, pairs.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(pairs.mean()), float(low), float(high)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as scripts read it; NaN and infinities become null."""
    return {
        "n_calibration": comparison.n_calibration,
        "n_evaluation": comparison.n_evaluation,
        "rows": [_clean(asdict(row)) for row in comparison.rows],
        "vendors": [
            {
                "vendor": standing.contestant,
                "draws": standing.draws,
                "wanted": standing.wanted,
                "calls": standing.calls,
                "cached": standing.cached,
                "refused": standing.refused,
                "failed": standing.failed,
                "cost_usd": None if standing.spent_usd is None else float(standing.spent_usd),
                "usd_per_photograph": None
                if standing.usd_per_photograph is None
                else float(standing.usd_per_photograph),
                "latency_s": None
                if standing.latency is None
                else {"median": standing.latency.median, "p90": standing.latency.ninety},
            }
            for standing in comparison.standings
        ],
    }


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
