"""A comparison of vendors or settings as one self-contained HTML file: plots, tables, and what is promised by whom.

Figures come from `pipeline.comparison_parts.comparison`; how dots are placed lives in `dots`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blackbox_conformal import __version__
from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import write_new
from blackbox_conformal.pipeline.comparison_parts.comparison import CONFIDENCE, OURS, Comparison, Row
from blackbox_conformal.reports.dots import Dot, Dots
from blackbox_conformal.reports.html import number, percent, render
from blackbox_conformal.text import printable

MARK = b"<!-- blackbox-conformal comparison -->"


def write_comparison(found: Comparison, path: Path, *, force: bool = False) -> Path:
    """Write the page.

    Raises
    ------
    UsageError
        `path` exists with other content and `force` is not set.
    """
    return write_new(path, render(variables(found), "comparison").encode(), force=force)


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is no comparison of ours, before anything is drawn for one.

    Raises
    ------
    UsageError
        There is one.
    """
    if path.is_file():
        with path.open("rb") as file:
            if MARK in file.read(1024):
                return
    if path.exists():
        raise UsageError(f"{path} exists and is no comparison; give --force or another --out")


def variables(found: Comparison) -> dict[str, Any]:
    """What the page's template needs."""
    alphas = sorted({row.alpha for row in found.rows})
    levels = []
    for alpha in alphas:
        rows = [row for row in found.rows if row.alpha == alpha]
        levels.append({"alpha": alpha, "rows": rows, "figures": _figures(rows)})
    return {
        "version": __version__,
        "found": found,
        "levels": levels,
        "labels": {row.method: row.guarantee for row in found.rows if not _promised(row)},
        "ours": OURS,
        "confidence": CONFIDENCE,
        "printable": printable,
    }


def _promised(row: Row) -> bool:
    return not row.guarantee.startswith("no guarantee")


def _figures(rows: Sequence[Row]) -> list[Dots]:
    """Share, what it gains over the first row's, risk and, where anything costs anything, price, at one level."""
    shares = [_dot(row, 100 * row.trusted_share, percent(row.trusted_share)) for row in rows]
    risks = [_dot(row, row.risk, number(row.risk, 3)) for row in rows]
    # Those of methods without a guarantee are so large that they would hide all others.
    gains = [_gain(row) for row in rows[1:] if _promised(row)]
    figures = [
        Dots("Trusted share", shares, scale=(0.0, 100.0), unit="%"),
        Dots("Trusted share less that of the first, percentage points", gains, line=0.0),
        Dots("Largest trusted error, mean over photographs", risks, line=rows[0].alpha),
    ]
    prices = [(row, row.usd_per_trusted_megapixel) for row in rows]
    known = [_dot(row, price, f"${price:.3g}") for row, price in prices if price is not None and math.isfinite(price)]
    if any(dot.value > 0 for dot in known):
        figures.append(Dots("US dollars for a trusted megapixel", known))
    return figures


def _dot(row: Row, value: float, words: str, interval: tuple[float, float] | None = None) -> Dot:
    role = "promised" if _promised(row) else "unpromised"
    return Dot(f"{printable(row.contestant)}: {row.method}", words, value, role, interval)


def _gain(row: Row) -> Dot:
    mean, low, high = (100 * value for value in row.share_gain)
    return _dot(row, mean, f"{mean:+.1f}, from {low:+.1f} to {high:+.1f}", (low, high))
