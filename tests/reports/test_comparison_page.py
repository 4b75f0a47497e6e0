"""The comparison page: every figure in it, the dots where they belong, honest labels, nothing foreign that runs."""

import math
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from blackbox_conformal.drawing.spending.spent import Latency
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pages.report.comparison_page import refuse_foreign, write_comparison
from blackbox_conformal.study.choose.comparison import INTERVALS, OURS, Comparison, ComparisonRow, Standing
from blackbox_conformal.support.plots import Dot, Dots

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


def row(contestant: str, method: str = OURS, alpha: float = 0.1, **changes) -> ComparisonRow:
    values = {
        "guarantee": "On average the error is at most 0.1." if method == OURS else "no guarantee on errors: made up",
        "trusted_share": 0.62,
        "risk": 0.043,
        "psnr_trusted": 41.23,
        "psnr_all": 27.5,
        "usd_per_trusted_megapixel": 0.125,
        "share_gain": (0.07, 0.02, 0.11),
        "psnr_gain": (-1.5, -2.25, -0.75),
    }
    return ComparisonRow(contestant, method, alpha, **{**values, **changes})


def standing(contestant: str, latency: Latency | None = None) -> Standing:
    return Standing(contestant, 4, 84, 84, 0, 3, 5, Decimal("8.4"), Decimal("0.4"), latency)


@pytest.fixture
def found() -> Comparison:
    empty = {"trusted_share": 0.0, "risk": 0.0, "psnr_trusted": math.nan, "usd_per_trusted_megapixel": None}
    rows = (
        row("plain", share_gain=(0.0, 0.0, 0.0)),
        row(HOSTILE, trusted_share=0.69, risk=0.2),
        row(HOSTILE, INTERVALS, **empty, psnr_gain=(math.nan,) * 3),
    )
    return Comparison(21, 20, rows, (standing("plain", Latency(84, 1.25, 2.5, 3.0, 4.0)), standing(HOSTILE)))


class Reader(HTMLParser):
    """Tags with their attributes, and the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_cell = tag in ("td", "th") or (self._in_cell and tag not in ("tr", "table"))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


def test_dots_and_their_line_are_where_they_belong():
    dots = Dots(
        "t", [Dot("a", "1", 1.0, "promised", (-1.0, 2.0)), Dot("b", "nan", math.nan, "promised")], line=0.0, unit="%"
    )
    assert [dot.label for dot in dots.dots] == ["a"]
    assert dots.least < -1.0 < 2.0 < dots.most
    assert dots.x(dots.least) == dots.left
    assert dots.x(dots.most) == dots.right
    assert dots.x(dots.least - 1) == dots.left
    middle = (dots.least + dots.most) / 2
    assert dots.x(middle) == (dots.left + dots.right) / 2
    assert {tick.label: tick.at for tick in dots.ticks}["0 %"] == dots.x(0.0)


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0], [1e-9], [5.0], [-2.0]])
def test_a_scale_holds_zero_and_every_value(values):
    dots = Dots("t", [Dot("a", "", value, "promised") for value in values])
    assert dots.least <= min([0.0, *values]) <= max([0.0, *values]) <= dots.most
    assert dots.least < dots.most
    assert dots.ticks


def test_every_figure_stands_in_the_tables(found, tmp_path):
    text = write_comparison(found, tmp_path / "page.html").read_text()
    cells = Reader(text).cells
    first = cells[cells.index(f"plain: {OURS}") :][:9]
    assert first == [f"plain: {OURS}", "62.0 %", "–", "0.043", "41.23", "–", "27.50", "$0.125", "yes"]
    second = cells[cells.index(f"{HOSTILE}: {OURS}") :][:9]
    assert second[1:] == ["69.0 %", "+2.0 to +11.0", "0.200", "41.23", "-2.25 to -0.75", "27.50", "$0.125", "yes"]
    nothing = cells[cells.index(f"{HOSTILE}: {INTERVALS}") :][:9]
    assert nothing[1:] == ["0.0 %", "+2.0 to +11.0", "0.000", "–", "–", "27.50", "–", "none"]
    assert cells[cells.index("plain") :][:6] == ["plain", "4", "5", "3", "$0.40", "1.25, 2.50 s"]
    assert cells[-1] == "–"
    assert "Calibrated on 21 photographs, measured on 20 others" in text


def test_what_has_no_guarantee_is_hollow_and_says_so(found):
    assert f"the largest error: {INTERVALS}, no guarantee on errors: made up." in str(list(found.blocks()))
    shares, gains, risks, prices = found.plot().plots
    assert [dot.role for dot in shares.dots] == ["promised", "promised", "unpromised"]
    assert [dot.value for dot in shares.dots] == [62.0, 69.0, 0.0]
    assert [(round(dot.value, 9), dot.interval) for dot in gains.dots] == [(7.0, (2.0, 11.0))]
    assert risks.line == 0.1
    assert [dot.value for dot in prices.dots] == [0.125, 0.125]


def test_where_nothing_costs_anything_no_price_is_plotted(found):
    free = replace(found, rows=tuple(replace(one, usd_per_trusted_megapixel=0.0) for one in found.rows))
    assert len(free.plot().plots) == 3


def test_names_cannot_become_markup(found, tmp_path):
    reader = Reader(write_comparison(found, tmp_path / "page.html").read_text())
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "img", "iframe", "object"}
    assert not any(key.startswith("on") for _, attributes in reader.tags for key in attributes)
    (policy,) = [a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not [a for t, a in reader.tags if re.match(r"https?:", a.get("href") or a.get("src") or "")]


def test_a_page_of_other_content_or_of_another_kind_is_kept(found, tmp_path):
    path = tmp_path / "page.html"
    names = [one.contestant for one in found.standings]
    refuse_foreign(path, names)
    write_comparison(found, path)
    write_comparison(replace(found, n_evaluation=19), path)
    written = path.read_text()
    assert "measured on 19 others" in written
    refuse_foreign(path, names)
    with pytest.raises(UsageError, match="is not a comparison of other"):
        refuse_foreign(path, ["other"])
    for mine in ("mine", written.replace("on 19 others", "on 90 others")):
        path.write_text(mine)
        with pytest.raises(UsageError, match="as it was written"):
            refuse_foreign(path, names)
        with pytest.raises(UsageError, match="--force"):
            write_comparison(found, path)
    write_comparison(found, path, force=True)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_a_browser_shows_it_in_silence(found, tmp_path, chromium, width):
    path = write_comparison(found, tmp_path / "page.html")
    noise: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.on("console", lambda message: noise.append(message.text))
    page.on("dialog", lambda dialog: noise.append("dialog"))
    page.on("request", lambda request: noise.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    places = page.evaluate("[...document.querySelectorAll('circle.dot')].map(c => c.getBoundingClientRect().x)")
    styled = page.evaluate("getComputedStyle(document.querySelector('circle.dot.unpromised')).fill")
    filled = page.evaluate("getComputedStyle(document.querySelector('circle.dot.promised')).fill")
    page.close()
    assert [url for url in noise if not url.startswith(("data:", path.as_uri()))] == []
    assert places[0] < places[1]
    assert styled != filled
