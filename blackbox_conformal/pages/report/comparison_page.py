"""A comparison of vendors or settings as one self-contained HTML file: plots, tables, and which guarantees hold."""

from collections.abc import Sequence
from pathlib import Path

from blackbox_conformal.errors import UsageError
from blackbox_conformal.pages.report.comparison_pictures import MOST, ComparisonPictures
from blackbox_conformal.pages.report.html import render_blocks
from blackbox_conformal.pages.report.seal import is_page, write_page
from blackbox_conformal.study.choose.comparison import Comparison
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.support.text import printable


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
    shown = comparison.telling_alpha
    text = render_blocks(
        "Trust masks compared",
        comparison.blocks(),
        "comparison",
        shown=shown,
        n=comparison.n_evaluation,
        kept=MOST,
        groups=[] if pictures is None else pictures.chosen(shown),
        contestants=[standing.contestant for standing in comparison.standings],
    )
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
