"""Blocks as HTML for a notebook, in the colours and letters of its page, and figures as SVG."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from blackbox_conformal.support.blocks import NUMBER, Block, Facts, Figure, Note, Table
from blackbox_conformal.support.plots import Chart
from blackbox_conformal.support.text import visible

if TYPE_CHECKING:
    import jinja2

MOST_ROWS = 30  # Most rows of a table in a notebook; the table says how many are left out.

MARGIN, GAP, HEADING, KEY = 12, 36, 26, 16
"""Space around plots that stand alone, between two, for the title of each, and for a line of its key."""

PLOTS = "plots.svg.jinja"


@dataclass(frozen=True, slots=True)
class Look:
    """The look of a series. Colours have a contrast of 3 or more with white and with black ground."""

    colour: str
    dashes: str = ""
    filled: int = 1


LOOKS = {
    "realised": Look("#2f7de1"),
    "bound": Look("#c4700f", "7 4", 0),
    "allowed": Look("#808893", "2 3", 0),
    "promised": Look("#2f7de1"),
    "unpromised": Look("#808893", filled=0),
}
"""Role of a series, bar or dot → look. Looks differ in dashes and filling, too, never in hue alone."""


def card(heading: str, blocks: Iterable[Block]) -> str:
    """Return a result as a notebook shows it: its one line, and all blocks but details."""
    shown = "".join(_shown(block) for block in blocks if not block.detail and block.only != "page")
    return f'<div><p style="margin:.2em 0"><strong>{_escaped(heading)}</strong></p>{shown}</div>'


def _shown(block: Block) -> str:
    title = _paragraph(f"<strong>{_escaped(block.title)}</strong>") if block.title else ""
    match block:
        case Note(remark=remark, text=text) if text:
            return _paragraph(_escaped(f"{remark.capitalize()}: {text}" if remark else text))
        case Facts(known=known):
            return title + "".join(_paragraph(f"{_escaped(name)}: {_escaped(said)}") for name, said in known.items())
        case Table():
            return _table(title, block)
        case Figure():
            return f'<div style="margin-top:.6em">{block._repr_html_()}</div>'
    return ""


def _paragraph(content: str) -> str:
    return f'<p style="margin:.2em 0;max-width:60em">{content}</p>'


def _table(title: str, table: Table) -> str:
    columns, rows = table.cells()
    if not columns or not rows:
        return ""
    cell = 'style="text-align:{};padding:.2em .9em .2em 0;vertical-align:top;white-space:nowrap"'
    # Numbers are aligned by their right edge only if a column holds nothing else.
    sides = ["right" if all(NUMBER.match(row[place]) for row in rows) else "left" for place in range(len(columns))]
    head, *body = (
        "".join(f"<{tag} {cell.format(side)}>{_escaped(text)}</{tag}>" for side, text in zip(sides, row, strict=True))
        for tag, row in [("th", columns), *(("td", row) for row in rows[:MOST_ROWS])]
    )
    more = f"<p>… and {len(rows) - MOST_ROWS} more: to_frame() has all.</p>" if len(rows) > MOST_ROWS else ""
    lines = "".join(f"<tr>{row}</tr>" for row in body)
    style = "border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums"
    shown = f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
    return f'{title}<div style="overflow-x:auto">{shown}</div>{more}'


def _escaped(text: str) -> str:
    # A vendor's text may hold control characters and markup; neither reaches the page.
    return html.escape(visible(text))


def svg(figure: Figure, *, alone: bool) -> str:
    """Draw the plots of a figure as one SVG, two beside each other; `alone`: to stand by itself, dark on white."""
    margin, plots = MARGIN if alone else 0, figure.plots
    panels = []
    top, width = float(margin), 0.0
    for start in range(0, len(plots), _IN_A_ROW):
        row, x = plots[start : start + _IN_A_ROW], float(margin)
        for plot in row:
            panels.append({"plot": plot, "x": x, "y": top})
            x += plot.width + GAP
        width = max(width, x - GAP + margin)
        heights = [plot.height + (KEY * len(plot.series) if isinstance(plot, Chart) else 0) for plot in row]
        top += HEADING + max(heights) + GAP
    return _template().render(
        panels=panels,
        width=round(width),
        height=round(top - GAP + margin),
        heading=HEADING,
        looks=LOOKS,
        alone=alone,
        label="; ".join(plot.title for plot in plots),
    )


_IN_A_ROW = 3  # Plots beside each other: room for input, delivered picture and score.


def template_text(name: str, package: str = "blackbox_conformal.pages") -> str:
    """Read a template of a package; pages draw their plots with those of this one."""
    return (resources.files(package) / "templates" / name).read_text("utf-8")


def environment(texts: Mapping[str, str]) -> jinja2.Environment:
    """Return an environment of these templates in which everything that fills them is escaped."""
    # A program that draws nothing need not wait for jinja2.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        # A misspelt name in a template is an error and not an empty place.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _template() -> jinja2.Template:
    return environment({PLOTS: template_text(PLOTS)}).from_string(template_text("figure.svg.jinja"))
