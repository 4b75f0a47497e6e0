"""Rows as pandas tables and as HTML."""

import importlib
import math
from typing import Any

import pytest

from blackbox_conformal.display.table import MOST_ROWS, frame, html_card, rows_of, words
from blackbox_conformal.errors import UsageError


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("trusted_share", 0.25, "25.0 %"),
        ("risk", 0.123456, "0.1235"),
        ("risk", math.nan, "–"),
        ("group", None, "–"),
        ("threshold", math.inf, "∞"),
        ("threshold", -math.inf, "−∞"),
        ("refused", True, "yes"),
        ("refused", False, "no"),
        ("n", 3, "3"),
    ],
)
def test_values_are_written_for_people(column: str, value: Any, said: str) -> None:
    assert words(column, value) == said


def test_foreign_text_stays_text() -> None:
    shown = html_card("<b>\u202e", ["<i>"], [{"name": "<script>"}])
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "<script>" not in shown
    assert "&lt;b&gt;\\u202e" in shown


def test_a_long_table_says_what_it_leaves_out() -> None:
    rows = [{"n": number} for number in range(MOST_ROWS + 5)]
    shown = html_card("heading", [], rows)
    assert shown.count("<tr>") == MOST_ROWS + 1
    assert "and 5 more: to_frame() has all" in shown
    assert "more" not in html_card("heading", [], rows[:MOST_ROWS])


def test_another_table_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="expected a table of 'levels' or 'photographs'; got 'pictures'"):
        rows_of("pictures", levels=list, photographs=list)


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.import_module

    def missing(name: str, *given: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return original(name, *given)

    monkeypatch.setattr("blackbox_conformal.display.table.import_module", missing)
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
