"""Rows of values as a pandas table, and as HTML for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blackbox_conformal.display.figure import Figure
from blackbox_conformal.errors import MissingPackageError, UsageError
from blackbox_conformal.text import visible

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]
"""Column → value; a column whose name ends with ``share`` holds numbers from 0 to 1."""

MOST_ROWS = 30
"""Of a table in a notebook; what is left out is said."""


def frame(rows: Sequence[Row]) -> pandas.DataFrame:
    """The rows as a `pandas.DataFrame`, with the numbers as they are.

    Raises
    ------
    MissingPackageError
        pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")
    except ImportError:
        raise MissingPackageError("tables need pandas, which is not installed: pip install pandas") from None
    table: pandas.DataFrame = pandas.DataFrame.from_records([dict(row) for row in rows])
    return table


def rows_of(of: str, **kinds: Callable[[], Sequence[Row]]) -> Sequence[Row]:
    """The rows that are called `of`, of those there are.

    Raises
    ------
    UsageError
        There are none of this name.
    """
    if of not in kinds:
        raise UsageError(f"expected a table of {' or '.join(map(repr, kinds))}; got {of!r}")
    return kinds[of]()


def html_card(heading: str, remarks: Sequence[str], rows: Sequence[Row], figure: Figure | None = None) -> str:
    """A heading, sentences, a table and a figure as HTML, in the colours and letters of the page that it stands in."""
    said = "".join(f'<p style="margin:.2em 0;max-width:60em">{_escaped(remark)}</p>' for remark in remarks)
    drawn = "" if figure is None else f'<div style="margin-top:.6em">{figure._repr_html_()}</div>'
    return f'<div><p style="margin:.2em 0"><strong>{_escaped(heading)}</strong></p>{said}{_table(rows)}{drawn}</div>'


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cell = 'style="text-align:{};padding:.2em .9em .2em 0;vertical-align:top;white-space:nowrap"'
    columns = list(rows[0])
    sides = {name: "right" if all(_is_number(row[name]) for row in rows) else "left" for name in columns}
    head = "".join(f"<th {cell.format(sides[name])}>{_escaped(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td {cell.format(sides[name])}>{_escaped(words(name, row[name]))}</td>" for name in columns)
        + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f"<p>… and {len(rows) - MOST_ROWS} more: to_frame() has all.</p>" if len(rows) > MOST_ROWS else ""
    style = "border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums"
    table = f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}</div>{more}'


def words(column: str, value: Any) -> str:
    """A value for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{100 * value:.1f} %" if column.endswith("share") else f"{value:.4g}"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _escaped(text: str) -> str:
    return html.escape(visible(text))
