"""Plots side by side as one SVG, which notebooks and browsers show, so that no plotting library is needed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from blackbox_conformal.display.plots import Bars, Chart, Dots
from blackbox_conformal.errors import UsageError
from blackbox_conformal.files import write_new

if TYPE_CHECKING:
    import jinja2

MARGIN, GAP, HEADING, KEY = 12, 36, 26, 16
"""Around plots that stand alone, between two, for the title of each, and for a line of its key."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a figure: `content` is a PNG, `width` and `height` are those that it is shown in."""

    title: str
    content: bytes
    width: int
    height: int
    kind: ClassVar[str] = "picture"

    @property
    def png(self) -> str:
        """Its content as base64."""
        return base64.b64encode(self.content).decode()


Plot = Chart | Dots | Bars | Picture


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn. Colours have a contrast of 3 or more with a white and with a black ground."""

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
"""By the role of a series, bar or dot. They differ in dashes and filling, too, never in hue alone."""


@dataclass(frozen=True, slots=True)
class _Panel:
    plot: Plot
    x: float
    y: float


class Figure:
    """Plots side by side. Notebooks show it; `save` writes it.

    Parameters
    ----------
    plots
        From left to right.
    """

    def __init__(self, plots: Sequence[Plot]) -> None:
        self._plots = tuple(plots)

    def __repr__(self) -> str:
        return f"<Figure: {'; '.join(plot.title for plot in self._plots)}>"

    @property
    def svg(self) -> str:
        """A picture to stand by itself, dark on white."""
        return self._drawn(alone=True)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write it as an SVG file.

        Raises
        ------
        UsageError
            `path` does not end with ``.svg``, or exists with other content and `force` is not set.
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise UsageError(
                f"expected a file that ends with .svg; got {path}. A browser or Inkscape makes others of it"
            )
        return write_new(path, self.svg.encode(), force=force)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        """In the colours of the page that it stands in."""
        return self._drawn(alone=False)

    def _drawn(self, *, alone: bool) -> str:
        margin = MARGIN if alone else 0
        panels, x = [], float(margin)
        for plot in self._plots:
            panels.append(_Panel(plot, x, margin))
            x += plot.width + GAP
        height = max(HEADING + plot.height + _key_height(plot) for plot in self._plots) + 2 * margin
        return _template().render(
            panels=panels,
            width=round(x - GAP + margin),
            height=round(height),
            heading=HEADING,
            looks=LOOKS,
            alone=alone,
            label="; ".join(plot.title for plot in self._plots),
        )


def _key_height(plot: Plot) -> int:
    return KEY * len(plot.series) if isinstance(plot, Chart) else 0


@cache
def _template() -> jinja2.Template:
    # Whoever draws nothing does not wait for it.
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    file = resources.files("blackbox_conformal.display") / "templates" / "figure.svg.jinja"
    return environment.from_string(file.read_text("utf-8"))
