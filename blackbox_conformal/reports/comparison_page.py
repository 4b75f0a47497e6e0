"""A comparison of vendors or settings as one self-contained HTML file: plots, tables, and which guarantees hold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackbox_conformal.canonical import digest_json
from blackbox_conformal.display.plots import Dot, Dots
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pipeline.comparison_parts.comparison import CONFIDENCE, OURS, Comparison, Row
from blackbox_conformal.reports.comparison_pictures import MOST, ComparisonPictures
from blackbox_conformal.reports.html import number, percent, render
from blackbox_conformal.reports.seal import is_page, write_page
from blackbox_conformal.text import dollars, printable


def write_comparison(
    comparison: Comparison, path: Path, pictures: ComparisonPictures | None = None, *, force: bool = False
) -> Path:
    """Write the page.

    Parameters
    ----------
    pictures
        What `compare_contestants` handed over; without it the page has no pictures.

    Raises
    ------
    UsageError
        `path` exists, is no unchanged comparison of the same contestants, and `force` is not set.
    """
    text = render("comparison", **variables(comparison, pictures))
    return write_page(text, _about([one.contestant for one in comparison.standings]), path, force=force)


def refuse_foreign(path: Path, contestants: Sequence[str]) -> None:
    """Refuse, before anything is drawn, to overwrite a file that is not an earlier comparison of these contestants.

    Raises
    ------
    UsageError
        There is such a file at `path`.
    """
    if path.exists() and not is_page(path, _about(contestants)):
        raise UsageError(
            f"{path} exists and is not a comparison of {', '.join(map(printable, contestants))} as it was written; "
            "give --force or another --out"
        )


def _about(contestants: Sequence[str]) -> str:
    return f"comparison of {digest_json(list(contestants))}"


@dataclass(frozen=True, slots=True)
class Level:
    """One level's rows and figures."""

    alpha: float
    rows: list[Row]
    figures: list[Dots]


@dataclass(frozen=True, slots=True)
class Glance:
    """What a contestant's trust mask gives at the level of the pictures."""

    contestant: str
    share: float
    price: str


def variables(comparison: Comparison, pictures: ComparisonPictures | None = None) -> dict[str, Any]:
    """The variables of the page's template."""
    alphas = sorted({row.alpha for row in comparison.rows})
    by_level = [(alpha, [row for row in comparison.rows if row.alpha == alpha]) for alpha in alphas]
    shown = _level_of_pictures(comparison, alphas)
    return {
        "comparison": comparison,
        "shown": shown,
        "glances": [_glance(row) for row in comparison.rows if row.method == OURS and row.alpha == shown],
        "kept": MOST,
        "groups": [] if pictures is None else pictures.chosen(shown),
        "contestants": [standing.contestant for standing in comparison.standings],
        "levels": [Level(alpha, rows, _figures(rows)) for alpha, rows in by_level],
        "labels": {row.method: row.guarantee for row in comparison.rows if not _promised(row)},
        "ours": OURS,
        "confidence": CONFIDENCE,
    }


def _level_of_pictures(comparison: Comparison, alphas: Sequence[float]) -> float:
    """The least level from 0.1 on at which some mask trusts anything, else the largest level."""
    trusting = {row.alpha for row in comparison.rows if row.method == OURS and row.trusted_share > 0}
    return min((alpha for alpha in trusting if alpha >= 0.1), default=max(alphas))


def _glance(row: Row) -> Glance:
    price = row.usd_per_trusted_megapixel
    if price is None:
        words = "price of a trusted megapixel unknown" if row.trusted_share > 0 else "nothing trusted"
    else:
        words = f"{dollars(price, 3)} per trusted megapixel" if price > 0 else "free of charge"
    return Glance(printable(row.contestant), row.trusted_share, words)


def _promised(row: Row) -> bool:
    return not row.guarantee.startswith("no guarantee")


def _figures(rows: Sequence[Row]) -> list[Dots]:
    """At one level: trusted share, its gain over the first row, risk and, if anything cost money, price."""
    shares = [_dot(row, 100 * row.trusted_share, percent(row.trusted_share)) for row in rows]
    risks = [_dot(row, row.risk, number(row.risk, 3)) for row in rows]
    # Methods without a guarantee gain so much that they would hide all others.
    gains = [_gain(row) for row in rows[1:] if _promised(row)]
    figures = [
        Dots("Trusted share", shares, scale=(0.0, 100.0), unit="%"),
        Dots("Trusted share minus that of the first, percentage points", gains, line=0.0),
        Dots("Largest trusted error, mean over photographs", risks, line=rows[0].alpha),
    ]
    prices = [(row, row.usd_per_trusted_megapixel) for row in rows]
    known = [_dot(row, price, dollars(price, 3)) for row, price in prices if price is not None and math.isfinite(price)]
    if any(dot.value > 0 for dot in known):
        figures.append(Dots("US dollars for a trusted megapixel", known))
    return figures


def _dot(row: Row, value: float, words: str, interval: tuple[float, float] | None = None) -> Dot:
    role = "promised" if _promised(row) else "unpromised"
    return Dot(f"{printable(row.contestant)}: {row.method}", words, value, role, interval)


def _gain(row: Row) -> Dot:
    mean, low, high = (100 * value for value in row.share_gain)
    return _dot(row, mean, f"{mean:+.1f}, from {low:+.1f} to {high:+.1f}", (low, high))
