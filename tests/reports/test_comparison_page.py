"""The comparison pages: every figure in them, the same square of every vendor, nothing foreign that runs."""

import base64
import html
import io
import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image

from blackbox_conformal.drawing.spending.spent import Latency
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.audits.input_shift import compare
from blackbox_conformal.method.images.input_statistics import STATISTICS, InputStatistics
from blackbox_conformal.pages.report import comparison_page
from blackbox_conformal.pages.report.comparison_page import (
    MOST,
    SHOWN,
    SIDE,
    ComparisonPictures,
    _most_detailed,
    refuse_foreign,
    write_comparison,
)
from blackbox_conformal.pages.report.html import write_blocks
from blackbox_conformal.study.choose.comparison import (
    INTERVALS,
    OURS,
    ComparedPicture,
    Comparison,
    ComparisonRow,
    Standing,
)
from blackbox_conformal.support.plots import Dot, Dots

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


def row(contestant: str, method: str = OURS, alpha: float = 0.1, **changes) -> ComparisonRow:
    said = "On average the error is at most 0.1." if method == OURS else "no guarantee on errors: made up"
    values = {"guarantee": said, "trusted_share": 0.62, "risk": 0.043, "psnr_trusted": 41.23, "psnr_all": 27.5}
    values |= {"usd_per_trusted_megapixel": 0.125, "share_gain": (0.07, 0.02, 0.11), "psnr_gain": (-1.5, -2.25, -0.75)}
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
    assert (dots.x(dots.least), dots.x(dots.most), dots.x(dots.least - 1)) == (dots.left, dots.right, dots.left)
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


def test_a_long_value_has_the_width_of_the_page_to_itself(found, tmp_path):
    text = write_comparison(found, tmp_path / "page.html").read_text()
    facts = re.findall(r"<div( class=\"sentence\")?><dt>.*?</dt><dd>(.*?)</dd>", text)
    assert facts
    assert [bool(marked) for marked, _ in facts] == [len(html.unescape(value)) > 30 for _, value in facts]
    assert any(marked for marked, _ in facts)


def test_what_has_no_guarantee_is_hollow_and_says_so(found):
    assert f"the largest error: {INTERVALS}, no guarantee on errors: made up." in str(list(found.blocks()))
    shares, gains, risks, prices = found.plot().plots
    assert [dot.role for dot in shares.dots] == ["promised", "promised", "unpromised"]
    assert [dot.value for dot in shares.dots] == [62.0, 69.0, 0.0]
    assert [(round(dot.value, 9), dot.interval) for dot in gains.dots] == [(7.0, (2.0, 11.0))]
    assert (risks.line, [dot.value for dot in prices.dots]) == (0.1, [0.125, 0.125])


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


ALPHAS = (0.1, 0.2)


def photograph(index: int, size=(300, 340)) -> np.ndarray:
    rng = np.random.default_rng(index)
    pixels = np.full((*size, 3), 128, np.uint8)
    top, left = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
    pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, (40, 40, 3))
    return pixels


def compared_picture(contestant: str, index: int, size=(300, 340)) -> ComparedPicture:
    truth = photograph(index, size)
    rng = np.random.default_rng(1000 * index + len(contestant))
    scores = rng.random(size).astype(np.float32)
    thresholds = {0.1: 0.05 * (index % 9), 0.2: 0.1 * (index % 9)}
    shares = {alpha: float((scores < threshold).mean()) for alpha, threshold in thresholds.items()}
    delivered = np.clip(truth.astype(int) + 20 + len(contestant), 0, 255).astype(np.uint8)
    low = np.ascontiguousarray(truth[::4, ::4])
    losses = {0.1: 0.03, 0.2: 0.07}
    return ComparedPicture(
        contestant, f"photograph {index}", f"id{index}", truth, delivered, low, scores, thresholds, shares, losses
    )


