"""Blocks: one description, from which the terminal, notebooks, pages, pandas and scripts get the same."""

import importlib
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pages.notebook import MOST_ROWS, card
from blackbox_conformal.pages.report.html import render_blocks
from blackbox_conformal.support.blocks import Block, Faces, Facts, Figure, Note, Table, frame, words
from blackbox_conformal.support.plots import Bar, Bars


@pytest.mark.parametrize(
    ("how", "value", "said"),
    [
        ("{it:share}", 0.25, "25.0 %"),
        ("{it:.4f}", 0.123456, "0.1235"),
        ("{it:.4f}", math.nan, "–"),
        ("{it}", None, "–"),
        ("{it:g}", math.inf, "∞"),
        ("{it:g}", -math.inf, "−∞"),
        ("{it}", True, "yes"),
        ("{it}", False, "no"),
        ("{it}", 3, "3"),
        ("{it[1]:points}", (0.0, 0.015), "+1.5"),
        ("{it:usd}", Decimal("0.1"), "$0.10"),
        ("{it:between}", (0.1, 0.2), "0.1 to 0.2"),
    ],
)
def test_values_are_written_for_people(how: str, value: Any, said: str) -> None:
    assert words(how, {"it": value}) == said


class Found(Faces):
    """A result with one of each block."""

    def __repr__(self) -> str:
        return "<Found of 2>"

    def blocks(self) -> Iterator[Block]:
        """One of each."""
        yield Note("A sentence.", {"n": 2})
        yield Facts({"price": "$1.00", "time": None}, {"cost_usd": Decimal(1)}, title="At a glance")
        for place in (1, 2):
            rows = [{"place": place, "ci": (0.1, math.inf)}]
            yield Table(
                "rows", {"place": "{place}", "wide": "broad"}, rows, title=f"In {place}", not_in_terminal=["wide"]
            )
        yield Table("others", {}, [{"a": 1}], {})
        yield Note("More of it.", detail=True)
        yield Note("look out", remark="warning")
        yield Figure([Bars("bars", "", [Bar("b", 1, "realised")])])


def test_scripts_and_pandas_get_numbers() -> None:
    content = Found().document()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content == {
        "n": 2,
        "cost_usd": 1.0,
        "rows": [{"place": 1, "ci": [0.1, None]}, {"place": 2, "ci": [0.1, None]}],
    }
    pytest.importorskip("pandas")
    assert Found().to_frame().to_dict("list") == {"place": [1, 2], "ci_low": [0.1, 0.1], "ci_high": [math.inf] * 2}
    assert Found().to_frame("others").to_dict("list") == {"a": [1]}
    with pytest.raises(UsageError, match="expected a table of 'rows' or 'others'; got 'pictures'"):
        Found().to_frame("pictures")


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_terminal_shows_all_but_details_wide_columns_and_figures(
    verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(as_json=False, quiet=False, verbose=verbose).show(Found().blocks())
    out, err = capsys.readouterr()
    assert err == "warning: look out\n"
    assert all(said in out for said in ("A sentence.", "At a glance", "price  $1.00", "In 1", "In 2"))
    assert "time" not in out
    assert "broad" not in out
    assert ("More of it." in out) == bool(verbose)


def test_a_page_and_a_notebook_show_the_same() -> None:
    page, shown = render_blocks("Found", Found().blocks()), Found()._repr_html_()
    for text in (page, shown):
        assert all(said in text for said in ("A sentence.", "$1.00", "broad", "Warning: look out", "<rect"))
        assert "time" not in text.partition("</style>")[2]
    assert page.count("<section") == 3
    assert "More of it." in page
    assert "More of it." not in shown


def test_a_note_without_text_shows_nothing() -> None:
    blocks = [Note("", {"leakage": None}), Note("", remark="warning")]
    page = render_blocks("Found", blocks).partition("</style>")[2]
    for shown in (card("Found", blocks), page):
        assert "Warning" not in shown
        assert "<p></p>" not in shown
    assert card("Found", blocks) == card("Found", [])


def test_foreign_text_stays_text() -> None:
    blocks = [Note("<i>"), Table("t", {"name": "{name}"}, [{"name": "<script>\u202e"}], title="<b>\u202e")]
    for shown in (card("<b>", blocks), render_blocks("<b>", blocks).partition("</style>")[2]):
        for mark in ("<b>", "<i>", "<script>", "\u202e"):
            assert mark not in shown
        assert "&lt;b&gt;\\u202e" in shown


def test_a_long_table_says_what_it_leaves_out() -> None:
    rows = [{"n": number} for number in range(MOST_ROWS + 5)]
    shown = card("heading", [Table("t", {"n": "{n}"}, rows)])
    assert shown.count("<tr>") == MOST_ROWS + 1
    assert "and 5 more: to_frame() has all" in shown
    assert "more" not in card("heading", [Table("t", {"n": "{n}"}, rows[:MOST_ROWS])])


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.import_module

    def missing(name: str, *given: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return original(name, *given)

    monkeypatch.setattr("blackbox_conformal.support.blocks.import_module", missing)
    with pytest.raises(ImportError, match=r"not installed: pip install pandas$") as caught:
        frame([{"a": 1}])
    assert isinstance(caught.value, UsageError), "an error of ours, as every other one"


def test_pandas_keeps_numbers_as_they_are() -> None:
    pandas = pytest.importorskip("pandas")
    table = frame([{"a": 1, "b": math.inf, "c": None}, {"a": 2, "b": 0.5, "c": "x"}])
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ["a", "b", "c"]
    assert table["b"].tolist() == [math.inf, 0.5]
    assert len(table) == 2
