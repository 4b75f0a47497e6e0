"""A comparison of vendors or settings as one self-contained HTML file: plots, tables, and which guarantees hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from blackbox_conformal.pages.report.encoded import webp
from blackbox_conformal.pages.report.html import refuse_other, render_blocks, write_page
from blackbox_conformal.pages.report.preview import first_stops, veil_png
from blackbox_conformal.study.choose.comparison import ComparedPicture, Comparison
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.text import printable
from blackbox_conformal.support.types import Image

# The same square of every contestant's picture with its mask, for the most and the least trusted photographs.

SIDE = 256  # Pixels of the square's side, at full resolution.
MOST = 200  # Photographs kept to choose from: a bound on memory.
SHOWN = 3  # Photographs shown at either end: the most trusted and the least trusted.


@dataclass(frozen=True, slots=True)
class Square:
    """A contestant's square of one photograph, as WebP bytes.

    By level: `veils` as PNG in base64, and `shares` and `losses` of the whole picture.
    """

    contestant: str
    picture: bytes
    veils: dict[float, str]
    shares: dict[float, float]
    losses: dict[float, float]


@dataclass(slots=True)
class ComparedScene:
    """One photograph with a square of each contestant.

    The square begins at (`row`, `column`) and has `size` (height, width). `truth` and `low` are WebP bytes of the
    square in the photograph and in the vendor's input.
    """

    name: str
    row: int
    column: int
    size: tuple[int, int]
    truth: bytes
    low: bytes
    squares: list[Square] = field(default_factory=list)

    def share(self, alpha: float) -> float:
        """Return the mean trusted share over contestants."""
        return float(np.mean([square.shares[alpha] for square in self.squares]))


class ComparisonPictures:
    """Squares of the first `MOST` measured photographs."""

    def __init__(self) -> None:
        self._scenes: dict[str, ComparedScene] = {}

    def take(self, picture: ComparedPicture) -> None:
        """Keep the square of one picture; several threads may call this."""
        scene = self._scenes.get(picture.identity)
        if scene is None:
            if len(self._scenes) >= MOST:
                return
            scene = self._scenes.setdefault(picture.identity, _scene(picture))
        rows = slice(scene.row, scene.row + scene.size[0])
        columns = slice(scene.column, scene.column + scene.size[1])
        levels = sorted(picture.thresholds)
        first = first_stops(picture.score_map[rows, columns], np.array([picture.thresholds[alpha] for alpha in levels]))
        scene.squares.append(
            Square(
                picture.contestant,
                _encoded(picture.delivered[rows, columns]),
                {alpha: veil_png(first, stop) for stop, alpha in enumerate(levels)},
                dict(picture.shares),
                dict(picture.losses),
            )
        )

    def chosen(self, alpha: float) -> list[tuple[str, list[ComparedScene]]]:
        """Return the most and the least trusted photographs at `alpha`, each under its heading; no photograph twice."""
        ordered = sorted(self._scenes.values(), key=lambda scene: (-scene.share(alpha), scene.name))
        # At most half of the photographs, so that none is both most and least trusted.
        best = ordered[: min(SHOWN, -(-len(ordered) // 2))]
        worst = ordered[len(best) :][-SHOWN:][::-1]
        groups = [("Trusted most", best), ("Trusted least", worst)]
        return [(title, scenes) for title, scenes in groups if scenes]


def _scene(picture: ComparedPicture) -> ComparedScene:
    height, width = picture.score_map.shape
    size = (min(SIDE, height), min(SIDE, width))
    row, column = _most_detailed(picture.truth, size)
    # The input's own pixels of the square, enlarged by the page.
    scale = height / picture.low.shape[0]
    rows = slice(int(row / scale), max(int((row + size[0]) / scale), int(row / scale) + 1))
    columns = slice(int(column / scale), max(int((column + size[1]) / scale), int(column / scale) + 1))
    truth = picture.truth[row : row + size[0], column : column + size[1]]
    return ComparedScene(picture.name, row, column, size, _encoded(truth), _encoded(picture.low[rows, columns]))


def _most_detailed(truth: Image, size: tuple[int, int]) -> tuple[int, int]:
    # The square in which neighbouring pixels differ most.
    grey = truth.mean(axis=2)
    detail = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    # A table of sums (Crow 1984): each square's sum takes four look-ups.
    total = np.pad(detail.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    # Steps of 32 pixels, a multiple of usual scales.
    rows, columns = (np.arange(0, length - side + 1, 32) for length, side in zip(grey.shape, size, strict=True))
    sums = (
        total[np.ix_(rows + size[0], columns + size[1])]
        - total[np.ix_(rows, columns + size[1])]
        - total[np.ix_(rows + size[0], columns)]
        + total[np.ix_(rows, columns)]
    )
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    return int(rows[row]), int(columns[column])


def _encoded(pixels: Image) -> bytes:
    return webp(PillowImage.fromarray(np.ascontiguousarray(pixels)), 85)


def write_comparison(
    comparison: Comparison, path: Path, pictures: ComparisonPictures | None = None, *, force: bool = False
) -> Path:
    """Write the page.

    `pictures`: Handed over by `compare_contestants`; without it the page has no pictures.
    """
    shown = comparison.telling_alpha
    text = render_blocks(
        "Trust masks compared",
        comparison.blocks(),
        "comparison",
        shown=shown,
        loss=comparison.loss,
        n=comparison.n_evaluation,
        kept=MOST,
        groups=[] if pictures is None else pictures.chosen(shown),
        contestants=[standing.contestant for standing in comparison.standings],
    )
    return write_page(text, _about([one.contestant for one in comparison.standings]), path, force=force)


def refuse_foreign(path: Path, contestants: Sequence[str]) -> None:
    """Refuse to overwrite a file that is no page of these contestants; see `refuse_other`."""
    refuse_other(path, _about(contestants), f"a comparison of {', '.join(map(printable, contestants))}", "out")


def _about(contestants: Sequence[str]) -> str:
    return f"comparison of {digest_json(list(contestants))}"
