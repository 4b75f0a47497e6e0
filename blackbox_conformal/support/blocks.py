"""A result's content, said once: facts, tables, notes and figures, from which every view is made.

A result derives from `Faces` and gives its blocks. One renderer each makes the terminal, a page, a notebook, a table of
pandas and a command's JSON. This file knows no renderer; the hook `notebook`, loaded when a person looks, draws HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from blackbox_conformal.errors import MissingPackageError, UsageError
from blackbox_conformal.support import catalog
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.plots import Plot
from blackbox_conformal.support.text import dollars
from blackbox_conformal.support.wording import at_least, at_most, between, share

if TYPE_CHECKING:
    import pandas

# How a column writes a row: a template such as ``{risk:.4f}`` or ``{trusted_share:share}``, or a function.
How = str | Callable[[Any], str]
NUMBER = re.compile(r"[-+$<>–−∞]|\d|nan\b|inf\b|unknown$")  # Start of a cell that stands at the right of its column.


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One part of a result's content."""

    title: str = ""  # Begins a section of a page; a block without one belongs to the section before it.
    detail: bool = False  # Only pages show it, and a terminal with ``-v``.
    # ``page``: no terminal and no notebook shows it. ``call``: it is about this one call, so no page shows it.
    only: Literal["", "page", "call"] = ""

    @property
    def content(self) -> Mapping[str, Any]:
        """Return the block's part of the JSON."""
        return {}


@dataclass(frozen=True, slots=True)
class Facts(Block):
    """Names with values in words (None leaves one out); `data` goes into the JSON."""

    items: Mapping[str, str | None]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> Mapping[str, Any]:
        return self.data

    @property
    def known(self) -> dict[str, str]:
        """Return the items that are not left out."""
        return {name: said for name, said in self.items.items() if said is not None}


@dataclass(frozen=True, slots=True)
class Note(Block):
    """Sentences; without `text` only scripts get its `data`.

    `remark` is ``note`` or ``warning``: a terminal then shows it beside its results.
    """

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""

    @property
    def content(self) -> Mapping[str, Any]:
        return self.data


@dataclass(frozen=True, slots=True)
class Table(Block):
    """Rows for people, pandas and scripts."""

    name: str  # Key in the JSON and name in `to_frame`. Tables of one name are one table there.
    columns: Mapping[str, How]  # Heading → how a row is written. Without columns, only pandas and scripts get the rows.
    rows: Sequence[Mapping[str, Any]]  # Mappings of JSON keys to values, with unrounded numbers.
    data: Mapping[str, Any] | None = None  # Its part of the JSON, if that is more or less than its rows.
    # Columns that are left out there.
    not_in_terminal: Collection[str] = ()
    not_on_page: Collection[str] = ()

    @property
    def content(self) -> Mapping[str, Any]:
        return {self.name: list(self.rows)} if self.data is None else self.data

    def cells(self, *, without: Collection[str] = ()) -> tuple[list[str], list[list[str]]]:
        """Return headings and rows in words, `without` some columns."""
        columns = {heading: how for heading, how in self.columns.items() if heading not in without}
        return list(columns), [[words(how, row) for how in columns.values()] for row in self.rows]


@dataclass(frozen=True, slots=True, repr=False)
class Figure(Block):
    """Plots beside each other, or a function that makes them. Notebooks show it; `save` writes it."""

    made: Sequence[Plot] | Callable[[], Sequence[Plot]]

    @property
    def plots(self) -> Sequence[Plot]:
        return self.made() if callable(self.made) else self.made

    def __repr__(self) -> str:
        return f"<Figure: {'; '.join(plot.title for plot in self.plots)}>"

    @property
    def svg(self) -> str:
        """Return a picture to stand by itself, dark on white."""
        return str(_renderer().svg(self, alone=True))

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise UsageError(
                f"expected a file that ends with .svg; got {path}. A browser or Inkscape makes others of it"
            )
        return write_new(path, self.svg.encode(), force=force)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return str(_renderer().svg(self, alone=False))


class Faces:
    """A result with all its views, made of `blocks`."""

    __slots__ = ()

    def blocks(self) -> Iterable[Block]:
        """Return the blocks in reading order."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """Return the result's JSON: NaN and infinities are null, amounts of money are numbers."""
        return document(self.blocks())

    def to_frame(self, of: str | None = None) -> pandas.DataFrame:
        """Return the first table, or the one called `of`, as a pandas table.

        A tuple of (low, high) or (mean, low, high) becomes a column each.
        """
        tables: dict[str, list[Mapping[str, Any]]] = {}
        for block in self.blocks():
            if isinstance(block, Table):
                tables.setdefault(block.name, []).extend(block.rows)
        name = next(iter(tables), None) if of is None else of
        if name not in tables:
            raise UsageError(f"expected a table of {' or '.join(map(repr, tables)) or 'another result'}; got {of!r}")
        return frame(tables[name])

    def plot(self) -> Figure:
        figure = next((block for block in self.blocks() if isinstance(block, Figure)), None)
        if figure is None:
            raise UsageError(f"expected a result that has a plot; got {self!r}")
        return figure

    def _repr_html_(self) -> str:
        return str(_renderer().card(repr(self)[1:-1], self.blocks()))


def document(blocks: Iterable[Block]) -> dict[str, Any]:
    """Return the JSON of blocks; rows under one key follow each other."""
    whole: dict[str, Any] = {}
    for block in blocks:
        for key, value in block.content.items():
            whole[key] = [*whole[key], *value] if isinstance(whole.get(key), list) else value
    content: dict[str, Any] = _plain(whole)
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return the rows as a `pandas.DataFrame`, with unrounded numbers."""
    try:
        pandas: Any = import_module("pandas")
    except ImportError:
        raise MissingPackageError("tables need pandas, which is not installed: pip install pandas") from None
    table: pandas.DataFrame = pandas.DataFrame.from_records([_flat(row) for row in rows])
    return table


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, tuple):
            # Aligned at the end: two values are (low, high), three are (value, low, high).
            flat |= dict(zip((name, f"{name}_low", f"{name}_high")[-len(value) :], value, strict=True))
        else:
            flat[name] = value
    return flat


_WAYS: Mapping[str, Callable[[Any], str]] = {
    "share": share,
    "points": lambda value: f"{100 * value:+.1f}",
    "between": between,
    "at_most": partial(at_most, digits=4),
    "at_most3": at_most,
    "at_least": partial(at_least, digits=4),
    "at_least3": at_least,
    "usd": dollars,
    "usd3": partial(dollars, digits=3),
}


class _Words(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        """Write a value for people; unknown is a dash."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "–"
        # Before the numbers: a bool is an int, which a format would write as 1 or 0.
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float) and math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return _WAYS[format_spec](value) if format_spec in _WAYS else str(format(value, format_spec))


_FORMATTER = _Words()


def words(how: How, row: Mapping[str, Any]) -> str:
    """Write one cell.

    A template's fields take Python's formats, or ``share`` (``62.0 %``), ``points`` (``+1.5``), ``between``,
    ``at_most``, ``at_least`` (four digits, or three: ``at_most3``), ``usd``, ``usd3``.
    """
    return how(row) if callable(how) else _FORMATTER.vformat(how, (), row)


def _renderer() -> Any:
    return catalog.hook("notebook")
