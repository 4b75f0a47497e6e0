"""What a notebook shows of each result: a card, a table, one short line, and figures in SVG that stand alone."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from support.synthetic import photograph, reduced, write_draws

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.pages.notebook import LOOKS
from blackbox_conformal.support.blocks import Figure
from blackbox_conformal.support.plots import Bar, Bars, Chart, Dot, Dots, Plot, Raster, Series

CHOICES: dict[str, Any] = {"draws": 4, "score": "pixel-variance", "metric": "rgb-linf"}

COLUMNS = {
    "calibration": {"alpha", "threshold", "trusted_share"},
    "result": {"name", "alpha", "trusted_share", "status"},
    "audit": {"alpha", "verdict", "risk", "ci_low", "ci_high", "trusted_share", "psnr_trusted"},
    "comparison": {"contestant", "method", "alpha", "trusted_share", "risk", "share_gain", "share_gain_low"},
    "tuning": {"score", "draws", "alpha", "trusted_share", "calls"},
    "plan": {"alpha", "needed_n"},
    "inputs": {"name", "moved", "p_value", "median", "calibration_median"},
    "planned shares": {"promise", "alpha", "n", "draws", "expected_share", "cost_usd_high"},
}

COLUMNS["comparison"].add("guarantee")
ROWS = {"result": 1, "audit": 2, "comparison": 12, "tuning": 2}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shown")
    write_draws(folder / "outputs", range(14))
    vendor = bc.load_adapter("folder", path=str(folder / "outputs"), label="made-up", scale=4)
    arrays = {f"p{seed}": photograph(seed) for seed in range(10)}
    run = {"run": folder / "run"}
    calibration = bc.calibrate(vendor, arrays, **run, **CHOICES)
    both = {"spread": vendor, "patch": (vendor, {"score": "patch-variance"})}
    unseen = {f"p{seed}": photograph(seed) for seed in range(10, 13)}
    return {
        "calibration": calibration,
        "result": bc.mask(vendor, ("p13", reduced(photograph(13), 4)), calibration, 0.9, **run),
        "audit": bc.audit(vendor, unseen, calibration, [0.5, 0.9], **run),
        "comparison": bc.compare(both, arrays, [0.5, 0.9], run=folder / "compared", **CHOICES),
        "tuning": bc.tune(
            vendor, arrays, 0.9, candidates=["pixel-variance", "texture"], only_choose=True, run=folder / "t", **CHOICES
        ),
        "plan": bc.plan(vendor, 100, **CHOICES),
        "inputs": bc.compare_inputs({f"p{seed}": reduced(photograph(seed), 4) for seed in range(10, 13)}, calibration),
        "planned shares": bc.plan(bc.load_adapter("embedded"), 100, alpha=0.1),
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_its_line_is_short_and_its_card_shows_its_plot(name, shown):
    result = shown[name]
    assert len(repr(result)) < 200
    assert repr(result).startswith("<")
    figure = result.plot()
    assert isinstance(figure, Figure)
    card = result._repr_html_()
    assert figure._repr_html_() in card
    ElementTree.fromstring(card)
    ElementTree.fromstring(figure.svg)
    assert "nan" not in re.sub(r'href="[^"]*"', "", figure.svg)


@pytest.mark.parametrize("name", COLUMNS)
def test_its_table_is_of_pandas(name, shown):
    pytest.importorskip("pandas")
    table = shown[name].to_frame()
    assert set(table.columns) >= COLUMNS[name]
    assert len(table) == ROWS.get(name, len(table)) > 0


def test_every_line_is_short_whatever_the_names_are(shown):
    assert len(repr(shown["result"].certificate)) < 200
    assert len(repr(replace(shown["result"], name="x" * 1000))) < 200
    comparison: bc.Comparison = shown["comparison"]
    row, standing = comparison.rows[0], comparison.standings[0]
    names = [f"{'x' * 100}-{number}" for number in range(9)]
    rows, standings = ([replace(one, contestant=name) for name in names] for one in (row, standing))
    many = replace(comparison, rows=tuple(rows), standings=tuple(standings))
    assert len(repr(many)) < 200
    audit: bc.Audit = shown["audit"]
    assert len(repr(replace(audit, levels=audit.levels * 5))) < 200
    assert len(repr(bc.RiskCurve.from_maps(np.eye(99, dtype="f4"), np.eye(99, dtype="f4"), bound=1))) < 200


def test_levels_are_those_of_the_calibration(shown):
    pytest.importorskip("pandas")
    calibration: bc.Calibration = shown["calibration"]
    levels = calibration.to_frame()
    assert levels["threshold"].tolist() == [calibration.threshold(alpha) for alpha in levels["alpha"]]
    assert levels["trusted_share"].is_monotonic_increasing
    photographs = calibration.to_frame("photographs")
    assert sorted(photographs["name"]) == sorted(f"p{seed}" for seed in range(10))
    assert photographs["largest_error"].between(0, calibration.bound).all()
    with pytest.raises(UsageError, match="'levels' or 'photographs'; got 'levles'"):
        calibration.to_frame("levles")  # type: ignore[arg-type]


def test_an_audits_photographs_have_the_means_of_its_levels(shown):
    pytest.importorskip("pandas")
    audit: bc.Audit = shown["audit"]
    photographs = audit.to_frame("photographs")
    assert len(photographs) == 6
    means = photographs.groupby("alpha")["loss"].mean()
    assert means.tolist() == pytest.approx(audit.to_frame()["risk"].tolist())


def test_a_comparison_plots_the_level_that_is_asked_for(shown):
    comparison: bc.Comparison = shown["comparison"]
    assert "alpha = 0.5" in comparison.plot().svg
    assert "alpha = 0.9" in comparison.plot(0.9).svg
    with pytest.raises(UsageError, match=r"levels that were compared, 0\.5, 0\.9; got 0\.3"):
        comparison.plot(0.3)


PROMISES = ["per-image:delta=0.2", "high-probability:delta=0.2", "false-trust:tolerance=0.2", "all-but:share=0.01"]


@pytest.mark.parametrize("guarantee", [*PROMISES, "local:side=16"])
def test_every_guarantee_has_its_card(guarantee, tmp_path):
    write_draws(tmp_path / "outputs", range(9))
    vendor = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="made-up", scale=4)
    arrays = {f"p{seed}": photograph(seed) for seed in range(9)}
    known = {name: arrays.pop(name) for name in list(arrays)[:7]}
    calibration = bc.calibrate(vendor, known, guarantee=guarantee, run=tmp_path / "run", **CHOICES)
    audit = bc.audit(vendor, arrays, calibration, [0.3, 0.9], run=tmp_path / "run")
    for card in (calibration._repr_html_(), audit._repr_html_()):
        assert "NaN" not in card
        ElementTree.fromstring(card)
    assert f"{audit.levels[0].claimed:g}" in audit._repr_html_()


def test_a_calibration_that_trusts_nothing_says_so(tmp_path):
    write_draws(tmp_path / "outputs", range(1))
    vendor = bc.load_adapter("folder", path=str(tmp_path / "outputs"), label="made-up", scale=4)
    calibration = bc.calibrate(vendor, {"p0": photograph(0)}, run=tmp_path / "run", **CHOICES)
    card = calibration._repr_html_()
    assert "−∞" in card
    assert "0.0 %" in card


def test_names_from_files_stay_text(shown):
    card = replace(shown["result"], name='<img src=x onerror="alert(1)">')._repr_html_()
    assert "<img" not in card


def test_nothing_of_matplotlib_or_pandas_is_loaded_to_show(tmp_path):
    script = (
        "import sys, blackbox_conformal as bc\n"
        "plan = bc.plan(bc.load_adapter('embedded'), 100)\n"
        "plan._repr_html_(); plan.plot().svg\n"
        "loaded = {'matplotlib', 'pandas', 'IPython'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


HOSTILE = '</svg><script>alert("x")</script>'


def plots() -> list[Plot]:
    points = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.6))
    series = [
        Series(HOSTILE, "realised", points, "dots", ((0.1, 0.1, 0.3), (0.3, 0.2, 9.0))),
        Series("bound", "bound", points, "step"),
        Series("allowed", "allowed", points),
    ]
    return [
        Chart(HOSTILE, "alpha", "risk", series, y_range=(0.0, 1.0)),
        Dots("dots", [Dot(HOSTILE, "1", 1.0, "promised", (0.5, 1.5)), Dot("b", "2", 2.0, "unpromised")], line=1.5),
        Bars("bars", "", [Bar(HOSTILE, 3, "realised"), Bar("b", 1, "bound")]),
        Raster("picture", image_png(photograph(1)), 80, 64),
    ]


@pytest.mark.parametrize("alone", [True, False])
def test_it_is_xml_without_foreign_marks_and_says_what_it_shows(alone):
    figure = Figure(plots())
    root = ElementTree.fromstring(figure.svg if alone else figure._repr_html_())
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "g", "text", "line", "path", "circle", "image", "rect", "tspan"}
    assert root.get("role") == "img"
    assert HOSTILE in root.get("aria-label", "")
    text = "".join(root.itertext())
    assert text.count(HOSTILE) == 5


def test_every_plot_lies_within_it_and_none_on_another():
    root = ElementTree.fromstring(Figure(plots()).svg)
    space = "{http://www.w3.org/2000/svg}"
    groups = [group.get("transform", "")[len("translate(") : -1].split() for group in root.findall(f"{space}g")]
    corners = [(float(x), float(y)) for x, y in groups]
    boxes = [(x, y, x + plot.width, y + plot.height) for (x, y), plot in zip(corners, plots(), strict=True)]
    for (left, top, right, bottom), other in combinations(boxes, 2):
        assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    assert max(box[2] for box in boxes) <= float(root.get("width", ""))
    assert max(box[3] for box in boxes) <= float(root.get("height", ""))


def test_alone_it_is_dark_on_white_and_in_a_page_in_the_pages_colour():
    figure = Figure(plots())
    assert 'fill="#ffffff"' in figure.svg
    assert 'color="#16181d"' in figure.svg
    inside = figure._repr_html_()
    assert "#ffffff" not in inside
    assert 'fill="currentColor"' in inside
    assert "<style" not in inside


def luminance(colour: str) -> float:
    values = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_colours_can_be_seen_on_light_and_on_dark(ground):
    for role, look in LOOKS.items():
        lighter, darker = sorted((luminance(look.colour), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, role


def test_it_is_saved_once_and_as_svg_alone(tmp_path):
    figure = Figure(plots())
    path = figure.save(tmp_path / "figure.svg")
    assert path.read_text("utf-8") == figure.svg == figure._repr_svg_()
    assert figure.save(str(path)) == path
    with pytest.raises(UsageError, match=r"ends with \.svg; got .*figure\.png"):
        figure.save(tmp_path / "figure.png")
    with pytest.raises(UsageError, match="--force"):
        Figure(plots()[1:]).save(path)
    assert repr(figure).startswith("<Figure: ")
