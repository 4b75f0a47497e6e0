"""The page of a watch in a real browser: it fits a phone, and its words are whole."""

import pytest
from support.report_browser import opened
from support.report_material import make_calibration
from support.watched_file import CHANGED, live, visit

from blackbox_conformal.pages.report.watch_page import write_watch_page
from blackbox_conformal.watching.watch_file import WatchFile, watch_path

pytestmark = pytest.mark.browser

VERDICTS = """() => [...document.querySelector("table").querySelectorAll("tbody tr")].map(row => {
  const verdict = row.children[2], range = document.createRange();
  range.selectNodeContents(verdict);
  return {word: verdict.textContent, lines: range.getClientRects().length};
})"""


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light")])
def test_it_fits_its_window_and_breaks_no_verdict(chromium, tmp_path, width, scheme):
    calibration = make_calibration(n=5, hostile=False)
    file = calibration.save(tmp_path / "calibration.json")
    with WatchFile(watch_path(file)) as watch:
        for number in range(3):
            visit(watch, calibration)
            live(watch, calibration, number)
        visit(watch, calibration, CHANGED)
    page_file = write_watch_page(calibration, file, tmp_path / "run", tmp_path / "watch.html")
    with opened(chromium, page_file, width=width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        verdicts = page.evaluate(VERDICTS)
        assert {row["word"] for row in verdicts} == {"changed", "same"}
        assert all(row["lines"] == 1 for row in verdicts), verdicts
        titles = page.evaluate("[...document.querySelectorAll('.charts h3')].map(title => title.textContent)")
        assert [title.partition(":")[0] for title in titles] == ["Canaries", "Inputs", "Answers"]
