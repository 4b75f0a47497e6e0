"""The comparison page in a real browser: every label is whole and inside its plot, whatever the vendors are called."""

from decimal import Decimal
from itertools import pairwise

import pytest
from support.report_browser import opened

from blackbox_conformal.pages.report.comparison_page import write_comparison
from blackbox_conformal.study.choose.comparison import INTERVALS, OURS, Comparison, ComparisonRow, Standing

pytestmark = pytest.mark.browser

ADDRESS = "http:url=http://192.168.178.20:8000/v1/models/real-esrgan/upscale,picture-field=data.0.url,draws="
LABELS = [f"{ADDRESS}4", f"{ADDRESS}8", "W" * 90, "超解像" * 20, "ΩΩΩ @@@ %%% " * 9, "short"]

FOUND = """() => [...document.querySelectorAll("figure svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text.row")].map(text => {
    const lines = text.querySelectorAll("tspan");
    const own = text.getBoundingClientRect();
    return {text: text.textContent, lines: lines.length, over: own.right - box.right, under: box.left - own.left,
            top: own.top, bottom: own.bottom};
  });
})"""


def test_long_labels_are_whole_and_inside_the_plot(chromium, tmp_path):
    def row(label: str, method: str, gain: float) -> ComparisonRow:
        promised = "On average the error is at most 0.1." if method == OURS else "no guarantee on errors: made up"
        return ComparisonRow(
            label, method, 0.1, promised, 0.62, 0.04, 41.0, 27.5, 0.12, (gain, gain - 0.1, gain), (0.0,) * 3
        )

    rows = tuple(row(label, method, 0.1 * k) for k, label in enumerate(LABELS) for method in (OURS, INTERVALS))
    standings = tuple(Standing(label, 4, 8, 8, 0, 0, 0, Decimal(1), Decimal("0.4"), None) for label in LABELS)
    page_file = write_comparison(Comparison(21, 20, rows, standings), tmp_path / "page.html")
    with opened(chromium, page_file) as page:
        figures = page.evaluate(FOUND)
        assert len(figures) == 4
        for texts in figures:
            shown = [one["text"] for one in texts]
            # The figure of differences leaves out the first row, which they are to.
            for label in LABELS[len(texts) < len(LABELS) :]:
                assert any("".join(label.split()) in "".join(text.split()) for text in shown), label
            assert len(set(shown)) == len(shown)
            for one in texts:
                assert one["over"] <= 0, one
                assert one["under"] <= 0, one
            for upper, lower in pairwise(texts):
                assert upper["bottom"] <= lower["top"], (upper, lower)
            assert next(one["lines"] for one in texts if one["text"].startswith("short")) == 1
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