def naive_most_detailed(truth, size):
    grey = truth.astype(float).mean(axis=2)
    best, place = -1.0, (0, 0)
    for top, left in product(*(range(0, grey.shape[axis] - size[axis] + 1, 32) for axis in (0, 1))):
        total = 0.0
        for row, column in product(range(top, top + size[0]), range(left, left + size[1])):
            if row + 1 < grey.shape[0]:
                total += abs(grey[row + 1, column] - grey[row, column])
            if column + 1 < grey.shape[1]:
                total += abs(grey[row, column + 1] - grey[row, column])
        if total > best + 1e-6:
            best, place = total, (top, left)
    return place


@pytest.mark.parametrize("seed", range(4))
def test_the_square_is_the_one_with_most_detail(seed):
    truth = photograph(seed, (150, 170))
    assert _most_detailed(truth, (64, 64)) == naive_most_detailed(truth, (64, 64))


def test_all_contestants_show_the_same_square_with_their_own_mask():
    pictures = ComparisonPictures()
    given = [compared_picture(name, 5) for name in ("a", "second", "the third")]
    for picture in given:
        pictures.take(picture)
    ((_, (scene,)),) = pictures.chosen(0.1)
    rows, columns = slice(scene.row, scene.row + SIDE), slice(scene.column, scene.column + SIDE)
    assert [square.contestant for square in scene.squares] == ["a", "second", "the third"]
    for square, picture in zip(scene.squares, given, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(square.picture)).convert("RGB")).astype(int)
        assert np.abs(shown - picture.delivered[rows, columns]).mean() < 12
        for alpha in ALPHAS:
            veil = np.asarray(Image.open(io.BytesIO(base64.b64decode(square.veils[alpha]))).convert("RGBA"))
            assert ((veil[..., 3] == 0) == (picture.score_map[rows, columns] < picture.thresholds[alpha])).all()
    low = Image.open(io.BytesIO(scene.low))
    assert low.size == (SIDE // 4, SIDE // 4)
    expected = photograph(5)[::4, ::4][scene.row // 4 : scene.row // 4 + 64, scene.column // 4 : scene.column // 4 + 64]
    assert np.abs(np.asarray(low.convert("RGB")).astype(int) - expected).mean() < 12


@pytest.mark.parametrize("size", [(100, 90), (256, 256), (60, 400)])
def test_a_small_photograph_is_shown_whole(size):
    pictures = ComparisonPictures()
    pictures.take(compared_picture("a", 4, size))
    ((_, (scene,)),) = pictures.chosen(0.1)
    assert scene.size == (min(size[0], SIDE), min(size[1], SIDE))


def test_the_most_and_the_least_trusted_are_shown_and_none_twice_and_memory_is_bounded(monkeypatch):
    pictures = ComparisonPictures()
    with ThreadPoolExecutor(4) as pool:
        for name in ("a", "b"):
            list(pool.map(lambda index, name=name: pictures.take(compared_picture(name, index)), range(1, 9)))
    assert [(title, [scene.name for scene in scenes]) for title, scenes in pictures.chosen(0.2)] == [
        ("Trusted most", ["photograph 8", "photograph 7", "photograph 6"]),
        ("Trusted least", ["photograph 1", "photograph 2", "photograph 3"]),
    ]
    for count in (1, 2, 5):
        few = ComparisonPictures()
        for index in range(count):
            few.take(compared_picture("a", index))
        shown = [scene.name for _, scenes in few.chosen(0.1) for scene in scenes]
        assert len(shown) == len(set(shown)) == min(count, 2 * SHOWN)
    assert ComparisonPictures().chosen(0.1) == []
    monkeypatch.setattr(comparison_page, "MOST", 2)
    bounded = ComparisonPictures()
    for name, index in product("ab", range(4)):
        bounded.take(compared_picture(name, index))
    scenes = [scene for _, group in bounded.chosen(0.1) for scene in group]
    assert sorted(scene.name for scene in scenes) == ["photograph 0", "photograph 1"]
    assert all(len(scene.squares) == 2 for scene in scenes)


@pytest.fixture
def compared():
    """Two vendors on six photographs, one of which the second refused."""
    pictures = ComparisonPictures()
    for name in ("plain", HOSTILE):
        for index in range(1, 7):
            if (name, index) != (HOSTILE, 1):
                pictures.take(compared_picture(name, index))

    nothing = {"share_gain": (0.0,) * 3, "psnr_gain": (0.0,) * 3}
    rows = tuple(
        row(name, alpha=alpha, usd_per_trusted_megapixel=price, **nothing)
        for name, price in (("plain", 0.125), (HOSTILE, None))
        for alpha in ALPHAS
    )
    standings = tuple(Standing(name, 1, 6, 6, 0, 0, 0, Decimal(1), Decimal("0.1"), None) for name in ("plain", HOSTILE))
    return Comparison(21, 6, rows, standings), pictures


def test_the_page_shows_every_vendor_price_and_refusal(compared, tmp_path):
    comparison, pictures = compared
    text = write_comparison(comparison, tmp_path / "page.html", pictures).read_text()
    tags = Reader(text).tags
    assert sum(tag == "img" and attributes.get("class") == "veil" for tag, attributes in tags) == 11
    assert text.count('<p class="refused">refused</p>') == 1
    assert "$0.125 per trusted megapixel" in text
    assert "price of a trusted megapixel unknown" in text
    assert text.index("The same square of every vendor") < text.index("How to read it")
    assert not [tag for tag, _ in tags if tag in ("script", "iframe")]
    assert all("onerror" not in attributes for _, attributes in tags)
    assert "They were chosen among" not in text
    many = Comparison(21, MOST + 1, comparison.rows, comparison.standings)
    assert (
        "They were chosen among 200 of the 201" in write_comparison(many, tmp_path / "many.html", pictures).read_text()
    )


def test_a_page_without_pictures_has_no_section_for_them(compared, tmp_path):
    text = write_comparison(compared[0], tmp_path / "page.html").read_text()
    assert "The same square" not in text
    assert "$0.125 per trusted megapixel" in text


def inputs(n: int, seed: int) -> InputStatistics:
    rng = np.random.default_rng(seed)
    return InputStatistics(rng.integers(0, 4, (n, len(STATISTICS))).astype(np.float32) / 4)


def test_a_staircase_gives_the_share_of_inputs_up_to_each_value():
    known, new = inputs(12, 1), inputs(7, 2)
    for movement in compare(known, new, permutations=99).movements:
        calibration, own = movement.chart.series
        for series, values in ((calibration, movement.known), (own, movement.new)):
            assert (series.points[0][1], series.points[-1][1]) == (0, 1)
            places = [x for x, _ in series.points]
            assert places == sorted(set(places))
            for x, share in series.points:
                assert share == np.mean(np.array(values) <= x)


def test_the_page_names_every_statistic_and_holds_no_script(tmp_path):
    shift = compare(inputs(12, 1), inputs(7, 2), permutations=99)
    page = write_blocks("Inputs", shift.blocks("bicubic:4<script>"), tmp_path / "page.html", "sha256:1")
    text = page.read_text(encoding="utf-8")
    for statistic in STATISTICS:
        assert f">{statistic.name}</th>" in text
    assert "<script" not in text
    assert "bicubic:4&lt;script&gt;" in text
    assert not re.findall(r"NaN|Infinity|None", text)
    other = compare(inputs(12, 1), inputs(7, 3), permutations=99)
    with pytest.raises(UsageError, match="--force"):
        write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:2")
    write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:1")
    assert page.read_text() != text
    page.write_text(page.read_text().replace("bicubic", "bilinear"))
    with pytest.raises(UsageError, match="--force"):
        write_blocks("Inputs", other.blocks("bicubic:4"), page, "sha256:1")
